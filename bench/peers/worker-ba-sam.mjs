// One turn of ba-sam itself for bench/peers.mts, through its public interface: the image comes as u8 pixels, so that
// preprocessing is in its time, and the weights are those of 1024 px at every size.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { runWorker } from './worker.mjs';

await runWorker(async ({ folder, base, size, dtype }) => {
  const require = createRequire(import.meta.url);
  const { Sam } = require('../../dist/index.js');
  const { version } = require('../../package.json');
  const sam = await Sam.load(path.join(base, 'model.safetensors'), { device: 'cpu', dtype });
  const data = new Uint8Array(readFileSync(path.join(folder, 'image.u8')));
  const image = { data, width: size, height: size, channels: 3 };
  const encode = async () => (await sam.encode(image, { longestSide: size })).data;
  return { encode, versions: { 'ba-sam': version } };
});
