// The emulated asynchronous operations of sm_90: that copies, barriers and products do what PTX says, as late as it allows,
// and that mistakes with them are found.
#include <cmath>
#include <cstdio>
#include <ctime>
#include <functional>

#include "../../../native/ops/attention/cuda/tensor_map.h"
#include "kernel_fixture.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;
using cuda::bf16;
using cuda::f16;
using cuda::Swizzle;
using cuda::TensorMap;
using cuda::TensorShape;

emulation::Settings on_hopper(emulation::Order order, uint64_t seed = 1) {
  emulation::Settings settings = in_order(order);
  settings.sm = 90;
  settings.seed = seed;
  return settings;
}

template <typename... Params, typename... Args>
cudaError_t start_with(size_t shared_bytes, void (*kernel)(Params...), dim3 grid, dim3 block, Args... args) {
  const cudaError_t error =
      cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(shared_bytes));
  return error != cudaSuccess ? error : start(kernel, grid, block, shared_bytes, args...);
}

template <typename T>
constexpr DType dtype_of() {
  return std::is_same_v<T, f16> ? DType::f16 : DType::bf16;
}

// Small integers: every product and every sum is exact.
template <typename T>
std::vector<T> integers(size_t count, uint64_t seed) {
  Random random(seed);
  std::vector<T> values(count);
  for (T& x : values) x = cuda::from_float<T>(static_cast<float>(random.integer(-4, 4)));
  return values;
}

// rows × columns numbers; a box takes some of each.
template <typename T>
TensorMap matrix_map(const T* data, int64_t rows, int64_t columns, int box_rows, int box_columns, Swizzle swizzle) {
  TensorShape shape;
  shape.data = data;
  shape.rank = 2;
  shape.sizes[0] = columns;
  shape.sizes[1] = rows;
  shape.strides[0] = 1;
  shape.strides[1] = columns;
  shape.box[0] = box_columns;
  shape.box[1] = box_rows;
  shape.swizzle = swizzle;
  return cuda::make_tensor_map(dtype_of<T>(), shape);
}

__device__ uint64_t* barriers_at(int offset) {
  return reinterpret_cast<uint64_t*>(cuda::dynamic_shared_1024() + offset);
}

// One barrier at `offset` that one thread arrives at, ready for everybody.
__device__ uint64_t* make_barrier(int offset, uint32_t arrivals = 1) {
  uint64_t* barrier = barriers_at(offset);
  if (threadIdx.x == 0) {
    cuda::mbarrier_init(barrier, arrivals);
    cuda::mbarrier_init_fence();
  }
  __syncthreads();
  return barrier;
}

template <int kTiles>
__device__ void start_values(float (&d)[kTiles][4]) {
  for (int n = 0; n < kTiles; ++n) {
    for (int i = 0; i < 4; ++i) d[n][i] = static_cast<float>(static_cast<int>(threadIdx.x) % 128 + 3 * n + i);
  }
}
float start_value(int row, int column) {
  const int thread = row / 16 * 32 + row % 8 * 4 + column % 8 / 2;
  return static_cast<float>(thread + 3 * (column / 8) + row % 16 / 8 * 2 + column % 2);
}

template <int kTiles>
__device__ void store(float* out, const float (&d)[kTiles][4]) {
  const int thread = static_cast<int>(threadIdx.x) % 128, g = thread / 32 * 16 + thread % 32 / 4, t = thread % 4;
  for (int n = 0; n < kTiles; ++n) {
    for (int i = 0; i < 4; ++i) out[(g + i / 2 * 8) * 8 * kTiles + 8 * n + 2 * t + i % 2] = d[n][i];
  }
}

// --- copies

__global__ void copy_box(const __grid_constant__ TensorMap map, uint32_t* out, int bytes, int rank, int4 at, int c4) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  uint64_t* barrier = make_barrier(bytes);
  if (threadIdx.x == 0) {
    cuda::prefetch_tensor_map(map);
    cuda::mbarrier_arrive_expect_tx(barrier, static_cast<uint32_t>(bytes));
    if (rank == 2) cuda::tma_load(shared, map, barrier, at.x, at.y);
    if (rank == 4) cuda::tma_load(shared, map, barrier, at.x, at.y, at.z, at.w);
    if (rank == 5) cuda::tma_load(shared, map, barrier, at.x, at.y, at.z, at.w, c4);
  }
  cuda::mbarrier_wait(barrier, 0);
  for (int i = static_cast<int>(threadIdx.x); i < bytes / 4; i += 64) {
    out[i] = reinterpret_cast<const uint32_t*>(shared)[i];
  }
}

struct BoxCase {
  int rank;
  int sizes[5], box[5], at[5];
  Swizzle swizzle;
};

void test_boxes() {
  const BoxCase cases[] = {
      {2, {64, 50}, {64, 16}, {0, 8}, Swizzle::bytes_128},
      {2, {72, 50}, {64, 24}, {16, 40}, Swizzle::bytes_128},  // beyond both ends
      {2, {72, 50}, {64, 24}, {-3, -5}, Swizzle::bytes_128},  // before both, at an odd place
      {2, {24, 9}, {16, 40}, {16, -20}, Swizzle::bytes_32},   // more rows than there are
      {2, {64, 50}, {64, 8}, {64, 0}, Swizzle::bytes_128},    // nothing of it
      {4, {80, 3, 7, 2}, {64, 1, 5, 2}, {0, 1, 4, 0}, Swizzle::bytes_128},
      {4, {80, 3, 7, 2}, {16, 1, 5, 2}, {64, 2, -2, 1}, Swizzle::bytes_32},
      {5, {64, 2, 6, 5, 2}, {64, 1, 4, 3, 1}, {0, 1, -1, 3, 1}, Swizzle::bytes_128},
      {5, {16, 2, 6, 5, 2}, {16, 2, 4, 3, 2}, {8, 0, 4, -2, 0}, Swizzle::bytes_32},
  };
  int number = 0;
  for (const BoxCase& c : cases) {
    for (const auto order : kOrders) {
      emulation::reset(on_hopper(order));
      TensorShape shape;
      shape.rank = c.rank;
      shape.swizzle = c.swizzle;
      int64_t stride = 1, rows = 1;
      for (int i = 0; i < c.rank; ++i) {
        shape.sizes[i] = c.sizes[i];
        shape.strides[i] = stride;
        shape.box[i] = c.box[i];
        stride *= c.sizes[i];
        if (i == 0) stride += 8;  // rows have something between them
        if (i > 0) rows *= c.box[i];
      }
      std::vector<bf16> values(static_cast<size_t>(stride));
      for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i + 1);
      OnDevice<bf16> data(values);
      shape.data = data.data;
      const TensorMap map = cuda::make_tensor_map(DType::bf16, shape);
      const int row_bytes = c.box[0] * 2, bytes = static_cast<int>(rows) * row_bytes;
      OnDevice<uint32_t> out(static_cast<size_t>(bytes) / 4);
      const int4 at = make_int4(c.at[0], c.at[1], c.at[2], c.at[3]);
      counts.check(start(copy_box, 1, 64, static_cast<size_t>(bytes) + 8, map, out.data, bytes, c.rank, at, c.at[4]) ==
                       cudaSuccess,
                   "copy_box runs: " + emulation::last_failure());
      const std::vector<uint32_t> words = out.read();
      const auto* found = reinterpret_cast<const uint16_t*>(words.data());
      int wrong = 0;
      for (int row = 0; row < rows; ++row) {
        int rest = row, index[5] = {};
        for (int i = 1; i < c.rank; ++i) {
          index[i] = c.at[i] + rest % c.box[i];
          rest /= c.box[i];
        }
        for (int x = 0; x < c.box[0]; ++x) {
          index[0] = c.at[0] + x;
          bool inside = true;
          int64_t element = 0;
          for (int i = 0; i < c.rank; ++i) {
            inside = inside && index[i] >= 0 && index[i] < c.sizes[i];
            element += index[i] * shape.strides[i];
          }
          const uint16_t expected = inside ? values[static_cast<size_t>(element)].bits : uint16_t{0};
          // Pieces of 16 bytes change places with the row's number (128 bytes), or every four rows (32 bytes).
          const int piece = c.swizzle == Swizzle::bytes_128 ? (x / 8) ^ (row % 8) : (x / 8) ^ (row / 4 % 2);
          wrong += found[row * row_bytes / 2 + piece * 8 + x % 8] != expected;
        }
      }
      counts.check(wrong == 0, "box " + std::to_string(number) + ": " + std::to_string(wrong) + " wrong numbers");
    }
    ++number;
  }
}

// --- products

constexpr int kDepth = 64;  // of K-major tests: one row of 128 bytes, or four tiles of 32

template <typename T, int kTiles, bool kNarrow>
__global__ void k_major(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* out) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  constexpr int kA = 64 * kDepth * 2, kB = 8 * kTiles * kDepth * 2;
  uint64_t* barrier = make_barrier(kA + kB);
  constexpr int kParts = kNarrow ? 4 : 1;
  if (threadIdx.x == 0) {
    cuda::mbarrier_arrive_expect_tx(barrier, kA + kB);
    for (int part = 0; part < kParts; ++part) {
      cuda::tma_load(shared + part * kA / kParts, a, barrier, 16 * part, 0);
      cuda::tma_load(shared + kA + part * kB / kParts, b, barrier, 16 * part, 0);
    }
  }
  cuda::mbarrier_wait(barrier, 0);
  float d[kTiles][4];
  start_values(d);
  cuda::wgmma_pin(d);
  cuda::wgmma_fence();
  for (int step = 0; step < 4; ++step) {
    uint64_t a_tile, b_tile;
    if constexpr (kNarrow) {
      a_tile = cuda::matrix_descriptor(shared + step * kA / 4, 16, 256, Swizzle::bytes_32);
      b_tile = cuda::matrix_descriptor(shared + kA + step * kB / 4, 16, 256, Swizzle::bytes_32);
    } else {
      a_tile = cuda::matrix_descriptor(shared, 16, 1024, Swizzle::bytes_128) + static_cast<uint64_t>(2 * step);
      b_tile = cuda::matrix_descriptor(shared + kA, 16, 1024, Swizzle::bytes_128) + static_cast<uint64_t>(2 * step);
    }
    cuda::wgmma_shared<T>(d, a_tile, b_tile);
  }
  cuda::wgmma_commit();
  cuda::wgmma_wait<0>();
  cuda::wgmma_pin(d);
  store(out, d);
}

template <typename T, int kTiles, bool kNarrow>
void test_k_major() {
  constexpr int kColumns = 8 * kTiles;
  const auto a = integers<T>(64 * kDepth, 1), b = integers<T>(kColumns * kDepth, 2);
  for (const auto order : kOrders) {
    emulation::reset(on_hopper(order));
    OnDevice<T> a_device(a), b_device(b);
    OnDevice<float> out(64 * kColumns);
    const int columns = kNarrow ? 16 : 64;
    const Swizzle swizzle = kNarrow ? Swizzle::bytes_32 : Swizzle::bytes_128;
    const TensorMap a_map = matrix_map(a_device.data, 64, kDepth, 64, columns, swizzle);
    const TensorMap b_map = matrix_map(b_device.data, kColumns, kDepth, kColumns, columns, swizzle);
    const size_t shared = (64 + kColumns) * kDepth * 2 + 8;
    counts.check(start_with(shared, k_major<T, kTiles, kNarrow>, 1, 128, a_map, b_map, out.data) == cudaSuccess,
                 "k_major runs: " + emulation::last_failure());
    const auto found = out.read();
    int wrong = 0;
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < kColumns; ++j) {
        float expected = start_value(i, j);
        for (int k = 0; k < kDepth; ++k) {
          expected += cuda::to_float(a[static_cast<size_t>(i * kDepth + k)]) *
                      cuda::to_float(b[static_cast<size_t>(j * kDepth + k)]);
        }
        wrong += !(found[static_cast<size_t>(i * kColumns + j)] == expected);
      }
    }
    counts.check(wrong == 0, "K-major, " + std::to_string(kColumns) + " columns, " + (kNarrow ? "32" : "128") +
                                 " bytes: " + std::to_string(wrong) + " wrong");
  }
}

constexpr int kKeys = 48;

template <typename T, int kTiles>  // 8: rows of 128 bytes; 10: five parts with rows of 32
__global__ void mn_major(const T* a, const __grid_constant__ TensorMap b, float* out) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  constexpr int kB = 8 * kTiles * kKeys * 2;
  uint64_t* barrier = make_barrier(kB);
  constexpr bool kNarrow = kTiles == 10;
  if (threadIdx.x == 0) {
    cuda::mbarrier_arrive_expect_tx(barrier, kB);
    if (kNarrow) {
      for (int part = 0; part < 5; ++part) cuda::tma_load(shared + part * kKeys * 32, b, barrier, 16 * part, 0);
    } else {
      cuda::tma_load(shared, b, barrier, 0, 0);
    }
  }
  const int thread = static_cast<int>(threadIdx.x), g = thread / 32 * 16 + thread % 32 / 4, t = thread % 4;
  uint32_t registers[kKeys / 16][4];
  for (int step = 0; step < kKeys / 16; ++step) {
    for (int i = 0; i < 4; ++i) {
      const T* at = a + (g + i % 2 * 8) * kKeys + step * 16 + 2 * t + i / 2 * 8;
      registers[step][i] = at[0].bits | static_cast<uint32_t>(at[1].bits) << 16;
    }
  }
  cuda::mbarrier_wait(barrier, 0);
  float d[kTiles][4];
  start_values(d);
  const uint64_t tile = kNarrow ? cuda::matrix_descriptor(shared, kKeys * 32, 256, Swizzle::bytes_32)
                                : cuda::matrix_descriptor(shared, 16, 1024, Swizzle::bytes_128);
  cuda::wgmma_fence();
  for (int step = 0; step < kKeys / 16; ++step) {
    cuda::wgmma_registers<T>(d, registers[step], tile + static_cast<uint64_t>(step * (kNarrow ? 32 : 128)));
  }
  cuda::wgmma_commit();
  cuda::wgmma_wait<0>();
  store(out, d);
}

template <typename T, int kTiles>
void test_mn_major() {
  constexpr int kColumns = 8 * kTiles;
  const auto a = integers<T>(64 * kKeys, 3), b = integers<T>(kKeys * kColumns, 4);
  for (const auto order : kOrders) {
    emulation::reset(on_hopper(order));
    OnDevice<T> a_device(a), b_device(b);
    OnDevice<float> out(64 * kColumns);
    const TensorMap map = kTiles == 10 ? matrix_map(b_device.data, kKeys, kColumns, kKeys, 16, Swizzle::bytes_32)
                                       : matrix_map(b_device.data, kKeys, kColumns, kKeys, 64, Swizzle::bytes_128);
    counts.check(
        start(mn_major<T, kTiles>, 1, 128, kKeys * kColumns * 2 + 8, a_device.data, map, out.data) == cudaSuccess,
        "mn_major runs: " + emulation::last_failure());
    const auto found = out.read();
    int wrong = 0;
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < kColumns; ++j) {
        float expected = start_value(i, j);
        for (int k = 0; k < kKeys; ++k) {
          expected += cuda::to_float(a[static_cast<size_t>(i * kKeys + k)]) *
                      cuda::to_float(b[static_cast<size_t>(k * kColumns + j)]);
        }
        wrong += !(found[static_cast<size_t>(i * kColumns + j)] == expected);
      }
    }
    counts.check(wrong == 0, "MN-major, " + std::to_string(kColumns) + " columns: " + std::to_string(wrong) + " wrong");
  }
}

// --- a pipeline: a producer, two consumer warpgroups, two stages

// What is wrong with it.
enum Fault {
  kNone,
  kNoWaitForFull,
  kNoWaitForEmpty,
  kReleasedTooEarly,  // before the product has read it
  kReleasedByOne,     // the other warpgroup may still need it
  kReadTooEarly,      // the newest group is pending when its accumulators are read
  kWrongParity,
  kNoPingpong,
};

constexpr int kStageBytes = (128 + 80) * 64 * 2;
constexpr int kStages = 2;
constexpr int kPipelineShared = kStages * kStageBytes + 64;

// out[128][80] += a[128][64 · steps] · b[80][64 · steps]ᵀ, and `order`: which warpgroup issued when
__global__ void pipeline(const __grid_constant__ TensorMap a, const __grid_constant__ TensorMap b, float* out,
                         int* order, int steps, int fault) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  uint64_t *full = barriers_at(kStages * kStageBytes), *empty = full + kStages;
  if (threadIdx.x == 0) {
    for (int stage = 0; stage < kStages; ++stage) {
      cuda::mbarrier_init(full + stage, 1);
      cuda::mbarrier_init(empty + stage, fault == kReleasedByOne ? 4 : 8);
    }
    cuda::mbarrier_init_fence();
  }
  __syncthreads();
  if (threadIdx.x < 128) {
    cuda::setmaxnreg_dec<24>();
    if (threadIdx.x != 0) return;
    for (int step = 0; step < steps; ++step) {
      const int stage = step % kStages;
      const auto parity = static_cast<uint32_t>(step / kStages % 2);
      if (fault != kNoWaitForEmpty) cuda::mbarrier_wait(empty + stage, parity ^ 1);
      cuda::mbarrier_arrive_expect_tx(full + stage, kStageBytes);
      cuda::tma_load(shared + stage * kStageBytes, a, full + stage, 64 * step, 0);
      cuda::tma_load(shared + stage * kStageBytes + 128 * 128, b, full + stage, 64 * step, 0);
    }
    return;
  }
  cuda::setmaxnreg_inc<240>();
  const int group = static_cast<int>(threadIdx.x) / 128 - 1;
  float d[10][4];
  for (auto& tile : d) {
    for (float& x : tile) x = 0;
  }
  const auto release = [&](int stage) {
    __syncwarp();
    if (threadIdx.x % 32 == 0 && (fault != kReleasedByOne || group == 0)) cuda::mbarrier_arrive(empty + stage);
  };
  if (group == 1 && fault != kNoPingpong) cuda::named_barrier_arrive(1, 256);
  for (int step = 0; step < steps; ++step) {
    const int stage = step % kStages;
    auto parity = static_cast<uint32_t>(step / kStages % 2);
    if (fault == kWrongParity) parity ^= 1;
    if (fault != kNoWaitForFull) cuda::mbarrier_wait(full + stage, parity);
    const uint8_t* tile = shared + stage * kStageBytes;
    const uint64_t a_tile = cuda::matrix_descriptor(tile + group * 64 * 128, 16, 1024, Swizzle::bytes_128);
    const uint64_t b_tile = cuda::matrix_descriptor(tile + 128 * 128, 16, 1024, Swizzle::bytes_128);
    if (fault != kNoPingpong) cuda::named_barrier_sync(1 + group, 256);
    if (threadIdx.x % 128 == 0) order[atomicAdd(order, 1) + 1] = group;
    cuda::wgmma_fence();
    for (uint64_t k = 0; k < 4; ++k) cuda::wgmma_shared<bf16>(d, a_tile + 2 * k, b_tile + 2 * k);
    cuda::wgmma_commit();
    if (fault != kNoPingpong) cuda::named_barrier_arrive(1 + (group + 1) % 2, 256);
    if (fault == kReleasedTooEarly) {
      release(stage);
    } else {
      cuda::wgmma_wait<1>();
      if (step > 0) release((step - 1) % kStages);
    }
  }
  if (fault == kReadTooEarly) cuda::wgmma_wait<1>();
  if (fault == kReadTooEarly) store(out + group * 64 * 80, d);
  cuda::wgmma_wait<0>();
  if (fault != kReadTooEarly) store(out + group * 64 * 80, d);
}

void test_pipeline() {
  const int steps = 5;
  const auto a = integers<bf16>(128 * 64 * steps, 5), b = integers<bf16>(80 * 64 * steps, 6);
  std::vector<float> expected(128 * 80, 0.0f);
  for (size_t i = 0; i < 128; ++i) {
    for (size_t j = 0; j < 80; ++j) {
      for (size_t k = 0; k < 64 * steps; ++k) {
        expected[i * 80 + j] += cuda::to_float(a[i * 64 * steps + k]) * cuda::to_float(b[j * 64 * steps + k]);
      }
    }
  }
  const char* names[] = {"no fault",        "no wait for full", "no wait for empty", "released too early",
                         "released by one", "read too early",   "wrong parity",      "no ping-pong"};
  for (int fault = kNone; fault <= kNoPingpong; ++fault) {
    int runs = 0, bad = 0;
    for (const auto order : kOrders) {
      for (const uint64_t seed : {1, 2, 3, 4}) {
        if (order != emulation::Order::random && seed != 1) continue;
        emulation::reset(on_hopper(order, seed));
        OnDevice<bf16> a_device(a), b_device(b);
        OnDevice<float> out(expected.size());
        OnDevice<int> groups(std::vector<int>(2 * steps + 1, 0));
        const TensorMap a_map = matrix_map(a_device.data, 128, 64 * steps, 128, 64, Swizzle::bytes_128);
        const TensorMap b_map = matrix_map(b_device.data, 80, 64 * steps, 80, 64, Swizzle::bytes_128);
        const cudaError_t error =
            start_with(kPipelineShared, pipeline, 1, 384, a_map, b_map, out.data, groups.data, steps, fault);
        bool good = error == cudaSuccess;
        if (good) {
          const auto found = out.read();
          const auto order_found = groups.read();
          for (size_t i = 0; i < expected.size(); ++i) good = good && found[i] == expected[i];
          for (size_t i = 0; i < 2 * steps; ++i) good = good && order_found[i + 1] == static_cast<int>(i % 2);
        }
        if (fault == kNone) counts.check(good, "pipeline: " + emulation::last_failure());
        ++runs;
        bad += !good;
        emulation::reset(on_hopper(order));
      }
    }
    const std::string what = std::string("pipeline with ") + names[fault] + ": " + std::to_string(bad) + " of " +
                             std::to_string(runs) + " bad";
    counts.check((bad != 0) == (fault != kNone), what);
    std::printf("%s\n", what.c_str());
  }
}

// --- products of what threads have written

// unfenced: the first or second time that it is written.
__global__ void written_tile(const bf16* a, const bf16* b, float* out, int unfenced) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  float d[8][4];
  start_values(d);
  for (int time = 1; time <= 2; ++time) {
    for (int i = static_cast<int>(threadIdx.x); i < 128 * 16; i += 128) {
      const int row = i / 16, x = i % 16;
      const bf16 value = row < 64 ? a[i] : b[(time - 2) * 64 * 16 + i];
      reinterpret_cast<bf16*>(shared)[row * 16 + ((x / 8) ^ (row / 4 % 2)) * 8 + x % 8] = value;
    }
    if (time != unfenced) cuda::fence_proxy_async();
    __syncthreads();
    cuda::wgmma_fence();
    for (int i = 0; i < time; ++i) {
      cuda::wgmma_shared<bf16>(d, cuda::matrix_descriptor(shared, 16, 256, Swizzle::bytes_32),
                               cuda::matrix_descriptor(shared + 64 * 32, 16, 256, Swizzle::bytes_32));
    }
    cuda::wgmma_commit();
    cuda::wgmma_wait<0>();
    __syncthreads();
  }
  store(out, d);
}

void test_written_tile() {
  const auto a = integers<bf16>(64 * 16, 7), b = integers<bf16>(2 * 64 * 16, 8);
  for (const auto order : kOrders) {
    emulation::reset(on_hopper(order));
    OnDevice<bf16> a_device(a), b_device(b);
    OnDevice<float> out(64 * 64);
    counts.check(start(written_tile, 1, 128, 128 * 32, a_device.data, b_device.data, out.data, 0) == cudaSuccess,
                 "written_tile runs: " + emulation::last_failure());
    const auto found = out.read();
    bool same = true;
    for (int i = 0; i < 64; ++i) {
      for (int j = 0; j < 64; ++j) {
        float expected = start_value(i, j);
        for (int k = 0; k < 16; ++k) {
          expected += cuda::to_float(a[static_cast<size_t>(i * 16 + k)]) *
                      (cuda::to_float(b[static_cast<size_t>(j * 16 + k)]) +
                       2 * cuda::to_float(b[static_cast<size_t>((64 + j) * 16 + k)]));
        }
        same = same && found[static_cast<size_t>(i * 64 + j)] == expected;
      }
    }
    counts.check(same, "a product of what threads wrote");
    for (const int time : {1, 2}) {
      emulation::reset(on_hopper(order));
      expect_failure(start(written_tile, 1, 128, 128 * 32, a_device.data, b_device.data, out.data, time),
                     {"wgmma_shared", "without fence_proxy_async"}, "written without a fence");
    }
  }
}

// --- mistakes with barriers and copies

// Bytes 0 … 2047: a tile of 16 rows; 2048: a barrier for one arrival; 2056: another one, without a fence; 2064: none.
enum class Mistake {
  none,
  uninitialised,
  misaligned_barrier,
  not_shared,
  no_arrivals,
  twice_initialised,
  overwritten,
  too_many_arrivals,
  no_fence,
  unaligned_tile,
  swizzle_alignment,
  beyond_shared,
  too_few_announced,
  announced_to_late,
  too_many_announced,
  wrong_rank,
  no_map,
  no_wait,
  same_place,
  bad_parity,
  read_before_wait,
};

__global__ void copy_mistakes(const __grid_constant__ TensorMap map, uint32_t* out, Mistake mistake) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  uint64_t* barrier = barriers_at(2048);
  if (threadIdx.x == 0) {
    cuda::mbarrier_init(barrier, 1);
    if (mistake == Mistake::twice_initialised) cuda::mbarrier_init(barrier, 1);
    cuda::mbarrier_init_fence();
    cuda::mbarrier_init(barrier + 1, mistake == Mistake::no_arrivals ? 0 : 1);
  }
  __syncthreads();
  uint32_t bytes = 2048;
  if (mistake == Mistake::too_few_announced) bytes = 1024;
  if (mistake == Mistake::too_many_announced) bytes = 4096;
  if (threadIdx.x == 0) {
    uint8_t* to = shared;
    uint64_t* used = barrier;
    uint64_t local = 0;
    if (mistake == Mistake::uninitialised) used = barrier + 2;
    if (mistake == Mistake::misaligned_barrier) used = reinterpret_cast<uint64_t*>(shared + 2052);
    if (mistake == Mistake::not_shared) used = &local;
    if (mistake == Mistake::no_fence) used = barrier + 1;
    if (mistake == Mistake::unaligned_tile) to += 16;
    if (mistake == Mistake::swizzle_alignment) to += 128;
    if (mistake == Mistake::beyond_shared) to += 1024;
    if (mistake == Mistake::overwritten) shared[2050] = 1;
    TensorMap copy = map;
    if (mistake == Mistake::no_map) copy.signature = 0;
    if (mistake == Mistake::announced_to_late) {
      cuda::tma_load(to, map, used, 0, 0);
      cuda::mbarrier_arrive(used);
    }
    cuda::mbarrier_arrive_expect_tx(used, bytes);
    if (mistake == Mistake::wrong_rank) cuda::tma_load(to, map, used, 0, 0, 0, 0);
    cuda::tma_load(to, copy, used, 0, 0);
    if (mistake == Mistake::too_many_arrivals) cuda::mbarrier_arrive(used);
    if (mistake == Mistake::same_place) {
      cuda::mbarrier_init_fence();
      cuda::tma_load(to, copy, barrier + 1, 0, 0);
    }
  }
  if (mistake == Mistake::read_before_wait) out[64 + threadIdx.x] = reinterpret_cast<uint32_t*>(shared)[threadIdx.x];
  if (mistake != Mistake::no_wait) cuda::mbarrier_wait(barrier, mistake == Mistake::bad_parity ? 2 : 0);
  out[threadIdx.x] = reinterpret_cast<uint32_t*>(shared)[threadIdx.x];
}

void test_copy_mistakes() {
  struct Case {
    Mistake mistake;
    std::vector<std::string> parts;
  };
  const Case cases[] = {
      {Mistake::uninitialised,
       {"mbarrier_arrive_expect_tx", "not initialised", "thread (0, 0, 0)", "hopper_test.cpp:"}},
      {Mistake::misaligned_barrier, {"multiple of 8"}},
      {Mistake::not_shared, {"mbarrier_arrive_expect_tx", "its barrier is not"}},
      {Mistake::no_arrivals, {"mbarrier_init", "0 arrivals"}},
      {Mistake::twice_initialised, {"mbarrier_init", "already"}},
      {Mistake::overwritten, {"written over its barrier"}},
      {Mistake::too_many_arrivals, {"mbarrier_arrive", "more arrivals than the 1"}},
      {Mistake::no_fence, {"tma_load", "without mbarrier_init_fence"}},
      {Mistake::unaligned_tile, {"tma_load", "multiple of 128"}},
      {Mistake::swizzle_alignment, {"tma_load", "multiple of 1024"}},
      {Mistake::beyond_shared, {"tma_load", "2048 bytes reach behind"}},
      {Mistake::too_few_announced, {"tma_load", "brings 2048 bytes", "waits for 1024"}},
      {Mistake::announced_to_late, {"mbarrier_arrive", "bring 2048 bytes", "0 were announced"}},
      {Mistake::too_many_announced, {"for ever", "mbarrier_wait", "parity 0", "0 arrivals and 2048 bytes"}},
      {Mistake::wrong_rank, {"tma_load", "4 coordinates", "rank 2"}},
      {Mistake::no_map, {"tma_load", "make_tensor_map"}},
      {Mistake::no_wait, {"1 tma_load", "nobody waited"}},
      {Mistake::same_place, {"tma_load", "same place"}},
      {Mistake::bad_parity, {"mbarrier_wait", "parity 2"}},
  };
  const auto values = integers<bf16>(16 * 64, 9);
  for (const auto order : kOrders) {
    for (const Case& c : cases) {
      emulation::reset(on_hopper(order));
      OnDevice<bf16> data(values);
      OnDevice<uint32_t> out(128);
      const TensorMap map = matrix_map(data.data, 16, 64, 16, 64, Swizzle::bytes_128);
      expect_failure(start(copy_mistakes, 1, 64, 2072, map, out.data, c.mistake), c.parts,
                     "copies, mistake " + std::to_string(static_cast<int>(c.mistake)));
    }
    emulation::reset(on_hopper(order));
    OnDevice<bf16> data(values);
    OnDevice<uint32_t> out(128);
    const TensorMap map = matrix_map(data.data, 16, 64, 16, 64, Swizzle::bytes_128);
    counts.check(start(copy_mistakes, 1, 64, 2072, map, out.data, Mistake::none) == cudaSuccess, "copy_mistakes runs");
    // Before the wait nobody finds the data: what was there, or what stands for bytes on their way.
    counts.check(start(copy_mistakes, 1, 64, 2072, map, out.data, Mistake::read_before_wait) == cudaSuccess, "runs");
    const auto found = out.read();
    bool nothing = true;
    for (size_t i = 64; i < 128; ++i) {
      nothing = nothing && (found[i] == emulation::kInFlight || found[i] == emulation::kUnwritten);
    }
    counts.check(nothing, "a read before the wait");
    // Maps are copied bytes: the memory may be gone when they are used.
    TensorMap stale;
    {
      OnDevice<bf16> gone(values);
      stale = matrix_map(gone.data, 16, 64, 16, 64, Swizzle::bytes_128);
    }
    expect_failure(start(copy_mistakes, 1, 64, 2072, stale, out.data, Mistake::none), {"tma_load", "one allocation"},
                   "a map of freed memory");
    emulation::reset(on_hopper(order));
    const TensorMap large = matrix_map(data.data, 17, 64, 16, 64, Swizzle::bytes_128);
    expect_failure(start(copy_mistakes, 1, 64, 2072, large, out.data, Mistake::none), {"tma_load", "one allocation"},
                   "a tensor larger than its memory");
    emulation::reset(in_order(order));
    expect_failure(start(copy_mistakes, 1, 64, 2072, map, out.data, Mistake::none), {"mbarrier_init", "9.0", "8.0"},
                   "sm_80");
  }
}

// Arrivals without copies: `arrivals` threads release the others, twice.
__global__ void arrivals(int* out, uint32_t count) {
  uint64_t* barrier = make_barrier(0, count);
  for (uint32_t phase = 0; phase < 3; ++phase) {
    if (threadIdx.x < 3) {
      out[3 * phase + threadIdx.x] = 1;
      cuda::mbarrier_arrive(barrier);
    }
    cuda::mbarrier_wait(barrier, phase & 1);
    if (threadIdx.x >= 3) {
      for (uint32_t i = 0; i < 3; ++i) {
        if (out[3 * phase + i] != 1) out[9] = 1;
      }
    }
    __syncthreads();
  }
}

void test_arrivals() {
  for (const auto order : kOrders) {
    emulation::reset(on_hopper(order));
    OnDevice<int> out(std::vector<int>(10, 0));
    counts.check(start(arrivals, 1, 40, 8, out.data, 3) == cudaSuccess, "arrivals: " + emulation::last_failure());
    counts.check(out.read()[9] == 0, "a phase begins with its last arrival");
    expect_failure(start(arrivals, 1, 40, 8, out.data, 4),
                   {"for ever", "mbarrier_wait", "parity 0", "1 arrival of barrier 0"}, "an arrival too few");
  }
}

// --- named barriers

enum class NamedMistake { none, number, part_of_a_warp, other_count, twice, missing, lanes, left };

__global__ void named(int* out, NamedMistake mistake) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int id = mistake == NamedMistake::number ? 16 : 3;
  const int threads = mistake == NamedMistake::part_of_a_warp ? 40 : 96;
  if (warp == 0) {
    out[threadIdx.x] = 1;
    if (mistake == NamedMistake::lanes && threadIdx.x == 5) return;
    if (mistake == NamedMistake::left && threadIdx.x >= 16) {
      cuda::named_barrier_arrive(4, threads);
    } else {
      cuda::named_barrier_arrive(id, threads);
    }
    if (mistake == NamedMistake::twice) cuda::named_barrier_arrive(id, threads);
  } else if (warp == 1 || mistake != NamedMistake::missing) {
    cuda::named_barrier_sync(id, mistake == NamedMistake::other_count && warp == 2 ? 128 : threads);
    for (int i = 0; i < 32; ++i) {
      if (out[i] != 1) out[32] = 1;
    }
  }
}

void test_named_barriers() {
  const std::pair<NamedMistake, std::vector<std::string>> cases[] = {
      {NamedMistake::number, {"named_barrier", "16, not 1"}},
      {NamedMistake::part_of_a_warp, {"named_barrier", "40 threads, not whole warps"}},
      {NamedMistake::other_count, {"named_barrier", "barrier 3", "128", "96"}},
      {NamedMistake::missing, {"for ever", "named_barrier_sync", "barrier 3, where 64 of 96 threads"}},
      {NamedMistake::lanes, {"named_barrier_arrive", "lane"}},
      {NamedMistake::left, {"different collectives"}},
  };
  for (const auto order : kOrders) {
    for (const auto& [mistake, parts] : cases) {
      emulation::reset(on_hopper(order));
      OnDevice<int> out(std::vector<int>(33, 0));
      expect_failure(start(named, 1, 96, 0, out.data, mistake), parts,
                     "named barriers, mistake " + std::to_string(static_cast<int>(mistake)));
    }
    emulation::reset(on_hopper(order));
    OnDevice<int> out(std::vector<int>(33, 0));
    counts.check(start(named, 1, 96, 0, out.data, NamedMistake::none) == cudaSuccess,
                 "named: " + emulation::last_failure());
    counts.check(out.read()[32] == 0, "what was written before an arrival is seen after the barrier");
    // A second arrival of a warp counts for somebody else, if it comes before the barrier has opened.
    const cudaError_t error = start(named, 1, 96, 0, out.data, NamedMistake::twice);
    if (order == emulation::Order::forward) expect_failure(error, {"arrived at barrier 3 already"}, "arriving twice");
  }
}

// --- mistakes with products

enum class ProductMistake {
  none,
  no_fence,
  fence_before_commit,
  no_commit,
  no_wait,
  changed_accumulator,
  changed_registers,
  overlapping,
  other_place,
  other_descriptor,
  stride,
  leading,
  start_row,
  crossing,
  beyond_shared,
  left,
  leaves_early,
  registers,
  other_accumulator,
  chained_change,
  in_flight,
  written_unfenced,
};

__global__ void product_mistakes(const __grid_constant__ TensorMap map, float* out, ProductMistake mistake) {
  using M = ProductMistake;
  uint8_t* shared = cuda::dynamic_shared_1024();
  uint64_t* barrier = make_barrier(16384);
  const int thread = static_cast<int>(threadIdx.x);
  cuda::fence_proxy_async();
  __syncthreads();
  if (thread == 0) {
    cuda::mbarrier_arrive_expect_tx(barrier, 16384);
    cuda::tma_load(shared, map, barrier, 0, 0);
  }
  if (mistake != M::in_flight) cuda::mbarrier_wait(barrier, 0);
  if (mistake == M::written_unfenced && thread == 9) shared[4099] ^= 1;
  if (mistake == M::registers) cuda::setmaxnreg_inc<240>();
  if (mistake == M::left && thread == 77) return;
  float d[11][4], e[10][4];
  start_values(d);
  start_values(e);
  auto& sums = *reinterpret_cast<float(*)[10][4]>(d);
  uint32_t a[4] = {0, 0, 0, 0};
  uint64_t tile = cuda::matrix_descriptor(shared, 16, mistake == M::stride ? 512 : 1024, Swizzle::bytes_128);
  if (mistake == M::start_row) tile += 128 / 16;
  if (mistake == M::crossing) tile += 112 / 16;
  if (mistake == M::beyond_shared) tile += 8192 / 16;
  if (mistake == M::other_descriptor && thread == 101) tile += 2;
  if (mistake != M::no_fence) cuda::wgmma_fence();
  if (mistake == M::fence_before_commit) cuda::wgmma_commit();
  if (mistake == M::other_place && thread >= 96) {
    cuda::wgmma_shared<bf16>(sums, tile, tile);
  } else if (mistake == M::leading) {
    cuda::wgmma_registers<bf16>(sums, a, cuda::matrix_descriptor(shared, 128, 1024, Swizzle::bytes_128));
  } else {
    cuda::wgmma_shared<bf16>(mistake == M::other_accumulator && thread == 3 ? e : sums, tile, tile);
  }
  if (mistake == M::leaves_early && thread == 20) return;
  if (mistake == M::chained_change && thread == 64) d[9][3] = 0;
  if (mistake == M::chained_change || mistake == M::other_accumulator) cuda::wgmma_shared<bf16>(sums, tile, tile);
  if (mistake == M::changed_registers || mistake == M::none) {
    cuda::wgmma_registers<bf16>(e, a, cuda::matrix_descriptor(shared, 2048, 1024, Swizzle::bytes_128));
  }
  if (mistake == M::overlapping) {
    cuda::wgmma_shared<bf16>(*reinterpret_cast<float(*)[10][4]>(d + 1), tile, tile);
  }
  if (mistake == M::no_commit) return;
  cuda::wgmma_commit();
  if (mistake == M::changed_accumulator && thread == 64) d[3][1] += 1;
  if (mistake == M::changed_registers && thread == 64) a[2] = 1;
  if (mistake == M::no_wait) return;
  cuda::wgmma_wait<0>();
  store(out, sums);
}

__global__ void leaving_thread(unsigned thread) {
  if (threadIdx.x == thread) return;
  cuda::wgmma_fence();
}

void test_product_mistakes() {
  using M = ProductMistake;
  const std::pair<M, std::vector<std::string>> cases[] = {
      {M::no_fence, {"wgmma_shared without a wgmma_fence"}},
      {M::fence_before_commit, {"wgmma_shared without a wgmma_fence"}},
      {M::no_commit, {"leaves the kernel", "its product (hopper_test.cpp:", "no wgmma_commit"}},
      {M::no_wait, {"leaves the kernel", "its product (hopper_test.cpp:", "no wgmma_wait"}},
      {M::changed_accumulator, {"thread (64, 0, 0)", "accumulators", "changed before this wait"}},
      {M::changed_registers, {"thread (64, 0, 0)", "A registers of wgmma_registers", "changed before this wait"}},
      {M::overlapping, {"wgmma_shared", "overlap"}},
      {M::other_place, {"threads of one warpgroup are at different collectives", "wgmma_shared"}},
      {M::other_descriptor, {"wgmma_shared", "other descriptors"}},
      {M::stride, {"wgmma_shared", "K-major", "stride of 512", "1024"}},
      {M::leading, {"wgmma_registers", "MN-major", "leading stride of 128", "1024"}},
      {M::start_row, {"wgmma_shared", "first row of 8"}},
      {M::crossing, {"wgmma_shared", "leaves the row"}},
      {M::beyond_shared, {"wgmma_shared", "reaches to byte"}},
      {M::left, {"thread (77, 0, 0)"}},
      {M::leaves_early, {"thread (20, 0, 0)", "leaves the kernel"}},
      {M::registers, {"setmaxnreg_inc", "more than 65536"}},
      {M::other_accumulator, {"wgmma_shared", "uses other accumulators"}},
      {M::chained_change, {"thread (64, 0, 0)", "accumulators were changed"}},
      {M::in_flight, {"wgmma_shared", "a copy has not arrived"}},
      {M::written_unfenced, {"wgmma_shared", "without fence_proxy_async"}},
  };
  const auto values = integers<bf16>(128 * 64, 10);
  for (const auto order : kOrders) {
    for (const auto& [mistake, parts] : cases) {
      emulation::reset(on_hopper(order));
      OnDevice<bf16> data(values);
      OnDevice<float> out(64 * 80);
      const TensorMap map = matrix_map(data.data, 128, 64, 128, 64, Swizzle::bytes_128);
      const int threads = mistake == M::registers ? 384 : 128;
      expect_failure(start(product_mistakes, 1, threads, 16392, map, out.data, mistake), parts,
                     "products, mistake " + std::to_string(static_cast<int>(mistake)));
    }
    emulation::reset(on_hopper(order));
    OnDevice<bf16> data(values);
    OnDevice<float> out(64 * 80);
    const TensorMap map = matrix_map(data.data, 128, 64, 128, 64, Swizzle::bytes_128);
    counts.check(start(product_mistakes, 1, 128, 20488, map, out.data, M::none) == cudaSuccess,
                 "product_mistakes runs: " + emulation::last_failure());
    expect_failure(start(product_mistakes, 1, 96, 16392, map, out.data, M::none), {"fewer than 128 threads"},
                   "three warps");
    emulation::reset(on_hopper(order));
    if (order == emulation::Order::random) continue;
    const bool forward = order == emulation::Order::forward;
    expect_failure(start(leaving_thread, 1, 128, 0, forward ? 0u : 127u),
                   {"wgmma_fence", "needs all threads", forward ? "thread (0, 0, 0) has left" : "(127, 0, 0) has left"},
                   "a thread that leaves first");
    emulation::reset(on_hopper(order));
    expect_failure(
        start(leaving_thread, 1, 128, 0, forward ? 127u : 0u),
        {"leaves the kernel, but thread", forward ? "(0, 0, 0) of its" : "(127, 0, 0) of its", "wgmma_fence"},
        "a thread that leaves last");
  }
}

// --- maps and devices

void test_maps() {
  emulation::reset(on_hopper(emulation::Order::forward));
  OnDevice<bf16> data(4096);
  TensorShape good;
  good.data = data.data;
  good.rank = 3;
  for (int i = 0; i < 3; ++i) {
    good.sizes[i] = 16;
    good.strides[i] = i == 0 ? 1 : i == 1 ? 16 : 256;
    good.box[i] = i == 0 ? 16 : 4;
  }
  good.swizzle = Swizzle::bytes_32;
  const auto refusal = [](const TensorShape& shape, DType dtype) -> std::string {
    try {
      cuda::make_tensor_map(dtype, shape);
      return "";
    } catch (const SamError& error) {
      return error.code() == "ERR_INTERNAL" ? error.what() : "another error";
    }
  };
  counts.check(refusal(good, DType::bf16).empty() && refusal(good, DType::f16).empty(), "a map");
  const std::pair<std::function<void(TensorShape&)>, const char*> cases[] = {
      {[](TensorShape& s) { s.data = static_cast<const uint8_t*>(s.data) + 8; }, "aligned"},
      {[](TensorShape& s) { s.rank = 0; }, "rank"},
      {[](TensorShape& s) { s.rank = 6; }, "rank"},
      {[](TensorShape& s) { s.strides[0] = 2; }, "innermost stride"},
      {[](TensorShape& s) { s.strides[2] = 260; }, "stride of dimension 2 is 260"},
      {[](TensorShape& s) { s.strides[1] = -16; }, "stride of dimension 1 is -16"},
      {[](TensorShape& s) { s.sizes[1] = 0; }, "size of dimension 1 is 0"},
      {[](TensorShape& s) { s.sizes[2] = (int64_t{1} << 32) + 1; }, "size of dimension 2"},
      {[](TensorShape& s) { s.box[1] = 257; }, "side of dimension 1 is 257"},
      {[](TensorShape& s) { s.box[2] = 0; }, "side of dimension 2 is 0"},
      {[](TensorShape& s) { s.box[0] = 12; }, "multiple of 16"},
      {[](TensorShape& s) { s.box[0] = 24; }, "longer than the swizzle"},
  };
  for (const auto& [change, part] : cases) {
    TensorShape shape = good;
    change(shape);
    const std::string text = refusal(shape, DType::bf16);
    counts.check(contains(text, part), std::string("a map refused, ") + part + ": " + text);
  }
  counts.check(contains(refusal(good, DType::f32), "16 bits"), "a map of f32");
  counts.check(cuda::have_tensor_maps(), "have_tensor_maps");
  emulation::Settings old = on_hopper(emulation::Order::forward);
  old.driver = 11080;
  emulation::reset(old);
  counts.check(!cuda::have_tensor_maps() && contains(refusal(good, DType::bf16), "driver"), "an old driver");
  emulation::reset(on_hopper(emulation::Order::forward));
}

void test_device() {
  emulation::reset(on_hopper(emulation::Order::forward));
  cudaDeviceProp properties;
  counts.check(cudaGetDeviceProperties(&properties, 0) == cudaSuccess && properties.major == 9 &&
                   properties.minor == 0 && properties.sharedMemPerBlockOptin == 227 * 1024,
               "properties of a device with compute capability 9.0");
  int major = 0, shared = 0;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0);
  cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
  counts.check(major == 9 && shared == 227 * 1024, "its attributes");
}

// --- speed, for the record

__global__ void many_products(const __grid_constant__ TensorMap map, float* out, int rounds) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  uint64_t* barrier = make_barrier(16384);
  if (threadIdx.x == 0) {
    cuda::mbarrier_arrive_expect_tx(barrier, 16384);
    cuda::tma_load(shared, map, barrier, 0, 0);
  }
  cuda::mbarrier_wait(barrier, 0);
  float d[16][4];
  start_values(d);
  const uint64_t tile = cuda::matrix_descriptor(shared, 16, 1024, Swizzle::bytes_128);
  for (int i = 0; i < rounds; ++i) {
    cuda::wgmma_fence();
    for (uint64_t k = 0; k < 4; ++k) cuda::wgmma_shared<bf16>(d, tile + 2 * k, tile + 2 * k);
    cuda::wgmma_commit();
    cuda::wgmma_wait<0>();
  }
  store(out, d);
}

void test_speed() {
  const int rounds = 500;
  emulation::reset(on_hopper(emulation::Order::forward));
  OnDevice<bf16> data(integers<bf16>(128 * 64, 11));
  OnDevice<float> out(64 * 128);
  const TensorMap map = matrix_map(data.data, 128, 64, 128, 64, Swizzle::bytes_128);
  const std::clock_t before = std::clock();
  counts.check(start(many_products, 1, 128, 16392, map, out.data, rounds) == cudaSuccess, "many_products runs");
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  std::printf("%.2f us of CPU time for a product of 64 x 128 x 16\n", seconds * 1e6 / (4.0 * rounds));
}

}  // namespace

int main() {
  test_device();
  test_maps();
  test_boxes();
  test_k_major<bf16, 10, false>();
  test_k_major<bf16, 12, false>();
  test_k_major<bf16, 14, false>();
  test_k_major<bf16, 16, false>();
  test_k_major<bf16, 28, false>();
  test_k_major<f16, 7, false>();
  test_k_major<f16, 16, false>();
  test_k_major<bf16, 10, true>();
  test_k_major<bf16, 16, true>();
  test_k_major<f16, 12, true>();
  test_mn_major<bf16, 8>();
  test_mn_major<f16, 8>();
  test_mn_major<bf16, 10>();
  test_mn_major<f16, 10>();
  test_pipeline();
  test_written_tile();
  test_arrivals();
  test_copy_mistakes();
  test_named_barriers();
  test_product_mistakes();
  test_speed();
  const auto leaks = emulation::live_objects();
  counts.check(leaks.total() == 0 && emulation::damage().empty(), "nothing left, nothing damaged");
  return counts.finish();
}
