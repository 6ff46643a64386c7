// What the package exports.
export type { CudaDevice } from './addon';
export { type AttentionResult, attention } from './attention';
export { openSamCheckpoint, type SamCheckpoint } from './checkpoint/keys';
export { type TensorToWrite, writeSafetensors } from './checkpoint/write-safetensors';
export { type BackendStatus, backends, type ResolvedDevice } from './device';
export { Embedding, type EmbeddingInfo, type EmbeddingLoadOptions } from './embedding';
export type { PixelValues } from './encoding';
export { SamError, type SamErrorCode } from './errors';
export { type DType, Graph, type Shape, type Value } from './graph/graph';
export type { ProfileRow } from './graph/profile';
export { type Held, Session, setThreads } from './graph/session';
export { decodeImage } from './image/load';
export {
  type MaskLayer,
  type OverlayOptions,
  overlay,
  unionMasks,
  writeMaskPng,
  writeOverlayPng,
} from './image/masks';
export { decodeRle, encodeRle, encodeRleAsync, maskArea, maskBox, type Rle } from './image/rle';
export type { ImageInput, RawImage, RgbImage } from './image/types';
export type { Mask, Prediction } from './masks';
export { alibiSlopes, type ResolvedSettings } from './model/ba-sam';
export type { SamConfig } from './model/config';
export type { SamDecoderConfig } from './model/decoder/config';
export { type HqDecoderConfig, hqFeatures } from './model/decoder/hq';
export { imageTokens, type MaskDecoderOptions, maskDecoder } from './model/decoder/mask-decoder';
export type { EncoderConfig, ImageEncoderOptions } from './model/encoder';
export { imageEncoder, type SamEncoderConfig } from './model/families';
export type { ViTConfig } from './model/vit/config';
export * as ops from './ops';
export type { AttentionOptions } from './options/attention';
export type { CallOptions } from './options/call';
export type { CheckpointOptions } from './options/checkpoint';
export type { Device } from './options/compute';
export type { EncodeOptions, LoadOptions, PredictOptions } from './options/sam';
export type {
  RunOptions,
  SessionOptions,
  SessionRunOptions,
  SessionWeightOptions,
} from './options/session';
export { type BaSamSettings, type DistancePenalty, ZERO_SHOT } from './options/settings';
export type { Prompt, PromptPoint } from './prompts';
export { BUNDLED_MODEL, Sam } from './sam';
export type { Size } from './size';
