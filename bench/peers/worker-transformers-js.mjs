// One turn of transformers.js for bench/peers.mts, on the ONNX files that worker-onnx.mjs takes.
import path from 'node:path';
import { readPixels, requireFrom, runWorker, versionOf } from './worker.mjs';

await runWorker(async (job) => {
  const { folder, size, threads, modules } = job;
  const require = requireFrom(modules);
  const name = '@huggingface/transformers';
  const { env, SamModel, Tensor } = require(name);
  env.allowRemoteModels = false;
  env.localModelPath = path.dirname(folder);
  const model = await SamModel.from_pretrained(path.basename(folder), {
    local_files_only: true,
    device: 'cpu',
    dtype: 'fp32',
    session_options: {
      graphOptimizationLevel: 'all',
      executionMode: 'sequential',
      intraOpNumThreads: threads,
      interOpNumThreads: 1,
    },
  });
  const pixel_values = new Tensor('float32', readPixels(job), [1, 3, size, size]);
  const encode = async () => (await model.get_image_embeddings({ pixel_values })).image_embeddings.data;
  // It brings an onnxruntime-node of its own where another version is installed beside it.
  const nested = requireFrom(require.resolve(name));
  return {
    encode,
    versions: {
      'transformers.js': versionOf(require, name),
      'onnxruntime-node': versionOf(nested, 'onnxruntime-node'),
    },
  };
});
