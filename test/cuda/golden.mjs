// Golden encoders and predictions without a test runner, for machines that have a GPU and little else:
//   node test/cuda/golden.mjs [--device cuda] [--dtypes f32,bf16,f16] [--pixels FILE,WIDTH,HEIGHT]
// The same cases and tolerances as test/cuda/golden.test.ts, from dist/. Every encoder runs three times, and the second
// (captured) and third (replayed) run must give the first one's bits. --pixels: the demo picture as raw RGB, for where
// sharp is not installed. Closes with "N passed, N failed".
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = path.dirname(path.dirname(path.dirname(fileURLToPath(import.meta.url))));
const require = createRequire(import.meta.url);
const dist = (name) => require(path.join(root, 'dist', `${name}.js`));
const { resolveSettings } = dist('model/ba-sam');
const { openCheckpoint } = dist('checkpoint/checkpoint');
const { openSamCheckpoint } = dist('checkpoint/keys');
const { Session } = dist('graph/session');
const { attentionOf, imageEncoder } = dist('model/families');
const { loadWeights } = dist('model/load-weights');

const GOLDEN = path.join(root, 'test/fixtures/golden');
const TOLERANCE = { f32: 5e-4, half: 2e-2 };

const { values: args } = parseArgs({
  options: {
    device: { type: 'string', default: 'cuda' },
    dtypes: { type: 'string', default: 'f32,bf16,f16' },
    pixels: { type: 'string' },
  },
});

const counts = { passed: 0, failed: 0 };
function check(ok, what) {
  if (ok) counts.passed++;
  else {
    counts.failed++;
    console.log(`FAILED ${what}`);
  }
}

/** max |a − b| / max |b|; NaN when a value is. */
function largestRelativeError(actual, expected) {
  let error = actual.length === expected.length ? 0 : Number.NaN;
  let largest = 0;
  for (let i = 0; i < expected.length; i++) {
    const e = Math.abs(actual[i] - expected[i]);
    if (!(e <= error)) error = e;
    largest = Math.max(largest, Math.abs(expected[i]));
    if (Number.isNaN(error)) return error;
  }
  return error / largest;
}

/** ‖a − b‖ / ‖b‖ */
function relativeL2(actual, expected) {
  let error = actual.length === expected.length ? 0 : Number.NaN;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    norm += expected[i] ** 2;
  }
  return Math.sqrt(error / norm);
}

/** The formula of test/reference/make_golden.py: [1, 3, h, w]. */
function goldenImage({ height, width, imageSeed }) {
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

const f32 = async (file, name) => new Float32Array((await file.read(name)).buffer);
const sameBits = (a, b) => Buffer.from(a.buffer).equals(Buffer.from(b.buffer));

async function checkEncoder(name, dtype) {
  const file = await openSamCheckpoint(path.join(GOLDEN, `${name}.safetensors`));
  const { config } = file;
  const session = new Session({ device: args.device });
  await loadWeights(file, session, dtype);
  await file.close();
  const expected = await openCheckpoint(path.join(GOLDEN, `${name}.expected.safetensors`));
  const { cases } = JSON.parse(readFileSync(path.join(GOLDEN, `${name}.json`), 'utf8'));
  for (const c of cases) {
    const chosen = { lengthScale: c.ba?.length_scale, distance: c.ba?.distance };
    const settings = resolveSettings(chosen, attentionOf(config));
    const grid = { h: c.height / config.patch, w: c.width / config.patch };
    const build = () => imageEncoder(config, { batch: 1, grid, settings, dtype });
    const run = async () => (await session.run(c.key, build, [goldenImage(c)]))[0];
    const first = await run();
    const wanted = await f32(expected, c.key);
    const error =
      dtype === 'f32'
        ? largestRelativeError(first, wanted) / TOLERANCE.f32
        : relativeL2(first, wanted) / TOLERANCE.half;
    check(error <= 1, `${name} ${dtype} ${c.key}: ${error.toFixed(3)} times the tolerance`);
    const [second, third] = [await run(), await run()];
    check(
      sameBits(first, second) && sameBits(first, third),
      `${name} ${dtype} ${c.key}: repeated runs differ`,
    );
  }
  await expected.close();
  await session.dispose();
}

function demoPicture() {
  if (!args.pixels) return path.join(root, 'examples/images/demo.png');
  const [file, width, height] = args.pixels.split(',');
  return {
    data: new Uint8Array(readFileSync(file)),
    width: Number(width),
    height: Number(height),
    channels: 3,
  };
}

async function predict(sam, picture, c) {
  const { longestSide, pad, multimask } = c;
  const settings = { lengthScale: c.ba?.length_scale, distance: c.ba?.distance };
  const embedding = await sam.encode(picture, { longestSide, pad, ...settings });
  const prompts = (c.points ?? c.boxes).map((_, i) => ({ points: c.points?.[i], box: c.boxes?.[i] }));
  const first = await sam.predict(embedding, prompts, { multimask });
  if (!c.refine) return first;
  const refined = prompts.map((prompt, i) => ({ ...prompt, mask: first[i].masks[0].lowRes }));
  return sam.predict(embedding, refined, { multimask });
}

async function checkPredictions() {
  const { Sam } = dist('sam');
  const sam = await Sam.load(undefined, { device: args.device });
  const cases = JSON.parse(readFileSync(path.join(GOLDEN, 'demo.json'), 'utf8'));
  const expected = await openCheckpoint(path.join(GOLDEN, 'demo.expected.safetensors'));
  for (const [i, c] of cases.entries()) {
    const masks = (await predict(sam, demoPicture(), c)).flatMap((prediction) => prediction.masks);
    const logits = Float32Array.from(masks.flatMap((mask) => [...mask.lowRes]));
    const scores = masks.map((mask) => mask.score);
    const errors = [
      largestRelativeError(logits, await f32(expected, `${i}.low_res_logits`)),
      largestRelativeError(scores, await f32(expected, `${i}.iou_predictions`)),
    ];
    check(
      errors.every((error) => error <= TOLERANCE.f32),
      `prediction ${i}: errors ${errors}`,
    );
    const areas = masks.map((mask) => mask.data.reduce((sum, pixel) => sum + pixel, 0));
    // Pixels whose logit is within rounding of 0 may fall on either side.
    const close = c.areas.flat().every((area, m) => Math.abs(areas[m] - area) <= 0.002 * area + 3);
    check(close, `prediction ${i}: areas ${areas}, expected ${c.areas.flat()}`);
  }
  await expected.close();
  await sam.dispose();
}

for (const dtype of args.dtypes.split(',')) {
  for (const name of ['d64', 'd80', 'coefficient']) {
    try {
      await checkEncoder(name, dtype);
    } catch (error) {
      check(false, `${name} ${dtype}: ${error.message}`);
    }
  }
}
try {
  await checkPredictions();
} catch (error) {
  check(false, `predictions: ${error.message}`);
}
console.log(`${counts.passed} passed, ${counts.failed} failed`);
process.exitCode = counts.failed > 0 ? 1 : 0;
