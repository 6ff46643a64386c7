// Means over a dataset, kept as plain JSON: named channels of one or more numbers per image.
import { z } from 'zod';
import { SamError } from '../../errors';
import { parse } from '../../options/validate';
import { ExactSum } from './exact-sum';

/** What {@link Accumulator.state} gives: sums as lists of terms, one list per number of a channel. */
export interface AccumulatorState {
  readonly count: number;
  readonly sums: Readonly<Record<string, readonly (readonly number[])[]>>;
}

const stateSchema = z.object({
  count: z.int().min(0),
  sums: z.record(z.string(), z.array(z.array(z.number()))),
});

/** Means of images' values. They depend on neither the order of images nor on where a run was cut and resumed. */
export class Accumulator {
  private readonly channels: ReadonlyMap<string, readonly ExactSum[]>;
  private images = 0;

  /** @param lengths numbers per image, by channel */
  constructor(lengths: Readonly<Record<string, number>>) {
    this.channels = new Map(
      Object.entries(lengths).map(([name, length]) => [name, Array.from({ length }, () => new ExactSum())]),
    );
  }

  get count(): number {
    return this.images;
  }

  /** @param values one image's numbers, by channel; finite */
  add(values: Readonly<Record<string, ArrayLike<number>>>): void {
    for (const [name, sums] of this.channels) {
      const added = values[name]!;
      for (let i = 0; i < sums.length; i++) sums[i]!.add(added[i]!);
    }
    this.images++;
  }

  /** A channel's means; NaN before the first image. */
  means(name: string): Float64Array {
    return Float64Array.from(this.channels.get(name)!, (sum) => sum.value() / this.images);
  }

  state(): AccumulatorState {
    const sums = [...this.channels].map(([name, channel]) => [name, channel.map((sum) => [...sum.terms()])]);
    return { count: this.images, sums: Object.fromEntries(sums) };
  }

  /**
   * Adds what another accumulator of the same channels has seen.
   *
   * @param state of {@link state}, perhaps after a trip through JSON
   * @throws SamError `ERR_INVALID_ARGUMENT` when it is not one, or one of other channels; nothing is added then
   */
  merge(state: unknown): void {
    const { count, sums } = parse(stateSchema, state, 'state');
    for (const [name, channel] of this.channels) {
      if (sums[name]?.length !== channel.length) {
        throw new SamError(
          'ERR_INVALID_ARGUMENT',
          `Expected ${channel.length} sums for state.sums.${name} but received ${sums[name]?.length ?? 0}`,
        );
      }
    }
    for (const [name, channel] of this.channels) {
      for (let i = 0; i < channel.length; i++) for (const term of sums[name]![i]!) channel[i]!.add(term);
    }
    this.images += count;
  }
}
