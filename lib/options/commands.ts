// The options of `ba-sam encode`, `segment` and `evaluate`: those of the library, and what only a command line needs.
import { z } from 'zod';
import { checkpointShape } from './checkpoint';
import { computeShape } from './compute';
import { datasetName, datasetShape, modelShape, perDatasetShape, runShape, splitShape } from './evaluate';
import { inputShape, padShape } from './input';
import { spelled, spelledEach } from './option';
import { promptBox, promptPoint } from './prompt';
import { predictShape } from './sam';
import { settingsShape } from './settings';
import { filePath } from './validate';

/** The flags of `info`; its argument is the model. */
export const infoCommandShape = {
  ...checkpointShape,
  json: spelled(z.boolean(), '--json', 'machine-readable').default(false),
};

/** What encode and segment share. */
export const encodingShape = {
  model: modelShape.model,
  ...checkpointShape,
  ...inputShape,
  ...padShape,
  ...computeShape,
  ...settingsShape,
};

export const encodeCommandShape = {
  ...encodingShape,
  output: spelled(filePath, '-o, --output <file>', 'embedding, .safetensors'),
};

/** What there is to segment. */
export const promptFlagsShape = {
  point: spelledEach(
    z.array(promptPoint),
    '--point <x,y[,label]>',
    'pixel; label 1 (default) inside, 0 outside; repeatable',
  ).optional(),
  box: spelledEach(
    z.array(promptBox),
    '--box <x0,y0,x1,y1>',
    'pixels; repeatable, one prompt each',
  ).optional(),
  maskInput: spelled(
    filePath,
    '--mask-input <file>',
    'low-resolution logits of an earlier call (--low-res)',
  ).optional(),
};

/** The files that segment writes about its predictions. */
export const resultFilesShape = {
  output: spelled(
    filePath,
    '-o, --output <file>',
    'mask, .png or .webp: the best of each prompt, united',
  ).optional(),
  overlay: spelled(filePath, '--overlay <file>', 'picture with masks and prompts drawn in').optional(),
  json: spelled(filePath, '--json <file>', 'scores, areas, boxes and run-length encoded masks').optional(),
  lowRes: spelled(filePath, '--low-res <file>', 'low-resolution logits, .safetensors').optional(),
};

export const segmentCommandShape = {
  ...encodingShape,
  ...promptFlagsShape,
  multimask: predictShape.multimask,
  ...resultFilesShape,
  embedding: spelled(
    filePath,
    '--embedding <file>',
    'embedding, .safetensors: used when it exists, otherwise written',
  ).optional(),
};

/** Where the images of `evaluate` come from: one dataset, or a suite. */
const evaluateSourceShape = {
  dataset: spelled(datasetName, '--dataset <name>', '').optional(),
  root: datasetShape.root,
  ...splitShape,
  suite: spelled(
    z.enum(['general']),
    '--suite <name>',
    'several datasets, named in --config; instead of --dataset',
  ).optional(),
  config: spelled(filePath, '--config <file>', 'the datasets of --suite, .json').optional(),
};

export const evaluateCommandShape = {
  ...evaluateSourceShape,
  ...modelShape,
  ...perDatasetShape,
  ...runShape,
};
