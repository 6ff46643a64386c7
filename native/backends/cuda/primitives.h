// What kernels need beyond CUDA C++: 16-bit floats, fast special functions, asynchronous copies and tensor-core
// fragments. The only place with PTX. Everything compiles for sm_80 and later.
//
// Without nvcc the same names come from the host emulation (tools/cuda-emulation/emulated_primitives.h), which executes a
// whole warp's fragments and, for cp.async, delivers data no earlier than a wait allows.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "../../core/f8.h"

namespace ba_sam::cuda {

// 16-bit floats as the bits they are. Arithmetic happens in f32 registers or in tensor cores.
struct bf16 {
  uint16_t bits;
};
struct f16 {
  uint16_t bits;
};

constexpr float kLog2E = 1.44269504088896341f;

}  // namespace ba_sam::cuda

#if !defined(__CUDACC__)
#include <emulated_primitives.h>
#else

namespace ba_sam::cuda {

__device__ __forceinline__ float to_float(float x) {
  return x;
}
__device__ __forceinline__ float to_float(bf16 x) {
  return __uint_as_float(static_cast<uint32_t>(x.bits) << 16);
}
__device__ __forceinline__ float to_float(f16 x) {
  float out;
  asm("cvt.f32.f16 %0, %1;" : "=f"(out) : "h"(x.bits));
  return out;
}

// Round to nearest even; f16 overflows to infinity, as PyTorch's does.
template <typename T>
__device__ T from_float(float x);
template <>
__device__ __forceinline__ float from_float<float>(float x) {
  return x;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float x) {
  bf16 out;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
  return out;
}
template <>
__device__ __forceinline__ f16 from_float<f16>(float x) {
  f16 out;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(out.bits) : "f"(x));
  return out;
}

// Two numbers in one register, `low` in the low half: the order of a fragment's columns.
template <typename T>
__device__ uint32_t pack2(float low, float high);
template <>
__device__ __forceinline__ uint32_t pack2<bf16>(float low, float high) {
  uint32_t out;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}
template <>
__device__ __forceinline__ uint32_t pack2<f16>(float low, float high) {
  uint32_t out;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(out) : "f"(high), "f"(low));
  return out;
}

// Four e4m3 (../core/f8.h), the first in the lowest byte: to nearest even, above 448 becomes 448.
__device__ __forceinline__ uint32_t pack4_e4m3(float a, float b, float c, float d) {
#if __CUDA_ARCH__ >= 890
  uint16_t low, high;
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(b), "f"(a));
  asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(d), "f"(c));
  return low | static_cast<uint32_t>(high) << 16;
#else  // no device below has products of them
  return e4m3_from_f32_bits(__float_as_uint(a)) | static_cast<uint32_t>(e4m3_from_f32_bits(__float_as_uint(b))) << 8 |
         static_cast<uint32_t>(e4m3_from_f32_bits(__float_as_uint(c))) << 16 |
         static_cast<uint32_t>(e4m3_from_f32_bits(__float_as_uint(d))) << 24;
#endif
}

// 2^x, about 2 ulp; 0 for −∞. One MUFU.
__device__ __forceinline__ float exp2_fast(float x) {
  float out;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}
// 1 / x, about 1 ulp. One MUFU, where a division of IEEE's has a slow path that is called.
__device__ __forceinline__ float reciprocal_fast(float x) {
  float out;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}
// √x, about 1 ulp; 0 for 0. One MUFU.
__device__ __forceinline__ float sqrt_fast(float x) {
  float out;
  asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(out) : "f"(x));
  return out;
}

// d = a · b + c for one 16×8 tile of a warp, K = 16, f32 accumulation. Lane l holds, with g = l / 4 and t = l % 4:
//   a: {(g, 2t), (g, 2t+1)}, {(g+8, …)}, {(g, 2t+8), …}, {(g+8, 2t+8), …}     rows × K, two numbers a register
//   b: {(2t, g), (2t+1, g)}, {(2t+8, g), (2t+9, g)}                            K × columns
//   c, d: (g, 2t), (g, 2t+1), (g+8, 2t), (g+8, 2t+1)                          rows × columns
// d may be c.
template <typename T>
__device__ void mma_16x8x16(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const float (&c)[4]);
template <>
__device__ __forceinline__ void mma_16x8x16<bf16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                                  const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}
template <>
__device__ __forceinline__ void mma_16x8x16<f16>(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                                                 const float (&c)[4]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]), "f"(c[3]));
}

__device__ __forceinline__ uint32_t shared_address(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

// Four 8×8 matrices of 16-bit numbers. Lanes 8i … 8i+7 give the addresses (16-byte aligned) of the rows of matrix i; lane l
// receives from each matrix the two numbers at row l / 4, columns 2(l % 4) and +1; transposed: the other way round.
__device__ __forceinline__ void load_matrix_x4(uint32_t (&r)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared))
               : "memory");
}
__device__ __forceinline__ void load_matrix_x4_transposed(uint32_t (&r)[4], const void* shared) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(shared))
               : "memory");
}

// Copies 16 bytes (both sides 16-byte aligned) past the registers; zeros when not `valid` (global is not read then).
__device__ __forceinline__ void copy_async_16(void* shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
// Closes a group of copies; wait<N>: all but this thread's N newest groups have arrived.
__device__ __forceinline__ void copy_async_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kPending>
__device__ __forceinline__ void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// The block's dynamic shared memory, 128-byte aligned.
__device__ __forceinline__ uint8_t* dynamic_shared() {
  extern __shared__ __align__(128) unsigned char ba_sam_dynamic_shared[];
  return ba_sam_dynamic_shared;
}

}  // namespace ba_sam::cuda
#endif
