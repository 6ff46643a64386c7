// Looks tensors up by their official names and words what is wrong with them.
import type { SamError } from '../errors';
import type { TensorInfo } from './checkpoint';
import { WEIGHT_DTYPES } from './dtype';
import { checkpointError } from './file';

/** Tensors under official names. */
export interface NamedTensors {
  /** Begins every error. */
  readonly path: string;
  readonly tensors: ReadonlyMap<string, TensorInfo>;
  /** What the file calls a tensor, for errors. */
  sourceName?(name: string): string | undefined;
}

/** What a configuration is inferred from. Every method that finds something wrong throws SamError ERR_CHECKPOINT. */
export class Finder {
  private readonly tensors: ReadonlyMap<string, TensorInfo>;

  constructor(private readonly checkpoint: NamedTensors) {
    this.tensors = checkpoint.tensors;
  }

  error(message: string): SamError {
    return checkpointError(this.checkpoint.path, message);
  }

  has(name: string): boolean {
    return this.tensors.has(name);
  }

  /**
   * One more than the largest N in `prefixN.…`, at least 1. More than four digits are a name, not a number.
   *
   * @param likeFirst names that count when they stand below N = 0: whatever else a file keeps below a number says nothing
   */
  count(prefix: string, limit: number, likeFirst: ReadonlySet<string>): number {
    let count = 1;
    for (const key of this.tensors.keys()) {
      if (!key.startsWith(prefix)) continue;
      const number = /^(0|[1-9]\d{0,3})(?=\.)/.exec(key.slice(prefix.length))?.[0];
      if (number === undefined || Number(number) < count) continue;
      if (likeFirst.has(`${prefix}0${key.slice(prefix.length + number.length)}`)) count = 1 + Number(number);
    }
    if (!(count <= limit)) throw this.error(`expected at most ${limit} of ${prefix}N but found ${count}`);
    return count;
  }

  /** A tensor's shape after comparing it with a pattern: numbers must agree, equal names stand for equal sizes. */
  shape(name: string, pattern: readonly (number | string)[]): [number, number, number, number] {
    const { shape } = this.#get(name);
    const named = new Map<string, number>();
    const agrees =
      shape.length === pattern.length &&
      pattern.every((part, i) => {
        const size = shape[i]!;
        if (!(size >= 1)) return false;
        if (typeof part === 'number') return size === part;
        if (!named.has(part)) named.set(part, size);
        return named.get(part) === size;
      });
    if (!agrees)
      throw this.error(
        `expected ${this.#title(name)} of shape [${pattern.join(', ')}] but found ${text(shape)}`,
      );
    return shape as unknown as [number, number, number, number];
  }

  bound(what: string, value: number, max: number, min = 1): void {
    if (!(value >= min && value <= max)) {
      throw this.error(`expected a ${what} between ${min} and ${max} but found ${value}`);
    }
  }

  /** Presence, shape and dtype of a tensor. A scalar of shape [] is the same thing as [1]. */
  check(name: string, expected: readonly number[]): void {
    const { shape, dtype } = this.#get(name, expected);
    const scalar = shape.length === 0 && expected.length === 1 && expected[0] === 1;
    if (!scalar && (shape.length !== expected.length || !expected.every((size, i) => size === shape[i]))) {
      throw this.error(`expected ${this.#title(name)} of shape ${text(expected)} but found ${text(shape)}`);
    }
    if (!WEIGHT_DTYPES.some((known) => known === dtype)) {
      throw this.error(`expected ${this.#title(name)} of dtype f32, f16 or bf16 but found ${dtype}`);
    }
  }

  #get(name: string, expected?: readonly number[]): TensorInfo {
    const info = this.tensors.get(name);
    if (!info)
      throw this.error(`expected ${name}${expected ? ` of shape ${text(expected)}` : ''} but it is missing`);
    return info;
  }

  /** A name and, where the file calls the tensor otherwise, that name too. */
  #title(name: string): string {
    const source = this.checkpoint.sourceName?.(name);
    return source === undefined || source === name ? name : `${name} (${source} in the file)`;
  }
}

function text(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`;
}
