// A JSON scanner for safetensors headers: refuses duplicate and dangerous keys, bounds every token, and works in
// small steps so that its caller can give way to the event loop. JSON.parse does none of the three.

/** The official limit. */
export const MAX_HEADER_BYTES = 100_000_000;
export const MAX_TENSORS = 100_000;
/** Of a tensor, a file or a field. */
export const MAX_NAME_BYTES = 4096;
/** Longest string in bytes: one synchronous step stays within a few milliseconds. */
const MAX_STRING_BYTES = 4 * 1024 * 1024;
const MAX_SPACE_BYTES = 4 * 1024 * 1024;
/** Depth and number of values in a field that the format does not know and that is skipped. */
const MAX_SKIP_DEPTH = 16;
const MAX_SKIP_VALUES = 10_000;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** A header that is not the JSON it should be; the reader prefixes the file's path. */
export class HeaderError extends Error {}

export class HeaderScanner {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** True when only spaces are left. */
  atEnd(): boolean {
    this.#space();
    return this.#at === this.#bytes.length;
  }

  /** Consumes `character` if it comes next. */
  take(character: string): boolean {
    this.#space();
    if (this.#bytes[this.#at] !== character.charCodeAt(0)) return false;
    this.#at++;
    return true;
  }

  expect(character: string): void {
    if (!this.take(character)) throw this.error(`expected ${JSON.stringify(character)}`);
  }

  /** `null`, consumed if it comes next. */
  takeNull(): boolean {
    this.#space();
    return this.#word('null');
  }

  string(limit_bytes = MAX_STRING_BYTES): string {
    this.expect('"');
    const start = this.#at;
    const end_limit = start + limit_bytes;
    let escaped = false;
    for (let i = start; ; i++) {
      if (!(i <= end_limit)) throw this.error(`a string is longer than ${limit_bytes} bytes`);
      const byte = this.#bytes[i];
      if (byte === undefined) throw this.error('a string does not end');
      if (byte < 0x20) throw this.error('a string holds a control character');
      if (byte === BACKSLASH) {
        escaped = true;
        i++;
      } else if (byte === QUOTE) {
        this.#at = i + 1;
        break;
      }
    }
    let text: string;
    try {
      text = decoder.decode(this.#bytes.subarray(start, this.#at - 1));
      if (escaped) text = JSON.parse(`"${text}"`);
    } catch {
      throw this.error('a string is not valid UTF-8 or has an invalid escape');
    }
    // Only an escape can smuggle in half of a surrogate pair; such a name could not be written again.
    if (escaped && /\p{Surrogate}/u.test(text)) throw this.error('a string has half of a surrogate pair');
    return text;
  }

  /** A non-negative integer that a JavaScript number holds exactly. */
  integer(): number {
    this.#space();
    const start = this.#at;
    while (isDigit(this.#bytes[this.#at]) && this.#at - start < 17) this.#at++;
    const text = String.fromCharCode(...this.#bytes.subarray(start, this.#at));
    const next = this.#bytes[this.#at];
    const value = Number(text);
    if (
      text === '' ||
      (text.length > 1 && text[0] === '0') ||
      !Number.isSafeInteger(value) ||
      (next !== undefined && (isDigit(next) || '.eE-+'.includes(String.fromCharCode(next))))
    ) {
      throw this.error('expected a non-negative integer below 2^53');
    }
    return value;
  }

  /** `[…]` of at most `limit` integers. */
  integers(limit: number): number[] {
    this.expect('[');
    const values: number[] = [];
    if (this.take(']')) return values;
    do {
      if (!(values.length < limit)) throw this.error(`an array has more than ${limit} numbers`);
      values.push(this.integer());
    } while (this.take(','));
    this.expect(']');
    return values;
  }

  /** Steps over one value of any kind. */
  skip(depth = 0, budget = { values: MAX_SKIP_VALUES }): void {
    if (!(depth <= MAX_SKIP_DEPTH) || !(budget.values-- > 0)) {
      throw this.error('an unknown field is too large');
    }
    this.#space();
    const byte = this.#bytes[this.#at];
    if (byte === QUOTE) this.string();
    else if (this.take('{')) {
      if (this.take('}')) return;
      do {
        this.string();
        this.expect(':');
        this.skip(depth + 1, budget);
      } while (this.take(','));
      this.expect('}');
    } else if (this.take('[')) {
      if (this.take(']')) return;
      do this.skip(depth + 1, budget);
      while (this.take(','));
      this.expect(']');
    } else if (!this.#word('null') && !this.#word('true') && !this.#word('false')) this.#number();
  }

  error(message: string): HeaderError {
    return new HeaderError(`${message} at byte ${this.#at} of the header`);
  }

  #number(): void {
    const text = String.fromCharCode(...this.#bytes.subarray(this.#at, this.#at + 64));
    const match = /^-?(0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?/.exec(text);
    if (!match) throw this.error('expected a value');
    this.#at += match[0].length;
  }

  #word(word: string): boolean {
    for (let i = 0; i < word.length; i++) {
      if (this.#bytes[this.#at + i] !== word.charCodeAt(i)) return false;
    }
    this.#at += word.length;
    return true;
  }

  #space(): void {
    const start = this.#at;
    for (;;) {
      const byte = this.#bytes[this.#at];
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return;
      this.#at++;
      if (!(this.#at - start <= MAX_SPACE_BYTES)) throw this.error('too many spaces');
    }
  }
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39;
}
