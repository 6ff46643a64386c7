// SVG to PNG with fonts that come with the package: a container has none, and every machine has others.
import path from 'node:path';
import { renderAsync } from '@resvg/resvg-js';
import sharp from 'sharp';
import { SamError } from '../errors';

const FONTS = path.join(__dirname, '..', '..', 'fonts');
const FAMILY = 'DejaVu Sans';
/** What the fonts have: see fonts/LICENSE.txt. */
const COVERED =
  /^[\s\u0020-\u007e\u00a0-\u017f\u0370-\u03ff\u0400-\u045f\u2010-\u2027\u2030-\u203a\u20ac\u2122\u2190-\u2199\u2202-\u2265]*$/u;

/**
 * Draws an SVG document. The same document gives the same pixels on every machine, unless it has characters that the
 * package's fonts do not have (Latin, Greek and Cyrillic they do): those come from the fonts of the machine, if it has any.
 *
 * @param scale px of the picture per px of the document
 * @returns the bytes of a PNG file
 * @throws SamError ERR_INVALID_ARGUMENT for what is no SVG document
 */
export async function renderSvg(svg: string, scale: number): Promise<Buffer> {
  const image = await renderAsync(svg, {
    fitTo: { mode: 'zoom', value: scale },
    font: {
      loadSystemFonts: !COVERED.test(svg),
      fontFiles: ['DejaVuSans.ttf', 'DejaVuSans-Bold.ttf'].map((name) => path.join(FONTS, name)),
      defaultFontFamily: FAMILY,
      sansSerifFamily: FAMILY,
    },
  }).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new SamError('ERR_INVALID_ARGUMENT', `Expected an SVG document but received another: ${reason}`, {
      cause,
    });
  });
  const { width, height, pixels } = image;
  // Not asPng(): it holds up the event loop for 200 ms.
  return sharp(pixels, { raw: { width, height, channels: 4 } })
    .png()
    .toBuffer();
}
