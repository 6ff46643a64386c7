"""libba_sam_attention.so on PyTorch tensors: native/backends/cuda/c_api.h through ctypes, nothing copied."""
import ctypes
import os

import torch

DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.float16: 2}
METRICS = {None: 0, 'manhattan': 1, 'euclidean': 2, 'chebyshev': 3}
INVALID = ctypes.c_size_t(-1).value
SIZE = ctypes.c_ssize_t


class BaSamAttention(ctypes.Structure):
    """Field by field the struct of c_api.h, which asserts that it has no hidden padding."""
    _fields_ = [
        ('struct_bytes', ctypes.c_size_t), ('dtype', ctypes.c_int), ('metric', ctypes.c_int),
        ('batch', SIZE), ('heads', SIZE), ('head_dim', SIZE), ('q_tokens', SIZE), ('k_tokens', SIZE),
        ('out_batch_stride', SIZE), ('out_token_stride', SIZE), ('q_batch_stride', SIZE), ('q_token_stride', SIZE),
        ('k_batch_stride', SIZE), ('k_token_stride', SIZE), ('v_batch_stride', SIZE), ('v_token_stride', SIZE),
        ('grid_h', SIZE), ('grid_w', SIZE), ('window', SIZE), ('pad_k', ctypes.c_void_p), ('pad_v', ctypes.c_void_p),
        ('rel_h', ctypes.c_void_p), ('rel_w', ctypes.c_void_p), ('slopes', ctypes.c_void_p),
        ('scale', ctypes.c_float), ('start', ctypes.c_float),
    ]


class BaSamError(RuntimeError):
    pass


class Library:
    def __init__(self, path):
        self.path = os.path.abspath(path)
        self.lib = ctypes.CDLL(self.path)
        self.lib.ba_sam_version.restype = ctypes.c_char_p
        self.lib.ba_sam_last_error.restype = ctypes.c_char_p
        self.lib.ba_sam_attention_workspace_bytes.restype = ctypes.c_size_t
        self.lib.ba_sam_attention_workspace_bytes.argtypes = [ctypes.c_void_p]
        self.lib.ba_sam_attention_forward.restype = ctypes.c_int
        self.lib.ba_sam_attention_forward.argtypes = [ctypes.c_void_p] * 6 + [ctypes.c_size_t, ctypes.c_void_p]

    def version(self):
        return self.lib.ba_sam_version().decode()

    def last_error(self):
        return self.lib.ba_sam_last_error().decode()

    def workspace_bytes(self, params):
        return self.lib.ba_sam_attention_workspace_bytes(ctypes.addressof(params))

    def forward(self, out, q, k, v, params, workspace, workspace_bytes, stream):
        return self.lib.ba_sam_attention_forward(out, q, k, v, ctypes.addressof(params), workspace, workspace_bytes, stream)

    def prepare(self, out, q, k, v, **options):
        """Returns a function without arguments that queues the kernels on the current stream.

        q [B, Nq, H, D], k, v [B, Nk, H, D], out as q: views of any strides whose last two dimensions are contiguous.
        options: those of describe() below.
        """
        params = describe(out, q, k, v, **options)
        need = self.workspace_bytes(params)
        if need == INVALID:
            raise BaSamError(self.last_error())
        workspace = aligned_bytes(need, q.device)
        pointers = [tensor.data_ptr() for tensor in (out, q, k, v)]
        # Raw addresses: the closure keeps their owners alive.
        owners = (out, q, k, v, workspace, options)

        def call(_owners=owners):
            stream = torch.cuda.current_stream(q.device).cuda_stream if q.is_cuda else None
            if self.forward(*pointers, params, workspace.data_ptr(), need, stream) != 0:
                raise BaSamError(self.last_error())

        call.workspace_bytes = need
        return call


def describe(out, q, k, v, scale, grid=(0, 0), window=0, pad_k=None, pad_v=None, rel_h=None, rel_w=None, metric=None,
             slopes=None, start=0.0):
    """The C struct. Everything it points to must outlive it."""
    def pointer(tensor):
        return None if tensor is None else tensor.data_ptr()

    for tensor in (out, q, k, v):
        if tensor.stride(3) != 1 or tensor.stride(2) != tensor.shape[3]:
            raise BaSamError('expected [B, N, H, D] with contiguous heads')
    a = BaSamAttention(struct_bytes=ctypes.sizeof(BaSamAttention), dtype=DTYPES[q.dtype], metric=METRICS[metric],
                       batch=q.shape[0], heads=q.shape[2], head_dim=q.shape[3], q_tokens=q.shape[1], k_tokens=k.shape[1],
                       grid_h=grid[0], grid_w=grid[1], window=window, pad_k=pointer(pad_k), pad_v=pointer(pad_v),
                       rel_h=pointer(rel_h), rel_w=pointer(rel_w), slopes=pointer(slopes), scale=scale, start=start)
    for name, tensor in (('out', out), ('q', q), ('k', k), ('v', v)):
        setattr(a, f'{name}_batch_stride', tensor.stride(0) if tensor.shape[0] > 1 else 0)
        setattr(a, f'{name}_token_stride', tensor.stride(1))
    return a


def aligned_bytes(count, device):
    """At least `count` bytes (one, so that there is an address), 256-byte aligned."""
    block = torch.empty(count + 512, dtype=torch.uint8, device=device)
    offset = -block.data_ptr() % 256
    return block[offset:offset + max(count, 1)]
