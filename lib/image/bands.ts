// Long loops over pixels that let the event loop go on.
import { TimeSlice } from '../time-slice';

/**
 * Calls `work(begin, end)` for consecutive pieces of `[0, count)` and lets other events run between them.
 *
 * @param count rows (or pixels) in all
 * @param step rows per call: about 65 thousand pixels, so that one call stays far below a time slice
 */
export async function inBands(
  count: number,
  step: number,
  work: (begin: number, end: number) => void,
): Promise<void> {
  const slice = new TimeSlice();
  for (let begin = 0; begin < count; begin += step) {
    work(begin, Math.min(begin + step, count));
    if (slice.due()) await slice.next();
  }
}

/** Rows of an image that make a piece for {@link inBands}. */
export function rowsPerBand(width: number): number {
  return Math.max(1, Math.floor(65_536 / width));
}
