// Seeded random numbers for drawn scenes and the bootstrap: integer arithmetic only, the same on every machine.
import { hash32 } from '../../lib/bench/hash32';

/**
 * A stream of random numbers. Streams of one seed are independent of each other, so that taking more numbers from
 * one leaves the others as they were.
 * Source: Bob Jenkins' small fast counting generator (sfc32).
 */
export class Random {
  private a: number;
  private b: number;
  private c: number;
  private counter = 1;

  constructor(seed: number, stream = 0) {
    this.a = hash32(seed, stream, 1);
    this.b = hash32(seed, stream, 2);
    this.c = hash32(seed, stream, 3);
    for (let i = 0; i < 12; i++) this.bits();
  }

  /** 32 random bits. */
  bits(): number {
    const sum = (this.a + this.b + this.counter) | 0;
    this.counter = (this.counter + 1) | 0;
    this.a = this.b ^ (this.b >>> 9);
    this.b = (this.c + (this.c << 3)) | 0;
    this.c = (((this.c << 21) | (this.c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }

  /** In [low, high). */
  between(low: number, high: number): number {
    return low + ((high - low) * this.bits()) / 2 ** 32;
  }

  /** Integer in [low, high], both included. */
  integer(low: number, high: number): number {
    return low + Math.floor(this.between(0, high - low + 1));
  }

  /** −1 or 1. */
  sign(): number {
    return this.bits() & 1 ? 1 : -1;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.integer(0, list.length - 1)];
  }

  /** A copy in random order. */
  shuffled<T>(list: readonly T[]): T[] {
    const copy = [...list];
    for (let i = copy.length - 1; i > 0; i--) {
      const j = this.integer(0, i);
      [copy[i], copy[j]] = [copy[j], copy[i]];
    }
    return copy;
  }

  /**
   * A unit vector in a random direction. By rejection: Math.sin and Math.cos may differ in their last bit between
   * versions of the engine.
   */
  direction(): readonly [number, number] {
    for (;;) {
      const x = this.between(-1, 1);
      const y = this.between(-1, 1);
      const length = Math.sqrt(x * x + y * y);
      if (length > 0.1 && length < 1) return [x / length, y / length];
    }
  }
}
