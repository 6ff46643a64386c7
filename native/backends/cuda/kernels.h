// Kernels that more than one file queues. Everything runs on `stream`; pointers are device pointers.
#pragma once

#include "gemm.h"
#include "runtime.h"

namespace ba_sam::cuda {

// out[i] = in[i] in another float dtype, rounded to nearest even. convert.cu
void convert(void* out, DType out_dtype, const void* in, DType in_dtype, int64_t count, cudaStream_t stream);

// Copies `rows` rows of row_bytes between two pitches (in bytes; a pitch of 0 repeats one row). copy_rows.cu
void copy_rows(void* out, int64_t out_pitch, const void* in, int64_t in_pitch, int64_t row_bytes, int64_t rows,
               cudaStream_t stream);

// [batch, rows, columns] → [batch, columns, rows], elements of 2 or 4 bytes. transpose.cu
void transpose(void* out, const void* in, int64_t batch, int64_t rows, int64_t columns, size_t element_bytes,
               cudaStream_t stream);

// The rest of a product whose epilogue was not fused, where it lies: bias (if with_bias) and activation.
// gemm_simt.cu
void finish_product(const GemmCall& call, bool with_bias, cudaStream_t stream);

// The whole product without cuBLASLt, for any shape and alignment. gemm_simt.cu
void gemm_simt(const GemmCall& call, cudaStream_t stream);

}  // namespace ba_sam::cuda
