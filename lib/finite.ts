// Whether values are finite, without stalling the event loop: one NaN in a weight makes all of an output NaN, in silence.
import type { EmbeddingInfo } from './embedding-info';
import { SamError } from './errors';
import { sizeText } from './size';
import { TimeSlice } from './time-slice';

/** Elements between two looks at the clock: 0.1 ms. */
const STEP = 65_536;

/** Whether no value is NaN or infinite. 16 million values take 20 ms in all. */
export async function allFinite(data: Float32Array): Promise<boolean> {
  const slice = new TimeSlice();
  for (let begin = 0; begin < data.length; begin += STEP) {
    const end = Math.min(begin + STEP, data.length);
    // NaN and ±∞ times 0 are NaN, and NaN stays: no branch per value.
    let zero = 0;
    for (let i = begin; i < end; i++) zero += data[i]! * 0;
    if (zero !== 0) return false;
    if (slice.due()) await slice.next();
  }
  return true;
}

/** ERR_NOT_FINITE for an output of a model. */
export function notFinite(
  stage: 'image encoder' | 'mask decoder',
  model: string,
  { name, image, dtype }: Pick<EmbeddingInfo, 'name' | 'image' | 'dtype'>,
): SamError {
  const what = name ?? `an image of ${sizeText(image)}`;
  const range =
    stage === 'image encoder' && dtype !== 'f32' ? `, or values beyond the range of ${dtype}` : '';
  return new SamError(
    'ERR_NOT_FINITE',
    `${model}: expected finite values from the ${stage} for ${what} but it computed NaN or infinity: damaged weights${range}`,
  );
}

/** ERR_INVALID_ARGUMENT for an input that holds NaN or infinity. */
export function notFiniteInput(name: string): SamError {
  return new SamError('ERR_INVALID_ARGUMENT', `Expected finite values for ${name} but received others`);
}
