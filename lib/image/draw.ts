// Points and boxes of prompts, drawn into an RGB image. Whatever lies outside the image is clipped.
import { invalidArgument } from '../errors';
import type { RgbImage } from './types';

type Rgb = readonly [number, number, number];
const WHITE: Rgb = [255, 255, 255];
const BLACK: Rgb = [0, 0, 0];

/** Draws a disc of `radius` px around (x, y) with a white ring and a thin dark edge, visible on any ground. */
export function drawPoint(canvas: RgbImage, x: number, y: number, color: Rgb, radius: number): void {
  if (!Number.isFinite(x) || !Number.isFinite(y))
    throw invalidArgument('points', 'finite coordinates', [x, y]);
  const ring = radius * 1.45;
  const edge = ring + Math.max(0.75, radius / 8);
  const x0 = Math.max(0, Math.floor(x - edge));
  const x1 = Math.min(canvas.width - 1, Math.ceil(x + edge));
  const y0 = Math.max(0, Math.floor(y - edge));
  const y1 = Math.min(canvas.height - 1, Math.ceil(y + edge));
  for (let py = y0; py <= y1; py++) {
    for (let px = x0; px <= x1; px++) {
      const distance = Math.hypot(px - x, py - y);
      // Coverage falls from 1 to 0 within the pixel that the circle passes: smooth edges.
      mix(canvas, px, py, BLACK, 0.6 * coverage(edge - distance));
      mix(canvas, px, py, WHITE, coverage(ring - distance));
      mix(canvas, px, py, color, coverage(radius - distance));
    }
  }
}

/** Draws the outline of a box, `thickness` px wide and centred on its edges, with a dark edge of 1 px. */
export function drawBox(
  canvas: RgbImage,
  box: readonly [number, number, number, number],
  color: Rgb,
  thickness: number,
): void {
  if (!box.every(Number.isFinite)) throw invalidArgument('boxes', 'finite coordinates', box);
  const x0 = Math.round(Math.min(box[0], box[2]));
  const x1 = Math.round(Math.max(box[0], box[2]));
  const y0 = Math.round(Math.min(box[1], box[3]));
  const y1 = Math.round(Math.max(box[1], box[3]));
  const a = Math.floor(thickness / 2);
  const b = thickness - a - 1;
  const sides = (grow: number, paint: Rgb, opacity: number): void => {
    const [lo, hi] = [a + grow, b + grow];
    fill(canvas, x0 - lo, y0 - lo, x1 + hi, y0 + hi, paint, opacity);
    fill(canvas, x0 - lo, y1 - lo, x1 + hi, y1 + hi, paint, opacity);
    fill(canvas, x0 - lo, y0 + hi + 1, x0 + hi, y1 - lo - 1, paint, opacity);
    fill(canvas, x1 - lo, y0 + hi + 1, x1 + hi, y1 - lo - 1, paint, opacity);
  };
  sides(1, BLACK, 0.6);
  sides(0, color, 1);
}

// Corners inclusive.
function fill(
  canvas: RgbImage,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  color: Rgb,
  opacity: number,
): void {
  const [left, right] = [Math.max(0, x0), Math.min(canvas.width - 1, x1)];
  for (let y = Math.max(0, y0), end = Math.min(canvas.height - 1, y1); y <= end; y++) {
    for (let x = left; x <= right; x++) mix(canvas, x, y, color, opacity);
  }
}

function coverage(inside: number): number {
  return Math.max(0, Math.min(1, inside + 0.5));
}

function mix({ data, width }: RgbImage, x: number, y: number, color: Rgb, opacity: number): void {
  if (opacity <= 0) return;
  const p = 3 * (y * width + x);
  for (let c = 0; c < 3; c++) {
    data[p + c] = Math.round(data[p + c]! + (color[c]! - data[p + c]!) * opacity);
  }
}
