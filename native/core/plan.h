// A plan: a graph made runnable. Constant subgraphs are folded, every other value gets an allocation in one arena by
// liveness, every node a kernel; then a run is a list of steps with resolved addresses, which the backend executes.
// Preparing happens on the compute thread at the first run.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

#include "backend.h"
#include "graph.h"
#include "weights.h"

namespace ba_sam {

// Where each value of a graph lives. Pure arithmetic, no kernels: tested exhaustively on its own.
struct MemoryLayout {
  struct Allocation {
    size_t offset = 0;
    size_t bytes = 0;
    int first = 0;  // node that writes it; −1 for inputs, which are there before node 0
    int last = 0;   // last node that reads it; node count for outputs
  };
  // Per value: index into allocations, −1 for weights, parameters, constants and inputs that are read where they lie.
  std::vector<int32_t> allocation_of;
  std::vector<Allocation> allocations;
  std::vector<bool> constant;  // per value: depends on weights alone
  std::vector<bool> in_place;  // per node: the first output is accumulated onto an input
  size_t arena_bytes = 0;
};

// scratch_bytes: per node, memory needed only while it runs; appended to `allocations` after the values'.
// stage_inputs: inputs that anything reads get allocations, too.
MemoryLayout plan_memory(const Graph& graph, const std::vector<size_t>& scratch_bytes, bool stage_inputs,
                         std::vector<size_t>* scratch_offsets);

class Plan {
 public:
  // Runs on the weights' backend. Checks that every weight exists with the declared dtype and shape; throws SamError
  // ERR_GRAPH otherwise. The first run asks the same of parameters: one whose first value was queued before it is there then.
  Plan(std::shared_ptr<WeightStore> weights, Graph graph);

  const Graph& graph() const { return graph_; }
  const std::shared_ptr<Backend>& backend() const { return weights_->backend(); }

  // inputs and outputs: one host pointer per graph input and output, with the declared byte sizes. progress (may be
  // empty) gets a fraction 0…1 after each node. node_ms (may be null) gets the time of each node in milliseconds.
  // Throws SamError; ERR_ABORTED once *cancel is true.
  void run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs, const std::atomic<bool>& cancel,
           const std::function<void(double)>& progress, std::vector<double>* node_ms);

  size_t arena_bytes() const { return layout_.arena_bytes; }

 private:
  void prepare(const std::atomic<bool>& cancel);
  void fold_constants(const std::vector<size_t>& scratch_bytes, const std::atomic<bool>& cancel);
  void resolve(uint8_t* arena, const std::vector<const void*>& inputs);
  const void* address(uint32_t value) const;

  std::shared_ptr<WeightStore> weights_;
  Graph graph_;
  bool prepared_ = false;
  MemoryLayout layout_;
  std::vector<size_t> scratch_offsets_;
  std::vector<std::unique_ptr<Kernel>> kernels_;      // null for nodes that are folded, views or empty
  std::vector<std::shared_ptr<const Memory>> plain_;  // per value: weights that kernels read as they are
  std::vector<std::shared_ptr<Memory>> constants_;    // per value
  std::vector<std::shared_ptr<Memory>> parameters_;   // per value

  // What the addresses in execution_ were resolved from; they hold until one of these changes.
  uint8_t* arena_ = nullptr;
  std::vector<const void*> input_of_;  // per value: host pointers of inputs that are not staged
  bool resolved_ = false;
  Execution execution_;
};

}  // namespace ba_sam
