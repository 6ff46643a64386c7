// How the command line ends: exit 2 with one clear line on bad input, 128 + n on a signal, 1 on a defect.
import { SamError, type SamErrorCode, visible } from '../errors';

/** Bad input that only the command line can have. */
export class UsageError extends Error {}

/** Signals that end a command in good order, with their numbers. */
export const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/** The user or the system asked the process to stop. */
export class Interrupted extends Error {
  /** 128 + the signal's number, as shells count. */
  readonly status: number;

  constructor(signal: keyof typeof SIGNALS) {
    super('interrupted');
    this.status = 128 + SIGNALS[signal];
  }
}

/** What only a defect in this package can cause; every other code is about what was passed. */
const DEFECTS: readonly SamErrorCode[] = ['ERR_INTERNAL', 'ERR_GRAPH', 'ERR_DISPOSED', 'ERR_ABORTED'];

/** Exit status and line for any error; the line has no stack trace. */
export function outcome(error: unknown): { status: number; line: string } {
  if (error instanceof UsageError) return { status: 2, line: error.message };
  if (error instanceof SamError) {
    return { status: DEFECTS.includes(error.code) ? 1 : 2, line: error.message };
  }
  if (error instanceof Interrupted) return { status: error.status, line: error.message };
  return {
    status: 1,
    line: `unexpected ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
  };
}

/** Text of several lines for a terminal, whatever names from files it holds: see {@link visible}. */
export function visibleLines(text: string): string {
  return text.split('\n').map(visible).join('\n');
}
