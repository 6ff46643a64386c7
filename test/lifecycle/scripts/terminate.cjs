// Terminates workers, one after another, while they go in and out of native code; prints how many.
const { Worker, isMainThread, parentPort, workerData } = require('node:worker_threads');
const { Graph, Session, ops } = require(process.env.BA_SAM_LIB);

async function work() {
  const session = new Session({ device: 'cpu' });
  const values = new Float32Array(16);
  await session.setParameter('p', 'f32', [1, 16], values);
  const build = () => {
    const graph = new Graph();
    graph.output(ops.add(graph.input('x', [1, 16]), graph.parameter('p', [1, 16])));
    return graph;
  };
  let weights = 0;
  // Whatever way in there is: a method that throws, too, and one whose promise is rejected.
  const calls = [
    () => session.run('sum', build, [values], { onProgress: () => {} }),
    () => session.setParameter('p', 'f32', [1, 16], values),
    () => session.readParameter('p', new Float32Array(16)),
    () => session.readParameter('none', values),
    () => session.setWeight(`w${weights++}`, 'f32', 'bf16', [16], new Uint8Array(64)),
    () => session.setWeight('bad', 'f32', 'f32', [3], new Uint8Array(64)),
    () => session.run('sum', build, [], {}),
    async () => new Session({ device: 'cpu' }).dispose(),
  ];
  await calls[0]();
  parentPort.postMessage('running');
  for (;;) await Promise.allSettled(Array.from({ length: 4 }, () => calls.map((call) => call())).flat());
}

async function main(count) {
  for (let i = 0; i < count; i++) {
    const worker = new Worker(__filename, { workerData: i });
    await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject));
    // Not all at the same place, and the same places in every run.
    await new Promise((resolve) => setTimeout(resolve, i % 7));
    await worker.terminate();
  }
  console.log(`${count} terminated`);
}

if (isMainThread) void main(Number(process.argv[2]));
else void work(workerData);
