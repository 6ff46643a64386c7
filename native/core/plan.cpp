// See plan.h.
#include "plan.h"

#include <algorithm>
#include <numeric>

#include "../ops/rule.h"

namespace ba_sam {
namespace {

std::vector<bool> find_constants(const Graph& graph) {
  std::vector<bool> constant(graph.values.size(), false);
  for (size_t v = 0; v < graph.values.size(); ++v) constant[v] = graph.values[v].kind == ValueKind::weight;
  for (const Node& node : graph.nodes) {
    const bool folds =
        std::all_of(node.inputs.begin(), node.inputs.end(), [&](uint32_t v) { return v == kAbsent || constant[v]; });
    for (uint32_t v : node.outputs) {
      if (v != kAbsent) constant[v] = folds;
    }
  }
  return constant;
}

// Greedy by size: the largest allocation first, each at the lowest offset that is free during its whole life. Within a
// few percent of the lower bound for chains of layers.
size_t assign_offsets(std::vector<MemoryLayout::Allocation>& allocations) {
  std::vector<size_t> order(allocations.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return allocations[a].bytes > allocations[b].bytes; });
  std::vector<size_t> placed;  // sorted by offset
  size_t total = 0;
  for (size_t index : order) {
    auto& current = allocations[index];
    size_t offset = 0;
    for (size_t other_index : placed) {
      const auto& other = allocations[other_index];
      if (other.last < current.first || other.first > current.last) continue;
      if (offset + current.bytes <= other.offset) break;
      offset = std::max(offset, other.offset + other.bytes);
    }
    current.offset = offset;
    total = std::max(total, offset + current.bytes);
    placed.insert(std::upper_bound(placed.begin(), placed.end(), index,
                                   [&](size_t a, size_t b) { return allocations[a].offset < allocations[b].offset; }),
                  index);
  }
  return total;
}

// Whether node n may add its first output to what lies in its accumulated input (x + linear(y), where x lies): nobody needs
// that memory afterwards, views included, and no other operand of the node lies there.
bool accumulates(const Graph& graph, const MemoryLayout& layout, const Node& node, int n,
                 const std::vector<int>& last) {
  const int input = node.accumulated_input();
  if (input < 0) return false;
  const uint32_t root = view_root(graph, node.inputs[input]);
  const int32_t index = layout.allocation_of[root];
  const auto readings = std::count_if(node.inputs.begin(), node.inputs.end(),
                                      [&](uint32_t v) { return v != kAbsent && view_root(graph, v) == root; });
  return index >= 0 && last[root] == n && layout.allocations[index].last == n && readings == 1;
}

}  // namespace

MemoryLayout plan_memory(const Graph& graph, const std::vector<size_t>& scratch_bytes, bool stage_inputs,
                         std::vector<size_t>* scratch_offsets) {
  const int node_count = static_cast<int>(graph.nodes.size());
  MemoryLayout layout;
  layout.constant = find_constants(graph);
  layout.allocation_of.assign(graph.values.size(), -1);
  layout.in_place.assign(graph.nodes.size(), false);

  // Last reader of each value's memory, views included.
  std::vector<int> last(graph.values.size(), -1);
  for (int n = 0; n < node_count; ++n) {
    for (uint32_t v : graph.nodes[n].inputs) {
      if (v != kAbsent) last[view_root(graph, v)] = n;
    }
  }
  for (uint32_t v : graph.outputs) last[view_root(graph, v)] = node_count;

  // Before node 0 every input is there at once, whenever it is read.
  for (uint32_t v : graph.inputs) {
    if (!stage_inputs || last[v] < 0) continue;
    layout.allocation_of[v] = static_cast<int32_t>(layout.allocations.size());
    layout.allocations.push_back({0, align_up(graph.values[v].bytes()), -1, last[v]});
  }
  for (int n = 0; n < node_count; ++n) {
    const Node& node = graph.nodes[n];
    if (layout.constant[node.outputs[0]]) continue;
    if (node.info().is_view) {
      layout.allocation_of[node.outputs[0]] = layout.allocation_of[view_root(graph, node.outputs[0])];
      continue;
    }
    for (uint32_t v : node.outputs) {
      if (v == kAbsent) continue;
      if (v == node.outputs[0] && accumulates(graph, layout, node, n, last)) {
        const int32_t taken = layout.allocation_of[view_root(graph, node.inputs[node.accumulated_input()])];
        layout.in_place[n] = true;
        layout.allocation_of[v] = taken;
        layout.allocations[taken].last = std::max(n, last[v]);
        continue;
      }
      layout.allocation_of[v] = static_cast<int32_t>(layout.allocations.size());
      layout.allocations.push_back({0, align_up(graph.values[v].bytes()), n, std::max(n, last[v])});
    }
  }

  std::vector<int32_t> scratch_allocation(graph.nodes.size(), -1);
  for (int n = 0; n < node_count; ++n) {
    if (scratch_bytes[n] == 0) continue;
    scratch_allocation[n] = static_cast<int32_t>(layout.allocations.size());
    layout.allocations.push_back({0, align_up(scratch_bytes[n]), n, n});
  }
  layout.arena_bytes = assign_offsets(layout.allocations);
  scratch_offsets->assign(graph.nodes.size(), 0);
  for (int n = 0; n < node_count; ++n) {
    if (scratch_allocation[n] >= 0) (*scratch_offsets)[n] = layout.allocations[scratch_allocation[n]].offset;
  }
  return layout;
}

Plan::Plan(std::shared_ptr<WeightStore> weights, Graph graph) : weights_(std::move(weights)), graph_(std::move(graph)) {
  for (const Value& value : graph_.values) {
    if (value.kind == ValueKind::weight) weights_->check(value.name, value.dtype, value.shape);
  }
}

const void* Plan::address(uint32_t value) const {
  if (value == kAbsent) return nullptr;
  if (layout_.allocation_of[value] >= 0) return arena_ + layout_.allocations[layout_.allocation_of[value]].offset;
  const uint32_t root = view_root(graph_, value);
  if (constants_[root]) return constants_[root]->data();
  if (plain_[root]) return plain_[root]->data();
  if (parameters_[root]) return parameters_[root]->data();
  return input_of_[root];
}

void Plan::prepare(const std::atomic<bool>& cancel) {
  Backend& backend = *weights_->backend();
  kernels_.clear();
  kernels_.resize(graph_.nodes.size());
  plain_.assign(graph_.values.size(), nullptr);
  constants_.assign(graph_.values.size(), nullptr);
  parameters_.assign(graph_.values.size(), nullptr);
  input_of_.assign(graph_.values.size(), nullptr);
  for (size_t v = 0; v < graph_.values.size(); ++v) {
    const Value& value = graph_.values[v];
    if (value.kind == ValueKind::parameter) {
      parameters_[v] = weights_->parameter(value.name, value.dtype, value.shape);
    }
  }

  std::vector<size_t> scratch(graph_.nodes.size(), 0);
  std::vector<bool> needed_plain(graph_.values.size(), false);
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    check_cancel(cancel);
    const Node& node = graph_.nodes[n];
    // An empty output has no kernel: its rows may be as many as the graph likes to declare.
    if (node.info().is_view || graph_.output(node).elements() == 0) continue;
    kernels_[n] = backend.make_kernel(graph_, node, *weights_);
    scratch[n] = kernels_[n]->scratch_bytes();
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (!node.has_input(i)) continue;
      const uint32_t root = view_root(graph_, node.inputs[i]);
      if (graph_.values[root].kind == ValueKind::weight && !kernels_[n]->owns_weight(i)) needed_plain[root] = true;
    }
  }
  for (size_t v = 0; v < graph_.values.size(); ++v) {
    if (needed_plain[v]) plain_[v] = backend.weight(*weights_, graph_.values[v].name);
  }

  // Folded nodes need scratch only here, so it is not part of the arena.
  const std::vector<bool> constant = find_constants(graph_);
  std::vector<size_t> run_scratch = scratch;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (constant[graph_.nodes[n].outputs[0]]) run_scratch[n] = 0;
  }
  layout_ = plan_memory(graph_, run_scratch, backend.stages_inputs(), &scratch_offsets_);
  fold_constants(scratch, cancel);
  prepared_ = true;
}

void Plan::fold_constants(const std::vector<size_t>& scratch_bytes, const std::atomic<bool>& cancel) {
  Backend& backend = *weights_->backend();
  std::vector<size_t> folded;
  size_t largest = 0;
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (!kernels_[n] || !layout_.constant[graph_.nodes[n].outputs[0]]) continue;
    folded.push_back(n);
    largest = std::max(largest, scratch_bytes[n]);
  }
  if (folded.empty()) return;
  const auto scratch = largest ? backend.allocate(largest, "scratch") : nullptr;
  try {
    for (size_t n : folded) {
      check_cancel(cancel);
      const Node& node = graph_.nodes[n];
      const void* in[kMaxInputs] = {};
      void* out[kMaxOutputs] = {};
      for (size_t i = 0; i < node.inputs.size(); ++i) in[i] = address(node.inputs[i]);
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        if (!node.has_output(i)) continue;
        constants_[node.outputs[i]] = backend.allocate(graph_.output(node, i).bytes(), "a folded constant");
        out[i] = constants_[node.outputs[i]]->data();
      }
      KernelIo io;
      io.in = in;
      io.out = out;
      io.scratch = scratch ? scratch->data() : nullptr;
      io.cancel = &cancel;
      kernels_[n]->run(io);
    }
  } catch (...) {
    try {
      backend.finish();  // what is queued still uses the scratch and the constants
    } catch (...) {
    }
    throw;
  }
  backend.finish();
  check_cancel(cancel);  // a cancelled kernel leaves its output unspecified
  for (size_t n : folded) kernels_[n].reset();
}

void Plan::resolve(uint8_t* arena, const std::vector<const void*>& inputs) {
  resolved_ = false;
  execution_ = {};
  arena_ = arena;
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const uint32_t v = graph_.inputs[i];
    const size_t bytes = graph_.values[v].bytes();
    if (layout_.allocation_of[v] < 0) {
      input_of_[v] = inputs[i];
    } else if (bytes) {
      execution_.uploads.push_back({const_cast<void*>(address(v)), nullptr, bytes});
    }
  }
  for (size_t n = 0; n < graph_.nodes.size(); ++n) {
    if (!kernels_[n]) continue;
    const Node& node = graph_.nodes[n];
    Execution::Step step;
    step.kernel = kernels_[n].get();
    for (size_t i = 0; i < node.inputs.size(); ++i) step.in[i] = address(node.inputs[i]);
    for (size_t i = 0; i < node.outputs.size(); ++i) step.out[i] = const_cast<void*>(address(node.outputs[i]));
    step.io.scratch = arena ? arena + scratch_offsets_[n] : nullptr;
    step.node = n;
    step.cost = node_cost(graph_, node);
    execution_.steps.push_back(step);
  }
  for (Execution::Step& step : execution_.steps) {
    step.io.in = step.in.data();
    step.io.out = step.out.data();
  }
  for (uint32_t v : graph_.outputs) {
    const size_t bytes = graph_.values[v].bytes();
    if (bytes) execution_.downloads.push_back({nullptr, address(v), bytes});
  }
  resolved_ = true;
}

void Plan::run(const std::vector<const void*>& inputs, const std::vector<void*>& outputs,
               const std::atomic<bool>& cancel, const std::function<void(double)>& progress,
               std::vector<double>* node_ms) {
  Backend& backend = *weights_->backend();
  backend.enter();
  check_cancel(cancel);
  if (!prepared_) prepare(cancel);

  uint8_t* arena = weights_->arena(layout_.arena_bytes);
  bool moved = !resolved_ || arena != arena_;
  const bool staged = backend.stages_inputs();
  for (size_t i = 0; i < graph_.inputs.size() && !staged && !moved; ++i) {
    moved = input_of_[graph_.inputs[i]] != inputs[i];
  }
  if (moved) resolve(arena, inputs);

  for (Execution::Step& step : execution_.steps) step.io.cancel = &cancel;
  auto upload = execution_.uploads.begin();
  for (size_t i = 0; i < graph_.inputs.size(); ++i) {
    const uint32_t v = graph_.inputs[i];
    if (layout_.allocation_of[v] >= 0 && graph_.values[v].bytes()) (upload++)->host = inputs[i];
  }
  auto download = execution_.downloads.begin();
  for (size_t i = 0; i < graph_.outputs.size(); ++i) {
    if (graph_.values[graph_.outputs[i]].bytes()) (download++)->host = outputs[i];
  }
  if (node_ms) node_ms->assign(graph_.nodes.size(), 0.0);
  backend.run(execution_, {cancel, progress, node_ms});
}

}  // namespace ba_sam
