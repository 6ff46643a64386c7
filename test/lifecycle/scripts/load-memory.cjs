// Writes a checkpoint of about 200 MB, loads it in a fresh process, prints the peak's growth over the weights' size.
const { execFileSync } = require('node:child_process');
const { mkdtempSync, rmSync, readFileSync } = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const lib = require(process.env.BA_SAM_LIB);
const dist = path.dirname(process.env.BA_SAM_LIB);
const { encoderOnly, samConfig } = require(path.join(dist, 'bench/models.js'));
const { modelTensors } = require(path.join(dist, 'model/config.js'));

const config = { ...encoderOnly(samConfig('vit-b')), depth: 7, globalBlocks: [2, 5] };

const peak = () => Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024;

async function load(file, dtype) {
  await (await lib.Sam.load()).dispose(); // sharp, zod, oneDNN: what any process needs
  const before = peak();
  const sam = await lib.Sam.load(file, { dtype });
  console.log(JSON.stringify({ growth: peak() - before, weights: sam.weightBytes / 2 ** 20 }));
  await sam.dispose();
}

async function main() {
  const dir = mkdtempSync(path.join(os.tmpdir(), 'ba-sam-'));
  try {
    const file = path.join(dir, 'model.safetensors');
    const tensors = modelTensors(config).map(({ name, shape }) => ({
      name,
      dtype: 'f32',
      shape,
      data: new Float32Array(shape.reduce((a, b) => a * b, 1)),
    }));
    await lib.writeSafetensors(file, tensors);
    const rows = ['f32', 'bf16'].map((dtype) =>
      JSON.parse(execFileSync(process.execPath, [__filename, file, dtype], { encoding: 'utf8' })),
    );
    console.log(JSON.stringify(rows));
  } finally {
    rmSync(dir, { recursive: true });
  }
}

if (process.argv[2]) load(process.argv[2], process.argv[3]);
else main();
