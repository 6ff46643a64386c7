// Long loops over pixels that let the event loop breathe.

/** Longest stretch of work without a pause. */
const BUDGET_MS = 5;

/**
 * Calls `work(begin, end)` for consecutive pieces of `[0, count)` and lets other events run between them.
 *
 * @param count rows (or pixels) in all
 * @param step rows per call: about 65 thousand pixels, so that one call stays far below the budget
 */
export async function inBands(
  count: number,
  step: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  let pauseAt = performance.now() + BUDGET_MS;
  for (let begin = 0; begin < count; begin += step) {
    work(begin, Math.min(begin + step, count));
    if (performance.now() < pauseAt) continue;
    await new Promise((resolve) => setImmediate(resolve));
    pauseAt = performance.now() + BUDGET_MS;
  }
}

/** Rows of an image that make a piece for {@link inBands}. */
export function rowsPerBand(width: number): number {
  return Math.max(1, Math.floor(65_536 / width));
}
