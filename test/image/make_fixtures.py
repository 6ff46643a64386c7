"""Writes the expected values of the image tests with Pillow, PyTorch and pycocotools: development only.

    python3 test/image/make_fixtures.py     (from the repository root; pillow, torch, numpy, pycocotools)
"""
import json, zlib, numpy as np, torch, PIL
import torch.nn.functional as F
from PIL import Image
from pycocotools import mask as coco

OUT = 'test/image/fixtures'


def lcg(seed, n):
    """Bytes of a 32-bit linear congruential generator; the tests have the same one."""
    state = np.empty(n, np.uint64); s = seed & 0xffffffff
    for i in range(n):
        s = (s * 1664525 + 1013904223) & 0xffffffff; state[i] = s
    return (state >> np.uint64(24)).astype(np.uint8)


def resize_cases():
    sizes = [(1, 1, 1, 1), (1, 1, 7, 5), (7, 5, 1, 1), (1, 90, 3, 17), (90, 1, 17, 3), (64, 48, 64, 48), (64, 48, 64, 20),
             (64, 48, 20, 48), (64, 48, 64, 100), (64, 48, 128, 96), (100, 75, 33, 25), (300, 7, 2, 64), (7, 300, 64, 31),
             (200, 150, 199, 149), (200, 150, 201, 151), (1200, 3, 3, 1200), (37, 53, 1024, 11), (640, 2, 1, 2), (333, 222, 17, 111)]
    rng = np.random.default_rng(5)
    sizes += [tuple(int(v) for v in rng.integers(1, 160, 4)) for _ in range(40)]
    rows = []
    for i, (w, h, ow, oh) in enumerate(sizes):
        a = lcg(i + 1, w * h * 3).reshape(h, w, 3)
        if i % 4 == 3: a = np.where(a > 127, 255, 0).astype(np.uint8)
        e = np.asarray(Image.fromarray(a).resize((ow, oh), Image.BILINEAR))
        rows.append(f'    {{{i + 1}, {int(i % 4 == 3)}, {w}, {h}, {ow}, {oh}, 0x{zlib.crc32(e.tobytes()):08x}u}},')
    return rows


def normalize_cases():
    rows = []
    for i, (w, h, pw, ph) in enumerate([(1, 1, 16, 16), (33, 20, 48, 32), (64, 64, 64, 64), (100, 57, 112, 64)]):
        x = torch.from_numpy(lcg(100 + i, w * h * 3).reshape(h, w, 3)).permute(2, 0, 1).float()
        x = (x - torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)) / torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
        e = F.pad(x, (0, pw - w, 0, ph - h)).contiguous().numpy()
        rows.append(f'    {{{100 + i}, {w}, {h}, {pw}, {ph}, 0x{zlib.crc32(e.tobytes()):08x}u}},')
    return rows


def mask_cases():
    # M, grid h, grid w, content h, content w, out h, out w, seed
    shapes = [(1, 1, 1, 16, 16, 16, 16), (1, 1, 1, 3, 16, 1, 1), (2, 4, 6, 64, 96, 40, 60), (3, 8, 8, 80, 128, 200, 320),
              (1, 8, 8, 128, 77, 300, 180), (2, 5, 3, 80, 48, 80, 48), (1, 3, 9, 41, 140, 517, 1), (1, 6, 6, 96, 96, 9, 700),
              (1, 16, 16, 256, 192, 400, 300)]
    rows, logits = [], []
    for i, (m, gh, gw, h, w, oh, ow) in enumerate(shapes):
        for seed in range(1000 * (i + 1), 1000 * (i + 1) + 500):
            low = (lcg(seed, m * 16 * gh * gw).astype(np.float64) - 128) / 8 + 19 / 512
            low = torch.from_numpy(low.reshape(1, m, 4 * gh, 4 * gw))
            mid = F.interpolate(low, (16 * gh, 16 * gw), mode='bilinear', align_corners=False)[..., :h, :w]
            r = F.interpolate(mid, (oh, ow), mode='bilinear', align_corners=False)[0].numpy()
            if np.abs(r).min() > 2e-5 or seed % 1000 == 499: break
        assert np.abs(r).min() > 2e-5, (i, 'no seed keeps clear of the threshold')
        mask = (r > 0).astype(np.uint8); ys, xs = np.nonzero(mask[0])
        box = (xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1) if len(ys) else (0, 0, 0, 0)
        rows.append(f'    {{{seed}, {m}, {gh}, {gw}, {h}, {w}, {oh}, {ow}, 0x{zlib.crc32(mask.tobytes()):08x}u, '
                    f'{{{len(ys)}, {box[0]}, {box[1]}, {box[2]}, {box[3]}}}, {r.sum():.10e}, {np.abs(r).sum():.10e}}},')
    return rows


def rle_cases():
    rng = np.random.default_rng(11); cases = []
    for i in range(60):
        h, w = (int(v) for v in rng.integers(1, 40, 2))
        if i == 0: h, w = 1, 1
        if i == 1: h, w = 400, 300
        kind = i % 5
        if kind == 0: m = np.zeros((h, w), np.uint8)
        elif kind == 1:
            y, x = np.mgrid[:h, :w]; m = ((y - h / 2) ** 2 / (h / 2) ** 2 + (x - w / 2) ** 2 / (w / 3) ** 2 < 1).astype(np.uint8)
        elif kind == 2: m = np.ones((h, w), np.uint8)
        elif kind == 3: m = (rng.random((h, w)) < .5).astype(np.uint8)
        else: m = (rng.random((h, w)) < .02).astype(np.uint8)
        r = coco.encode(np.asfortranarray(m))
        cases.append({'size': r['size'], 'counts': r['counts'].decode(), 'area': int(coco.area(r)), 'box': [int(v) for v in coco.toBbox(r)],
                      'mask': ''.join(map(str, m.ravel()))})
    return cases


if __name__ == '__main__':
    with open(f'{OUT}/native_cases.inc', 'w') as f:
        f.write(f'// Expected values of test/native/image_test.cpp, written by test/image/make_fixtures.py (Pillow {PIL.__version__}, PyTorch {torch.__version__}).\n')
        f.write('// seed, two-valued, w, h, out w, out h, CRC-32 of the bytes\nconst ResizeCase kResize[] = {\n' + '\n'.join(resize_cases()) + '\n};\n')
        f.write('// seed, M, grid h, grid w, content h, content w, out h, out w, CRC-32 of the masks, area and box of mask 0, sum and\n'
                '// absolute sum of the float64 logits\nconst MaskCase kMasks[] = {\n' + '\n'.join(mask_cases()) + '\n};\n')
    with open(f'{OUT}/normalize_cases.inc', 'w') as f:
        f.write(f'// Expected values of test/native/patch_embed_test.cpp, written by test/image/make_fixtures.py (Pillow {PIL.__version__}, PyTorch {torch.__version__}).\n')
        f.write('// seed, w, h, padded w, padded h, CRC-32 of the f32 values\nconst NormalizeCase kNormalize[] = {\n' + '\n'.join(normalize_cases()) + '\n};\n')
    with open(f'{OUT}/rle.expected.json', 'w') as f:
        f.write('[\n' + ',\n'.join(json.dumps(c) for c in rle_cases()) + '\n]\n')
