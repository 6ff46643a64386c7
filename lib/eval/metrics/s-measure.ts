// Structure measure (Fan et al. 2017, "Structure-measure: a new way to evaluate foreground maps").

import type { Comparison } from './comparison';
import { EPSILON, MeanMetric, type NormalizeOptions } from './metric';
import { sumRectangle } from './pairwise-sum';

/** Weight of the objects' score beside the regions' (section 3.3). */
const ALPHA = 0.5;

/**
 * `sMeasure`: similarity of objects and of regions. An empty ground truth scores 1 - mean of the prediction, a full one
 * the mean.
 *
 * Where the ground truth's centre lies in the last row or column, a quadrant is empty. It weighs nothing here; the
 * reference gives NaN.
 */
export class SMeasureMetric extends MeanMetric {
  constructor(options: NormalizeOptions = {}) {
    super(options, 'sMeasure');
  }

  protected override measure(comparison: Comparison): number {
    if (comparison.inside === 0) return 1 - comparison.mean;
    if (comparison.inside === comparison.size) return comparison.mean;
    return Math.max(0, ALPHA * objectScore(comparison) + (1 - ALPHA) * regionScore(comparison));
  }
}

function objectScore({ values, truth, size, inside }: Comparison): number {
  const sums = [0, 0];
  for (let i = 0; i < size; i++) sums[truth[i]!]! += truth[i] === 1 ? values[i]! : 1 - values[i]!;
  const meanInside = sums[1]! / inside;
  const meanOutside = sums[0]! / (size - inside);
  const squares = [0, 0];
  for (let i = 0; i < size; i++) {
    const deviation = truth[i] === 1 ? values[i]! - meanInside : 1 - values[i]! - meanOutside;
    squares[truth[i]!]! += deviation * deviation;
  }
  const share = inside / size;
  return (
    share * similarity(meanInside, squares[1]!, inside) +
    (1 - share) * similarity(meanOutside, squares[0]!, size - inside)
  );
}

// Equation 4, with the sample's standard deviation; a single pixel has none.
function similarity(mean: number, squares: number, count: number): number {
  const deviation = count > 1 ? Math.sqrt(squares / (count - 1)) : 0;
  return (2 * mean) / (mean * mean + 1 + deviation + EPSILON);
}

// Structural similarity of the four quadrants around the ground truth's centre, by their areas (section 3.1).
function regionScore(comparison: Comparison): number {
  const { width, height, truth, inside } = comparison;
  let sumX = 0;
  let sumY = 0;
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (truth[i] === 1) {
        sumX += x;
        sumY += y;
      }
    }
  }
  // The row and column of the centre belong to the quadrants above and to the left.
  const x = roundHalfEven(sumX / inside) + 1;
  const y = roundHalfEven(sumY / inside) + 1;
  let score = 0;
  let left = 1;
  for (const [x0, y0, columns, rows] of [
    [0, 0, x, y],
    [x, 0, width - x, y],
    [0, y, x, height - y],
  ] as const) {
    const weight = (columns * rows) / (width * height);
    left -= weight;
    if (weight > 0) score += weight * structuralSimilarity(comparison, x0, y0, columns, rows);
  }
  if (x < width && y < height) score += left * structuralSimilarity(comparison, x, y, width - x, height - y);
  return score;
}

// Equations 5 to 7: of two flat quadrants the score is 1, of one flat quadrant beside another that is not, 0.
function structuralSimilarity(
  comparison: Comparison,
  x0: number,
  y0: number,
  columns: number,
  rows: number,
): number {
  const { values, truth, width } = comparison;
  const start = y0 * width + x0;
  const count = rows * columns;
  let inside = 0;
  for (let y = 0, row = start; y < rows; y++, row += width) {
    for (let i = row; i < row + columns; i++) inside += truth[i]!;
  }
  const meanX = sumRectangle(values, start, rows, columns, width) / count;
  const meanY = inside / count;
  let squares = 0;
  let products = 0;
  for (let y = 0, row = start; y < rows; y++, row += width) {
    for (let i = row; i < row + columns; i++) {
      const deviation = values[i]! - meanX;
      squares += deviation * deviation;
      products += deviation * (truth[i]! - meanY);
    }
  }
  const degrees = count - 1 + EPSILON;
  const varianceX = squares / degrees;
  const varianceY = (inside * (1 - meanY) ** 2 + (count - inside) * meanY ** 2) / degrees;
  const alpha = 4 * meanX * meanY * (products / degrees);
  const beta = (meanX ** 2 + meanY ** 2) * (varianceX + varianceY);
  if (alpha !== 0) return alpha / (beta + EPSILON);
  return beta === 0 ? 1 : 0;
}

/** Rounds to the nearest integer and halves to the even one, as numpy and Python do. */
export function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}
