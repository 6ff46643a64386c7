// What the lines of a journal say: first what is evaluated, then rows and samples that could not be used.
import { z } from 'zod';
import { describe, SamError } from '../errors';
import { content } from './journal-lines';

const FORMAT = 'ba-sam-evaluation-2';
const FORMER_FORMAT = 'ba-sam-evaluation-1';

/** What may not change between the runs of one evaluation: plain JSON, compared entry by entry. */
export type Fingerprint = Readonly<Record<string, unknown>>;

/** One sample in one cell. */
export interface EvaluationRow {
  /** Index of the sample. */
  readonly sample: number;
  /** Index of the cell. */
  readonly cell: number;
  /** What is reported for this image. */
  readonly values: Readonly<Record<string, number | null>>;
  /** What the image adds to the means: the state of metrics that saw nothing else. */
  readonly state: unknown;
  /** How its truth was taken, see `BinaryMask`. */
  readonly note?: string;
}

/** A sample that could not be used. */
export interface Failure {
  readonly sample: number;
  readonly reason: string;
}

const headerSchema = z.object({ format: z.literal(FORMAT), fingerprint: z.record(z.string(), z.unknown()) });
const index = z.int().min(0);
const entrySchema = z.union([
  z.strictObject({
    sample: index,
    cell: index,
    values: z.record(z.string(), z.number().nullable()),
    state: z.unknown(),
    note: z.string().optional(),
  }),
  z.strictObject({ sample: index, reason: z.string() }),
]);

/** The first line of a journal, without its checksum. */
export function headerOf(fingerprint: Fingerprint): object {
  return { format: FORMAT, fingerprint };
}

/** What a line after the first says; undefined when it is damaged. */
export function readEntry(line: Buffer): EvaluationRow | Failure | undefined {
  return entrySchema.safeParse(content(line)).data;
}

/**
 * Refuses a header that is not one, or of another evaluation; names the first entry that differs.
 *
 * @param header the first line; undefined where there is none, or half of one
 * @throws SamError ERR_INVALID_ARGUMENT
 */
export function compareHeader(path: string, header: Buffer | undefined, fingerprint: Fingerprint): void {
  const { success, data } = headerSchema.safeParse(header && content(header));
  if (!success) {
    throw invalidJournal(
      header?.includes(`"format":"${FORMER_FORMAT}"`)
        ? `${path}: expected rows with checksums but found the journal of an earlier version: begin anew in another folder`
        : `${path}: expected the journal of an evaluation but found something else`,
    );
  }
  const names = new Set([...Object.keys(data.fingerprint), ...Object.keys(fingerprint)]);
  for (const name of names) {
    const then = data.fingerprint[name];
    const now = fingerprint[name];
    if (JSON.stringify(then) !== JSON.stringify(now)) {
      throw invalidJournal(
        `${path}: expected the options that the evaluation was begun with but ${name} was ${describe(then)} and is ` +
          `${describe(now)} now`,
      );
    }
  }
}

/** ERR_INVALID_ARGUMENT for a journal that cannot be gone on with. */
export function invalidJournal(message: string): SamError {
  return new SamError('ERR_INVALID_ARGUMENT', message);
}
