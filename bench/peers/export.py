"""What bench/peers.mts compares on: the same random weights, images and ONNX files for every peer, made once per size.

    python3 bench/peers/export.py --cache DIR [--model vit-b|tiny] [--sizes 1024,2048]

DIR/<model>/<size>/ holds config.json, model.safetensors (Hugging Face SamModel), onnx/*.onnx (the names that transformers.js
expects), image.u8 [size, size, 3] and pixels.f32 [1, 3, size, size], the same image normalised. Weights are those of
1024 px; at another size the position tables are resized by SAM's rule, as ba-sam does by itself.
"""
import argparse
import importlib.metadata
import json
import math
import os
import shutil
import sys

import numpy as np
import torch
import torch.nn.functional as F
from transformers import SamConfig, SamModel, SamVisionConfig

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from encoder import MODELS  # noqa: E402
from parent import end_with_parent  # noqa: E402

BASE = 1024
PATCH = 16
MEAN = (123.675, 116.28, 103.53)
STD = (58.395, 57.12, 57.375)
# bench/peers/files.mts asks for this number: raise it when anything below changes what is written.
FORMAT = 2
OPSET = 20  # below, GELU is five ops that onnxruntime does not recognise


def sam_config(name, size, attention):
    vision = SamVisionConfig(**MODELS[name], image_size=size, mlp_dim=4 * MODELS[name]['hidden_size'])
    config = SamConfig(vision_config=vision.to_dict(), prompt_encoder_config={'image_size': size})
    config._attn_implementation = attention
    return config


@torch.no_grad()
def fill(model, seed=0):
    """Random values in an order that does not depend on transformers; nothing stays at zero or one, which would flatter."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in sorted(model.state_dict().items()):
        value = torch.randn(parameter.shape, generator=generator)
        if 'rel_pos' in name:
            value *= 0.1
        elif 'pos_embed' in name:
            value *= 0.3
        elif name.endswith('bias'):
            value *= 0.1
        elif 'norm' in name:
            value = 1 + 0.1 * value
        elif 'positional_embedding' not in name:
            value *= 1 / math.sqrt(max(1, value[0].numel()))
        parameter.copy_(value)


def resize_tables(state, grid, base_grid):
    """SAM's rule: the position embedding bicubically, tables of relative positions of global attention linearly."""
    resized = {}
    for name, value in state.items():
        if name.endswith('vision_encoder.pos_embed'):
            value = F.interpolate(value.permute(0, 3, 1, 2), (grid, grid), mode='bicubic', align_corners=False).permute(0, 2, 3, 1)
        elif 'rel_pos' in name and value.shape[0] == 2 * base_grid - 1:
            value = F.interpolate(value.t()[None], 2 * grid - 1, mode='linear', align_corners=False)[0].t()
        resized[name] = value.contiguous()
    return resized


def build(name, size, base, attention):
    """The model at a size; base: folder of the one at BASE, or None for that one itself."""
    model = SamModel(sam_config(name, size, attention)).eval()
    if base is None:
        fill(model)
    else:
        state = SamModel.from_pretrained(base).state_dict()
        model.load_state_dict(resize_tables(state, size // PATCH, BASE // PATCH))
    return model


class VisionEncoder(torch.nn.Module):
    """pixel_values -> image_embeddings and image_positional_embeddings, [1, 256, g, g]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixel_values):
        return self.model.vision_encoder(pixel_values)[0], self.model.get_image_wide_positional_embeddings()


class PromptEncoderMaskDecoder(torch.nn.Module):
    """What transformers.js loads beside the encoder and the benchmark never runs."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_points, input_labels, image_embeddings, image_positional_embeddings):
        sparse, dense = self.model.prompt_encoder(
            input_points=input_points, input_labels=input_labels, input_boxes=None, input_masks=None)
        masks, scores = self.model.mask_decoder(
            image_embeddings=image_embeddings, image_positional_embeddings=image_positional_embeddings,
            sparse_prompt_embeddings=sparse, dense_prompt_embeddings=dense, multimask_output=True)
        return scores, masks


def export_onnx(model, size, folder):
    os.makedirs(folder)
    grid = size // PATCH
    # Traced on fake tensors: a large size needs no memory for its activations here.
    options = dict(dynamo=True, opset_version=OPSET, external_data=False, verbose=False)
    torch.onnx.export(VisionEncoder(model), (torch.zeros(1, 3, size, size),), os.path.join(folder, 'vision_encoder.onnx'),
                      input_names=['pixel_values'], output_names=['image_embeddings', 'image_positional_embeddings'], **options)
    embedding = torch.zeros(1, 256, grid, grid)
    torch.onnx.export(PromptEncoderMaskDecoder(model),
                      (torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, dtype=torch.int64), embedding, embedding),
                      os.path.join(folder, 'prompt_encoder_mask_decoder.onnx'),
                      input_names=['input_points', 'input_labels', 'image_embeddings', 'image_positional_embeddings'],
                      output_names=['iou_scores', 'pred_masks'], **options)


def image(size):
    """[size, size, 3] u8: waves of the picture's own scale, an edge, and noise."""
    random = np.random.default_rng(size)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    channels = [110 + 60 * np.sin(9 * x + 5 * y + c) * np.cos(7 * y - c) + 40 * ((x - 0.4) ** 2 + (y - 0.6) ** 2 < 0.06)
                for c in range(3)]
    noisy = np.stack(channels, axis=-1) + 20 * random.standard_normal((size, size, 3), dtype=np.float32)
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def write_image(size, folder):
    pixels = image(size)
    pixels.tofile(os.path.join(folder, 'image.u8'))
    normalised = (pixels.astype(np.float32) - np.float32(MEAN)) / np.float32(STD)
    np.ascontiguousarray(normalised.transpose(2, 0, 1)).tofile(os.path.join(folder, 'pixels.f32'))


def write_json(value, *path):
    with open(os.path.join(*path), 'w', encoding='utf-8') as file:
        json.dump(value, file, indent=1)
        file.write('\n')


@torch.no_grad()
def make(name, size, root):
    """Complete or not there at all: the folder gets its name last."""
    folder = os.path.join(root, str(size))
    partial = f'{folder}.partial'
    for old in (partial, folder):
        shutil.rmtree(old, ignore_errors=True)
    os.makedirs(partial)
    base = None if size == BASE else os.path.join(root, str(BASE))
    model = build(name, size, base, 'eager')
    model.save_pretrained(partial)
    write_json({'image_processor_type': 'SamImageProcessor', 'do_rescale': True, 'do_normalize': True, 'do_resize': True, 'do_pad': True,
                'image_mean': [m / 255 for m in MEAN], 'image_std': [s / 255 for s in STD], 'size': {'longest_edge': size},
                'pad_size': {'height': size, 'width': size}}, partial, 'preprocessor_config.json')
    export_onnx(model, size, os.path.join(partial, 'onnx'))
    write_image(size, partial)
    versions = {package: importlib.metadata.version(package) for package in ('torch', 'transformers', 'onnx', 'onnxscript')}
    write_json({'format': FORMAT, 'opset': OPSET, 'versions': versions}, partial, 'made.json')
    os.rename(partial, folder)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--cache', required=True)
    parser.add_argument('--model', default='vit-b', choices=('vit-b', 'tiny'))
    parser.add_argument('--sizes', default=str(BASE), help='those to be made anew')
    args = parser.parse_args()
    sizes = sorted({int(size) for size in args.sizes.split(',')}, key=lambda size: (size != BASE, size))
    if any(size <= 0 or size % PATCH for size in sizes):
        parser.error(f'Expected multiples of {PATCH} for --sizes but received {args.sizes}')
    root = os.path.join(args.cache, args.model)
    if sizes[0] != BASE and not os.path.exists(os.path.join(root, str(BASE), 'made.json')):
        sizes.insert(0, BASE)
    for size in sizes:
        print(f"making {args.model} at {size} px …", flush=True)
        make(args.model, size, root)


if __name__ == '__main__':
    end_with_parent()
    main()
