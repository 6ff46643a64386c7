// Encodes where the system gives few threads. Without an argument: prints how many threads a process has before it computes.
const { readdirSync } = require('node:fs');
const { Sam } = require(process.env.BA_SAM_LIB);
const image = { data: new Uint8Array(64 * 64 * 3), width: 64, height: 64, channels: 3 };

async function main(mode) {
  const sam = await Sam.load();
  if (mode === 'count') return console.log(readdirSync('/proc/self/task').length);
  try {
    const { shape } = await sam.encode(image);
    console.log(`encoded ${shape}`);
  } catch (error) {
    console.log(error.code);
  } finally {
    await sam.dispose();
  }
}

void main(process.argv[2]);
