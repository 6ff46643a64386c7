"""The image encoder of transformers' SamModel with random weights: the peer of `ba-sam bench encoder --device cuda`.

    python3 bench/peers/encoder.py [--models vit-b,vit-h] [--sizes 1024] [--variants eager,sdpa,...] [--seconds N] [--out FILE]

Batch 1, bf16, random normal pixels. eager and sdpa are transformers' two attention implementations; "compiled" is
torch.compile, "graphed" torch.compile with mode reduce-overhead (CUDA graphs). Times as in timing.py.
--device cpu --tiny runs two blocks once, without a time: the proof that this script and transformers agree.
"""
import argparse
import datetime
import json
import os
import sys

import torch

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from attention import commit, first_line, write  # noqa: E402
from timing import Budget, card, gemm_tflops, measure  # noqa: E402

MODELS = {
    'vit-b': dict(hidden_size=768, num_hidden_layers=12, num_attention_heads=12, global_attn_indexes=[2, 5, 8, 11]),
    'vit-l': dict(hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, global_attn_indexes=[5, 11, 17, 23]),
    'vit-h': dict(hidden_size=1280, num_hidden_layers=32, num_attention_heads=16, global_attn_indexes=[7, 15, 23, 31]),
    'tiny': dict(hidden_size=128, num_hidden_layers=2, num_attention_heads=2, global_attn_indexes=[1]),
}
VARIANTS = {'eager': ('eager', None), 'sdpa': ('sdpa', None), 'eager compiled': ('eager', {}), 'sdpa compiled': ('sdpa', {}),
            'eager graphed': ('eager', {'mode': 'reduce-overhead'}), 'sdpa graphed': ('sdpa', {'mode': 'reduce-overhead'})}


def build(name, size, attention, device):
    from transformers import SamVisionConfig, SamVisionModel
    torch.manual_seed(0)
    config = SamVisionConfig(**MODELS[name], image_size=size, mlp_dim=4 * MODELS[name]['hidden_size'],
                             initializer_range=0.02, attn_implementation=attention)
    with torch.device(device):
        model = SamVisionModel(config)
    # transformers starts these at zero, and zeros flatter.
    for parameter_name, parameter in model.named_parameters():
        if 'rel_pos' in parameter_name or 'pos_embed' in parameter_name:
            torch.nn.init.normal_(parameter, 0, 0.1)
    return model.to(torch.bfloat16).eval()


def operations(name, size):
    """As in lib/bench/operations.ts: multiply-adds x 2, windows by their real queries."""
    config = MODELS[name]
    c, depth, grid = config['hidden_size'], config['num_hidden_layers'], size // 16
    n, global_blocks = grid * grid, len(config['global_attn_indexes'])
    linear = n * (depth * 24 * c * c + 2 * 768 * c + 2 * c * 256 + 18 * 256 * 256)
    return linear + 4 * n * c * (global_blocks * n + (depth - global_blocks) * 14 * 14)


@torch.inference_mode()
def time_row(name, size, variant):
    attention, options = VARIANTS[variant]
    torch._dynamo.reset()
    model = build(name, size, attention, 'cuda')
    pixels = torch.randn(1, 3, size, size, device='cuda', dtype=torch.bfloat16)
    forward = model if options is None else torch.compile(model, **options)
    result = measure([lambda: forward(pixel_values=pixels).last_hidden_state], seconds=1.0)
    return {**result, 'tflops': round(operations(name, size) / result['ms'] / 1e9, 1),
            'peak_gib': round(torch.cuda.max_memory_allocated() / 2 ** 30, 2)}


@torch.inference_mode()
def try_tiny():
    outputs = []
    for attention in ('eager', 'sdpa'):
        model = build('tiny', 256, attention, 'cpu')
        torch.manual_seed(1)
        outputs.append(model(pixel_values=torch.randn(1, 3, 256, 256).bfloat16()).last_hidden_state.float())
    difference = (outputs[0] - outputs[1]).abs().max().item()
    same = difference <= 0.1 and outputs[0].std().item() > 0.5
    print(f'{int(same)} passed, {int(not same)} failed')
    return 0 if same else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--models', default='vit-b,vit-h')
    parser.add_argument('--sizes', default='1024')
    parser.add_argument('--variants', default=','.join(VARIANTS))
    parser.add_argument('--seconds', type=float, default=1800, help='after this long rows are skipped')
    parser.add_argument('--device', default='cuda', choices=('cuda', 'cpu'))
    parser.add_argument('--tiny', action='store_true')
    parser.add_argument('--out')
    args = parser.parse_args()
    if args.tiny:
        return try_tiny()
    import transformers
    budget = Budget(args.seconds)
    result = {'benchmark': 'encoder-transformers', 'date': datetime.date.today().isoformat(), 'commit': commit(),
              'torch': torch.__version__, 'transformers': transformers.__version__, 'card': [card()],
              'gemm_tflops': [gemm_tflops()], 'rows': []}
    for variant in args.variants.split(','):
        for name in args.models.split(','):
            for size in map(int, args.sizes.split(',')):
                row = {'model': name, 'size': size, 'dtype': 'bf16', 'variant': variant}
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                if budget.left() < 0:
                    row['skipped'] = 'out of time'
                else:
                    try:
                        row.update(time_row(name, size, variant))
                    except Exception as error:  # says why in its own words
                        row['refused'] = first_line(error)
                result['rows'].append(row)
                print(json.dumps(row), flush=True)
                write(result, args.out)
    result['gemm_tflops'].append(gemm_tflops())
    result['card'].append(card())
    write(result, args.out)
    measured = sum('ms' in row for row in result['rows'])
    print(f'{measured} passed, 0 failed, {len(result["rows"]) - measured} skipped')
    return 0


if __name__ == '__main__':
    sys.exit(main())
