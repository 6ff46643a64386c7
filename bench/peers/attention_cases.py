"""Attention problems: inputs, a float64 reference, and the same formula in plain PyTorch of any dtype.

    logit(i, j) = scale * (q_i . k_j) + q_i . rel_h[yi - yj + Gh - 1] + q_i . rel_w[xi - xj + Gw - 1] - slope_h * dist(i, j)

Windows are cut and padded as SAM does: outside tokens are real keys with k = pad_k and v = pad_v.
"""
import math
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Case:
    heads: int
    head_dim: int
    grid: tuple
    window: int = 0
    rel: bool = True
    metric: str = None
    start: float = 0.0
    batch: int = 1
    dtype: str = 'bf16'

    @property
    def tokens(self):
        return self.grid[0] * self.grid[1]

    @property
    def bias(self):
        return '+'.join([name for name in ('rel' if self.rel else None, self.metric) if name]) or 'none'

    @property
    def name(self):
        window = f' window {self.window}' if self.window else ''
        start = f' start {self.start:g}' if self.start else ''
        batch = f' batch {self.batch}' if self.batch > 1 else ''
        return (f'{self.grid[0]}x{self.grid[1]} H{self.heads} D{self.head_dim} {self.dtype}{window} '
                f'{self.bias}{start}{batch}')

    @property
    def flops(self):
        """Both products over real queries; no softmax and no bias."""
        keys = self.window ** 2 if self.window else self.tokens
        return 4.0 * self.batch * self.tokens * keys * self.head_dim * self.heads

    @property
    def bias_bytes(self):
        """Of a materialised [B, H, N, N] bias (or one per window) in 16 bits."""
        if self.window:
            windows = math.ceil(self.grid[0] / self.window) * math.ceil(self.grid[1] / self.window)
            return 2 * self.batch * windows * self.heads * self.window ** 4
        return 2 * self.batch * self.heads * self.tokens ** 2


TORCH_DTYPES = {'bf16': torch.bfloat16, 'f16': torch.float16, 'f32': torch.float32}


class Inputs:
    """Random normal inputs, zeros would flatter. q, k, v are views of one fused [B, N, 3, H, D] buffer, as in SAM."""

    def __init__(self, case, device, seed=0):
        self.case = case
        generator = torch.Generator(device).manual_seed(seed)
        dtype = TORCH_DTYPES[case.dtype]

        def normal(*shape, scale=1.0, dtype=torch.float32):
            # In place: at 65536 tokens every temporary counts.
            return torch.empty(shape, dtype=dtype, device=device).normal_(0, scale, generator=generator)

        h, d = case.heads, case.head_dim
        self.qkv = normal(case.batch, case.tokens, 3, h, d, dtype=dtype)
        self.q, self.k, self.v = self.qkv.unbind(2)
        self.pad_k, self.pad_v = normal(h, d, dtype=dtype), normal(h, d, dtype=dtype)
        sides = (case.window, case.window) if case.window else case.grid
        # Of about the size that trained tables have: biases of the order of 1.
        self.rel_h, self.rel_w = [normal(2 * side - 1, d, scale=0.1) if case.rel else None for side in sides]
        steps = torch.arange(1, h + 1, device=device, dtype=torch.float32)
        self.slopes = torch.exp2(-8 * steps / h) if case.metric else None
        self.scale = d ** -0.5
        if not case.window:
            self.scale *= math.log(case.tokens) / math.log(4096)

    def options(self):
        """For Library.prepare."""
        case = self.case
        out = dict(scale=self.scale, rel_h=self.rel_h, rel_w=self.rel_w, metric=case.metric, slopes=self.slopes,
                   start=case.start, window=case.window)
        if case.window:
            out.update(pad_k=self.pad_k, pad_v=self.pad_v)
        if case.window or case.rel or case.metric:
            out['grid'] = case.grid
        return out


def partition(x, pad, grid, window):
    """[B, N, H, D] -> [B * windows, window * window, H, D], outside tokens = pad [H, D]."""
    b, _, h, d = x.shape
    gh, gw = grid
    rows, columns = -(-gh // window), -(-gw // window)
    padded = pad.expand(b, rows * window, columns * window, h, d).clone()
    padded[:, :gh, :gw] = x.reshape(b, gh, gw, h, d)
    tiles = padded.reshape(b, rows, window, columns, window, h, d).permute(0, 1, 3, 2, 4, 5, 6)
    return tiles.reshape(b * rows * columns, window * window, h, d)


def unpartition(x, batch, grid, window):
    gh, gw = grid
    h, d = x.shape[2:]
    rows, columns = -(-gh // window), -(-gw // window)
    tiles = x.reshape(batch, rows, columns, window, window, h, d).permute(0, 1, 3, 2, 4, 5, 6)
    return tiles.reshape(batch, rows * window, columns * window, h, d)[:, :gh, :gw].reshape(batch, gh * gw, h, d)


def rel_terms(q, rel_h, rel_w, grid, rows):
    """q [B, n, H, D] of the tokens `rows` -> [B, H, n, Gh], [B, H, n, Gw], in q's dtype."""
    gh, gw = grid
    y, x = rows // gw, rows % gw
    keys_y, keys_x = torch.arange(gh, device=q.device), torch.arange(gw, device=q.device)
    if len(rows) == gh * gw:
        # One product per grid row or column, as SAM does: a table [n, Gh, D] would be gigabytes.
        table_h = rel_h.to(q.dtype)[keys_y[:, None] - keys_y[None] + gh - 1]
        table_w = rel_w.to(q.dtype)[keys_x[:, None] - keys_x[None] + gw - 1]
        r = q.unflatten(1, (gh, gw))
        term_h = torch.einsum('byxhd,ykd->bhyxk', r, table_h)
        term_w = torch.einsum('byxhd,xkd->bhyxk', r, table_w)
        return term_h.flatten(2, 3), term_w.flatten(2, 3)
    table_h = rel_h.to(q.dtype)[y[:, None] - keys_y[None] + gh - 1]
    table_w = rel_w.to(q.dtype)[x[:, None] - keys_x[None] + gw - 1]
    return torch.einsum('bnhd,nkd->bhnk', q, table_h), torch.einsum('bnhd,nkd->bhnk', q, table_w)


def combine(term_h, term_w, slopes, grid, metric, start, rows, dtype):
    """The terms and the distance penalty as one [B, H, n, N]: one pass over its output when it is compiled."""
    gh, gw = grid
    bias = None
    if term_h is not None:
        bias = term_h[..., :, None] + term_w[..., None, :]
    if metric:
        exact = torch.float64 if dtype == torch.float64 else torch.float32
        keys_y, keys_x = torch.arange(gh, device=rows.device), torch.arange(gw, device=rows.device)
        dy = ((rows // gw)[:, None] - keys_y[None]).abs().to(exact).sub(start).clamp(min=0)[:, :, None]
        dx = ((rows % gw)[:, None] - keys_x[None]).abs().to(exact).sub(start).clamp(min=0)[:, None, :]
        if metric == 'manhattan':
            distance = dy + dx
        elif metric == 'chebyshev':
            distance = torch.maximum(dy, dx)
        else:
            distance = (dy * dy + dx * dx).sqrt()
        penalty = (slopes.to(exact)[:, None, None, None] * distance).to(dtype)[None]
        bias = -penalty if bias is None else bias - penalty
    return bias.flatten(3)


def score_bias(q, rel_h, rel_w, grid, metric, slopes, start, rows=None, combine=combine):
    """Everything that is added to scale * q.k, [B, H, n, N] in q's dtype; None when there is nothing."""
    if rel_h is None and not metric:
        return None
    rows = torch.arange(grid[0] * grid[1], device=q.device) if rows is None else rows
    terms = (None, None) if rel_h is None else rel_terms(q, rel_h, rel_w, grid, rows)
    return combine(*terms, slopes, grid, metric, start, rows, q.dtype)


def eager(q, k, v, scale, bias):
    """q [B, n, H, D], k, v [B, N, H, D] -> [B, n, H, D], as SAM's own code computes it, in the operands' dtype."""
    q, k, v = [x.transpose(1, 2) for x in (q, k, v)]
    logits = (q * scale) @ k.transpose(-2, -1)
    if bias is not None:
        logits = logits + bias
    return (logits.softmax(-1) @ v).transpose(1, 2)


def eager_case(inputs, dtype=None, rows=None):
    """The whole problem in plain PyTorch, in `dtype` (default: the inputs'); `rows`: these queries only, global only."""
    case = inputs.case
    cast = [x if dtype is None else x.to(dtype) for x in (inputs.q, inputs.k, inputs.v, inputs.pad_k, inputs.pad_v)]
    q, k, v, pad_k, pad_v = cast
    slopes = inputs.slopes
    if not case.window:
        q = q if rows is None else q[:, rows]
        bias = score_bias(q, inputs.rel_h, inputs.rel_w, case.grid, case.metric, slopes, case.start, rows)
        return eager(q, k, v, inputs.scale, bias)
    side = (case.window, case.window)
    q, k, v = [partition(x, pad, case.grid, case.window) for x, pad in ((q, torch.zeros_like(pad_k)), (k, pad_k), (v, pad_v))]
    bias = score_bias(q, inputs.rel_h, inputs.rel_w, side, None, None, 0.0)
    return unpartition(eager(q, k, v, inputs.scale, bias), case.batch, case.grid, case.window)
