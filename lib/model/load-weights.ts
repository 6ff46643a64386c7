// From a checkpoint's tensors to the weights of a session.
import { toFloat32, type WeightDType } from '../checkpoint/dtype';
import type { SamCheckpoint } from '../checkpoint/keys';
import { elementCount } from '../graph/graph';
import type { Session } from '../graph/session';
import { type ModelWeight, modelWeights } from './config';
import type { ComputeDType } from './weights';

/**
 * Gives a session every weight of a model. They are streamed: the peak is about their size in the session plus the largest
 * tensor.
 *
 * @param dtype what the image encoder computes in
 * @throws SamError ERR_IO, ERR_CHECKPOINT, ERR_OUT_OF_MEMORY, ERR_DISPOSED; the signal's reason
 */
export async function loadWeights(
  file: Pick<SamCheckpoint, 'config' | 'tensors' | 'read'>,
  session: Pick<Session, 'setWeight'>,
  dtype: ComputeDType,
  { signal, onProgress }: { signal?: AbortSignal; onProgress?: (fraction: number) => void } = {},
): Promise<void> {
  const weights = modelWeights(file.config, dtype);
  const total = weights.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  let done = 0;
  for (const weight of weights) {
    signal?.throwIfAborted();
    await loadWeight(weight, file, session);
    done += elementCount(weight.shape);
    onProgress?.(done / total);
  }
}

/** Gives a session one weight: the tensor that it is, or what is made of several. */
export async function loadWeight(
  { name, shape, dtype, tensors, make }: ModelWeight,
  file: Pick<SamCheckpoint, 'tensors' | 'read'>,
  session: Pick<Session, 'setWeight'>,
): Promise<void> {
  // Whatever else it could be was refused when the file was opened.
  const dtypeOf = (tensor: string) => file.tensors.get(tensor)!.dtype as WeightDType;
  if (!make) {
    const [tensor] = tensors;
    const bytes = await file.read(tensor.name);
    return session.setWeight(name, dtypeOf(tensor.name), dtype, shape, bytes, { transfer: true });
  }
  const parts: Float32Array[] = [];
  for (const tensor of tensors) parts.push(toFloat32(await file.read(tensor.name), dtypeOf(tensor.name)));
  const made = make(parts);
  const bytes = new Uint8Array(made.buffer, made.byteOffset, made.byteLength);
  return session.setWeight(name, 'f32', dtype, shape, bytes, { transfer: true });
}
