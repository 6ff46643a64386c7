// Everything that native/backends/cuda/hopper.h makes from PTX for sm_90a, for the host. Included by it, after Swizzle.
//
// Copies arrive when no thread of the block could go on without them; until then their destination holds NaN. Products of a
// warpgroup are computed, and read shared memory, when a wait requires them; until then their accumulators hold NaN.
// Threads of a warpgroup do not wait for each other in wgmma_fence, wgmma_commit and products, as a warp's lanes need not on
// the device; in wgmma_wait they do until all have committed.
#pragma once

#include <cstring>

#include "emulated_primitives.h"

namespace ba_sam::cuda {

// Made by make_tensor_map, and by nothing else.
struct alignas(64) TensorMap {
  const uint8_t* data;
  int64_t strides[5];      // bytes
  uint32_t last_index[5];  // size − 1
  int32_t box[5];
  int32_t rank;
  uint32_t swizzle;
  uint32_t signature;
  uint8_t reserved[28];
};
static_assert(sizeof(TensorMap) == 128);

}  // namespace ba_sam::cuda

namespace ba_sam::emulation {

constexpr uint32_t kTensorMapSignature = 0x7e45042bu;

void init_barrier(const Site& site, uint64_t* barrier, uint32_t arrivals);
void fence_barriers(const Site& site);
void fence_shared(const Site& site);
// `bytes`: announced by this arrival.
void arrive_at_barrier(const Site& site, const char* name, uint64_t* barrier, uint32_t bytes);
void arrive_in_cluster(const Site& site, uint64_t* barrier, uint32_t block);
void wait_for_barrier(const Site& site, uint64_t* barrier, uint32_t parity);
void meet_at_named_barrier(const Site& site, const char* name, int id, int threads, bool waits);
void load_tensor(const Site& site, void* shared, const cuda::TensorMap& map, uint64_t* barrier, const int* coordinates,
                 int rank);
// To each block of the cluster whose bit is set in `blocks`.
void load_tensor_in_cluster(const Site& site, void* shared, const cuda::TensorMap& map, uint64_t* barrier,
                            const int* coordinates, int rank, uint32_t blocks);
uint32_t rank_in_cluster(const Site& site);
void meet_cluster(const Site& site);

enum class WarpgroupStep { fence, commit, wait, product, registers };

// What all threads of a warpgroup must call alike; `registers_a` and `accumulators` are each thread's own.
struct WarpgroupCall {
  WarpgroupStep step;
  const char* name;
  Site site;
  int number = 0;  // of groups that a wait leaves pending, or of registers
  bool f16 = false;
  int tiles = 0;
  uint64_t a = 0, b = 0;
  const uint32_t* registers_a = nullptr;
  float* accumulators = nullptr;
  bool first = false;  // d = a · b, whatever the accumulators held
};
void call_warpgroup(const WarpgroupCall& call);

uint64_t describe_matrix(const Site& site, const void* shared, uint32_t leading, uint32_t stride,
                         cuda::Swizzle swizzle);

}  // namespace ba_sam::emulation

namespace ba_sam::cuda {

inline uint8_t* dynamic_shared_1024() {
  return emulation::dynamic_shared_memory;
}

inline void mbarrier_init(uint64_t* barrier, uint32_t arrivals, emulation::Site site = emulation::Site::here()) {
  emulation::init_barrier(site, barrier, arrivals);
}
inline void mbarrier_init_fence(emulation::Site site = emulation::Site::here()) {
  emulation::fence_barriers(site);
}
inline void mbarrier_arrive(uint64_t* barrier, emulation::Site site = emulation::Site::here()) {
  emulation::arrive_at_barrier(site, "mbarrier_arrive", barrier, 0);
}
inline void mbarrier_arrive_expect_tx(uint64_t* barrier, uint32_t bytes,
                                      emulation::Site site = emulation::Site::here()) {
  emulation::arrive_at_barrier(site, "mbarrier_arrive_expect_tx", barrier, bytes);
}
inline void mbarrier_wait(uint64_t* barrier, uint32_t parity, emulation::Site site = emulation::Site::here()) {
  emulation::wait_for_barrier(site, barrier, parity);
}

inline uint32_t cluster_rank(emulation::Site site = emulation::Site::here()) {
  return emulation::rank_in_cluster(site);
}
inline void cluster_sync(emulation::Site site = emulation::Site::here()) {
  emulation::meet_cluster(site);
}
inline void mbarrier_arrive_cluster(uint64_t* barrier, uint32_t block, emulation::Site site = emulation::Site::here()) {
  emulation::arrive_in_cluster(site, barrier, block);
}

inline void fence_proxy_async(emulation::Site site = emulation::Site::here()) {
  emulation::fence_shared(site);
}

inline void named_barrier_sync(int id, int threads, emulation::Site site = emulation::Site::here()) {
  emulation::meet_at_named_barrier(site, "named_barrier_sync", id, threads, true);
}
inline void named_barrier_arrive(int id, int threads, emulation::Site site = emulation::Site::here()) {
  emulation::meet_at_named_barrier(site, "named_barrier_arrive", id, threads, false);
}

inline void prefetch_tensor_map(const TensorMap&) {}

inline void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1,
                     emulation::Site site = emulation::Site::here()) {
  const int coordinates[] = {c0, c1};
  emulation::load_tensor(site, shared, map, barrier, coordinates, 2);
}
inline void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1, int c2, int c3,
                     emulation::Site site = emulation::Site::here()) {
  const int coordinates[] = {c0, c1, c2, c3};
  emulation::load_tensor(site, shared, map, barrier, coordinates, 4);
}
inline void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1, int c2, int c3, int c4,
                     emulation::Site site = emulation::Site::here()) {
  const int coordinates[] = {c0, c1, c2, c3, c4};
  emulation::load_tensor(site, shared, map, barrier, coordinates, 5);
}

inline void tma_load_multicast(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1, int c2, int c3,
                               int c4, uint16_t blocks, emulation::Site site = emulation::Site::here()) {
  const int coordinates[] = {c0, c1, c2, c3, c4};
  emulation::load_tensor_in_cluster(site, shared, map, barrier, coordinates, 5, blocks);
}

template <int kRegisters>
void setmaxnreg_dec(emulation::Site site = emulation::Site::here()) {
  static_assert(kRegisters >= 24 && kRegisters <= 240 && kRegisters % 8 == 0);
  emulation::call_warpgroup({emulation::WarpgroupStep::registers, "setmaxnreg_dec", site, kRegisters});
}
template <int kRegisters>
void setmaxnreg_inc(emulation::Site site = emulation::Site::here()) {
  static_assert(kRegisters >= 24 && kRegisters <= 240 && kRegisters % 8 == 0);
  emulation::call_warpgroup({emulation::WarpgroupStep::registers, "setmaxnreg_inc", site, kRegisters});
}

inline void wgmma_fence(emulation::Site site = emulation::Site::here()) {
  emulation::call_warpgroup({emulation::WarpgroupStep::fence, "wgmma_fence", site});
}
inline void wgmma_commit(emulation::Site site = emulation::Site::here()) {
  emulation::call_warpgroup({emulation::WarpgroupStep::commit, "wgmma_commit", site});
}
template <int kPending>
void wgmma_wait(emulation::Site site = emulation::Site::here()) {
  static_assert(kPending >= 0 && kPending <= 7);
  emulation::call_warpgroup({emulation::WarpgroupStep::wait, "wgmma_wait", site, kPending});
}
template <int kCount>
void wgmma_pin(float (&)[kCount][4]) {}

inline uint64_t matrix_descriptor(const void* shared, uint32_t leading, uint32_t stride, Swizzle swizzle,
                                  emulation::Site site = emulation::Site::here()) {
  return emulation::describe_matrix(site, shared, leading, stride, swizzle);
}

template <typename T, int kTiles>
void wgmma_shared(float (&d)[kTiles][4], uint64_t a, uint64_t b, emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(kTiles >= 1 && kTiles <= 32);
  emulation::call_warpgroup({emulation::WarpgroupStep::product, "wgmma_shared", site, 0, std::is_same_v<T, f16>, kTiles,
                             a, b, nullptr, d[0]});
}
template <typename T, int kTiles>
void wgmma_registers(float (&d)[kTiles][4], const uint32_t (&a)[4], uint64_t b,
                     emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(kTiles >= 1 && kTiles <= 32);
  emulation::call_warpgroup(
      {emulation::WarpgroupStep::product, "wgmma_registers", site, 0, std::is_same_v<T, f16>, kTiles, 0, b, a, d[0]});
}
template <typename T, int kTiles>
void wgmma_shared_first(float (&d)[kTiles][4], uint64_t a, uint64_t b, emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(kTiles >= 1 && kTiles <= 32);
  emulation::call_warpgroup({emulation::WarpgroupStep::product, "wgmma_shared_first", site, 0, std::is_same_v<T, f16>,
                             kTiles, a, b, nullptr, d[0], true});
}
template <typename T, int kTiles>
void wgmma_registers_first(float (&d)[kTiles][4], const uint32_t (&a)[4], uint64_t b,
                           emulation::Site site = emulation::Site::here()) {
  static_assert(std::is_same_v<T, bf16> || std::is_same_v<T, f16>);
  static_assert(kTiles >= 1 && kTiles <= 32);
  emulation::call_warpgroup({emulation::WarpgroupStep::product, "wgmma_registers_first", site, 0,
                             std::is_same_v<T, f16>, kTiles, 0, b, a, d[0], true});
}

}  // namespace ba_sam::cuda
