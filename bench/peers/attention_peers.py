"""What the same attention costs elsewhere: PyTorch's SDPA with each backend forced, FlexAttention, plain PyTorch.

A peer is made from inputs and returns a call; it gets its operands as contiguous [B, H, N, D] tensors (windows: already cut),
which a real model would have to make first. `made` peers also make their bias or its terms in every call, as a model has
to: the relative positions depend on q.
"""
import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from attention_cases import combine, eager, partition, rel_terms, score_bias

BACKENDS = {'flash': SDPBackend.FLASH_ATTENTION, 'cudnn': SDPBackend.CUDNN_ATTENTION,
            'efficient': SDPBackend.EFFICIENT_ATTENTION, 'math': SDPBackend.MATH}

# Every case is a new shape or a new score_mod, and each of them is to be compiled, not to fall back to eager PyTorch.
torch._dynamo.config.cache_size_limit = 512
torch._dynamo.config.accumulated_cache_size_limit = 4096


class Skip(Exception):
    """Why a peer is not measured."""


def gib(count):
    return f'{count / 2 ** 30:.1f} GiB'


def require_memory(device, count, what):
    if device.type != 'cuda':
        return
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(device)
    if count > 0.9 * free:
        raise Skip(f'{what} needs {gib(count)} of {gib(free)} that are free')


class Operands:
    """Contiguous [B, H, N, D]; for windows every window is an item of the batch, and the grid is the window."""

    def __init__(self, inputs):
        case = inputs.case
        q, k, v = inputs.q, inputs.k, inputs.v
        self.grid = case.grid
        if case.window:
            zero = torch.zeros_like(inputs.pad_k)
            q, k, v = [partition(x, pad, case.grid, case.window) for x, pad in ((q, zero), (k, inputs.pad_k), (v, inputs.pad_v))]
            self.grid = (case.window, case.window)
        self.tokens_first = q, k, v
        self.q, self.k, self.v = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
        self.inputs = inputs

    def bias(self, combine):
        inputs, case = self.inputs, self.inputs.case
        return score_bias(self.tokens_first[0], inputs.rel_h, inputs.rel_w, self.grid, case.metric, inputs.slopes,
                          case.start, combine=combine)


_compiled = {}


def compiled(function, **options):
    """torch.compile, once a function: what somebody who cares about speed would write."""
    if function not in _compiled:
        _compiled[function] = torch.compile(function, **options)
    return _compiled[function]


def sdpa(backend, with_bias, made=False):
    """SDPA without any bias, or with the materialised one, written by one compiled pass."""
    def make(inputs):
        case, device = inputs.case, inputs.q.device
        scores = case.bias_bytes
        if with_bias and backend == 'flash':
            raise Skip('flash takes no bias')
        # Made by one compiled pass it is written once; made eagerly, before the clock runs, there are temporaries. The
        # math backend keeps scores in f32 as well.
        needed = (scores * (1.1 if made else 4) if with_bias else 0) + (scores * 6 if backend == 'math' else 0)
        require_memory(device, needed, f'a bias of {gib(scores)}' if with_bias else f'scores of {gib(scores)}')
        operands = Operands(inputs)
        write = compiled(combine) if made else combine
        bias = operands.bias(write) if with_bias and not made else None

        def call():
            mask = operands.bias(write) if made else bias
            with sdpa_kernel([BACKENDS[backend]]):
                return F.scaled_dot_product_attention(operands.q, operands.k, operands.v, attn_mask=mask, scale=inputs.scale)
        return call
    return make


def flex(made=False, compile=True):
    """FlexAttention with two gathers (relative positions) and the distance in its score_mod."""
    def make(inputs):
        from torch.nn.attention.flex_attention import flex_attention
        function = compiled(flex_attention, dynamic=False) if compile else flex_attention
        case = inputs.case
        operands = Operands(inputs)
        width, metric, start, slopes = operands.grid[1], case.metric, case.start, inputs.slopes

        def terms():
            if inputs.rel_h is None:
                return None, None
            rows = torch.arange(operands.grid[0] * width, device=inputs.q.device)
            return rel_terms(operands.tokens_first[0], inputs.rel_h, inputs.rel_w, operands.grid, rows)

        def attend(term_h, term_w):
            def score_mod(score, b, h, i, j):
                yj, xj = j // width, j % width
                if term_h is not None:
                    score = score + term_h[b, h, i, yj] + term_w[b, h, i, xj]
                if metric:
                    dy = ((i // width - yj).abs().float() - start).clamp(min=0)
                    dx = ((i % width - xj).abs().float() - start).clamp(min=0)
                    if metric == 'manhattan':
                        distance = dy + dx
                    elif metric == 'chebyshev':
                        distance = torch.maximum(dy, dx)
                    else:
                        distance = torch.sqrt(dy * dy + dx * dx)
                    score = score - slopes[h] * distance
                return score
            return function(operands.q, operands.k, operands.v, score_mod=score_mod, scale=inputs.scale)

        ready = None if made else terms()
        return lambda: attend(*(terms() if made else ready))
    return make


def plain(inputs):
    """Eager PyTorch in the operands' dtype, the bias made in every call."""
    case = inputs.case
    require_memory(inputs.q.device, case.bias_bytes * 8, f'scores of {gib(case.bias_bytes)}')
    operands = Operands(inputs)
    q, k, v = operands.tokens_first
    return lambda: eager(q, k, v, inputs.scale, operands.bias(combine)).transpose(1, 2)


def peers_of(case, quick):
    """Name -> (maker, whether it computes the case's formula; the others leave its biases out). None of them compiles."""
    has_bias = case.rel or case.metric is not None
    out = {f'sdpa {name}': (sdpa(name, False), not has_bias) for name in BACKENDS if name != 'math' or not quick}
    if has_bias:
        for name in ('cudnn', 'efficient') if quick else ('cudnn', 'efficient', 'math'):
            out[f'sdpa {name} + bias'] = (sdpa(name, True), True)
        if not quick:
            out['eager'] = (plain, True)
    return out


def compiled_peers_of(case):
    """The same for peers that are compiled first, which takes longer than the measurement."""
    if not case.rel and case.metric is None:
        return {}
    return {'flex': (flex(), True), 'flex + terms made': (flex(made=True), True),
            'sdpa cudnn + bias made': (sdpa('cudnn', True, made=True), True),
            'sdpa efficient + bias made': (sdpa('efficient', True, made=True), True)}
