// How an image is laid into the encoder's input: sizes only, the pixels are resized natively (native/image/resize.h).
import { invalidArgument } from '../errors';

/** Arguments of {@link inputGeometry}. */
export interface GeometryOptions {
  /** Size of the image, px. */
  width: number;
  height: number;
  /** Length that the longer side is scaled to, px: 1 … 16384. */
  longestSide: number;
  /** True: pad to a square of `longestSide`, as SAM does. False: pad each side to whole patches only. */
  pad: boolean;
  /** Side of a patch, px (16 in SAM). */
  patch: number;
}

/** Sizes in px; the grid in tokens. */
export interface InputGeometry {
  /** The scaled image: the input's content. */
  scaledWidth: number;
  scaledHeight: number;
  /** The encoder's input, padding included: `gridW · patch` × `gridH · patch`. */
  inputWidth: number;
  inputHeight: number;
  gridW: number;
  gridH: number;
}

/** Largest `longestSide`: 1024 × 1024 tokens with patches of 16 px. */
export const MAX_LONGEST_SIDE = 16384;

/**
 * Computes how an image is scaled and padded.
 *
 * The longer side becomes `longestSide`, both sides are rounded half up (`int(W · s + 0.5)`) and are at least 1 px.
 * A `longestSide` that is not a multiple of `patch` is padded up to one.
 * Source: `ResizeLongestSide.get_preprocess_shape` of segment-anything; preprocess() of the reference.
 *
 * @throws SamError `ERR_INVALID_ARGUMENT`
 */
export function inputGeometry(options: GeometryOptions): InputGeometry {
  const { width, height, longestSide, pad, patch } = options;
  checkInteger('width', width, Number.MAX_SAFE_INTEGER);
  checkInteger('height', height, Number.MAX_SAFE_INTEGER);
  checkInteger('longestSide', longestSide, MAX_LONGEST_SIDE);
  checkInteger('patch', patch, MAX_LONGEST_SIDE);
  if (typeof pad !== 'boolean') throw invalidArgument('pad', 'boolean', pad);

  const scale = longestSide / Math.max(width, height);
  const scaledWidth = Math.max(1, Math.floor(width * scale + 0.5));
  const scaledHeight = Math.max(1, Math.floor(height * scale + 0.5));
  const gridW = Math.ceil((pad ? longestSide : scaledWidth) / patch);
  const gridH = Math.ceil((pad ? longestSide : scaledHeight) / patch);
  return {
    scaledWidth,
    scaledHeight,
    inputWidth: gridW * patch,
    inputHeight: gridH * patch,
    gridW,
    gridH,
  };
}

function checkInteger(name: string, value: number, max: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= max) return;
  const expected = max === Number.MAX_SAFE_INTEGER ? 'positive integer' : `integer between 1 and ${max}`;
  throw invalidArgument(name, expected, value);
}
