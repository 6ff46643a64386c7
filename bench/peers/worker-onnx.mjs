// One turn of onnxruntime-node for bench/peers.mts.
import path from 'node:path';
import { readPixels, requireFrom, runWorker, versionOf } from './worker.mjs';

await runWorker(async (job) => {
  const { folder, size, threads, modules } = job;
  const require = requireFrom(modules);
  const { InferenceSession, Tensor } = require('onnxruntime-node');
  const session = await InferenceSession.create(path.join(folder, 'onnx/vision_encoder.onnx'), {
    executionProviders: ['cpu'],
    graphOptimizationLevel: 'all',
    executionMode: 'sequential',
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
  });
  const pixels = new Tensor('float32', readPixels(job), [1, 3, size, size]);
  const encode = async () =>
    (await session.run({ pixel_values: pixels }, ['image_embeddings'])).image_embeddings.data;
  return { encode, versions: { 'onnxruntime-node': versionOf(require, 'onnxruntime-node') } };
});
