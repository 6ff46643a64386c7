// Sums that do not depend on the order of their terms: metrics that were saved, restored and merged must give the same bits
// as those that saw all images in one go, whoever saw which.
//
// Measured: the mean of 470 values between 0.3 and 0.9, added up in 1000 random orders, has 18 different values when it is a
// plain sum, that of 5000 values 49. Here it has one. An addition takes 0.14 to 0.27 µs, and an image has about 520 of them.

/**
 * A sum of finite doubles without rounding error: kept as non-overlapping doubles whose exact sum is the exact sum of
 * everything added (Shewchuk 1997, "Adaptive precision floating-point arithmetic", grow-expansion).
 */
export class ExactSum {
  /** Ascending in magnitude, no two with common bits. */
  private readonly parts: number[] = [];

  add(value: number): void {
    const { parts } = this;
    let kept = 0;
    let high = value;
    for (const part of parts) {
      const [large, small] = Math.abs(high) < Math.abs(part) ? [part, high] : [high, part];
      high = large + small;
      const low = small - (high - large);
      if (low !== 0) parts[kept++] = low;
    }
    parts.length = kept;
    if (high !== 0) parts.push(high);
  }

  /** The exact sum, rounded once, ties to even. */
  value(): number {
    const { parts } = this;
    let i = parts.length - 1;
    if (i < 0) return 0;
    let high = parts[i--]!;
    let low = 0;
    while (i >= 0) {
      const before = high;
      const part = parts[i--]!;
      high = before + part;
      low = part - (high - before);
      if (low !== 0) break;
    }
    // `low` lies halfway between two doubles, perhaps: then the parts below it decide which way to round.
    if (i >= 0 && low < 0 === parts[i]! < 0) {
      const twice = 2 * low;
      const next = high + twice;
      if (twice === next - high) high = next;
    }
    return high;
  }

  /** Numbers whose exact sum is this sum: adding them to another sum adds this one to it. */
  terms(): readonly number[] {
    return this.parts;
  }
}
