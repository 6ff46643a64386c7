// Spreads scenes over processes of one compute thread each: drawing, metrics and the small products of a small model use
// one core at a time, so that a process with all cores leaves a third of them idle.
import { fork } from 'node:child_process';
import os from 'node:os';
import { fileURLToPath } from 'node:url';

const TASKS = {
  study: async () => (await import('./run.mjs')).measureScenes,
  search: async () => (await import('./search.mjs')).evaluateScenes,
};

/**
 * Runs a task on blocks of seeds, one process per core.
 *
 * @param task a name of TASKS: `async (options, seeds, onScene) => result`
 * @param onScene called after every scene at every size
 * @returns { results: in the order of the seeds' blocks, cpu_s }
 */
export async function overCores(task, options, seeds, onScene) {
  const count = Math.min(os.availableParallelism(), seeds.length);
  const block = Math.ceil(seeds.length / count);
  const blocks = Array.from({ length: count }, (_, i) => seeds.slice(i * block, (i + 1) * block));
  const children = [];
  try {
    const done = await Promise.all(
      blocks.filter((own) => own.length > 0).map((own) => inProcess(task, options, own, onScene, children)),
    );
    return {
      results: done.map(({ result }) => result),
      cpu_s: done.reduce((sum, { cpu_s }) => sum + cpu_s, 0),
    };
  } finally {
    for (const child of children) child.kill();
  }
}

function inProcess(task, options, seeds, onScene, children) {
  return new Promise((resolve, reject) => {
    const child = fork(fileURLToPath(import.meta.url), {
      env: { ...process.env, BA_SAM_THREADS: '1' },
      serialization: 'advanced',
    });
    children.push(child);
    child.on('message', (message) => (message.scene ? onScene() : resolve(message)));
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      reject(new Error(`A process of the study ended early (${signal ?? `exit ${code}`})`)),
    );
    child.send({ task, options, seeds });
  });
}

// Without an IPC channel nobody forked this module: it is being imported by the parent.
if (process.send && process.argv[1] === fileURLToPath(import.meta.url)) {
  process.once('disconnect', () => process.exit(1)); // the parent was killed
  process.once('message', async ({ task, options, seeds }) => {
    const start = process.cpuUsage();
    const run = await TASKS[task]();
    const result = await run(options, seeds, () => process.send({ scene: true }));
    const { user, system } = process.cpuUsage(start);
    process.send({ result, cpu_s: (user + system) / 1e6 }, () => process.exit(0));
  });
}
