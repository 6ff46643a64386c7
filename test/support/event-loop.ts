// Whether a long call lets the event loop turn, without a clock's figures: those belong to the benchmark, and say on a busy
// machine what its neighbours do.

/**
 * The part of the time of `body` that passed in the longest turn of the event loop: 1 when it never let go. The smallest of
 * three attempts, because a neighbour or the garbage collector may have been what lasted.
 */
export async function longestTurn(body: () => Promise<unknown>): Promise<number> {
  let smallest = 1;
  for (let attempt = 0; attempt < 3; attempt++) smallest = Math.min(smallest, await oneAttempt(body));
  return smallest;
}

async function oneAttempt(body: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  let longest = 0;
  let last = start;
  let running = true;
  const turn = (): void => {
    const now = performance.now();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  await body();
  running = false;
  const end = performance.now();
  return Math.max(longest, end - last) / (end - start);
}
