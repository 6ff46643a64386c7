// Pictures for the document: the first reported scene of each kind, whatever it shows.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import sharp from 'sharp';
import { overlay } from '../../lib/image/masks.ts';
import type { Prompt, RgbImage } from '../../lib/index.ts';
import { compiledLibrary, FACTORS, PROMPTS } from './library.mts';
import { encodeOptions, promptsAt, rawImage, scenePrompts } from './measure.mts';
import { drawScene, makeScene, type SceneKind } from './scenes/index.ts';
import type { Study } from './types.mts';

const PANEL = 132;
const GAP = 3;
const COLOR = [255, 60, 200] as const;
const LARGEST = Math.max(...FACTORS);

interface Panel {
  readonly title: string;
  readonly factor: number;
  /** Undefined: the truth. */
  readonly setting?: string;
}

/** What the panels of a row show, left to right. */
export const PANELS: readonly Panel[] = [
  { title: 'truth', factor: LARGEST },
  { title: 'plain, 1×', factor: 1, setting: 'plain' },
  ...['plain', 'length scale', 'mask', 'both'].map((setting) => ({
    title: `${setting}, ${LARGEST}×`,
    factor: LARGEST,
    setting,
  })),
];

/** The picture of one kind of scene. */
export interface Picture {
  readonly kind: SceneKind;
  readonly seed: number;
  readonly file: string;
}

async function panel(image: RgbImage, mask: Uint8Array, prompt: Prompt): Promise<Buffer> {
  const unit = Math.max(1, Math.round(image.width / PANEL));
  const box = prompt.box ? [prompt.box] : [];
  const points = prompt.points ?? [];
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
 */
export async function writeExamples(
  folder: string,
  { firstSeed, kinds, settings }: Pick<Study, 'firstSeed' | 'kinds' | 'settings'>,
): Promise<Picture[]> {
  await mkdir(folder, { recursive: true });
  const sam = await compiledLibrary().Sam.load();
  const written: Picture[] = [];
  try {
    for (let i = 0; i < kinds.length; i++) {
      const scene = makeScene(firstSeed + i);
      const side = (factor: number) => sam.config.trainedSide_px * factor;
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
      const size = (count: number) => count * (PANEL + GAP) - GAP;
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
