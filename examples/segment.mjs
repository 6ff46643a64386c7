// Segments a picture from a script: node examples/segment.mjs [IMAGE [X Y [CHECKPOINT]]]
// Encodes once at twice the trained size, predicts for a point, writes mask.png and overlay.png.
import { fileURLToPath } from 'node:url';
import { decodeImage, Sam, writeMaskPng, writeOverlayPng } from 'ba-sam';

const demo = fileURLToPath(new URL('images/demo.png', import.meta.url));
const [file = demo, x = '470', y = '150', checkpoint] = process.argv.slice(2);

const sam = await Sam.load(checkpoint);
try {
  const image = await decodeImage(file);
  const longestSide = 2 * sam.config.trainedSide_px;
  const embedding = await sam.encode(image, { longestSide, pad: false, lengthScale: true });
  const { best } = await sam.predict(embedding, { points: [[Number(x), Number(y)]] });
  console.log(`score ${best.score.toFixed(3)}, ${best.data.reduce((sum, value) => sum + value, 0)} pixels`);
  await writeMaskPng('mask.png', best.data, best.width, best.height);
  await writeOverlayPng('overlay.png', image, [{ data: best.data }], { points: [[Number(x), Number(y), 1]] });
} finally {
  await sam.dispose();
}
