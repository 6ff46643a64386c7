// What a backend provides: memory that its kernels address, one kernel per node, and a way to run them in order.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "graph.h"
#include "weights.h"

namespace ba_sam {

// Everything a kernel touches during one run, in the backend's memory. Pointers of absent optional operands are null.
struct KernelIo {
  const void* const* in = nullptr;  // kMaxInputs of them
  void* const* out = nullptr;       // kMaxOutputs of them
  uint8_t* scratch = nullptr;       // kAlignment aligned, scratch_bytes() long, undefined content
  const std::atomic<bool>* cancel = nullptr;
};

class Kernel {
 public:
  virtual ~Kernel() = default;
  // On the CPU computes; on a device queues the work, in order, without waiting for it.
  virtual void run(const KernelIo& io) = 0;
  virtual size_t scratch_bytes() const { return 0; }
  // True when the kernel keeps a form of weight input i of its own: the plain form is not fetched then.
  virtual bool owns_weight(size_t input) const {
    (void)input;
    return false;
  }
};

// A block of the backend's memory, freed with its last owner.
class Memory {
 public:
  virtual ~Memory() = default;
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 protected:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

// A plan with every address resolved: what one run has to do.
struct Execution {
  struct Step {
    Kernel* kernel = nullptr;  // never null
    KernelIo io;               // io.in and io.out point to these
    std::array<const void*, kMaxInputs> in{};
    std::array<void*, kMaxOutputs> out{};
    size_t node = 0;  // index in the graph, for node_ms
    double cost = 0;
  };
  struct Upload {
    void* memory;
    const void* host;
    size_t bytes;
  };
  struct Download {
    void* host;
    const void* memory;
    size_t bytes;
  };
  // Whatever a backend wants to keep between runs of one plan (a captured CUDA graph). The plan drops it whenever an
  // address in `steps` or an upload's or download's `memory` has changed; host addresses and bytes may differ in each run.
  struct Recording {
    virtual ~Recording() = default;
  };

  std::vector<Step> steps;
  std::vector<Upload> uploads;  // empty unless the backend stages inputs
  std::vector<Download> downloads;
  std::unique_ptr<Recording> recording;
};

// How a run is watched.
struct RunControl {
  const std::atomic<bool>& cancel;
  const std::function<void(double)>& progress;  // may be empty; gets 0 … 1
  std::vector<double>* node_ms;                 // one entry per node of the graph, zeros at first; may be null
};

inline void check_cancel(const std::atomic<bool>& cancel) {
  if (cancel.load(std::memory_order_relaxed)) throw SamError("ERR_ABORTED", "The run was aborted");
}

class Backend {
 public:
  virtual ~Backend() = default;

  // Which compute thread runs this backend's work: 0 for the CPU, the device's index for others.
  virtual int lane() const { return 0; }
  // Called on the compute thread before anything else of a plan's preparation or run, and before memory is freed there.
  virtual void enter() {}
  virtual std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) = 0;

  // At least kAlignment aligned. Throws SamError ERR_OUT_OF_MEMORY that names `what`.
  virtual std::shared_ptr<Memory> allocate(size_t bytes, const char* what) = 0;
  // A weight's plain, row-major form in this backend's memory.
  virtual std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name) = 0;
  // True when kernels cannot read host memory: inputs then get allocations in the arena, and `uploads` fills them.
  virtual bool stages_inputs() const { return false; }

  // Copies between host memory and this backend's, when nothing is queued: a parameter on its way in or out.
  virtual void write(void* memory, const void* host, size_t bytes) = 0;
  virtual void read(void* host, const void* memory, size_t bytes) = 0;

  // Runs every step in order, uploads first, downloads last, and returns when the results are there. Throws SamError;
  // ERR_ABORTED once control.cancel is true (a device may notice it only before and after its work).
  virtual void run(Execution& execution, const RunControl& control) = 0;
  // Waits until everything queued by kernels outside run() is done: while a plan folds its constants.
  virtual void finish() {}
};

}  // namespace ba_sam
