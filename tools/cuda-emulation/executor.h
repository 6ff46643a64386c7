// Runs kernels: one fiber per CUDA thread of a block, blocks one after another or shared among host threads.
#pragma once

#include <cstdint>
#include <string>

#include "emulated_launch.h"

// For the few functions that run at every meeting of threads and touch nothing of a kernel's but fixed-size operands:
// sanitizers would make them ten times slower and could find nothing.
#define BA_SAM_UNCHECKED __attribute__((no_sanitize("address", "undefined")))

namespace ba_sam::emulation {

// Which of the threads that could go on does: a missing barrier shows in one of these orders, seldom in all.
enum class Order { forward, reverse, random };

struct GridLaunch {
  const KernelCall& call;
  std::string name;
  dim3 grid, block, cluster;  // the cluster's sides divide the grid's
  size_t shared_bytes;
  Order order;
  uint64_t seed;
  int threads;  // of the host
  int sm;       // 10 · major + minor
};

// Runs the whole grid; returns what went wrong, empty if nothing did. One grid at a time in a process.
std::string run_grid(const GridLaunch& launch);

// What shared memory holds before anybody wrote to it: NaN as f32, f16 and bf16. Device memory starts the same way.
constexpr uint32_t kUnwritten = 0x7fa57fa5u;
// What the destination of an asynchronous copy holds until the copy arrives: NaN likewise.
constexpr uint32_t kInFlight = 0x7fb67fb6u;
void fill_words(void* memory, size_t bytes, uint32_t word);

}  // namespace ba_sam::emulation
