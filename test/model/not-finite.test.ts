// A model that computes NaN or infinity says so, whatever part of it is at fault: its numbers are no results.

import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { allFinite } from '../../lib/finite';
import {
  BUNDLED_MODEL,
  decodeImage,
  Embedding,
  openSamCheckpoint,
  Sam,
  type TensorToWrite,
  writeSafetensors,
} from '../../lib/index';
import { temporaryFolder } from '../support/folder';

const folder = temporaryFolder();
const model = path.join(folder, 'nan.safetensors');
const DEMO = path.join(__dirname, '..', '..', 'examples', 'images', 'demo.png');
const box = { box: [385, 36, 555, 362] } as const;
let sam: Sam;
beforeAll(async () => {
  sam = await Sam.load(undefined, { device: 'cpu' });
});
afterAll(async () => {
  await sam.dispose();
});

/** The bundled model with the first value of one tensor replaced by f16 NaN or infinity. */
async function damaged(name: string, bits: number): Promise<Sam> {
  const file = await openSamCheckpoint(BUNDLED_MODEL);
  const tensors: TensorToWrite[] = [];
  for (const info of file.tensors.values()) tensors.push({ ...info, data: await file.read(info.name) });
  await file.close();
  const { data, dtype } = tensors.find((tensor) => tensor.name === name)!;
  expect(dtype).toBe('f16');
  new DataView(data.buffer, data.byteOffset).setUint16(0, bits, true);
  await writeSafetensors(model, tensors);
  return Sam.load(model, { device: 'cpu' });
}
const [NAN, INFINITY] = [0x7e00, 0x7c00];

it.each([
  ['NaN', NAN],
  ['infinity', INFINITY],
])('%s in the image encoder is found by encode', async (_name, bits) => {
  const bad = await damaged('image_encoder.blocks.0.mlp.lin1.weight', bits);
  const decoded = await decodeImage(pathToFileURL(DEMO));
  for (const call of [() => bad.encode(DEMO), () => bad.segment(DEMO, box), () => bad.encode(decoded)]) {
    await expect(call()).rejects.toMatchObject({
      code: 'ERR_NOT_FINITE',
      message: `${model}: expected finite values from the image encoder for ${DEMO} but it computed NaN or infinity: damaged weights`,
    });
  }
  const raw = { data: new Uint8Array(3 * 40 * 30), width: 40, height: 30 };
  await expect(bad.encode(raw)).rejects.toThrow('for an image of 40 × 30 px but');
  await bad.dispose();
});

it.each([
  ['the scores', 'mask_decoder.iou_prediction_head.layers.2.bias'],
  ['a mask and no score', 'mask_decoder.output_hypernetworks_mlps.0.layers.2.bias'],
])('NaN in %s is found by predict', async (_name, tensor) => {
  const bad = await damaged(tensor, NAN);
  const embedding = await bad.encode(DEMO);
  for (const options of [{}, { fullSize: false }, { logits: true }]) {
    await expect(bad.predict(embedding, [box, box], options)).rejects.toMatchObject({
      code: 'ERR_NOT_FINITE',
      message: expect.stringContaining(
        `${model}: expected finite values from the mask decoder for ${DEMO} but`,
      ),
    });
  }
  await bad.dispose();
});

describe('values that are not the model’s fault', () => {
  it('are those of pixelValues', async () => {
    const pixelValues = new Float32Array(3 * 32 * 32);
    pixelValues[77] = Number.NaN;
    await expect(sam.encode({ pixelValues, shape: [1, 3, 32, 32] })).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected finite values for pixelValues but received others',
    });
  });

  it('are those of an embedding', async () => {
    const { data, shape, ...info } = await sam.encode(DEMO);
    const values = data.slice();
    values[values.length - 1] = Number.NEGATIVE_INFINITY;
    await expect(sam.predict(new Embedding(values, shape, info), box)).rejects.toMatchObject({
      code: 'ERR_INVALID_ARGUMENT',
      message: 'Expected finite values for embedding.data but received others',
    });
  });
});

it('allFinite looks at every value', async () => {
  const data = new Float32Array(200_000).fill(-3e38);
  expect(await allFinite(data)).toBe(true);
  expect(await allFinite(new Float32Array(0))).toBe(true);
  for (const index of [0, 65_535, 65_536, 199_999]) {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const before = data[index]!;
      data[index] = value;
      expect(await allFinite(data)).toBe(false);
      data[index] = before;
    }
  }
});
