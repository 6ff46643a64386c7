// Sizes of images.

/** Width and height in px. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** `640 × 480 px`, for messages. */
export function sizeText({ width, height }: Size): string {
  return `${width} × ${height} px`;
}
