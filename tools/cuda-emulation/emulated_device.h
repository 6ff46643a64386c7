// Device functions: barriers, warp functions and the mathematics that kernels use.
#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "emulated_thread.h"

constexpr int warpSize = 32;

namespace ba_sam::emulation {

// Which lane a shuffle reads from; itself where that would leave its segment of `width` lanes.
enum class Shuffle { index, up, down, exclusive_or };

template <typename T>
struct ShuffleOperands {
  T value;
  int argument;
  int width;
  T result;
};

template <typename T, Shuffle kKind>
void shuffle_operation(void* const (&operands)[32]) {
  T values[32];
  for (int lane = 0; lane < 32; ++lane) values[lane] = static_cast<ShuffleOperands<T>*>(operands[lane])->value;
  for (int lane = 0; lane < 32; ++lane) {
    auto& own = *static_cast<ShuffleOperands<T>*>(operands[lane]);
    if (own.width <= 0 || own.width > 32 || (own.width & (own.width - 1)) != 0) {
      fail_lane(lane, "a shuffle's width is %d: a power of two up to 32 is needed", own.width);
    }
    const int first = lane & ~(own.width - 1), position = lane - first;
    int source = lane;
    switch (kKind) {
      case Shuffle::index:
        source = first + (own.argument & (own.width - 1));
        break;
      case Shuffle::up:
        source = position - own.argument >= 0 ? lane - own.argument : lane;
        break;
      case Shuffle::down:
        source = position + own.argument < own.width ? lane + own.argument : lane;
        break;
      case Shuffle::exclusive_or:
        source = (lane ^ own.argument) < first + own.width ? lane ^ own.argument : lane;
        break;
    }
    own.result = values[source];
  }
}

template <typename T, Shuffle kKind>
T shuffle(const char* name, uint32_t mask, T value, int argument, int width, const Site& site) {
  static_assert(std::is_trivially_copyable_v<T> && (sizeof(T) == 4 || sizeof(T) == 8), "as CUDA's shuffles");
  ShuffleOperands<T> operands{value, argument, width, T{}};
  meet_warp(name, site, mask, shuffle_operation<T, kKind>, &operands);
  return operands.result;
}

struct VoteOperands {
  bool predicate;
  uint32_t ballot;
};
inline void vote_operation(void* const (&operands)[32]) {
  uint32_t ballot = 0;
  for (int lane = 0; lane < 32; ++lane) {
    ballot |= static_cast<uint32_t>(static_cast<VoteOperands*>(operands[lane])->predicate) << lane;
  }
  for (void* own : operands) static_cast<VoteOperands*>(own)->ballot = ballot;
}
inline uint32_t vote(const char* name, uint32_t mask, bool predicate, const Site& site) {
  VoteOperands operands{predicate, 0};
  meet_warp(name, site, mask, vote_operation, &operands);
  return operands.ballot;
}

template <typename To, typename From>
To bits_as(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

}  // namespace ba_sam::emulation

#define BA_SAM_SITE ::ba_sam::emulation::Site site = ::ba_sam::emulation::Site::here()

inline void __syncthreads(BA_SAM_SITE) {
  ba_sam::emulation::meet_block("__syncthreads", site);
}
inline void __syncwarp(unsigned mask = 0xffffffffu, BA_SAM_SITE) {
  ba_sam::emulation::meet_warp("__syncwarp", site, mask, nullptr, nullptr);
}
template <typename T>
T __shfl_sync(unsigned mask, T value, int lane, int width = 32, BA_SAM_SITE) {
  using namespace ba_sam::emulation;
  return shuffle<T, Shuffle::index>("__shfl_sync", mask, value, lane, width, site);
}
template <typename T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, BA_SAM_SITE) {
  using namespace ba_sam::emulation;
  return shuffle<T, Shuffle::up>("__shfl_up_sync", mask, value, static_cast<int>(delta), width, site);
}
template <typename T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, BA_SAM_SITE) {
  using namespace ba_sam::emulation;
  return shuffle<T, Shuffle::down>("__shfl_down_sync", mask, value, static_cast<int>(delta), width, site);
}
template <typename T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32, BA_SAM_SITE) {
  using namespace ba_sam::emulation;
  return shuffle<T, Shuffle::exclusive_or>("__shfl_xor_sync", mask, value, lane_mask, width, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate, BA_SAM_SITE) {
  return ba_sam::emulation::vote("__ballot_sync", mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, BA_SAM_SITE) {
  return ba_sam::emulation::vote("__any_sync", mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, BA_SAM_SITE) {
  return ba_sam::emulation::vote("__all_sync", mask, predicate != 0, site) == 0xffffffffu;
}
#undef BA_SAM_SITE

// Orders memory between threads; on one host thread after another there is nothing to order.
inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __nanosleep(unsigned) {}

template <typename T>
T __ldg(const T* pointer) {
  return *pointer;
}
template <typename T>
T __ldcs(const T* pointer) {
  return *pointer;
}
template <typename T>
void __stcs(T* pointer, T value) {
  *pointer = value;
}

inline unsigned __float_as_uint(float x) {
  return ba_sam::emulation::bits_as<unsigned>(x);
}
inline int __float_as_int(float x) {
  return ba_sam::emulation::bits_as<int>(x);
}
inline float __uint_as_float(unsigned x) {
  return ba_sam::emulation::bits_as<float>(x);
}
inline float __int_as_float(int x) {
  return ba_sam::emulation::bits_as<float>(x);
}

namespace ba_sam::emulation {
// Conversions saturate and turn NaN into 0, as the device's do; the host's would be undefined.
template <typename T>
T saturate(double x, double low, double high) {
  if (x != x) return 0;
  return static_cast<T>(x < low ? low : x > high ? high : x);
}
}  // namespace ba_sam::emulation

inline int __float2int_rn(float x) {
  return ba_sam::emulation::saturate<int>(std::nearbyint(static_cast<double>(x)), -2147483648.0, 2147483647.0);
}
inline int __float2int_rd(float x) {
  return ba_sam::emulation::saturate<int>(std::floor(static_cast<double>(x)), -2147483648.0, 2147483647.0);
}
inline int __float2int_ru(float x) {
  return ba_sam::emulation::saturate<int>(std::ceil(static_cast<double>(x)), -2147483648.0, 2147483647.0);
}
inline int __float2int_rz(float x) {
  return ba_sam::emulation::saturate<int>(std::trunc(static_cast<double>(x)), -2147483648.0, 2147483647.0);
}
inline unsigned __float2uint_rn(float x) {
  return ba_sam::emulation::saturate<unsigned>(std::nearbyint(static_cast<double>(x)), 0.0, 4294967295.0);
}
inline float __int2float_rn(int x) {
  return static_cast<float>(x);
}
inline float __uint2float_rn(unsigned x) {
  return static_cast<float>(x);
}

// Operations that the compiler must not merge into a multiply-add; the host is compiled with -ffp-contract=off.
inline float __fadd_rn(float x, float y) {
  return x + y;
}
inline float __fsub_rn(float x, float y) {
  return x - y;
}
inline float __fmul_rn(float x, float y) {
  return x * y;
}
inline float __fdiv_rn(float x, float y) {
  return x / y;
}
inline float __frcp_rn(float x) {
  return 1.0f / x;
}
inline float __fsqrt_rn(float x) {
  return std::sqrt(x);
}
inline float __fmaf_rn(float x, float y, float z) {
  return std::fma(x, y, z);
}
inline double __dadd_rn(double x, double y) {
  return x + y;
}
inline double __dmul_rn(double x, double y) {
  return x * y;
}

// Fast forms: exact here, within their documented error on a device.
inline float __expf(float x) {
  return std::exp(x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __log2f(float x) {
  return std::log2(x);
}
inline float __powf(float x, float y) {
  return std::pow(x, y);
}
inline float __sinf(float x) {
  return std::sin(x);
}
inline float __cosf(float x) {
  return std::cos(x);
}
inline float __tanhf(float x) {
  return std::tanh(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline float __saturatef(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;  // NaN gives 0
}

// glibc declares these from 2.41 and 2.42 on.
#if !defined(__GLIBC__) || !__GLIBC_PREREQ(2, 41)
// sin(pi x) with the argument reduced first, so that integers give exactly 0.
inline double sinpi(double x) {
  const double r = std::remainder(x, 2.0);  // -1 … 1
  if (r == 1.0 || r == -1.0) return std::copysign(0.0, x);
  return std::sin(r * 3.14159265358979323846);
}
inline double cospi(double x) {
  const double r = std::fabs(std::remainder(x, 2.0));
  return r == 0.5 ? 0.0 : std::cos(r * 3.14159265358979323846);
}
inline float sinpif(float x) {
  return static_cast<float>(sinpi(static_cast<double>(x)));
}
inline float cospif(float x) {
  return static_cast<float>(cospi(static_cast<double>(x)));
}
#endif
inline void sincospi(double x, double* sine, double* cosine) {
  *sine = sinpi(x);
  *cosine = cospi(x);
}
inline void sincospif(float x, float* sine, float* cosine) {
  *sine = sinpif(x);
  *cosine = cospif(x);
}
#if !defined(__GLIBC__) || !__GLIBC_PREREQ(2, 42)
inline float rsqrtf(float x) {
  return static_cast<float>(1.0 / std::sqrt(static_cast<double>(x)));
}
inline double rsqrt(double x) {
  return 1.0 / std::sqrt(x);
}
#endif
inline float normcdff(float x) {
  return static_cast<float>(0.5 * std::erfc(-static_cast<double>(x) * 0.70710678118654752440));
}

#define BA_SAM_MIN_MAX(type)                                \
  inline type min(type x, type y) { return y < x ? y : x; } \
  inline type max(type x, type y) { return x < y ? y : x; }
BA_SAM_MIN_MAX(int)
BA_SAM_MIN_MAX(unsigned int)
BA_SAM_MIN_MAX(long)
BA_SAM_MIN_MAX(unsigned long)
BA_SAM_MIN_MAX(long long)
BA_SAM_MIN_MAX(unsigned long long)
#undef BA_SAM_MIN_MAX
// Of floating-point numbers: the other operand where one is NaN.
inline float min(float x, float y) {
  return std::fmin(x, y);
}
inline float max(float x, float y) {
  return std::fmax(x, y);
}
inline double min(double x, double y) {
  return std::fmin(x, y);
}
inline double max(double x, double y) {
  return std::fmax(x, y);
}

inline int __popc(unsigned x) {
  return __builtin_popcount(x);
}
inline int __ffs(int x) {
  return __builtin_ffs(x);
}
inline int __clz(int x) {
  return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x));
}
inline unsigned __umulhi(unsigned x, unsigned y) {
  return static_cast<unsigned>((static_cast<unsigned long long>(x) * y) >> 32);
}
inline int __mulhi(int x, int y) {
  return static_cast<int>((static_cast<long long>(x) * y) >> 32);
}

// Blocks may run on several host threads.
inline int atomicAdd(int* address, int value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline int atomicOr(int* address, int value) {
  return __atomic_fetch_or(address, value, __ATOMIC_RELAXED);
}
inline int atomicExch(int* address, int value) {
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
