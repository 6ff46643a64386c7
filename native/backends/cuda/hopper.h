// What kernels for sm_90a need beyond primitives.h: copies by the tensor memory accelerator (TMA) with their mbarriers,
// matrix products of a warpgroup (wgmma), clusters, and setmaxnreg. The only other place with PTX.
//
// A warpgroup is 128 threads whose first one's number is a multiple of 128. Accumulators of a product with M = 64: warp w of
// the group holds rows 16w … 16w + 15, each as mma_16x8x16 lays out its d: d[n] belongs to columns 8n … 8n + 7.
//
// Without nvcc the same names come from the host emulation (tools/cuda-emulation/emulated_hopper.h): copies arrive as late as
// a wait allows, products read shared memory and write accumulators as late as a wait allows.
// Sources: PTX ISA 8.x, sections "Asynchronous warpgroup level matrix instructions", "Tensors", "mbarrier"; for the
// descriptors' strides, section "Strides" (K-major: bytes between groups of 8 rows; MN-major: see matrix_descriptor).
#pragma once

#include "primitives.h"

namespace ba_sam::cuda {

// How rows of a shared tile are permuted: within 8 rows, pieces of 16 bytes are exchanged so that a column of 8 pieces
// touches all banks. A row is at most that long. Tiles are aligned to 8 rows: 1024 or 256 bytes.
enum class Swizzle : uint32_t { bytes_128 = 128, bytes_32 = 32 };

}  // namespace ba_sam::cuda

#if !defined(__CUDACC__)
#include <emulated_hopper.h>
#else

#include <cuda.h>

namespace ba_sam::cuda {

// Describes a tensor in global memory to the TMA; made on the host by make_tensor_map (tensor_map.h), handed to a kernel
// as a __grid_constant__ parameter. The same 128 bytes as CUtensorMap.
using TensorMap = CUtensorMap;

// The block's dynamic shared memory, 1024-byte aligned, as swizzled tiles need it.
__device__ __forceinline__ uint8_t* dynamic_shared_1024() {
  extern __shared__ __align__(1024) unsigned char ba_sam_dynamic_shared_1024[];
  return ba_sam_dynamic_shared_1024;
}

// --- mbarriers: barriers in shared memory that also count bytes. A phase is complete when `arrivals` threads have arrived and
// every byte that was announced has been copied; then the next phase begins. Phases alternate between parity 0 and 1; the first
// has parity 0.

__device__ __forceinline__ void mbarrier_init(uint64_t* barrier, uint32_t arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
// After mbarrier_init, by the thread that called it and before the block's __syncthreads(): the TMA sees them, too.
__device__ __forceinline__ void mbarrier_init_fence() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async;" ::: "memory");
}
__device__ __forceinline__ void mbarrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
// Arrives, and announces `bytes` that copies to this barrier will bring in this phase.
__device__ __forceinline__ void mbarrier_arrive_expect_tx(uint64_t* barrier, uint32_t bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}
// Returns when the phase with this parity is complete: at once if the barrier is in the phase after it.
__device__ __forceinline__ void mbarrier_wait(uint64_t* barrier, uint32_t parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}

// After this thread's ordinary writes to shared memory (the generic proxy), before others are told that wgmma (the async proxy)
// may read them.
__device__ __forceinline__ void fence_proxy_async() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// --- Named barriers: of some of a block's threads, numbered 1 … 15 (0 is __syncthreads). `threads`: of sync and arrive
// together.

__device__ __forceinline__ void named_barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void named_barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// --- TMA copies. The box of `map` whose first element is at the coordinates (innermost first, may be negative or beyond the
// end: zeros arrive there), to `shared`; its full size counts on the barrier. One thread calls it.

__device__ __forceinline__ void prefetch_tensor_map(const TensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" ::"l"(&map) : "memory");
}

__device__ __forceinline__ void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1) {
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4}], [%2];" ::
          "r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1)
      : "memory");
}
__device__ __forceinline__ void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1, int c2,
                                         int c3) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
      "[%2];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
      : "memory");
}
__device__ __forceinline__ void tma_load(void* shared, const TensorMap& map, uint64_t* barrier, int c0, int c1, int c2,
                                         int c3, int c4) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6, "
      "%7}], [%2];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4)
      : "memory");
}

// --- Clusters: blocks that run at the same time, on neighbouring multiprocessors, and reach each other's shared memory. What
// is meant there lies as far from the start of the block's shared memory as the address that is given does here.

// This block's number in its cluster.
__device__ __forceinline__ uint32_t cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
}
// Waits for all threads of the cluster that have not left the kernel, as __syncthreads does for a block: before a block
// touches another one's barriers, which must be initialised, and before a block leaves that others may still touch.
__device__ __forceinline__ void cluster_sync() {
  __syncwarp();  // .aligned: whole warps
  asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
// mbarrier_arrive on the barrier of block `block`, which may be this one: says that products which this warp has waited for have
// read their tiles. Ordinary reads and writes are not ordered before it for other blocks: .release.cluster would, with a
// fence for the whole device before every arrival (MEMBAR.ALL.GPU).
__device__ __forceinline__ void mbarrier_arrive_cluster(uint64_t* barrier, uint32_t block) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(block)
      : "memory");
}
// Multicast: tma_load into each block whose bit is set in `blocks`, counting on that block's own barrier.
__device__ __forceinline__ void tma_load_multicast(void* shared, const TensorMap& map, uint64_t* barrier, int c0,
                                                   int c1, int c2, int c3, int c4, uint16_t blocks) {
  asm volatile(
      "cp.async.bulk.tensor.5d.shared::cluster.global.tile.mbarrier::complete_tx::bytes.multicast::cluster [%0], "
      "[%1, {%3, %4, %5, %6, %7}], [%2], %8;" ::"r"(shared_address(shared)),
      "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3), "r"(c4), "h"(blocks)
      : "memory");
}

// --- Registers of this warpgroup's threads from here on; the block's threads together must fit.
template <int kRegisters>
__device__ __forceinline__ void setmaxnreg_dec() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ __forceinline__ void setmaxnreg_inc() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

// --- wgmma: matrix products of a warpgroup. They run asynchronously, in order. Between a fence and the end of the wait for its
// group, a product's accumulators (and its A registers) must not be touched, and its shared tiles must not change.

// Before the first product after registers that it uses were written or read.
__device__ __forceinline__ void wgmma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// All but the newest kPending groups are done.
template <int kPending>
__device__ __forceinline__ void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Keeps the compiler from moving uses of accumulators across a fence or a wait, which do not name them; CUTLASS calls it
// warpgroup_fence_operand.
template <int kCount>
__device__ __forceinline__ void wgmma_pin(float (&d)[kCount][4]) {
#pragma unroll
  for (int n = 0; n < kCount; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) asm volatile("" : "+f"(d[n][i])::"memory");
  }
}

// The matrix descriptor of a tile of 16-bit numbers in shared memory as an operand; adding bytes / 16 to it moves its start.
//   K-major (the sum runs along a row): rows of one swizzle's length; stride: bytes from 8 rows to the next 8; leading: unused.
//   MN-major (the sum runs down the rows): stride: bytes from 8 rows to the next 8; leading: bytes from one swizzle's length
//   of columns to the next.
__device__ __forceinline__ uint64_t matrix_descriptor(const void* shared, uint32_t leading, uint32_t stride,
                                                      Swizzle swizzle) {
  const uint64_t layout = swizzle == Swizzle::bytes_128 ? 1 : 3;
  return static_cast<uint64_t>((shared_address(shared) & 0x3ffffu) >> 4) | static_cast<uint64_t>(leading >> 4) << 16 |
         static_cast<uint64_t>(stride >> 4) << 32 | layout << 62;
}

// d[64][8·kTiles] += a[64][16] · b[16][8·kTiles]; both K-major in shared memory.
template <typename T, int kTiles>
__device__ void wgmma_shared(float (&d)[kTiles][4], uint64_t a, uint64_t b);
// The same with `a` in registers (as mma_16x8x16 lays it out), and b MN-major.
template <typename T, int kTiles>
__device__ void wgmma_registers(float (&d)[kTiles][4], const uint32_t (&a)[4], uint64_t b);
// The first product into accumulators that hold nothing: d = a · b. Spares a move per accumulator that zeroes would take;
// no wgmma_pin before it.
template <typename T, int kTiles>
__device__ void wgmma_shared_first(float (&d)[kTiles][4], uint64_t a, uint64_t b);
template <typename T, int kTiles>
__device__ void wgmma_registers_first(float (&d)[kTiles][4], const uint32_t (&a)[4], uint64_t b);

// Accumulators as operands: c is "+f", or "=f" where nothing was in them.
#define BA_SAM_TILE(c, d, n) c(d[n][0]), c(d[n][1]), c(d[n][2]), c(d[n][3])
#define BA_SAM_TILES_8(c, d, n)                                                                       \
  BA_SAM_TILE(c, d, n), BA_SAM_TILE(c, d, n + 1), BA_SAM_TILE(c, d, n + 2), BA_SAM_TILE(c, d, n + 3), \
      BA_SAM_TILE(c, d, n + 4), BA_SAM_TILE(c, d, n + 5), BA_SAM_TILE(c, d, n + 6), BA_SAM_TILE(c, d, n + 7)
#define BA_SAM_D7(c)                                                                                            \
  BA_SAM_TILE(c, d, 0), BA_SAM_TILE(c, d, 1), BA_SAM_TILE(c, d, 2), BA_SAM_TILE(c, d, 3), BA_SAM_TILE(c, d, 4), \
      BA_SAM_TILE(c, d, 5), BA_SAM_TILE(c, d, 6)
#define BA_SAM_D7_LIST                                                                                              \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27}"
#define BA_SAM_D8(c) BA_SAM_TILES_8(c, d, 0)
#define BA_SAM_D8_LIST                                                                                              \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31}"
#define BA_SAM_D10(c) BA_SAM_TILES_8(c, d, 0), BA_SAM_TILE(c, d, 8), BA_SAM_TILE(c, d, 9)
#define BA_SAM_D10_LIST                                                                                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39}"
#define BA_SAM_D12(c) \
  BA_SAM_TILES_8(c, d, 0), BA_SAM_TILE(c, d, 8), BA_SAM_TILE(c, d, 9), BA_SAM_TILE(c, d, 10), BA_SAM_TILE(c, d, 11)
#define BA_SAM_D12_LIST                                                                                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "  \
  "%46, %47}"
#define BA_SAM_D14(c)                                                                                                \
  BA_SAM_TILES_8(c, d, 0), BA_SAM_TILE(c, d, 8), BA_SAM_TILE(c, d, 9), BA_SAM_TILE(c, d, 10), BA_SAM_TILE(c, d, 11), \
      BA_SAM_TILE(c, d, 12), BA_SAM_TILE(c, d, 13)
#define BA_SAM_D14_LIST                                                                                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "  \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55}"
#define BA_SAM_D16(c) BA_SAM_TILES_8(c, d, 0), BA_SAM_TILES_8(c, d, 8)
#define BA_SAM_D16_LIST                                                                                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "  \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define BA_SAM_D28(c)                                                                                \
  BA_SAM_TILES_8(c, d, 0), BA_SAM_TILES_8(c, d, 8), BA_SAM_TILES_8(c, d, 16), BA_SAM_TILE(c, d, 24), \
      BA_SAM_TILE(c, d, 25), BA_SAM_TILE(c, d, 26), BA_SAM_TILE(c, d, 27)
#define BA_SAM_D28_LIST                                                                                             \
  "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, "  \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, "  \
  "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, "  \
  "%90, %91, %92, %93, %94, %95, %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, "  \
  "%110, %111}"
// scale-d, a literal: 1 adds to the accumulators, 0 replaces them.
#define BA_SAM_WGMMA_SHARED(FUNCTION, C, SCALE, T, NAME, TILES, N, A, B)                                    \
  template <>                                                                                               \
  __device__ __forceinline__ void FUNCTION<T, TILES>(float(&d)[TILES][4], uint64_t a, uint64_t b) {         \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME " " BA_SAM_D##TILES##_LIST \
                 ", %" #A ", %" #B ", " #SCALE ", 1, 1, 0, 0;"                                              \
                 : BA_SAM_D##TILES(C)                                                                       \
                 : "l"(a), "l"(b));                                                                         \
  }
#define BA_SAM_WGMMA_REGISTERS(FUNCTION, C, SCALE, T, NAME, TILES, N, A0, A1, A2, A3, B)                       \
  template <>                                                                                                  \
  __device__ __forceinline__ void FUNCTION<T, TILES>(float(&d)[TILES][4], const uint32_t(&a)[4], uint64_t b) { \
    asm volatile("wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." NAME "." NAME " " BA_SAM_D##TILES##_LIST    \
                 ", {%" #A0 ", %" #A1 ", %" #A2 ", %" #A3 "}, %" #B ", " #SCALE ", 1, 1, 1;"                   \
                 : BA_SAM_D##TILES(C)                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b));                                        \
  }
#define BA_SAM_WGMMAS(T, NAME, SHARED, REGISTERS, C, SCALE)                       \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 10, 80, 40, 41)                  \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 12, 96, 48, 49)                  \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 14, 112, 56, 57)                 \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 16, 128, 64, 65)                 \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 7, 56, 28, 29)                   \
  BA_SAM_WGMMA_SHARED(SHARED, C, SCALE, T, NAME, 28, 224, 112, 113)               \
  BA_SAM_WGMMA_REGISTERS(REGISTERS, C, SCALE, T, NAME, 8, 64, 32, 33, 34, 35, 36) \
  BA_SAM_WGMMA_REGISTERS(REGISTERS, C, SCALE, T, NAME, 10, 80, 40, 41, 42, 43, 44)
BA_SAM_WGMMAS(bf16, "bf16", wgmma_shared, wgmma_registers, "+f", 1)
BA_SAM_WGMMAS(bf16, "bf16", wgmma_shared_first, wgmma_registers_first, "=f", 0)
BA_SAM_WGMMAS(f16, "f16", wgmma_shared, wgmma_registers, "+f", 1)
BA_SAM_WGMMAS(f16, "f16", wgmma_shared_first, wgmma_registers_first, "=f", 0)
#undef BA_SAM_WGMMAS
#undef BA_SAM_WGMMA_REGISTERS
#undef BA_SAM_WGMMA_SHARED

#undef BA_SAM_D16_LIST
#undef BA_SAM_D16
#undef BA_SAM_D14_LIST
#undef BA_SAM_D14
#undef BA_SAM_D12_LIST
#undef BA_SAM_D12
#undef BA_SAM_D10_LIST
#undef BA_SAM_D10
#undef BA_SAM_D8_LIST
#undef BA_SAM_D8
#undef BA_SAM_D28_LIST
#undef BA_SAM_D28
#undef BA_SAM_D7_LIST
#undef BA_SAM_D7
#undef BA_SAM_TILES_8
#undef BA_SAM_TILE

}  // namespace ba_sam::cuda
#endif
