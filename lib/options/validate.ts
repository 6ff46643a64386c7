// Option objects checked by zod, with errors in this package's words.
import { closest, distance } from 'fastest-levenshtein';
import { z } from 'zod';
import { invalidArgument, SamError } from '../errors';
import { bare } from './option';

/** Whether a value is a typed array of this name, whichever realm made it: `instanceof` fails under Jest and vm contexts. */
export function isTypedArray(value: unknown, name: string): boolean {
  return ArrayBuffer.isView(value) && Object.prototype.toString.call(value) === `[object ${name}]`;
}

/** A function that gets `A` and whose result nobody looks at. */
export const callback = <A extends unknown[]>() =>
  z.custom<(...args: A) => void>((value) => typeof value === 'function', { error: 'Expected function' });
/** Whichever realm or library made it; an object that only resembles one would fail in the middle of the work. */
export const abortSignal = z.custom<AbortSignal>(
  (value) =>
    typeof value === 'object' &&
    value !== null &&
    typeof (value as AbortSignal).aborted === 'boolean' &&
    'reason' in value &&
    (['throwIfAborted', 'addEventListener', 'removeEventListener'] as const).every(
      (method) => typeof (value as AbortSignal)[method] === 'function',
    ),
  { error: 'Expected AbortSignal' },
);
export const float32Array = z.custom<Float32Array>((value) => isTypedArray(value, 'Float32Array'), {
  error: 'Expected Float32Array',
});
export const tensorData = z.custom<Float32Array | Uint16Array>(
  (value) => isTypedArray(value, 'Float32Array') || isTypedArray(value, 'Uint16Array'),
  { error: 'Expected Float32Array or Uint16Array (bf16 or f16)' },
);

/** A typed array of numbers. */
export type NumericArray =
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | Float32Array
  | Float64Array;

/** Longer than any option's name. */
const MAX_KEY = 64;
/** More numbers than any list of an option may have. */
const MAX_LIST = 2 ** 16;

/**
 * A list of numbers that may also be given as a typed array, which becomes a list of its own: callers go on writing to theirs.
 *
 * @param list the schema of the list
 */
export const numberList = <O>(list: z.ZodType<O>): z.ZodType<O, O | NumericArray> =>
  z.preprocess((value) => (isNumericArray(value) ? Array.from(value) : value), list) as z.ZodType<
    O,
    O | NumericArray
  >;

function isNumericArray(value: unknown): value is NumericArray {
  if (!ArrayBuffer.isView(value)) return false;
  const tag = Object.prototype.toString.call(value);
  return !/DataView|BigInt|BigUint/.test(tag) && (value as NumericArray).length <= MAX_LIST;
}

/** The path of a file or folder, whether there is one or not. */
export const filePath = z
  .string()
  .refine((path) => path !== '' && !path.includes('\0'), { error: 'Expected the path of a file' });

/**
 * A type of lists as one of lists that nobody changes. Not zod's `readonly`, which freezes whatever it gets: of a typed array,
 * which is no list, that is a TypeError instead of a message.
 */
export const unchanged = <O, I>(schema: z.ZodType<O, I>): z.ZodType<Readonly<O>, Readonly<I>> => schema;

/** A list of at least one value, none of them twice. */
export const distinct = <T extends z.ZodType>(item: T) =>
  unchanged(
    z
      .array(item)
      .min(1)
      .refine((list) => new Set(list.map(String)).size === list.length, { error: 'Expected no value twice' }),
  );

/**
 * The value as the schema sees it.
 *
 * @param name what the caller calls this value: begins the path in the message
 * @throws SamError ERR_INVALID_ARGUMENT with the first problem: "Expected … for options.longestSide but received …"
 */
export function parse<T extends z.ZodType>(schema: T, value: unknown, name: string): z.output<T> {
  const fail = (message: string, cause?: unknown) => new SamError('ERR_INVALID_ARGUMENT', message, { cause });
  try {
    const result = schema.safeParse(value);
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    const path = [name, ...issue.path.map(String)].join('.');
    if (issue.code === 'unrecognized_keys') {
      const known = knownKeys(schema, issue.path);
      const shown = issue.keys.slice(0, 5).map((key) => `${key.slice(0, MAX_KEY)}${suggestion(key, known)}`);
      throw fail(`Expected known options for ${path} but received ${shown.join(', ')}`);
    }
    let received: unknown = value;
    for (const key of issue.path) received = (received as Record<PropertyKey, unknown> | undefined)?.[key];
    throw invalidArgument(path, expectation(issue).replace(/^Expected /, ''), received);
  } catch (cause) {
    if (cause instanceof SamError) throw cause;
    // A getter or a proxy of the caller's.
    throw fail(`Expected a readable value for ${name} but reading it failed`, cause);
  }
}

/** What may stand at a path of a value. */
function knownKeys(schema: z.core.$ZodType, at: readonly PropertyKey[]): string[] {
  let found: z.core.$ZodType | undefined = schema;
  for (const key of at) {
    const type: z.core.$ZodType | undefined = found && bare(found);
    if (type instanceof z.ZodObject) found = type.shape[key as string];
    else found = type instanceof z.ZodArray ? type.element : undefined;
  }
  const type = found && bare(found);
  return type instanceof z.ZodObject ? Object.keys(type.shape) : [];
}

/** ` (did you mean lengthScale?)` by commander's measure: at most three edits, and more alike than different. */
function suggestion(word: string, known: readonly string[]): string {
  if (known.length === 0 || word.length > MAX_KEY) return '';
  const nearest = closest(word, known);
  const edits = distance(word, nearest);
  const alike = 1 - edits / Math.max(word.length, nearest.length);
  return edits <= 3 && alike > 0.4 ? ` (did you mean ${nearest}?)` : '';
}

/** The beginning of a message: "Expected …". */
export function expectation(issue: z.core.$ZodIssue): string {
  if (issue.message.startsWith('Expected')) return issue.message;
  switch (issue.code) {
    case 'invalid_type':
      return `Expected ${issue.expected === 'int' ? 'integer' : issue.expected}`;
    case 'too_small':
      return `Expected ${issue.origin === 'array' ? 'at least' : 'number of at least'} ${issue.minimum}${issue.origin === 'array' ? ' items' : ''}`;
    case 'too_big':
      return `Expected ${issue.origin === 'array' ? 'at most' : 'number of at most'} ${issue.maximum}${issue.origin === 'array' ? ' items' : ''}`;
    case 'invalid_value':
      return `Expected one of: ${issue.values.map(String).join(', ')}`;
    default:
      return `Expected a valid value (${issue.message})`;
  }
}
