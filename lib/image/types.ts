// What the image layer takes and gives: encoded images, raw pixels.
import type { ByteStream } from './stream';

/** Pixels that are already decoded, row-major and without gaps: `data[(y · width + x) · channels + c]`. */
export interface RawImage {
  /**
   * `width · height · channels` values. 8-bit values are used as they are, 16-bit values lose their low byte.
   */
  data: Uint8Array | Uint8ClampedArray | Uint16Array;
  width: number;
  height: number;
  /** 1 gray, 2 gray + alpha, 3 RGB (default), 4 RGB + alpha. */
  channels?: 1 | 2 | 3 | 4;
}

/**
 * An image: the path or `file:` URL of an encoded file; its bytes, at once, in a Blob or in a stream; or raw pixels, as
 * `decodeImage` returns them. JPEG, PNG, WebP, TIFF, AVIF and GIF are decoded.
 */
export type ImageInput = string | URL | Uint8Array | ArrayBuffer | Blob | ByteStream | RawImage;

/** Raw pixels as decoding gives them: 8-bit RGB `[height, width, 3]`. */
export interface RgbImage extends RawImage {
  data: Uint8Array;
  channels?: 3;
}
