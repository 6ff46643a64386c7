// `npm run demo`: segments the repository's own picture with the bundled model, at several sizes and settings, and writes
// overlays to look at.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { decodeImage, type EncodeOptions, type Prompt, Sam, writeOverlayPng } from './index';

const ROOT = path.dirname(__dirname);
const IMAGE = path.join(ROOT, 'examples', 'images', 'demo.png');
const OUTPUT = path.join(ROOT, 'demo-output');

const PROMPTS: Prompt[] = [
  { box: [385, 36, 555, 362] },
  { box: [430, 320, 685, 505] },
  { points: [[200, 200]] },
  { points: [[320, 440]] },
];

const RUNS: { name: string; title: string; options: EncodeOptions }[] = [
  { name: '256', title: 'as trained', options: {} },
  { name: '512', title: 'plain SAM', options: { longestSide: 512, pad: false } },
  {
    name: '512-length-scale',
    title: 'length scale',
    options: { longestSide: 512, pad: false, lengthScale: true },
  },
  {
    name: '768-ba-sam',
    title: 'length scale, distance penalty',
    options: {
      longestSide: 768,
      pad: false,
      lengthScale: true,
      distance: { metric: 'manhattan', slopes: 0.03, start: 16 },
    },
  },
];

async function main(): Promise<void> {
  await mkdir(OUTPUT, { recursive: true });
  const image = await decodeImage(IMAGE);
  const start = performance.now();
  const sam = await Sam.load();
  console.log(`bundled model (trained at ${sam.config.trainedSide_px} px) loaded in ${ms(start)} ms`);

  const rows: Record<string, string | number>[] = [];
  for (const { name, title, options } of RUNS) {
    // The first call makes the plan (weights are packed, positions resized); the second shows what a service would see.
    await sam.encode(IMAGE, options);
    const encodeStart = performance.now();
    const embedding = await sam.encode(IMAGE, options);
    const encode = ms(encodeStart);
    await sam.predict(embedding, PROMPTS);
    const predictStart = performance.now();
    const predictions = await sam.predict(embedding, PROMPTS);
    const predict = ms(predictStart);

    const file = path.join(OUTPUT, `${name}.png`);
    await writeOverlayPng(
      file,
      image,
      predictions.map(({ best }, prompt) => ({ data: best.data, prompt })),
      {
        points: PROMPTS.flatMap(({ points = [] }) => points),
        boxes: PROMPTS.flatMap(({ box }) => (box ? [box] : [])),
      },
    );
    rows.push({
      size: `${embedding.input.width} × ${embedding.input.height}`,
      tokens: `${embedding.gridW} × ${embedding.gridH}`,
      attention: title,
      'encode ms': encode,
      [`${PROMPTS.length} prompts ms`]: predict,
      scores: predictions.map(({ best }) => best.score.toFixed(2)).join(' '),
      file: path.relative(process.cwd(), file),
    });
  }
  await sam.dispose();
  console.table(rows);
}

function ms(start: number): number {
  return Math.round(performance.now() - start);
}

main().catch((error) => {
  console.error(`demo: ${(error as Error).message}`);
  process.exitCode = 1;
});
