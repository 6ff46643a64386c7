// Two workers and the main thread encode the same image at once; prints "equal" when all agree bit for bit.
const { Worker, isMainThread, parentPort } = require('node:worker_threads');
const { Sam } = require(process.env.BA_SAM_LIB);

async function encode() {
  const sam = await Sam.load();
  const pixelValues = Float32Array.from({ length: 3 * 256 * 256 }, (_, i) => Math.sin(0.01 * i));
  let data;
  for (let i = 0; i < 3; i++) ({ data } = await sam.encode({ pixelValues, shape: [1, 3, 256, 256] }));
  await sam.dispose();
  return data;
}

if (!isMainThread) {
  encode().then((data) => parentPort.postMessage(data));
} else {
  const workers = [0, 1].map(
    () =>
      new Promise((resolve, reject) => {
        new Worker(__filename).once('message', resolve).once('error', reject);
      }),
  );
  Promise.all([encode(), ...workers]).then(([first, ...others]) => {
    const same = (other) => Buffer.compare(Buffer.from(first.buffer), Buffer.from(other.buffer)) === 0;
    console.log(others.every(same) ? 'equal' : 'different');
  });
}
