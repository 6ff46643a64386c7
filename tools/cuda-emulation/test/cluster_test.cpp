// The emulated clusters of sm_90: blocks that run together, copies to several of them, arrivals at each other's barriers, and
// that mistakes with them are found.
#include <cstdio>

#include "../../../native/backends/cuda/hopper.h"
#include "../../../native/ops/attention/cuda/tensor_map.h"
#include "kernel_fixture.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;
using cuda::bf16;
using cuda::TensorMap;

emulation::Settings on_hopper(emulation::Order order, uint64_t seed = 1, int threads = 1) {
  emulation::Settings settings = in_order(order, threads);
  settings.sm = 90;
  settings.seed = seed;
  return settings;
}

template <typename... Params, typename... Args>
cudaError_t start_clusters(void (*kernel)(Params...), dim3 grid, dim3 block, dim3 cluster, size_t shared_bytes,
                           Args... args) {
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim = {cluster.x, cluster.y, cluster.z};
  const cudaLaunchConfig_t config = {grid, block, shared_bytes, nullptr, &attribute, 1};
  const cudaError_t launched = cudaLaunchKernelEx(&config, kernel, static_cast<Params>(args)...);
  return launched != cudaSuccess ? launched : cudaDeviceSynchronize();
}

// --- blocks of a cluster

__device__ int block_number() {
  return static_cast<int>((blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x);
}

// out: ranks by block, then what the block before this one in its cluster has written, then how often each block ran.
__global__ void neighbours(int* out, const int* previous) {
  const int blocks = static_cast<int>(gridDim.x * gridDim.y * gridDim.z), own = block_number();
  if (threadIdx.x >= 32) return;  // those that have left are not waited for
  if (threadIdx.x == 0) {
    atomicAdd(out + 2 * blocks + own, 1);
    out[own] = static_cast<int>(cuda::cluster_rank()) + 100;
  }
  cuda::cluster_sync();
  if (threadIdx.x == 1) out[blocks + own] = out[previous[own]];
  cuda::cluster_sync();
  if (threadIdx.x == 2 && *reinterpret_cast<uint32_t*>(cuda::dynamic_shared_1024()) != emulation::kUnwritten)
    out[own] = 0;
}

void test_neighbours() {
  const std::pair<dim3, dim3> cases[] = {
      {{6, 1, 1}, {2, 1, 1}}, {{4, 4, 4}, {2, 1, 2}}, {{3, 4, 1}, {1, 4, 1}},
      {{8, 1, 1}, {8, 1, 1}}, {{5, 1, 1}, {1, 1, 1}},
  };
  for (const auto& [grid, cluster] : cases) {
    const size_t blocks = grid.x * grid.y * grid.z, size = cluster.x * cluster.y * cluster.z;
    std::vector<int> ranks(blocks), previous(blocks);
    for (unsigned z = 0; z < grid.z; ++z) {
      for (unsigned y = 0; y < grid.y; ++y) {
        for (unsigned x = 0; x < grid.x; ++x) {
          const unsigned rank = (z % cluster.z * cluster.y + y % cluster.y) * cluster.x + x % cluster.x;
          const unsigned before = (rank + static_cast<unsigned>(size) - 1) % static_cast<unsigned>(size);
          const unsigned px = x - x % cluster.x + before % cluster.x,
                         py = y - y % cluster.y + before / cluster.x % cluster.y,
                         pz = z - z % cluster.z + before / cluster.x / cluster.y;
          ranks[(z * grid.y + y) * grid.x + x] = static_cast<int>(rank);
          previous[(z * grid.y + y) * grid.x + x] = static_cast<int>((pz * grid.y + py) * grid.x + px);
        }
      }
    }
    for (const auto order : kOrders) {
      for (const int threads : {1, 2}) {
        emulation::reset(on_hopper(order, 1, threads));
        OnDevice<int> out(std::vector<int>(3 * blocks, 0)), previous_device(previous);
        counts.check(start_clusters(neighbours, grid, 64, cluster, 64, out.data, previous_device.data) == cudaSuccess,
                     "neighbours run: " + emulation::last_failure());
        const auto found = out.read();
        bool same = true;
        for (size_t i = 0; i < blocks; ++i) {
          const auto before = static_cast<size_t>(previous[i]);
          same = same && found[i] == ranks[i] + 100 && found[2 * blocks + i] == 1;
          same = same && found[blocks + i] == ranks[before] + 100;
        }
        counts.check(same,
                     "ranks in clusters of " + std::to_string(size) + ", and what their blocks see of each other");
      }
    }
  }
}

// --- a tile that the blocks of a cluster bring to each other, again and again

enum class Mistake {
  none,
  no_sync_at_start,
  no_sync_at_exit,
  other_place,
  no_wait_for_empty,
  half_of_the_bytes,
  to_itself,
  to_an_absent_block,
  to_no_block,
  arrival_at_itself,
  arrival_at_an_absent_block,
  barrier_in_global_memory,
  tile_in_global_memory,
  second_leaves,
};

constexpr int kBlocks = 2, kRounds = 3;
constexpr int kPart = 8 * 128;  // eight rows of 64 numbers, from each block
constexpr int kTile = kBlocks * kPart;

__global__ void shared_tile(const __grid_constant__ TensorMap map, uint32_t* out, Mistake mistake) {
  uint8_t* shared = cuda::dynamic_shared_1024();
  auto* full = reinterpret_cast<uint64_t*>(shared + kTile);
  uint64_t* empty = full + 1;
  const uint32_t rank = cuda::cluster_rank();
  if (threadIdx.x == 0) {
    cuda::mbarrier_init(full, 1);
    cuda::mbarrier_init(empty, kBlocks);
    cuda::mbarrier_init_fence();
  }
  if (mistake == Mistake::no_sync_at_start) {
    __syncthreads();
  } else if (mistake == Mistake::other_place && rank == 1) {
    cuda::cluster_sync();
  } else {
    cuda::cluster_sync();
  }
  if (mistake == Mistake::second_leaves && rank == 1) return;
  uint16_t blocks = (1 << kBlocks) - 1;
  if (mistake == Mistake::to_itself) blocks = static_cast<uint16_t>(1 << rank);
  if (mistake == Mistake::to_an_absent_block) blocks = 1 << 1 | 1 << kBlocks;
  if (mistake == Mistake::to_no_block) blocks = 0;
  for (uint32_t round = 0; round < kRounds; ++round) {
    if (threadIdx.x == 0) {
      if (round > 0 && mistake != Mistake::no_wait_for_empty) {
        cuda::mbarrier_wait(empty, (round - 1) & 1);
      }
      cuda::mbarrier_arrive_expect_tx(full, mistake == Mistake::half_of_the_bytes ? kPart : kTile);
      uint8_t* to = shared + rank * kPart;
      if (mistake == Mistake::tile_in_global_memory) to = reinterpret_cast<uint8_t*>(out);
      cuda::tma_load_multicast(to, map, full, 0, 0, static_cast<int>(8 * (kBlocks * round + rank)), 0, 0, blocks);
    }
    cuda::mbarrier_wait(full, round & 1);
    const size_t at = (blockIdx.x * kRounds + round) * (kTile / 4);
    for (uint32_t i = threadIdx.x; i < kTile / 4; i += blockDim.x) out[at + i] = reinterpret_cast<uint32_t*>(shared)[i];
    __syncthreads();
    if (threadIdx.x < kBlocks) {
      uint32_t block = threadIdx.x;
      if (mistake == Mistake::arrival_at_itself) block = rank;
      if (mistake == Mistake::arrival_at_an_absent_block) block += 1;
      uint64_t* barrier = empty;
      if (mistake == Mistake::barrier_in_global_memory) barrier = reinterpret_cast<uint64_t*>(out);
      cuda::mbarrier_arrive_cluster(barrier, block);
    }
  }
  if (mistake != Mistake::no_sync_at_exit) cuda::cluster_sync();
}

struct SharedTile {
  static constexpr int kRows = 8 * kBlocks * kRounds;
  std::vector<bf16> values;
  OnDevice<bf16> data;
  OnDevice<uint32_t> out;
  TensorMap map;

  explicit SharedTile(unsigned grid) : values(numbers()), data(values), out(grid * kRounds * (kTile / 4)) {
    cuda::TensorShape shape;
    shape.data = data.data;
    shape.rank = 5;
    const int64_t sizes[] = {64, 1, kRows, 1, 1};
    const int box[] = {64, 1, 8, 1, 1};
    int64_t stride = 1;
    for (int i = 0; i < 5; ++i) {
      shape.sizes[i] = sizes[i];
      shape.strides[i] = stride;
      shape.box[i] = box[i];
      stride *= sizes[i];
    }
    map = cuda::make_tensor_map(DType::bf16, shape);
  }

  static std::vector<bf16> numbers() {
    std::vector<bf16> values(kRows * 64);
    for (size_t i = 0; i < values.size(); ++i) values[i].bits = static_cast<uint16_t>(i + 1);
    return values;
  }

  // Every block has seen every round's whole tile.
  bool complete() const {
    const auto words = out.read();
    const auto* found = reinterpret_cast<const uint16_t*>(words.data());
    for (size_t i = 0; i < 2 * words.size(); ++i) {
      const size_t row = i / 64 % kRows, piece = i % 64 / 8 ^ row % 8;
      if (found[i] != values[row * 64 + piece * 8 + i % 8].bits) return false;
    }
    return true;
  }
};

void test_shared_tile() {
  for (const auto order : kOrders) {
    for (const uint64_t seed : {1, 2, 3, 4}) {
      if (order != emulation::Order::random && seed != 1) continue;
      for (const int threads : {1, 2}) {
        emulation::reset(on_hopper(order, seed, threads));
        SharedTile tile(6);
        counts.check(start_clusters(shared_tile, 6, 64, kBlocks, kTile + 16, tile.map, tile.out.data, Mistake::none) ==
                         cudaSuccess,
                     "shared_tile runs: " + emulation::last_failure());
        counts.check(tile.complete(), "what blocks bring to each other");
      }
    }
  }
  int runs = 0, bad = 0;
  for (const auto order : kOrders) {
    emulation::reset(on_hopper(order));
    SharedTile tile(2);
    const bool good = start_clusters(shared_tile, 2, 64, kBlocks, kTile + 16, tile.map, tile.out.data,
                                     Mistake::no_wait_for_empty) == cudaSuccess &&
                      tile.complete();
    ++runs;
    bad += !good;
    emulation::reset(on_hopper(order));
  }
  counts.check(bad == runs, "no wait for the other block: " + std::to_string(bad) + " of " + std::to_string(runs));
}

void test_mistakes() {
  const std::pair<Mistake, std::vector<std::string>> cases[] = {
      {Mistake::no_sync_at_start, {"tma_load_multicast", "initialised", "of the cluster"}},
      {Mistake::no_sync_at_exit, {"mbarrier_arrive_cluster", "of the cluster has left its kernel"}},
      {Mistake::other_place, {"threads of one cluster are at different barriers", "cluster_sync", "of block"}},
      {Mistake::half_of_the_bytes, {"tma_load_multicast", "brings 1024 bytes", "waits for 0"}},
      {Mistake::to_itself,
       {"for ever", "in block 0 of", "in block 1 of", "mbarrier_wait", "0 arrivals and 1024 bytes"}},
      {Mistake::to_an_absent_block, {"tma_load_multicast", "block 2 of a cluster of 2"}},
      {Mistake::to_no_block, {"tma_load_multicast", "to no block"}},
      {Mistake::arrival_at_an_absent_block, {"mbarrier_arrive_cluster", "block 2 of a cluster of 2"}},
      {Mistake::barrier_in_global_memory, {"mbarrier_arrive_cluster", "not in the dynamic shared memory"}},
      {Mistake::tile_in_global_memory, {"tma_load_multicast", "not in the dynamic shared memory"}},
  };
  for (const auto order : kOrders) {
    for (const auto& [mistake, parts] : cases) {
      emulation::reset(on_hopper(order));
      SharedTile tile(2);
      expect_failure(start_clusters(shared_tile, 2, 64, kBlocks, kTile + 16, tile.map, tile.out.data, mistake), parts,
                     "clusters, mistake " + std::to_string(static_cast<int>(mistake)));
    }
    emulation::reset(on_hopper(order));
    SharedTile tile(2);
    expect_failure(start(shared_tile, 2, 64, kTile + 16, tile.map, tile.out.data, Mistake::none),
                   {"tma_load_multicast", "block 1 of a cluster of 1"}, "a launch without clusters");
    emulation::reset(in_order(order));
    expect_failure(start(shared_tile, 2, 64, kTile + 16, tile.map, tile.out.data, Mistake::none),
                   {"cluster_rank", "9.0"}, "sm_80");
  }
  // A block that has left when a copy comes, and one that leaves before it does.
  for (const auto order : {emulation::Order::forward, emulation::Order::reverse}) {
    emulation::reset(on_hopper(order));
    SharedTile tile(2);
    expect_failure(
        start_clusters(shared_tile, 2, 64, kBlocks, kTile + 16, tile.map, tile.out.data, Mistake::second_leaves),
        {order == emulation::Order::reverse ? "1 tma_load that nobody waited for" : "block 1 of the cluster has left"},
        "a copy to a block that leaves");
  }
  // Arrivals at the own barrier alone: the second is one too many for the phase, or the other block waits for ever.
  emulation::reset(on_hopper(emulation::Order::forward));
  SharedTile tile(2);
  counts.check(start_clusters(shared_tile, 2, 64, kBlocks, kTile + 16, tile.map, tile.out.data,
                              Mistake::arrival_at_itself) != cudaSuccess ||
                   !tile.complete(),
               "arrivals at the own block alone");
  emulation::reset(on_hopper(emulation::Order::forward));
}

// --- launches

__global__ void nothing() {}

void test_launches() {
  emulation::reset(on_hopper(emulation::Order::forward));
  counts.check(start_clusters(nothing, 6, 32, 3, 0) == cudaSuccess, "clusters of three");
  counts.check(start_clusters(nothing, 16, 32, 8, 0) == cudaSuccess, "clusters of eight");
  const std::pair<dim3, dim3> refused[] = {
      {{6, 1, 1}, {4, 1, 1}},
      {{6, 3, 1}, {2, 2, 1}},
      {{16, 1, 1}, {16, 1, 1}},
      {{4, 1, 1}, {0, 1, 1}},
  };
  for (const auto& [grid, cluster] : refused) {
    counts.check(start_clusters(nothing, grid, 32, cluster, 0) == cudaErrorInvalidClusterSize, "a cluster's size");
    cudaGetLastError();
  }
  cudaLaunchAttribute attributes[2] = {};
  attributes[0].id = cudaLaunchAttributeIgnore;
  cudaLaunchConfig_t config = {dim3(2), dim3(32), 0, nullptr, attributes, 1};
  counts.check(cudaLaunchKernelEx(&config, nothing) == cudaSuccess, "an attribute to ignore");
  attributes[1].id = static_cast<cudaLaunchAttributeID>(5);
  config.numAttrs = 2;
  counts.check(cudaLaunchKernelEx(&config, nothing) == cudaErrorNotSupported, "an attribute that is not emulated");
  cudaGetLastError();
  emulation::reset(in_order(emulation::Order::forward));
  counts.check(start_clusters(nothing, 4, 32, 2, 0) == cudaErrorInvalidClusterSize, "clusters on sm_80");
  cudaGetLastError();
}

}  // namespace

int main() {
  test_neighbours();
  test_shared_tile();
  test_mistakes();
  test_launches();
  const auto leaks = emulation::live_objects();
  counts.check(leaks.total() == 0 && emulation::damage().empty(), "nothing left, nothing damaged");
  return counts.finish();
}
