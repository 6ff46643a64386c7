/*
 * ba-sam's fused attention for programs that are not Node: libba_sam_attention.so. Plain C, no state but the last error's
 * text, nothing thrown. Every pointer below `BaSamAttention` is a device pointer on the calling thread's current device.
 *
 *   logit(i, j) = scale * (q_i . k_j) + q_i . rel_h[yi - yj + Gh - 1] + q_i . rel_w[xi - xj + Gw - 1]
 *                 - slope_h * dist(i, j)
 *   out_i       = sum_j softmax_j(logit(i, j)) * v_j
 *
 *   BaSamAttention a;
 *   memset(&a, 0, sizeof a);
 *   a.struct_bytes = sizeof a;
 *   a.dtype = BA_SAM_BF16; ...
 *   bytes = ba_sam_attention_workspace_bytes(&a);
 *   if (bytes == BA_SAM_INVALID) puts(ba_sam_last_error());
 *   cudaMalloc(&workspace, bytes);
 *   if (ba_sam_attention_forward(out, q, k, v, &a, workspace, bytes, stream) != BA_SAM_OK) puts(ba_sam_last_error());
 */
#ifndef BA_SAM_C_API_H_
#define BA_SAM_C_API_H_

#include <stddef.h>

#if defined(__GNUC__)
#define BA_SAM_API __attribute__((visibility("default")))
#else
#define BA_SAM_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Results. */
#define BA_SAM_OK 0
#define BA_SAM_INVALID_ARGUMENT 1
#define BA_SAM_OUT_OF_MEMORY 2
#define BA_SAM_DEVICE_LOST 3        /* the context is unusable: end the process */
#define BA_SAM_DEVICE_UNAVAILABLE 4 /* no driver, no device, or one that is older than sm_80 */
#define BA_SAM_INTERNAL 5

/* What ba_sam_attention_workspace_bytes returns for parameters that are refused. */
#define BA_SAM_INVALID ((size_t)-1)

/* BaSamAttention.dtype: of q, k, v, pad_k, pad_v and out. */
#define BA_SAM_F32 0
#define BA_SAM_BF16 1
#define BA_SAM_F16 2

/* BaSamAttention.metric: the distance between two tokens of the grid; per axis max(0, |d| - start) replaces |d|. */
#define BA_SAM_METRIC_NONE 0
#define BA_SAM_METRIC_MANHATTAN 1
#define BA_SAM_METRIC_EUCLIDEAN 2
#define BA_SAM_METRIC_CHEBYSHEV 3

typedef struct BaSamAttention {
  size_t struct_bytes; /* sizeof(BaSamAttention); later versions append fields and still take this size */

  int dtype;
  int metric;
  ptrdiff_t batch;
  ptrdiff_t heads;
  ptrdiff_t head_dim; /* D: 16, 32, 64, 80 or 128 in 16-bit dtypes, 1 ... 128 in f32 */
  ptrdiff_t q_tokens;
  ptrdiff_t k_tokens;

  /* Element (b, token, head, d) lies at data[b * batch_stride + token * token_stride + head * D + d]; strides count
   * elements. 16-bit operands are aligned to 16 bytes, their strides are multiples of 8, and k and v have one token
   * stride. Input strides of 0 repeat; outputs must not overlap, neither themselves nor an input. */
  ptrdiff_t out_batch_stride, out_token_stride;
  ptrdiff_t q_batch_stride, q_token_stride;
  ptrdiff_t k_batch_stride, k_token_stride;
  ptrdiff_t v_batch_stride, v_token_stride;

  /* Token grid, row-major: then q_tokens = k_tokens = grid_h * grid_w. Both 0: no grid, and none of what follows but
   * scale. */
  ptrdiff_t grid_h, grid_w;

  /* Window side in tokens, 0 = global. Where windows reach over the grid's edge, their outside tokens are unmasked keys
   * with k = pad_k [H * D] and v = pad_v [H * D]: both are needed whenever window > 0. */
  ptrdiff_t window;
  const void* pad_k;
  const void* pad_v;

  /* Relative position tables, aligned to 8 bytes, both or none: [2 * grid_h - 1, D] and [2 * grid_w - 1, D]; [2 * window - 1, D] both when
   * window > 0. */
  const float* rel_h;
  const float* rel_w;

  const float* slopes; /* [H], exactly when metric is not BA_SAM_METRIC_NONE; global attention only */
  float scale;         /* multiplies q . k only, never a bias */
  float start;         /* >= 0 */
} BaSamAttention;

/* "0.1.0" */
BA_SAM_API const char* ba_sam_version(void);

/* What the last call of this thread that failed had to say; "" when none failed. Valid until the thread's next call. */
BA_SAM_API const char* ba_sam_last_error(void);

/* Bytes of device memory that ba_sam_attention_forward needs, 256-byte aligned; 0: none. BA_SAM_INVALID when `params` are
 * refused. */
BA_SAM_API size_t ba_sam_attention_workspace_bytes(const BaSamAttention* params);

/* Queues the work on `stream` (a cudaStream_t; null is the default stream) and returns. The workspace may be reused by
 * work that comes later in the same stream. Deterministic. */
BA_SAM_API int ba_sam_attention_forward(void* out, const void* q, const void* k, const void* v,
                                        const BaSamAttention* params, void* workspace, size_t workspace_bytes,
                                        void* stream);

#ifdef __cplusplus
}
#endif

#endif
