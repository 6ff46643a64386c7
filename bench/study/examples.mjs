// Pictures for the document: the first reported scene of each kind, whatever it shows.
import { mkdir } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { dist, FACTORS, PROMPTS } from './library.mjs';
import { encodeOptions, promptsAt, rawImage, scenePrompts } from './measure.mjs';

const sharp = createRequire(import.meta.url)('sharp');
const { drawScene, makeScene } = dist('eval/scenes');
const { overlay } = dist('image/masks');

const PANEL = 132;
const GAP = 3;
const COLOR = [255, 60, 200];
const LARGEST = Math.max(...FACTORS);

/** What the panels of a row show, left to right. */
export const PANELS = [
  { title: 'truth', factor: LARGEST },
  { title: 'plain, 1×', factor: 1, setting: 'plain' },
  ...['plain', 'length scale', 'mask', 'both'].map((setting) => ({
    title: `${setting}, ${LARGEST}×`,
    factor: LARGEST,
    setting,
  })),
];

async function panel(image, mask, prompt) {
  const unit = Math.max(1, Math.round(image.width / PANEL));
  const box = prompt.box ? [prompt.box] : [];
  const points = prompt.points ? prompt.points.map(([x, y]) => [x, y, 1]) : [];
  const layers = [{ data: mask, color: COLOR }];
  const drawn = await overlay(image, layers, { alpha: 0.45, contour: unit, boxes: box, points });
  return sharp(drawn.data, { raw: { width: drawn.width, height: drawn.height, channels: 3 } })
    .resize(PANEL, PANEL)
    .png()
    .toBuffer();
}

/**
 * Writes one PNG per kind: a row for each prompt of the scene's first target, a column for each of PANELS.
 *
 * @returns { kind, seed, file } per picture
 */
export async function writeExamples(folder, { firstSeed, kinds, settings }) {
  await mkdir(folder, { recursive: true });
  const { Sam } = dist('index');
  const sam = await Sam.load();
  const written = [];
  try {
    for (let i = 0; i < kinds.length; i++) {
      const scene = makeScene(firstSeed + i);
      const side = (factor) => sam.config.trainedSide_px * factor;
      const drawings = { 1: drawScene(scene, side(1)), [LARGEST]: drawScene(scene, side(LARGEST)) };
      const asked = scenePrompts(drawings[LARGEST].masks);
      const tiles = [];
      for (const [column, { factor, setting }] of PANELS.entries()) {
        const { image, masks } = drawings[factor];
        const prompts = promptsAt(asked, side(factor)).slice(0, PROMPTS.length);
        let shown = prompts.map(() => masks[0].data);
        if (setting !== undefined) {
          const embedding = await sam.encode(rawImage(image), encodeOptions(side(factor), settings[setting]));
          shown = (await sam.predict(embedding, prompts)).map(({ best }) => best.data);
        }
        for (const [row, prompt] of prompts.entries()) {
          tiles.push({
            input: await panel(image, shown[row], prompt),
            left: column * (PANEL + GAP),
            top: row * (PANEL + GAP),
          });
        }
      }
      const file = `${scene.kind}.png`;
      const size = (count) => count * (PANEL + GAP) - GAP;
      await sharp({
        create: {
          width: size(PANELS.length),
          height: size(PROMPTS.length),
          channels: 3,
          background: '#ffffff',
        },
      })
        .composite(tiles)
        .png({ palette: true, colours: 64, compressionLevel: 9 })
        .toFile(path.join(folder, file));
      written.push({ kind: scene.kind, seed: scene.seed, file });
    }
  } finally {
    await sam.dispose();
  }
  return written;
}
