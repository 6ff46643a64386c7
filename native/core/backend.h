// What a backend provides: one kernel per node, made once when a plan is prepared, run many times.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "graph.h"
#include "weights.h"

namespace ba_sam {

// Everything a kernel touches during one run. Pointers of absent optional inputs are null.
struct KernelIo {
  void* out = nullptr;
  const void* const* in = nullptr;
  uint8_t* scratch = nullptr;  // 64-byte aligned, scratch_bytes() long, undefined content
  const std::atomic<bool>* cancel = nullptr;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  virtual void run(const KernelIo& io) = 0;
  virtual size_t scratch_bytes() const { return 0; }
  // True when the kernel keeps a packed copy of weight input i of its own: the plain form is not fetched then.
  virtual bool owns_weight(size_t input) const {
    (void)input;
    return false;
  }
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) = 0;
};

}  // namespace ba_sam
