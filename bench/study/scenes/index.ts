// Scenes drawn from seeds: textured shapes with exact masks, the same scene at every size.
export { type Drawing, drawScene } from './draw';
export { makeScene, TARGETS_PER_SCENE } from './scene';
export { SCENE_KINDS, type Scene, type SceneKind } from './types';
