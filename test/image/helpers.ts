// What the image tests share.
import { expect } from 'vitest';
import { SamError } from '../../lib/errors';

/** Expects a rejection with a SamError of this code whose message contains every text. */
export async function expectSamError(
  promise: Promise<unknown>,
  code: string,
  ...texts: string[]
): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  checkSamError(error, code, texts);
}

/** The same for a function that throws. */
export function expectThrownSamError(body: () => unknown, code: string, ...texts: string[]): void {
  let error: unknown;
  try {
    body();
  } catch (thrown) {
    error = thrown;
  }
  checkSamError(error, code, texts);
}

function checkSamError(error: unknown, code: string, texts: string[]): void {
  expect(error).toBeInstanceOf(SamError);
  expect((error as SamError).code).toBe(code);
  for (const text of texts) expect((error as SamError).message).toContain(text);
}
