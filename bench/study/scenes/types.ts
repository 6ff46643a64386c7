// What a drawn scene consists of.
import type { Shape } from './shape';
import type { Texture } from './texture';

/**
 * - `simple`: a few separate shapes on another texture.
 * - `occlusion`: large shapes and rings that cover each other; the object is what can be seen of it.
 * - `camouflage`: ground and objects share the texture; colours differ by little.
 * - `clutter`: dozens of shapes alike, of which one is meant.
 * - `context`: objects of about a token's size in a wide scene of regions and larger shapes.
 */
export const SCENE_KINDS = ['simple', 'occlusion', 'camouflage', 'clutter', 'context'] as const;
export type SceneKind = (typeof SCENE_KINDS)[number];

/** Brightness that changes steadily along a unit vector, by a factor 1 ± strength over the length it is meant for. */
export interface Shading {
  readonly direction: readonly [number, number];
  readonly strength: number;
}

export interface SceneObject {
  readonly shape: Shape;
  readonly texture: Texture;
  /** Over the shape's radius. */
  readonly shading: Shading;
}

/** A square scene in coordinates from 0 to 1; it has no size in pixels. */
export interface Scene {
  readonly seed: number;
  readonly kind: SceneKind;
  readonly ground: Texture;
  /** From back to front. */
  readonly objects: readonly SceneObject[];
  /** Places in `objects` of those that prompts ask for. */
  readonly targets: readonly number[];
  /** Light on the whole scene, over half its side. */
  readonly shading: Shading;
  /** Noise as of a sensor, but tied to the scene; amplitude in grey levels. */
  readonly noise: { readonly amplitude: number; readonly seed: number };
}
