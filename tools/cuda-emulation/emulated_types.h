// CUDA's keywords and vector types.
#pragma once

#include <cstddef>
#include <cstdint>

#define BA_SAM_EMULATED_CUDA 1

#define __global__
#define __device__
#define __host__
#define __constant__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))
#define __launch_bounds__(...)
// AddressSanitizer guards plain statics but not thread-local ones; blocks run on one thread then.
#if defined(__SANITIZE_ADDRESS__)
#define __shared__ static
#else
#define __shared__ static thread_local
#endif

struct uint3 {
  unsigned int x, y, z;
};
struct int3 {
  int x, y, z;
};
struct dim3 {
  unsigned int x, y, z;
  constexpr dim3(unsigned int x_ = 1, unsigned int y_ = 1, unsigned int z_ = 1) : x(x_), y(y_), z(z_) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  constexpr operator uint3() const { return {x, y, z}; }
};

// Alignments are CUDA's: kernels rely on them for wide loads.
#define BA_SAM_VECTORS(type, name, align2, align4)                 \
  struct alignas(align2) name##2 { type x, y; };                   \
  struct alignas(align4) name##4 { type x, y, z, w; };             \
  inline name##2 make_##name##2(type x, type y) { return {x, y}; } \
  inline name##4 make_##name##4(type x, type y, type z, type w) { return {x, y, z, w}; }
BA_SAM_VECTORS(float, float, 8, 16)
BA_SAM_VECTORS(int, int, 8, 16)
BA_SAM_VECTORS(unsigned int, uint, 8, 16)
BA_SAM_VECTORS(unsigned char, uchar, 2, 4)
BA_SAM_VECTORS(signed char, char, 2, 4)
BA_SAM_VECTORS(unsigned short, ushort, 4, 8)
BA_SAM_VECTORS(short, short, 4, 8)
BA_SAM_VECTORS(long long, longlong, 16, 16)
BA_SAM_VECTORS(unsigned long long, ulonglong, 16, 16)
BA_SAM_VECTORS(double, double, 16, 16)
#undef BA_SAM_VECTORS

struct float3 {
  float x, y, z;
};
inline float3 make_float3(float x, float y, float z) {
  return {x, y, z};
}
inline int3 make_int3(int x, int y, int z) {
  return {x, y, z};
}
inline uint3 make_uint3(unsigned int x, unsigned int y, unsigned int z) {
  return {x, y, z};
}
