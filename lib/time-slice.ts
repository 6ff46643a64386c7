// Long computations that let the event loop go on.
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * Keeps a long computation from stalling the event loop: call `due()` in the loop and `await next()` when it
 * says so. Hostile headers can take seconds to parse, and a server must answer meanwhile.
 */
export class TimeSlice {
  #start = performance.now();

  /** True after 5 ms of uninterrupted work. */
  due(): boolean {
    return performance.now() - this.#start > 5;
  }

  async next(): Promise<void> {
    await nextTurn();
    this.#start = performance.now();
  }
}
