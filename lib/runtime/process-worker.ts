// The child's side of a pool of processes: what it and its parent say to each other, and the loop that answers.
import { SamError, type SamErrorCode } from '../errors';

/** What one kind of worker is told and says: plain data, as structured clones carry it. */
export interface Protocol {
  /** Told once, before any job. */
  readonly setup: unknown;
  readonly job: unknown;
  /** Said while a job is done. */
  readonly note: unknown;
  readonly result: unknown;
}

export type ToWorker<P extends Protocol> =
  | { readonly type: 'setup'; readonly setup: P['setup'] }
  | { readonly type: 'job'; readonly job: P['job'] };

/** `error` is a worker's last word. */
export type FromWorker<P extends Protocol> =
  | { readonly type: 'ready' }
  | { readonly type: 'note'; readonly note: P['note'] }
  | { readonly type: 'done'; readonly result: P['result'] }
  | { readonly type: 'error'; readonly code?: SamErrorCode; readonly message: string };

/**
 * Does one job. A note is on its way when its promise is fulfilled: whoever waits for it piles up none while the parent is
 * busy.
 */
export type DoJob<P extends Protocol> = (
  job: P['job'],
  note: (note: P['note']) => Promise<void>,
) => Promise<P['result']>;

/**
 * Makes this process a worker of `runProcesses`: called once, by the module that the pool starts. What `begin` or a job
 * throws ends the process and, with its message, the pool.
 *
 * @param begin gets the setup and returns what does the jobs
 */
export function serve<P extends Protocol>(begin: (setup: P['setup']) => Promise<DoJob<P>>): void {
  const send = (message: FromWorker<P>): Promise<void> =>
    new Promise((resolve, reject) => {
      process.send!(message, (error: Error | null) => (error ? reject(error) : resolve()));
    });
  const note = (said: P['note']) => send({ type: 'note', note: said });
  let doJob: DoJob<P>;
  const answer = async (message: ToWorker<P>): Promise<void> => {
    if (message.type === 'setup') {
      doJob = await begin(message.setup);
      await send({ type: 'ready' });
    } else await send({ type: 'done', result: await doJob(message.job, note) });
  };
  // The parent is done, or gone.
  process.on('disconnect', () => process.exit());
  process.on('message', (message: ToWorker<P>) => {
    answer(message).catch(async (error: unknown) => {
      const code = error instanceof SamError ? error.code : undefined;
      const text = error instanceof Error ? error.message : String(error);
      await send({ type: 'error', code, message: text }).catch(() => {});
      process.exit(1);
    });
  });
}
