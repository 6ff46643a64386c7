"""One turn of PyTorch with transformers' SamModel for bench/peers.mts: worker_torch.py JOB, a JSON object as in worker.mjs.

`attention` in it is transformers' implementation: eager or sdpa. In bf16 the whole model is cast to bf16.
"""
import time

STARTED = time.perf_counter()

import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
import resource  # noqa: E402
import sys  # noqa: E402

import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from transformers import SamModel  # noqa: E402

from parent import end_with_parent  # noqa: E402

WARM_UP = 2  # as in worker.mjs
DTYPES = {'f32': torch.float32, 'bf16': torch.bfloat16}


@torch.inference_mode()
def main(job):
    torch.set_num_threads(job['threads'])
    torch.set_num_interop_threads(1)
    size, dtype = job['size'], DTYPES[job['dtype']]
    model = SamModel.from_pretrained(job['folder'], attn_implementation=job['attention'], dtype=dtype).eval()
    load_s = time.perf_counter() - STARTED
    pixels = np.fromfile(os.path.join(job['folder'], 'pixels.f32'), dtype=np.float32)
    pixels = torch.from_numpy(pixels).reshape(1, 3, size, size).to(dtype)

    times = []
    for _ in range(job['runs'] + WARM_UP):
        start = time.perf_counter()
        embedding = model.get_image_embeddings(pixels)
        times.append((time.perf_counter() - start) * 1e3)
    embedding.float().numpy().tofile(job['out'])
    print(json.dumps({
        'load_s': load_s, 'first_ms': times[0], 'runs_ms': times[WARM_UP:],
        'peak_rss_mb': resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        'versions': {'python': platform.python_version(), 'torch': torch.__version__, 'transformers': transformers.__version__},
    }))


if __name__ == '__main__':
    end_with_parent()
    main(json.loads(sys.argv[1]))
