// How the command line ends: exit 2 with one clear line on bad input, 130 on Ctrl-C, 1 on a defect.
import { SamError } from '../errors';

/** Bad input that only the command line can have. */
export class UsageError extends Error {}

/** Exit status and line for any error; the line has no stack trace. */
export function outcome(error: unknown): { status: number; line: string } {
  if (error instanceof UsageError) return { status: 2, line: error.message };
  if (error instanceof SamError) {
    return { status: error.code === 'ERR_INTERNAL' ? 1 : 2, line: error.message };
  }
  if (error instanceof Error && error.name === 'AbortError') return { status: 130, line: 'interrupted' };
  return {
    status: 1,
    line: `unexpected ${error instanceof Error ? `${error.name}: ${error.message}` : String(error)}`,
  };
}

/** One line, whatever a file name or a library's message contains. */
export function singleLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a hostile file name must not steer the terminal
  return text.replace(/[\u0000-\u001f\u007f]+/g, ' ').trim();
}
