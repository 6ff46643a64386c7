// What can be refused without the weights is refused before they are loaded. The model of these runs has 2.4 GB of them,
// a hole in the file, and the process must stay far below.
import { closeSync, ftruncateSync, openSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import sharp from 'sharp';
import { beforeAll, expect, it } from 'vitest';
import { openSamCheckpoint } from '../../lib/checkpoint/keys';
import { writeSafetensors } from '../../lib/checkpoint/write-safetensors';
import { Embedding } from '../../lib/embedding';
import { modelTensors, type SamConfig } from '../../lib/model/config';
import { spawnBaSam as baSam, place, ROOT, temporaryFolder } from './run';

const folder = temporaryFolder();
const at = (name: string) => path.join(folder, name);

async function writeHollowModel(file: string): Promise<void> {
  const bundled = await openSamCheckpoint(path.join(ROOT, 'models', 'sam-nano.safetensors'));
  const shape = { width: 2048, heads: 32, mlpDim: 8192, depth: 12 };
  const config: SamConfig = { ...bundled.config, ...shape };
  await bundled.close();
  const header: Record<string, unknown> = {};
  let end = 0;
  for (const { name, shape } of modelTensors(config)) {
    const begin = end;
    end += 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  writeFileSync(file, Buffer.concat([length, json]));
  const descriptor = openSync(file, 'r+');
  ftruncateSync(descriptor, 8 + json.length + end);
  closeSync(descriptor);
}

beforeAll(async () => {
  await writeHollowModel(at('hollow.safetensors'));
  const png = await sharp({ create: { width: 96, height: 64, channels: 3, background: '#375' } })
    .png()
    .toBuffer();
  place(folder, 'image.png', png);
  place(folder, 'cut.png', png.subarray(0, png.length - 30));
  symlinkSync('/dev/zero', at('zero.png'));
  symlinkSync('/dev/zero', at('zero.safetensors'));
  // Prints the peak of resident memory when the process ends.
  place(folder, 'peak.cjs', "process.on('exit', () => console.log(process.resourceUsage().maxRSS));");
  const embedding = (value: number) =>
    new Embedding(new Float32Array(256 * 256).fill(value), [1, 256, 16, 16], {
      image: { width: 96, height: 64 },
      content: { width: 256, height: 171 },
      input: { width: 256, height: 256 },
      settings: { mode: 'paper', lengthScale: false, distance: null },
      dtype: 'f32',
    });
  await embedding(1).save(at('embedding.safetensors'));
  await embedding(Number.NaN).save(at('nan.safetensors'));
  await writeSafetensors(at('low.safetensors'), [
    { name: 'low_res_logits', dtype: 'f32', shape: [1, 1, 48, 64], data: new Float32Array(48 * 64) },
  ]);
});

const segment = ['segment', 'image.png', '-o', 'new.png'];
const point = [...segment, '--point', '9,9'];
const encode = ['encode', 'image.png', '-o', 'new.safetensors'];
const slopes = ['--distance', 'manhattan', '--slopes'];

it.concurrent.each([
  [[...segment, '--point', '97,9'], /inside the image/],
  [['segment', 'cut.png', '--point', '9,9', '-o', 'new.png'], /Cannot decode cut\.png/],
  [['segment', 'zero.png', '--point', '9,9', '-o', 'new.png'], /zero\.png: it is not a regular file/],
  [['encode', 'cut.png', '-o', 'new.safetensors'], /Cannot decode cut\.png/],
  [['encode', 'zero.safetensors', '-o', 'new.safetensors'], /zero\.safetensors: is not a regular file/],
  [['encode', 'low.safetensors', '-o', 'new.safetensors'], /expected a tensor pixel_values/],
  [[...point, ...slopes, '1,2'], /Expected 1 or 32 slopes .* received 2/],
  [[...encode, ...slopes, '1,2'], /Expected 1 or 32 slopes .* received 2/],
  // Beyond f32 every mask would be empty.
  [[...encode, ...slopes, '1e39'], /between 0 and 1e30 for --slopes but received "1e39"/],
  [[...encode, '--mode', 'x'.repeat(5000)], /received "x{50,120}\.\.\.$/m],
  [[...point, '--mode', 'released-code'], /at least 1024 px in mode released-code but received 256/],
  [[...encode, '--mode', 'released-code', '--longest-side', '1008'], /at least 1024 px .* received 1008/],
  [[...encode, '--dtype', 'f16', '--device', 'cpu'], /f16/],
  [[...point, '--mask-input', 'low.safetensors'], /low_res_logits of 64 × 64/],
  [[...point, '--mask-input', 'zero.safetensors'], /not a regular file/],
  [[...point, '--embedding', 'embedding.safetensors', '--no-pad'], /made with --no-pad/],
  [[...point, '--embedding', 'nan.safetensors'], /nan\.safetensors: expected finite values/],
  [[...point, '--embedding', 'zero.safetensors'], /not a regular file/],
  [[...point, '--overlay', 'zero.png'], /zero\.png: it is not a regular file/],
  [[...point, '--overlay', `${'x'.repeat(300)}.png`], /Cannot write x{300}\.png/],
] as [string[], RegExp][])('%j', async (args, message) => {
  const options = { cwd: folder, env: { NODE_OPTIONS: `--require ${at('peak.cjs')}` } };
  const { status, stdout, stderr } = await baSam([...args, '--model', 'hollow.safetensors'], options);
  expect(stderr).toMatch(/^ba-sam: [^\n]+\n$/);
  expect(stderr).toMatch(message);
  expect(stderr.length).toBeLessThan(1000);
  expect(status).toBe(2);
  expect(Number(stdout) / 1024).toBeGreaterThan(20);
  expect(Number(stdout) / 1024).toBeLessThan(1000);
});
