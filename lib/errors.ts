// Every error that this package throws on purpose: one class, a stable code, a message that says what was
// expected and what came.
import { inspect, types } from 'node:util';

/** Machine-readable reasons. They are stable: a message may change, a code does not. */
export type SamErrorCode =
  /** An argument has the wrong type, range or shape. */
  | 'ERR_INVALID_ARGUMENT'
  /** A checkpoint or safetensors file is damaged, truncated, hostile or of the wrong kind. */
  | 'ERR_CHECKPOINT'
  /** A file is no embedding, or one that is damaged or contradicts itself: encode the image again. */
  | 'ERR_EMBEDDING'
  /** An image cannot be read or decoded. */
  | 'ERR_IMAGE'
  /** A dataset's folders, lists or annotations are missing, damaged or contradictory. */
  | 'ERR_DATASET'
  /** A file cannot be opened, read or written. */
  | 'ERR_IO'
  /** A graph is malformed. */
  | 'ERR_GRAPH'
  /** The device asked for cannot be used; the message lists every reason. */
  | 'ERR_DEVICE_UNAVAILABLE'
  /**
   * A GPU failed or fell off its bus. Models on it are lost: dispose of them. Other devices go on; this one may need a new
   * process.
   */
  | 'ERR_DEVICE_LOST'
  /** Memory for a buffer could not be had; smaller work may still succeed. */
  | 'ERR_OUT_OF_MEMORY'
  /** The model computed NaN or infinity: its weights are damaged, or values went beyond the range of the dtype. */
  | 'ERR_NOT_FINITE'
  /** The model was disposed before or during the call. */
  | 'ERR_DISPOSED'
  /** The call was aborted by the native side (an `AbortSignal` rejects with its own reason instead). */
  | 'ERR_ABORTED'
  /** A defect in this package. */
  | 'ERR_INTERNAL';

/** The error class of this package. `code` is one of {@link SamErrorCode}. */
export class SamError extends Error {
  override readonly name = 'SamError';
  readonly code: SamErrorCode;

  /** @param message control characters and the like, which names from files may hold, are escaped */
  constructor(code: SamErrorCode, message: string, options?: { cause?: unknown }) {
    super(visible(message), options);
    this.code = code;
  }
}

/**
 * Words an argument error the way sharp does.
 *
 * @example invalidArgument('heads', 'integer between 1 and 64', 0)
 *   // Expected integer between 1 and 64 for heads but received 0 of type number
 */
export function invalidArgument(name: string, expected: string, received: unknown): SamError {
  return new SamError(
    'ERR_INVALID_ARGUMENT',
    `Expected ${expected} for ${name} but received ${describe(received)} of type ${typeName(received)}`,
  );
}

/** A short, single-line rendering of any value for an error message. Runs no code of the value. */
export function describe(value: unknown): string {
  let text: string;
  if (typeof value === 'string') text = JSON.stringify(value.slice(0, MAX_DESCRIPTION));
  else if (ArrayBuffer.isView(value)) {
    text = `${tagOf(value)}(${'length' in value ? value.length : value.byteLength})`;
  } else if (types.isNativeError(value)) text = 'an error';
  else if (isShortList(value)) text = `[${value.map(describe).join(',')}]`;
  else text = inspect(value, INSPECT);
  return text.length > MAX_DESCRIPTION ? `${text.slice(0, MAX_DESCRIPTION - 3)}...` : text;
}

const MAX_DESCRIPTION = 120;
// Neither getters, proxies nor methods are called; arrays and texts are cut off before they are rendered.
const INSPECT = {
  ...{ breakLength: Number.POSITIVE_INFINITY, compact: true, customInspect: false, depth: 2 },
  ...{ maxArrayLength: 10, maxStringLength: MAX_DESCRIPTION },
} as const;

/** Whether a value is a list of a few numbers, texts and the like, such as a shape or a box. */
function isShortList(value: unknown): value is (string | number | boolean | null)[] {
  if (types.isProxy(value) || !Array.isArray(value) || value.length > 16) return false;
  return value.every((item) => item === null || ['string', 'number', 'boolean'].includes(typeof item));
}

/** The kind of a value for an error message: as `typeof`, but `null`, `array` and the names of typed arrays are told. */
export function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (ArrayBuffer.isView(value)) return tagOf(value);
  if (types.isProxy(value)) return 'proxy';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** `Float32Array`, `DataView`: whoever made the view, and whatever became of its constructor. */
function tagOf(view: ArrayBufferView): string {
  return Object.prototype.toString.call(view).slice('[object '.length, -1);
}

/**
 * Text from a file or an argument for a message or a terminal: control characters, line ends, direction marks and halves of
 * surrogate pairs are written as escapes. They could steer a terminal, forge a line of a log or show another name than
 * the file's.
 */
export function visible(text: string): string {
  return text.replace(INVISIBLE, (character) => {
    const short = { '\n': '\\n', '\r': '\\r', '\t': '\\t' }[character];
    return short ?? `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

const INVISIBLE = /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]|\p{Surrogate}/gu;
