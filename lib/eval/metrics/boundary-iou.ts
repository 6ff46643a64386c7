// Boundary IoU (Cheng et al. 2021, "Boundary IoU: improving object-centric image segmentation evaluation").

import type { Comparison } from './comparison';
import { MeanMetric, type ThresholdOptions } from './metric';
import { erodeSquare, type Plane } from './morphology';
import { roundHalfEven } from './s-measure';

export interface BoundaryIouOptions extends ThresholdOptions {
  /** Width of the boundary relative to the image's diagonal. Default 0.02, the paper's. */
  readonly dilationRatio?: number;
}

/**
 * `boundaryIou`: mean over images of the IoU of the two masks' boundaries: the pixels of a mask that are close to its
 * contour, the image's edge included. 0 when both are empty, as for `iou`.
 */
export class BoundaryIouMetric extends MeanMetric {
  private readonly threshold: number;
  private readonly dilationRatio: number;

  constructor(options: BoundaryIouOptions = {}) {
    super(options, 'boundaryIou');
    this.threshold = options.threshold ?? 0.5;
    this.dilationRatio = options.dilationRatio ?? 0.02;
  }

  protected override measure(comparison: Comparison): number {
    const { truth, width, height } = comparison;
    const mask = comparison.maskAbove(this.threshold);
    const predicted = boundary({ data: mask, width, height }, this.dilationRatio);
    const expected = boundary({ data: truth, width, height }, this.dilationRatio);
    let intersection = 0;
    let union = 0;
    for (let i = 0; i < expected.length; i++) {
      intersection += predicted[i]! & expected[i]!;
      union += predicted[i]! | expected[i]!;
    }
    return union === 0 ? 0 : intersection / union;
  }
}

/**
 * The pixels of a mask within d pixels of its contour (chessboard distance), d being `ratio` of the diagonal, at least
 * 1. Source: the paper, section 4, and mask_to_boundary of boundary_utils.py.
 */
export function boundary(mask: Plane, ratio: number): Uint8Array {
  const { data, width, height } = mask;
  const distance = Math.max(1, roundHalfEven(ratio * Math.sqrt(height ** 2 + width ** 2)));
  const interior = erodeSquare(mask, distance);
  for (let i = 0; i < data.length; i++) interior[i] = data[i]! & (interior[i]! ^ 1);
  return interior;
}
