// Spreads scenes over processes of one compute thread each: drawing, metrics and the small products of a small model use
// one core at a time, so that a process with all cores leaves a third of them idle.
import os from 'node:os';
import { fileURLToPath } from 'node:url';
import { runProcesses } from '../../lib/runtime/process-pool.ts';
import type { Part, PartProtocol } from './worker.mts';

/**
 * Measures blocks of scenes, one process per core.
 *
 * @param worker the module beside this one that serves `Part`
 * @param onScene called after every scene at every size
 * @returns the parts' results in the order of the seeds, and the seconds of processor time that they took
 */
export async function overCores<P extends Part<never, unknown>>(
  worker: string,
  options: Parameters<P>[0],
  seeds: readonly number[],
  onScene: () => void,
): Promise<{ results: Awaited<ReturnType<P>>[]; cpu_s: number }> {
  const count = Math.min(os.availableParallelism(), seeds.length);
  const block = Math.ceil(seeds.length / count);
  const blocks = Array.from({ length: count }, (_, i) => seeds.slice(i * block, (i + 1) * block));
  const parts = await runProcesses<PartProtocol<Parameters<P>[0], Awaited<ReturnType<P>>>>({
    module: fileURLToPath(new URL(worker, import.meta.url)),
    // What lets Node.js read TypeScript.
    execArgv: process.execArgv,
    env: { ...process.env, BA_SAM_THREADS: '1' },
    count,
    jobs: blocks.filter((own) => own.length > 0).map((own) => ({ options, seeds: own })),
    setup: () => undefined,
    name: (index) => `Process ${index + 1} of ${count} of the study`,
    doing: (job) => `it drew the scenes from ${job.seeds[0]} on`,
    onNote: onScene,
  });
  return {
    results: parts.map(({ result }) => result),
    cpu_s: parts.reduce((sum, { cpu_s }) => sum + cpu_s, 0),
  };
}
