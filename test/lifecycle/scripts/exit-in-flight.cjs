// Ends the process, or a worker, while an encode runs.
const { Worker, isMainThread } = require('node:worker_threads');
const { Sam } = require(process.env.BA_SAM_LIB);

const how = process.argv[2];
const SIZE = 1536;

async function start() {
  const sam = await Sam.load();
  const image = { pixelValues: new Float32Array(3 * SIZE * SIZE), shape: [1, 3, SIZE, SIZE] };
  let settled = false;
  const runs = [sam.encode(image), sam.encode(image)].map((run) =>
    run.finally(() => (settled = true)).catch(() => {}),
  );
  await new Promise((resolve) => setTimeout(resolve, 60));
  if (settled) throw new Error('the encode was too fast for this test');
  return { sam, runs };
}

if (!isMainThread) {
  start().then(() => require('node:worker_threads').parentPort.postMessage('started'));
} else if (how === 'worker-terminate') {
  const worker = new Worker(__filename);
  worker.once('message', async () => {
    console.log('started');
    await worker.terminate();
    // The compute thread must be free again for others.
    const sam = await Sam.load();
    await sam.encode({ pixelValues: new Float32Array(3 * 256 * 256), shape: [1, 3, 256, 256] });
    await sam.dispose();
  });
} else {
  start().then(({ sam }) => {
    console.log('started');
    if (how === 'exit') process.exit(0);
    if (how === 'uncaught') throw new Error('on purpose');
    void sam.dispose(); // 'return': the process ends by itself when the runs have let go
  });
}
