// The emulated executor: that kernels compute what CUDA says, and that mistakes in them are found.
#include <cstring>
#include <ctime>
#include <vector>

#include "../../../native/backends/cuda/runtime.h"
#include "kernel_fixture.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;
using cuda::bf16;
using cuda::f16;

// --- what kernels compute

__global__ void block_sum(const float* in, float* out, int n) {
  __shared__ float partial[32];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) sum += in[blockIdx.x * n + i];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_down_sync(0xffffffffu, sum, step);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (threadIdx.x == 0) {
    float total = 0;
    for (unsigned w = 0; w < blockDim.x / 32; ++w) total += partial[w];
    out[blockIdx.x] = total;
  }
}

void test_block_sum() {
  const int blocks = 37, n = 1000;
  std::vector<float> values(blocks * n);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 17);
  for (const auto order : kOrders) {
    for (const int threads : {1, 3}) {
      emulation::reset(in_order(order, threads));
      OnDevice<float> in(values), out(blocks);
      counts.check(start(block_sum, blocks, 256, 0, in.data, out.data, n) == cudaSuccess, "block_sum runs");
      const auto sums = out.read();
      bool same = true;
      for (int b = 0; b < blocks; ++b) {
        float expected = 0;
        for (int i = 0; i < n; ++i) expected += values[static_cast<size_t>(b * n + i)];
        same = same && sums[static_cast<size_t>(b)] == expected;
      }
      counts.check(same, "block_sum");
    }
  }
}

__global__ void shuffles(int* out) {
  const int lane = static_cast<int>(threadIdx.x);
  int* own = out + lane * 12;
  own[0] = __shfl_sync(0xffffffffu, lane, 5);
  own[1] = __shfl_sync(0xffffffffu, lane, lane + 1);
  own[2] = __shfl_sync(0xffffffffu, lane, 2, 8);
  own[3] = __shfl_up_sync(0xffffffffu, lane, 3);
  own[4] = __shfl_up_sync(0xffffffffu, lane, 3, 16);
  own[5] = __shfl_down_sync(0xffffffffu, lane, 7);
  own[6] = __shfl_down_sync(0xffffffffu, lane, 7, 8);
  own[7] = __shfl_xor_sync(0xffffffffu, lane, 9);
  own[8] = static_cast<int>(__ballot_sync(0xffffffffu, lane % 3 == 0));
  own[9] = __any_sync(0xffffffffu, lane == 31) * 2 + __all_sync(0xffffffffu, lane < 31);
  own[10] = static_cast<int>(__shfl_xor_sync(0xffffffffu, static_cast<double>(lane), 1));
  own[11] = __shfl_xor_sync(0xffffffffu, lane, 12, 8);
}

void test_shuffles() {
  for (const auto order : kOrders) {
    emulation::reset(in_order(order));
    OnDevice<int> out(32 * 12);
    counts.check(start(shuffles, 1, 32, 0, out.data) == cudaSuccess, "shuffles run");
    const auto found = out.read();
    int ballot = 0;
    for (int lane = 0; lane < 32; lane += 3) ballot = static_cast<int>(static_cast<unsigned>(ballot) | 1u << lane);
    for (int lane = 0; lane < 32; ++lane) {
      const int expected[12] = {5, (lane + 1) % 32, lane / 8 * 8 + 2, lane < 3 ? lane : lane - 3,
                                lane % 16 < 3 ? lane : lane - 3, lane + 7 < 32 ? lane + 7 : lane,
                                lane % 8 == 0 ? lane + 7 : lane, lane ^ 9, ballot, 2, lane ^ 1,
                                // a lane of a later segment of 8 is out of range, one of an earlier segment is not
                                (lane ^ 12) < lane / 8 * 8 + 8 ? lane ^ 12 : lane};
      for (int i = 0; i < 12; ++i) {
        counts.check(found[static_cast<size_t>(lane * 12 + i)] == expected[i],
                     "shuffle " + std::to_string(i) + " of lane " + std::to_string(lane));
      }
    }
  }
}

template <typename T>
__global__ void one_mma(const T* a, const T* b, const float* c, float* d) {  // [16, 16], [16, 8], [16, 8]
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const auto pair = [](T low, T high) { return low.bits | static_cast<uint32_t>(high.bits) << 16; };
  uint32_t fragment[4];
  for (int i = 0; i < 4; ++i) {
    const T* at = a + (g + i % 2 * 8) * 16 + 2 * t + i / 2 * 8;
    fragment[i] = pair(at[0], at[1]);
  }
  const uint32_t b0 = pair(b[2 * t * 8 + g], b[(2 * t + 1) * 8 + g]);
  const uint32_t b1 = pair(b[(2 * t + 8) * 8 + g], b[(2 * t + 9) * 8 + g]);
  float sum[4];
  for (int i = 0; i < 4; ++i) sum[i] = c[(g + i / 2 * 8) * 8 + 2 * t + i % 2];
  cuda::mma_16x8x16<T>(sum, fragment, b0, b1, sum);
  for (int i = 0; i < 4; ++i) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = sum[i];
}

template <typename T>
void test_mma(const char* name) {
  emulation::reset(emulation::Settings{});
  test::Random random(7);
  std::vector<T> a(256), b(128);
  std::vector<float> c(128);
  for (T& x : a) x = cuda::from_float<T>(static_cast<float>(random.uniform(-2, 2)));
  for (T& x : b) x = cuda::from_float<T>(static_cast<float>(random.uniform(-2, 2)));
  for (float& x : c) x = static_cast<float>(random.uniform(-2, 2));
  OnDevice<T> a_device(a), b_device(b);
  OnDevice<float> c_device(c), d_device(128);
  counts.check(start(one_mma<T>, 1, 32, 0, a_device.data, b_device.data, c_device.data, d_device.data) == cudaSuccess,
               "mma runs");
  const auto d = d_device.read();
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      double expected = c[static_cast<size_t>(i * 8 + j)];
      for (int k = 0; k < 16; ++k) {
        expected += static_cast<double>(cuda::to_float(a[static_cast<size_t>(i * 16 + k)])) *
                    static_cast<double>(cuda::to_float(b[static_cast<size_t>(k * 8 + j)]));
      }
      const double error = std::fabs(expected - static_cast<double>(d[static_cast<size_t>(i * 8 + j)]));
      counts.check(error <= 1e-5, std::string("mma of ") + name);
    }
  }
}

__global__ void matrices(uint32_t* out, bool transposed) {
  auto* tile = reinterpret_cast<uint16_t*>(cuda::dynamic_shared());  // four matrices [8][8], rows 24 apart
  const int lane = static_cast<int>(threadIdx.x);
  for (int i = lane; i < 4 * 8 * 24; i += 32) tile[i] = static_cast<uint16_t>(i);
  __syncwarp();
  uint32_t r[4];
  if (transposed) {
    cuda::load_matrix_x4_transposed(r, tile + lane * 24);
  } else {
    cuda::load_matrix_x4(r, tile + lane * 24);
  }
  for (int i = 0; i < 4; ++i) out[lane * 4 + i] = r[i];
}

void test_load_matrix() {
  for (const bool transposed : {false, true}) {
    OnDevice<uint32_t> out(128);
    counts.check(start(matrices, 1, 32, 4 * 8 * 24 * 2, out.data, transposed) == cudaSuccess, "ldmatrix runs");
    const auto found = out.read();
    for (unsigned lane = 0; lane < 32; ++lane) {
      for (unsigned m = 0; m < 4; ++m) {
        const unsigned row = lane / 4, column = lane % 4 * 2, base = m * 8 * 24;
        const unsigned low = transposed ? base + column * 24 + row : base + row * 24 + column;
        const unsigned high = transposed ? base + (column + 1) * 24 + row : base + row * 24 + column + 1;
        counts.check(found[lane * 4 + m] == (low | high << 16), "ldmatrix");
      }
    }
  }
}

void test_conversions() {
  using cuda::from_float;
  using cuda::to_float;
  // All 16-bit values survive a round trip, NaN apart.
  bool f16_ok = true, bf16_ok = true;
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const f16 half{static_cast<uint16_t>(bits)};
    const bf16 brain{static_cast<uint16_t>(bits)};
    if ((bits & 0x7fffu) <= 0x7c00u) f16_ok = f16_ok && from_float<f16>(to_float(half)).bits == bits;
    if ((bits & 0x7fffu) <= 0x7f80u) bf16_ok = bf16_ok && from_float<bf16>(to_float(brain)).bits == bits;
  }
  counts.check(f16_ok, "f16 round trip");
  counts.check(bf16_ok, "bf16 round trip");
  // Ties go to even; what lies past a tie does not.
  counts.check(from_float<bf16>(0x1.01p0f).bits == 0x3f80 && from_float<bf16>(0x1.03p0f).bits == 0x3f82, "bf16 ties");
  counts.check(from_float<bf16>(0x1.010002p0f).bits == 0x3f81, "bf16 past a tie");
  counts.check(from_float<f16>(0x1.002p0f).bits == 0x3c00 && from_float<f16>(0x1.006p0f).bits == 0x3c02, "f16 ties");
  counts.check(from_float<f16>(0x1p-25f).bits == 0 && from_float<f16>(0x1.8p-24f).bits == 2, "f16 subnormal ties");
  counts.check(from_float<f16>(65519.0f).bits == 0x7bff && from_float<f16>(65520.0f).bits == 0x7c00, "f16 overflow");
  counts.check(to_float(from_float<f16>(-0.0f)) == 0 && from_float<f16>(-0.0f).bits == 0x8000, "f16 −0");
  const float nan = __uint_as_float(0x7fc00000u);
  counts.check(from_float<f16>(nan).bits == 0x7fff && from_float<bf16>(nan).bits == 0x7fff, "NaN");
  counts.check(cuda::pack2<bf16>(1.0f, 2.0f) == 0x40003f80u, "pack2: low half first");
  counts.check(cuda::exp2_fast(-INFINITY) == 0 && cuda::exp2_fast(-130.0f) == 0 && cuda::sqrt_fast(0.0f) == 0,
               "fast forms");
}

// --- asynchronous copies

// step 0: right. 1: without a wait. 2: without a barrier after the wait. 3: waits for a group too few.
__global__ void copies(const float* in, float* out, int step) {
  auto* tile = reinterpret_cast<float*>(cuda::dynamic_shared());
  const int i = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  cuda::copy_async_16(tile + 4 * i, in + 4 * i, true);
  cuda::copy_async_commit();
  cuda::copy_async_16(tile + 4 * (n + i), in, false);
  cuda::copy_async_commit();
  if (step == 3) cuda::copy_async_wait<2>();
  if (step == 0 || step == 2) cuda::copy_async_wait<1>();
  if (step != 2) __syncthreads();
  const int neighbour = (i + 1) % n;
  for (int j = 0; j < 4; ++j) out[4 * i + j] = tile[4 * neighbour + j];
  const bool early = tile[4 * (n + i)] != tile[4 * (n + i)];  // the newer group has not arrived
  cuda::copy_async_wait<0>();
  const bool zeros = tile[4 * (n + i)] == 0 && tile[4 * (n + i) + 3] == 0;
  if (!early || !zeros) out[4 * i] = -1;
}

void test_copies() {
  const int n = 64;
  std::vector<float> values(4 * n);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i + 1);
  for (int step = 0; step < 4; ++step) {
    int wrong = 0;
    for (const auto order : kOrders) {
      emulation::reset(in_order(order));
      OnDevice<float> in(values), out(values.size());
      counts.check(start(copies, 1, n, n * 32, in.data, out.data, step) == cudaSuccess, "copies run");
      const auto found = out.read();
      for (size_t i = 0; i < found.size(); ++i) wrong += !(found[i] == values[(i + 4) % values.size()]);
    }
    counts.check((wrong != 0) == (step != 0), "cp.async, step " + std::to_string(step) + ": " + std::to_string(wrong));
  }
}

// Fills a tile a second time. mode 0: when all have read it. 1: when this thread has. 2: before anybody has.
__global__ void reused_tile(const float* in, float* out, int mode) {
  auto* tile = reinterpret_cast<float*>(cuda::dynamic_shared());
  const int i = static_cast<int>(threadIdx.x), n = static_cast<int>(blockDim.x);
  const auto fill = [&](int round) { cuda::copy_async_16(tile + 4 * i, in + 4 * (round * n + i), true); };
  float sum = 0;
  fill(0);
  cuda::copy_async_commit();
  cuda::copy_async_wait<0>();
  if (mode == 2) fill(1);
  __syncthreads();
  for (int j = 0; j < 4 * n; ++j) sum += tile[j];
  if (mode != 1) __syncthreads();
  if (mode != 2) fill(1);
  cuda::copy_async_commit();
  cuda::copy_async_wait<0>();
  __syncthreads();
  for (int j = 0; j < 4 * n; ++j) sum += tile[j];
  out[i] = sum;
}

void test_reused_tile() {
  const int n = 64;
  std::vector<float> values(8 * n, 1.0f);
  for (size_t i = 4 * n; i < values.size(); ++i) values[i] = 2;
  for (int mode = 0; mode < 3; ++mode) {
    int wrong = 0;
    for (const auto order : kOrders) {
      emulation::reset(in_order(order));
      OnDevice<float> in(values), out(n);
      counts.check(start(reused_tile, 1, n, n * 16, in.data, out.data, mode) == cudaSuccess, "reused_tile runs");
      for (const float sum : out.read()) wrong += !(sum == 12 * n);
    }
    counts.check((wrong == 0) == (mode == 0),
                 "a tile filled again, mode " + std::to_string(mode) + ": " + std::to_string(wrong));
  }
}

// --- mistakes

__global__ void missing_barrier(float* out) {
  auto* shared = reinterpret_cast<float*>(cuda::dynamic_shared());
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  out[threadIdx.x] = shared[(threadIdx.x + 1) % blockDim.x];
}
__global__ void different_collectives(int* out) {
  if (threadIdx.x % 32 == 7) {
    out[0] = __shfl_xor_sync(0xffffffffu, 1, 1);
  } else {
    out[1] = __shfl_xor_sync(0xffffffffu, 2, 1);
  }
}
__global__ void leaving_lane() {
  if (threadIdx.x == 40) return;
  __syncwarp();
}
__global__ void late_lane() {
  if (threadIdx.x >= 32 && threadIdx.x != 63) return;
  __syncwarp();
}
__global__ void barrier_in_a_branch() {
  if (threadIdx.x < 32) __syncthreads();
  __syncwarp();
}
__global__ void two_barriers() {
  if (threadIdx.x < 32) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}
__global__ void lane_at_the_barrier() {
  if (threadIdx.x == 3) __syncthreads();
  __syncwarp();
  if (threadIdx.x != 3) __syncthreads();
}
__global__ void early_exit_is_fine(int* out) {
  if (threadIdx.x >= 32) return;
  __syncthreads();
  out[threadIdx.x] = 1;
}
__global__ void half_mask() {
  __syncwarp(0xffffu);
}
__global__ void partial_warp() {
  __syncwarp();
}
__global__ void misaligned_matrix() {
  uint32_t r[4];
  cuda::load_matrix_x4(r, cuda::dynamic_shared() + threadIdx.x * 16 + (threadIdx.x == 9 ? 2 : 0));
}
__global__ void matrix_outside() {
  uint32_t r[4];
  cuda::load_matrix_x4(r, cuda::dynamic_shared() + (threadIdx.x == 12 ? 512 : 0));
}
__global__ void misaligned_copy(const float* in) {
  cuda::copy_async_16(cuda::dynamic_shared(), in + 1, true);
}
template <typename Vector>
__global__ void misaligned_vector(float* memory, bool shared, bool write, int first) {
  float* at = (shared ? reinterpret_cast<float*>(cuda::dynamic_shared()) : memory) + (threadIdx.x == 3 ? first : 0);
  if (write) {
    *reinterpret_cast<Vector*>(at) = Vector{};
  } else {
    const Vector vector = *reinterpret_cast<const Vector*>(at);
    memory[16 + threadIdx.x] = vector.x + vector.y;
  }
}
__global__ void shared_overflow(int bytes) {
  if (threadIdx.x == 0) cuda::dynamic_shared()[bytes] = 1;
}

void test_mistakes() {
  emulation::reset(emulation::Settings{});
  int orders_that_show_it = 0;
  for (const auto order : kOrders) {
    emulation::reset(in_order(order));
    OnDevice<float> out(64);
    counts.check(start(missing_barrier, 1, 64, 256, out.data) == cudaSuccess, "missing_barrier runs");
    const auto found = out.read();
    for (size_t i = 0; i < 64; ++i) {
      if (!(found[i] == static_cast<float>((i + 1) % 64))) {
        ++orders_that_show_it;
        break;
      }
    }
  }
  counts.check(orders_that_show_it == 3, "a missing barrier shows");
  emulation::reset(emulation::Settings{});

  {
    OnDevice<int> out(32);
    expect_failure(start(different_collectives, 2, 64, 0, out.data),
                   {"different collectives", "lane 7", "__shfl_xor_sync", "emulation_test.cpp:", "block (0, 0, 0)"},
                   "different collectives");
    counts.check(start(early_exit_is_fine, 1, 64, 0, out.data) == cudaSuccess && out.read()[5] == 1, "warps may leave");
  }
  expect_failure(start(leaving_lane, 1, 64, 0), {"lane 8 leaves", "__syncwarp"}, "a lane leaves");
  expect_failure(start(late_lane, 1, 64, 0), {"__syncwarp", "has left the kernel", "thread (63, 0, 0)"}, "a late lane");
  expect_failure(start(lane_at_the_barrier, 1, 32, 0), {"for ever", "thread (3, 0, 0) in __syncthreads", "__syncwarp"},
                 "a lane at the barrier");
  counts.check(start(barrier_in_a_branch, 1, 64, 0) == cudaSuccess, "threads that have left are not waited for");
  expect_failure(start(two_barriers, 1, 64, 0), {"different barriers", "thread (0, 0, 0)"}, "two barriers");
  expect_failure(start(half_mask, 1, 32, 0), {"partial mask"}, "partial mask");
  expect_failure(start(partial_warp, 1, 40, 0), {"fewer than 32 threads", "thread (32, 0, 0)"}, "partial warp");
  expect_failure(start(misaligned_matrix, 1, 32, 1024), {"load_matrix", "thread (9, 0, 0)", "multiple of 16"},
                 "alignment");
  expect_failure(start(matrix_outside, 1, 32, 512), {"load_matrix", "thread (12, 0, 0)", "behind"}, "matrix outside");
  {
    OnDevice<float> in(8);
    expect_failure(start(misaligned_copy, 1, 1, 64, in.data), {"copy_async_16", "multiple of 16"}, "copy alignment");
  }
#if !defined(__SANITIZE_ADDRESS__)
  for (const bool shared : {false, true}) {
    for (const bool write : {false, true}) {
      OnDevice<float> memory(std::vector<float>(48, 1.0f));
      counts.check(start(misaligned_vector<float2>, 1, 32, 128, memory.data, shared, write, 2) == cudaSuccess &&
                       start(misaligned_vector<float4>, 1, 32, 128, memory.data, shared, write, 4) == cudaSuccess,
                   "aligned vectors: " + emulation::last_failure());
      expect_failure(start(misaligned_vector<float2>, 1, 32, 128, memory.data, shared, write, 1),
                     {"thread (3, 0, 0)", "emulation_test.cpp:", "float2", "multiple of 8"}, "a misaligned float2");
      expect_failure(start(misaligned_vector<float4>, 1, 32, 128, memory.data, shared, write, 2),
                     {"thread (3, 0, 0)", "float4", "multiple of 16"}, "a misaligned float4");
    }
  }
  expect_failure(start(shared_overflow, 3, 32, 100, 100), {"behind", "100 bytes"}, "shared overflow");
  expect_failure(start(shared_overflow, 3, 32, 100, -1), {"before", "100 bytes"}, "shared underflow");
#endif
  // A failed block leaves nothing behind for the next kernel.
  OnDevice<int> out(32 * 12);
  counts.check(start(shuffles, 1, 32, 0, out.data) == cudaSuccess, "kernels run after a failure and a reset");
}

// --- speed, for the record

__global__ void many_mma(float* out, int rounds) {
  float sum[4] = {0, 0, 0, 0};
  const uint32_t one = cuda::pack2<bf16>(1.0f, 1.0f);
  const uint32_t a[4] = {one, one, one, one};
  for (int i = 0; i < rounds; ++i) cuda::mma_16x8x16<bf16>(sum, a, one, one, sum);
  if (threadIdx.x == 0) out[blockIdx.x] = sum[0];
}

void test_speed() {
  const int rounds = 20000, blocks = 4;
  OnDevice<float> out(blocks);
  const std::clock_t before = std::clock();
  counts.check(start(many_mma, blocks, 128, 0, out.data, rounds) == cudaSuccess, "many_mma runs");
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  counts.check(out.read()[0] == 16.0f * rounds, "many_mma");
  std::printf("%.3f us of CPU time for the mma of a warp\n", seconds * 1e6 / (4.0 * blocks * rounds));
}

}  // namespace

int main() {
  test_block_sum();
  test_shuffles();
  test_mma<bf16>("bf16");
  test_mma<f16>("f16");
  test_load_matrix();
  test_conversions();
  test_copies();
  test_reused_tile();
  test_mistakes();
  test_speed();
  const auto leaks = emulation::live_objects();
  counts.check(leaks.total() == 0 && emulation::damage().empty(), "nothing left, nothing damaged");
  return counts.finish();
}
