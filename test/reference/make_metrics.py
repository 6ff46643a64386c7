"""Writes what the reference implementations say of masks that test/eval/metrics/draw.ts draws, too.

    PYTHONPATH=<PySODMetrics> python make_metrics.py ../eval/fixtures/metrics.expected.json [seeds]

Needs numpy, scipy, scikit-image, opencv-python-headless from 4.13 on, pycocotools, and PySODMetrics (github.com/lartpang/PySODMetrics).
With `seeds`, that many more cases are drawn at random, for a longer comparison than the fixture's.
"""
import contextlib, io, json, sys, warnings
import cv2, numpy as np, scipy, skimage
import py_sod_metrics as sod
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.ndimage import distance_transform_edt
from skimage.morphology import skeletonize

warnings.simplefilter('ignore')
U = 2 ** 32


# ---- drawing: integers only, the same as in draw.ts ----

def noise(x, y, seed):
    """Uniform in [0, 2^32); x and y may be arrays."""
    h = (np.asarray(x, np.uint64) * 374761393 + np.asarray(y, np.uint64) * 668265263 + np.uint64(seed * 2246822519 % U)) % U
    h = (h ^ (h >> np.uint64(13))) * 1274126177 % U
    return (h ^ (h >> np.uint64(16))).astype(np.int64)

def grid(w, h):
    return np.meshgrid(np.arange(w, dtype=np.int64), np.arange(h, dtype=np.int64))

def draw_mask(kind, w, h, seed):
    x, y = grid(w, h)
    small = min(w, h)
    if kind == 'empty': m = x < 0
    elif kind == 'full': m = x >= 0
    elif kind == 'pixel': m = (x == w // 3) & (y == h // 2)
    elif kind == 'left': m = 2 * x < w
    elif kind == 'diagonal': m = (4 * x < w) & (4 * y < h) | (4 * x >= 3 * w) & (4 * y >= 3 * h)
    elif kind == 'blobs':
        m = x < 0
        for k in range(4):
            cx, cy, r = int(noise(k, 1, seed)) % w, int(noise(k, 2, seed)) % h, 2 + int(noise(k, 3, seed)) % (small // 3)
            m = m | ((x - cx) ** 2 + (y - cy) ** 2 < r * r)
    elif kind == 'ring':
        cx, cy, r = w // 2, h // 2, 2 + small // 3
        d = (x - cx) ** 2 + (y - cy) ** 2
        m = (d < r * r) & (4 * d >= r * r) | ((x - cx) ** 2 + (y - cy + 1) ** 2 < 9)
    elif kind == 'thin':
        a, b = 1 + int(noise(0, 4, seed)) % 3, 1 + int(noise(0, 5, seed)) % 4
        m = (abs(a * x - b * y) < 2 * max(a, b)) | (abs(x - w // 2) < 2) | ((y - h // 3) ** 2 * 9 < x) | (x % 23 == 5) & (y > h // 2)
    elif kind == 'noise': m = noise(x, y, seed) % 100 < 20 + seed % 60
    elif kind == 'texture': m = noise(x // 3, y // 2, seed) % 100 < 45
    return m

def blur(m, radius):
    """Sums over squares of side 2 radius + 1, beyond the image 0, over the squares' area: 255 where all are inside."""
    h, w = m.shape
    p = np.pad(m.astype(np.int64), radius)
    s = np.pad(p.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    n = 2 * radius + 1
    return 255 * (s[n:, n:] - s[:-n, n:] - s[n:, :-n] + s[:-n, :-n]) // (n * n)

def shifted(m, dx, dy):
    h, w = m.shape
    x, y = grid(w, h)
    u, v = x - dx, y - dy
    return m[np.clip(v, 0, h - 1), np.clip(u, 0, w - 1)] & (u >= 0) & (v >= 0) & (u < w) & (v < h)

def draw_prediction(kind, truth, seed):
    """Levels and the level that stands for 1."""
    h, w = truth.shape
    x, y = grid(w, h)
    moved = shifted(truth, seed % 5 - 2, seed % 3 - 1)
    if kind == 'perfect': return 255 * truth.astype(np.int64), 255
    if kind == 'inverse': return 255 * (~truth).astype(np.int64), 255
    if kind == 'binary': return 255 * moved.astype(np.int64), 255
    if kind == 'other': return 255 * draw_mask('blobs', w, h, seed + 1).astype(np.int64), 255
    if kind == 'zero': return 0 * x, 255
    if kind == 'flat': return 0 * x + 1 + seed * 37 % 254, 255
    if kind == 'one': return 0 * x + 255, 255
    if kind == 'soft': return blur(moved, 4), 255
    if kind == 'dim': return 31 + blur(moved, 3) // 2, 255
    if kind == 'plateaus': return np.array([0, 77, 77, 200])[(x * 4 // w + y * 3 // h) % 4], 255
    if kind == 'noisy': return np.clip(blur(moved, 2) + noise(x, y, seed) % 80 - 40, 0, 255), 255
    if kind == 'fine': return np.clip(blur(moved, 5) * 200 + noise(x, y, seed) % 9000, 0, 65535), 65536

def hashed(numbers):
    """FNV-1a of the numbers' four bytes."""
    h = 2166136261
    for n in np.asarray(numbers, np.int64).ravel().tolist():
        for shift in (0, 8, 16, 24):
            h = (h ^ (n >> shift & 255)) * 16777619 % U
    return h


# ---- references ----

def normalised(p):
    return (p - p.min()) / (p.max() - p.min()) if p.max() != p.min() else p

def boundary(m, ratio=0.02):
    """The paper's: eroded in a frame of zeros, with a width of ratio times the diagonal."""
    h, w = m.shape
    d = max(1, int(round(ratio * np.sqrt(h ** 2 + w ** 2))))
    e = cv2.erode(np.pad(m.astype(np.uint8), 1), np.ones((3, 3), np.uint8), iterations=d)
    return m & (e[1:-1, 1:-1] == 0)

def handlers():
    binary = dict(with_dynamic=False, with_adaptive=False, with_binary=True)
    return sod.FmeasureV2({'iou': sod.IOUHandler(**binary), 'dice': sod.DICEHandler(**binary)})

approx_to_segments = cv2.approxPolyDP

def approx_to_lines(curve, eps, closed):
    """approxPolyDP of an open curve as it was until OpenCV 4.12: distances are to lines, not to segments."""
    p, left, kept = curve[:, 0].astype(float), [(0, len(curve) - 1)], []
    away = lambda q, a, b: np.abs((q[..., 1] - a[1]) * (b[0] - a[0]) - (q[..., 0] - a[0]) * (b[1] - a[1]))
    while left:
        i, j = left.pop()
        d = away(p[i + 1:j], p[i], p[j])
        if j - i < 2 or d.max() ** 2 <= eps ** 2 * ((p[j] - p[i]) ** 2).sum(): kept.append(i)
        else: left += [(i + 1 + d.argmax(), j), (i, i + 1 + d.argmax())]
    q = p[kept + [len(p) - 1]] if len(p) > 1 else p
    n, i, a, b = len(q), 1, q[0], q[min(1, len(q) - 1)]
    while i < len(q) - 1 and n > 2:
        c = q[i + 1]
        if away(b, a, c) ** 2 <= 0.5 * eps ** 2 * ((c - a) ** 2).sum() and (c != a).all() and (b - a) @ (c - b) >= 0:
            n, i, a, b = n - 1, i + 2, c, q[min(i + 2, len(q) - 1)]
        else: i, a, b = i + 1, b, c
    return [None] * n

class HceToLines(sod.HumanCorrectionEffortMeasure):
    def count_polygon_control_points(self, boundaries, epsilon=1.0):
        return sum(len(approx_to_lines(b, epsilon, False)) for b in boundaries)

class Metrics:
    def __init__(self):
        self.m = dict(mae=sod.MAE(), f=sod.Fmeasure(), w=sod.WeightedFmeasure(), s=sod.Smeasure(), e=sod.Emeasure(), hce=HceToLines(), segments=sod.HumanCorrectionEffortMeasure(), o=handlers())
        self.b, self.isnet = [], []

    def step(self, levels, top, truth, normalize):
        p = levels / top
        if normalize and top == 255: given = (levels.astype(np.uint8), truth.astype(np.uint8) * 255, True)
        else: given = (normalised(p) if normalize else p, truth, False)
        for m in self.m.values(): m.step(*given)
        q = normalised(p) if normalize else p
        a, b = boundary(q > 0.5), boundary(truth)
        u = (a | b).sum()
        self.b.append((a & b).sum() / u if u else 0)
        # IS-Net, basics.py: 255 bins over [0, 255], the last one closed
        tp = np.histogram(255 * q[truth], 255, (0, 255))[0][::-1].cumsum()
        fp = np.histogram(255 * q[~truth], 255, (0, 255))[0][::-1].cumsum()
        self.isnet.append((tp / (tp + fp + 1e-4), tp / (truth.sum() + 1e-4)))

    def result(self):
        r = {k: m.get_results() for k, m in self.m.items()}
        f, e = r['f']['fm'], r['e']['em']
        return dict(mae=r['mae']['mae'], maxF=f['curve'].max(), meanF=f['curve'].mean(), adaptiveF=f['adp'], weightedF=r['w']['wfm'], sMeasure=r['s']['sm'],
                    maxE=e['curve'].max(), meanE=e['curve'].mean(), adaptiveE=e['adp'], hce=r['hce']['hce'], hceToSegments=r['segments']['hce'], iou=r['o']['iou']['binary'], dice=r['o']['dice']['binary'], boundaryIou=np.mean(self.b))

    def dataset_f(self):
        p, r = np.mean(self.isnet, 0)
        f = 1.3 * p * r / (0.3 * p + r + 1e-8)
        return dict(maxF=f.max(), meanF=f.mean())

def algorithms(m):
    """Of a mask: skeleton, borders, corners of what of each border no earlier one passed, nearest pixels, eroded and dilated."""
    u = m.astype(np.uint8)
    contours, _ = cv2.findContours(u, cv2.RETR_TREE, cv2.CHAIN_APPROX_NONE)
    w = m.shape[1]
    borders, corners, seen = [], [], set()
    for c in contours:
        pixels = [int(y) * w + int(x) for x, y in c[:, 0]]
        borders += [len(pixels), *pixels]
        fresh = [p for p in dict.fromkeys(pixels) if p not in seen]
        seen.update(fresh)
        curve = np.array([[[p % w, p // w]] for p in fresh], np.int32)
        if fresh: corners += [len(approx(curve, e, False)) for approx in (approx_to_lines, approx_to_segments) for e in (0.7, 2.0, 5.0)]
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    out = dict(skeleton=hashed(np.flatnonzero(skeletonize(m))), borders=hashed(borders), corners=hashed(corners), boundary=hashed(np.flatnonzero(boundary(m))),
               eroded=hashed(np.flatnonzero(cv2.erode(u, cross, iterations=3))), dilated=hashed(np.flatnonzero(cv2.dilate(u, cross, iterations=3))))
    if m.any():
        i = distance_transform_edt(~m, return_distances=False, return_indices=True)
        out['nearest'] = hashed(i[0] * w + i[1])
    return out


# ---- COCO ----

def draw_coco(images, seed):
    """Images with objects and detections: a detection is an object moved by a few pixels, or a disc of its own."""
    out = []
    for i in range(images):
        w, h = 150 + 7 * (i % 4), 130
        x, y = grid(w, h)
        objects, detections = [], []
        n = lambda k, salt, most: int(noise(k + 100 * i, salt, seed)) % most
        for k in range(0 if i == 3 else 1 + n(0, 10, 5)):
            r = 3 + n(k, 11, 60)
            cx, cy = n(k, 12, w), n(k, 13, h)
            m = (x - cx) ** 2 + (y - cy) ** 2 < r * r
            category = 1 + n(k, 14, 3)
            objects.append(dict(mask=m, category=category, crowd=n(k, 15, 6) == 0, area=int(m.sum()) * 9 // 10 + 1))
            for j in range(n(k, 16, 4)):
                moved = shifted(m, n(k, 17 + j, 7) - 3, n(k, 27 + j, 7) - 3)
                detections.append(dict(mask=moved, category=category if n(k, 37 + j, 5) else 1 + category % 3, score=n(k, 47 + j, 12)))
        for k in range(130 if i == 1 else n(0, 60, 9)):
            r = 2 + n(k, 61, 20)
            m = (x - n(k, 62, w)) ** 2 + (y - n(k, 63, h)) ** 2 < r * r
            detections.append(dict(mask=m, category=2 if i == 1 else 1 + n(k, 64, 4), score=n(k, 65, 10)))
        out.append((objects, detections))
    return out

def coco(images, seed, categories):
    encode = lambda m: {**(e := rle.encode(np.asfortranarray(m.astype(np.uint8)))), 'counts': e['counts'].decode()}
    scenes = draw_coco(images, seed)
    gt, results = COCO(), []
    gt.dataset = dict(images=[], annotations=[], categories=[dict(id=c) for c in (1, 2, 3, 4)], info={})
    for i, (objects, detections) in enumerate(scenes):
        h, w = (objects + detections)[0]['mask'].shape if objects + detections else (130, 150)
        gt.dataset['images'].append(dict(id=i, width=w, height=h))
        for o in objects:
            gt.dataset['annotations'].append(dict(id=len(gt.dataset['annotations']) + 1, image_id=i, category_id=o['category'], iscrowd=int(o['crowd']), area=o['area'], segmentation=encode(o['mask']), bbox=[0, 0, 1, 1]))
        results += [dict(image_id=i, category_id=d['category'], score=d['score'] / 16, segmentation=encode(d['mask'])) for d in detections]
    with contextlib.redirect_stdout(io.StringIO()):
        gt.createIndex()
        e = COCOeval(gt, gt.loadRes(results), 'segm')
        e.params.useCats = int(categories)
        e.evaluate(); e.accumulate(); e.summarize()
    return dict(zip('AP AP50 AP75 APsmall APmedium APlarge AR1 AR10 AR100 ARsmall ARmedium ARlarge'.split(), e.stats.tolist()))


# ---- cases ----

MASKS = ['empty', 'full', 'pixel', 'left', 'diagonal', 'blobs', 'ring', 'thin', 'noise', 'texture']
PREDICTIONS = ['perfect', 'inverse', 'binary', 'other', 'zero', 'flat', 'one', 'soft', 'dim', 'plateaus', 'noisy', 'fine']
SIZES = [(61, 47), (40, 64), (150, 131), (97, 83)]

def cases(extra):
    seed = 0
    for i, mask in enumerate(MASKS):
        for j, prediction in enumerate(PREDICTIONS):
            seed += 1
            w, h = SIZES[(i + j) % len(SIZES)]
            yield dict(mask=mask, prediction=prediction, width=w, height=h, seed=seed, normalize=(i + j) % 3 != 0)
    for w, h, mask in [(257, 190, 'blobs'), (300, 170, 'thin'), (190, 260, 'ring'), (240, 180, 'diagonal')]:
        for prediction in ['soft', 'noisy', 'flat', 'dim', 'other']:
            seed += 1
            yield dict(mask=mask, prediction=prediction, width=w, height=h, seed=seed, normalize=prediction != 'dim')
    for k in range(extra):
        seed += 1
        n = lambda salt, most: int(noise(k, salt, 77)) % most
        yield dict(mask=MASKS[n(1, 10)], prediction=PREDICTIONS[n(2, 12)], width=6 + n(3, 200), height=6 + n(4, 200), seed=seed, normalize=n(5, 2) == 0)

if __name__ == '__main__':
    extra = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    out = dict(versions=dict(numpy=np.__version__, scipy=scipy.__version__, skimage=skimage.__version__, opencv=cv2.__version__), pairs=[], masks=[], coco=[])
    total = Metrics()
    for c in cases(extra):
        truth = draw_mask(c['mask'], c['width'], c['height'], c['seed'])
        levels, top = draw_prediction(c['prediction'], truth, c['seed'])
        one = Metrics()
        one.step(levels, top, truth, c['normalize'])
        c['drawn'] = hashed(levels * 2 + truth)
        c['values'] = {k: float(v) for k, v in one.result().items()}
        if c['normalize']: total.step(levels, top, truth, True); c['inDataset'] = True
        out['pairs'].append(c)
    out['dataset'] = {k: float(v) for k, v in total.result().items()}
    out['datasetAveraged'] = {k: float(v) for k, v in total.dataset_f().items()}
    for seed in range(40 + extra):
        mask = MASKS[seed % len(MASKS)]
        w, h = (23 + 11 * (seed % 9), 17 + 13 * (seed % 7))
        out['masks'].append(dict(mask=mask, width=w, height=h, seed=seed, **algorithms(draw_mask(mask, w, h, seed))))
    for images, seed, categories in [(1, 3, True), (12, 1, True), (12, 1, False), (30, 2, True), (9, 5, True)] + [(6 + k % 9, 50 + k, k % 3 != 0) for k in range(extra // 20)]:
        out['coco'].append(dict(images=images, seed=seed, categories=categories, values=coco(images, seed, categories)))
    rows = lambda key: '[\n' + ',\n'.join(json.dumps(r) for r in out[key]) + '\n]'
    with open(sys.argv[1], 'w') as f:
        f.write('{\n' + ',\n'.join(f'"{k}": ' + (rows(k) if isinstance(v, list) else json.dumps(v)) for k, v in out.items()) + '\n}\n')
