// Cuts what an iterable gives, now or later, into batches.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { unlessAborted } from './abort';
import { invalidArgument } from './errors';
import { TimeSlice } from './time-slice';

/** Converted items in their order, and what went wrong after them; nothing follows an error. */
export interface Batch<T> {
  readonly items: T[];
  readonly error?: { readonly cause: unknown };
}

/**
 * Batches of at most `size` converted items, none of them empty unless it holds an error. A batch waits for its first item only:
 * of an async iterable, items that are there within a turn of the event loop come together.
 *
 * @param convert may throw
 * @throws the signal's reason, also while it waits for an item
 */
export async function* batches<P, T>(
  source: Iterable<P> | AsyncIterable<P>,
  convert: (item: P, index: number) => T,
  size: number,
  signal?: AbortSignal,
): AsyncGenerator<Batch<T>, void, undefined> {
  const iterator =
    Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]();
  const slice = new TimeSlice();
  let index = 0;
  let ended = false;
  let pending = step(iterator);
  try {
    while (!ended) {
      const items: T[] = [];
      let error: Batch<T>['error'];
      while (items.length < size) {
        const result = await (items.length === 0 ? unlessAborted(pending, signal) : unlessLater(pending));
        if (!result) break;
        ended = true; // unless all goes well below
        if ('cause' in result) error = result;
        else if (!result.done) {
          try {
            items.push(convert(result.value, index++));
            ended = false;
          } catch (cause) {
            error = { cause };
            close(iterator);
          }
        }
        if (ended) break;
        if (slice.due()) await slice.next();
        pending = step(iterator);
      }
      if (items.length > 0 || error) yield { items, error };
    }
  } finally {
    if (!ended) close(iterator);
  }
}

type Step<P> = IteratorResult<P, unknown> | { readonly cause: unknown };

// Never rejects: it may be looked at much later.
function step<P>(iterator: Iterator<P> | AsyncIterator<P>): Step<P> | Promise<Step<P>> {
  try {
    const result = checked(iterator.next());
    return 'then' in result
      ? Promise.resolve(result)
          .then(checked)
          .catch((cause: unknown) => ({ cause }))
      : result;
  } catch (cause) {
    return { cause };
  }
}

function checked<T>(result: T): T & object {
  if (typeof result === 'object' && result !== null) return result;
  throw invalidArgument('the result of next() of prompts', 'object', result);
}

// Not awaited: an asynchronous generator ends only after the item that it is asked for already, which may never come.
function close<P>(iterator: Iterator<P> | AsyncIterator<P>): void {
  const ended = iterator.return?.();
  if (ended && 'then' in ended) Promise.resolve(ended).catch(() => {});
}

async function unlessLater<T>(value: T | Promise<T>): Promise<T | undefined> {
  return value instanceof Promise ? Promise.race([value, nextTurn(undefined)]) : value;
}
