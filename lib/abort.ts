// Waiting for work that others share, or that ends by itself: aborting ends the waiting.
import { addAbortListener } from 'node:events';

/** Settles as `work` does, or rejects with the signal's reason as soon as it is aborted; `work` goes on. */
export async function unlessAborted<T>(work: T | Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (!signal) return work;
  let listener: Disposable | undefined;
  const aborted = new Promise<never>((_, reject) => {
    listener = addAbortListener(signal, () => reject(signal.reason));
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    listener?.[Symbol.dispose]();
  }
}
