// `npm run bench:f8`: what linear layers with operands of e4m3 cost in accuracy. The golden encoders against their float64
// reference, the bundled model's embeddings and masks on drawn scenes. Computed on the CPU, which rounds as a CUDA device does.
// Writes bench/results/<date>-f8-accuracy.json and prints its tables.
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { type GoldenErrors, type Modes, measureGolden } from './f8/golden.mts';
import { measureScenes } from './f8/scenes.mts';
import { table } from './f8/table.mts';
import { provenance, ROOT, SEEDS, writeResult } from './study/library.mts';

/** What is compared, all on the CPU. */
const MODES: Modes = {
  f32: { dtype: 'f32' },
  bf16: { dtype: 'bf16' },
  'f32+f8': { dtype: 'f32', f8: true },
  'bf16+f8': { dtype: 'bf16', f8: true },
};
const GOLDEN = ['d64', 'd80', 'coefficient'];
const SCENES = 100;

const golden: GoldenErrors[] = [];
for (const name of GOLDEN) {
  const folder = path.join(ROOT, 'test', 'fixtures', 'golden');
  const { cases } = JSON.parse(readFileSync(path.join(folder, `${name}.json`), 'utf8'));
  golden.push(await measureGolden(name, folder, cases, MODES));
}
const seeds = Array.from({ length: SCENES }, (_, i) => SEEDS.report + i);
const scenes = await measureScenes(seeds, [1, 2], MODES);
const result = { ...provenance(), scenes_count: SCENES, golden, scenes };
console.log(table(result));
console.log(`wrote ${path.relative(ROOT, writeResult('f8-accuracy', result))}`);
