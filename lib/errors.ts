// Every error that this package throws on purpose: one class, a stable code, a message that says what was
// expected and what came.

/** Machine-readable reasons. They are stable: a message may change, a code does not. */
export type SamErrorCode =
  /** An argument has the wrong type, range or shape. */
  | 'ERR_INVALID_ARGUMENT'
  /** A checkpoint or safetensors file is damaged, truncated, hostile or of the wrong kind. */
  | 'ERR_CHECKPOINT'
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

  constructor(code: SamErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
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

/** A short, single-line rendering of any value for an error message. */
export function describe(value: unknown): string {
  let text: string;
  if (typeof value === 'string') text = JSON.stringify(value);
  else if (typeof value === 'function') text = value.name || 'a function';
  else if (ArrayBuffer.isView(value)) {
    text = `${value.constructor.name}(${'length' in value ? value.length : value.byteLength})`;
  } else if (typeof value === 'object' && value !== null) {
    try {
      text = JSON.stringify(value) ?? String(value);
    } catch {
      text = Object.prototype.toString.call(value);
    }
  } else text = String(value);
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (ArrayBuffer.isView(value)) return value.constructor.name;
  return typeof value;
}
