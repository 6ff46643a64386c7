"""Writes the expected masks of COCO's segmentations with pycocotools: development only.

    python3 test/reference/make_coco_masks.py     (from the repository root; numpy, pycocotools)
    python3 test/reference/make_coco_masks.py --cases 20000 --seed 7 -o /tmp/masks.json     (a longer check)

Each case is an annotation as it stands in instances_*.json and the mask that COCO.annToRLE makes of it, compressed.
"""
import argparse, json, math, random
from pycocotools import mask as coco


def coordinate(rng, side, kind):
    value = {
        'inside': rng.uniform(0, side),
        'around': rng.uniform(-side / 2, side * 1.5),
        'whole': rng.randint(-2, side + 2),
        'half': rng.randint(0, 2 * side) / 2,
        'fine': rng.randint(-5, 5 * side + 5) / 5 + rng.choice([0, 0.1, -0.1]),
        'edge': rng.choice([0, side, side - 1, side - 0.5, 0.5, -0.1, side + 0.1]),
    }[kind]
    return round(value, rng.choice([0, 1, 2, 2, 15]))


def polygon(rng, width, height):
    kind = rng.choice(['inside', 'inside', 'around', 'whole', 'half', 'fine', 'edge'])
    if rng.random() < 0.5:  # any points: crosses itself
        n = rng.choice([3, 3, 4, 5, 8, 20])
        points = [(coordinate(rng, width, kind), coordinate(rng, height, kind)) for _ in range(n)]
    else:  # a star around a centre
        n, cx, cy = rng.randint(3, 40), rng.uniform(0, width), rng.uniform(0, height)
        reach = rng.uniform(0.3, max(width, height))
        turn = rng.choice([1, -1])
        points = []
        for i in range(n):
            r, a = reach * rng.uniform(0.3, 1), turn * 2 * math.pi * i / n
            points.append((round(cx + r * math.cos(a), 2), round(cy + r * math.sin(a), 2)))
    if rng.random() < 0.2: points.append(points[0])  # closed by hand
    if rng.random() < 0.2: points.insert(1, points[0])  # a point twice
    return [v for p in points for v in p]


def case(rng):
    big = rng.random() < 0.1
    width, height = (rng.randint(1, 400 if big else 60) for _ in range(2))
    form = rng.random()
    if form < 0.8:
        segmentation = [polygon(rng, width, height) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        rle = coco.merge(coco.frPyObjects(segmentation, height, width))
    else:
        left, counts = width * height, []
        while left > 0:
            counts.append(min(left, rng.choice([0, 1, rng.randint(0, height), rng.randint(0, 4 * height)])))
            left -= counts[-1]
        segmentation = {'size': [height, width], 'counts': counts}
        rle = coco.frPyObjects(segmentation, height, width)
        if form < 0.9: segmentation = {'size': [height, width], 'counts': rle['counts'].decode()}
    rle = coco.encode(coco.decode(rle))  # without the runs of 0 that lists may have
    return {'width': width, 'height': height, 'segmentation': segmentation, 'counts': rle['counts'].decode(),
            'area': int(coco.area(rle)), 'box': [int(v) for v in coco.toBbox(rle)]}


parser = argparse.ArgumentParser()
parser.add_argument('--cases', type=int, default=240)
parser.add_argument('--seed', type=int, default=6)
parser.add_argument('-o', default='test/eval/datasets/fixtures/coco-masks.expected.json')
options = parser.parse_args()
rng = random.Random(options.seed)
with open(options.o, 'w') as file:
    rows = [json.dumps(case(rng), separators=(',', ':')) for _ in range(options.cases)]
    file.write('[\n' + ',\n'.join(rows) + '\n]\n')
