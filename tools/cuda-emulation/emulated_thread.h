// What the running CUDA thread knows and how it meets others: the executor's interface for device functions.
#pragma once

#include <cstdarg>

#include "emulated_types.h"

// The built-in variables, set by the executor: threadIdx at every switch between threads, which no compiler looks into, so
// that its value is not kept across one.
extern __thread uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace ba_sam::emulation {

struct Thread;
extern __thread Thread* running_thread;  // of a kernel, on this host thread; null outside of kernels
extern __thread uint8_t* dynamic_shared_memory;

// A place in a source file. Collectives take one as a defaulted last argument: that is where the call stands.
struct Site {
  const char* file;
  const char* function;
  int line;
  static constexpr Site here(const char* file = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
                             int line = __builtin_LINE()) {
    return {file, function, line};
  }
};

// Runs once, when all 32 lanes have come, with each lane's operands; it writes results there, too.
using WarpOperation = void (*)(void* const (&operands)[32]);

// Blocks until all lanes of the warp called it from the same place; `name` is the collective's, for messages.
void meet_warp(const char* name, const Site& site, uint32_t mask, WarpOperation operation, void* operands);
// Blocks until all live threads of the block called it from the same place.
void meet_block(const char* name, const Site& site);

// Ends the kernel with cudaErrorLaunchFailure and a text that also names kernel, block and thread; `lane` is given by warp
// operations, where the lane at fault need not be the one that runs.
[[noreturn]] void fail_thread(const Site& site, const char* format, ...) __attribute__((format(printf, 2, 3)));
[[noreturn]] void fail_lane(int lane, const char* format, ...) __attribute__((format(printf, 2, 3)));

// cp.async of the running thread. Data arrives only when wait_copies requires it.
void issue_copy(const Site& site, void* shared, const void* global, bool valid);
void commit_copies();
void wait_copies(int pending);
// Ends the kernel unless 16 bytes of shared memory can be at `address`.
void check_shared(int lane, const Site& site, const char* name, const void* address);

}  // namespace ba_sam::emulation
