// Embeddings of a golden encoder in every mode against the float64 reference.
import path from 'node:path';
import { dist, mean } from '../study/library.mjs';

const { Sam } = dist('sam');
const { openCheckpoint } = dist('checkpoint/checkpoint');

/** The input, by the formula of test/reference/make_golden.py: [1, 3, h, w]. */
function goldenPixels({ height, width, imageSeed }) {
  const out = new Float32Array(3 * height * width);
  let at = 0;
  for (let c = 0; c < 3; c++) {
    for (let i = 0; i < height; i++) {
      for (let j = 0; j < width; j++) {
        const wave = Math.sin(0.37 * (c + 1) + 0.051 * i + 0.083 * j + imageSeed);
        out[at++] = 1.5 * wave * Math.cos(0.029 * i - 0.041 * j * (c + 1));
      }
    }
  }
  return out;
}

/** ‖a − b‖ / ‖b‖. */
export function relativeL2(a, b) {
  let error = 0;
  let norm = 0;
  for (let i = 0; i < b.length; i++) {
    error += (a[i] - b[i]) ** 2;
    norm += b[i] ** 2;
  }
  return Math.sqrt(error / norm);
}

/** @returns { name, cases, errors: { mode: { mean, largest } } } */
export async function measureGolden(name, folder, cases, modes) {
  const expected = await openCheckpoint(path.join(folder, `${name}.expected.safetensors`));
  const errors = {};
  for (const [mode, options] of Object.entries(modes)) {
    const sam = await Sam.load(path.join(folder, `${name}.safetensors`), { device: 'cpu', ...options });
    const all = [];
    for (const { key, height, width, imageSeed, ba } of cases) {
      const pixels = {
        pixelValues: goldenPixels({ height, width, imageSeed }),
        shape: [1, 3, height, width],
      };
      const settings = { lengthScale: ba?.length_scale, distance: ba?.distance };
      const { data } = await sam.encode(pixels, settings);
      all.push(relativeL2(data, new Float32Array((await expected.read(key)).buffer)));
    }
    await sam.dispose();
    errors[mode] = {
      mean: Number(mean(all).toPrecision(3)),
      largest: Number(Math.max(...all).toPrecision(3)),
    };
  }
  await expected.close();
  return { name, cases: cases.length, errors };
}
