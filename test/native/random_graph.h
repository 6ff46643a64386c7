// Seeded random graphs of every op: small, valid by construction, with views, constants to fold, residuals, broadcasts,
// empty token axes, optional outputs, weights that several nodes share, and weights that change from run to run.
#pragma once

#include <algorithm>

#include "op_cases.h"

namespace ba_sam::test {

class GraphMaker {
 public:
  using Item = GraphSpec::Item;

  // halves: the 16-bit dtypes that values may have besides f32.
  GraphMaker(Random& r, std::vector<DType> halves) : random(r), halves_(std::move(halves)) {}

  // `nodes` random nodes and one to three outputs.
  GraphSpec make(int nodes) {
    for (int i = 0; i < nodes; ++i) step(static_cast<Op>(random.integer(0, kOpCount - 1)));
    const int count = static_cast<int>(random.integer(1, 3));
    for (int i = 0; i < count; ++i) {
      const auto& outputs = spec.nodes[below(spec.nodes.size())].outputs;
      const uint32_t v = outputs[below(outputs.size())];
      if (v != kAbsent && !rooted_in_weight(v)) spec.outputs.push_back(v);
    }
    return spec;
  }

  void step(Op op) {
    std::visit([&](const auto& s) { append_random(*this, s); }, make_op(op));
  }

  // Whether v is a weight or a view of one, which no graph may have as output.
  bool rooted_in_weight(uint32_t v) const {
    for (;;) {
      const auto step = std::find_if(spec.nodes.begin(), spec.nodes.end(), [&](const auto& n) {
        return std::find(n.outputs.begin(), n.outputs.end(), v) != n.outputs.end();
      });
      if (step == spec.nodes.end()) return at(v).kind == static_cast<uint8_t>(ValueKind::weight);
      if (!info_of(make_op(step->op)).is_view) return false;
      v = step->inputs[0];
    }
  }

  GraphSpec spec;
  Random& random;

  // ---- what append_random of an op draws from ----

  size_t below(size_t count) { return static_cast<size_t>(random.integer(0, static_cast<int64_t>(count) - 1)); }
  int64_t small(int64_t high) { return random.integer(1, high); }
  Activation activation() { return static_cast<Activation>(random.integer(0, 2)); }
  DType any_dtype() { return halves_.empty() || random.chance(0.5) ? DType::f32 : halves_[below(halves_.size())]; }
  // Of an output that may be wider than its input.
  DType wide(uint32_t v) { return random.chance(0.5) ? DType::f32 : dtype(v); }

  const Item& at(uint32_t v) const { return spec.values[v]; }
  DType dtype(uint32_t v) const { return static_cast<DType>(at(v).dtype); }

  static bool any(const Item&) { return true; }
  static bool nonempty(const Item& v) {
    return std::all_of(v.shape.begin(), v.shape.end(), [](int64_t d) { return d > 0; });
  }
  static bool has_channels(const Item& v) { return v.shape.back() > 0; }
  static bool is_grid(const Item& v) { return v.shape.size() == 4 && nonempty(v); }
  static bool is_tokens(const Item& v) { return v.shape.size() == 3 && has_channels(v); }

  // A float value that the graph has and that fits, or what `otherwise` declares.
  template <typename Fits, typename Otherwise>
  uint32_t pick(Fits fits, Otherwise otherwise) {
    std::vector<uint32_t> found;
    for (uint32_t v = 0; v < spec.values.size(); ++v) {
      if (is_float(dtype(v)) && fits(at(v))) found.push_back(v);
    }
    if (found.empty() || random.chance(0.15)) return otherwise();
    return found[below(found.size())];
  }

  // An input, or sometimes a weight: what depends on weights alone is folded.
  uint32_t fresh(Shape shape, DType type) {
    return random.chance(0.3) ? weight(std::move(shape), type) : spec.input(std::move(shape), type);
  }
  uint32_t tokens() { return fresh({small(3), random.chance(0.1) ? 0 : small(7), small(20)}, any_dtype()); }
  uint32_t grid() { return fresh({small(3), small(6), small(6), small(12)}, any_dtype()); }

  // A frozen weight most of the time; else one that changes from run to run.
  uint32_t weight(Shape shape, DType type = DType::f32) {
    const ValueKind kind = random.chance(0.75) ? ValueKind::weight : ValueKind::parameter;
    for (uint32_t v = 0; v < spec.values.size(); ++v) {
      const bool same = at(v).kind == static_cast<uint8_t>(kind) && at(v).shape == shape && dtype(v) == type;
      if (same && random.chance(0.3)) return v;
    }
    if (kind == ValueKind::weight || random.chance(0.4)) return spec.value(kind, std::move(shape), type);
    return random.chance(0.5) ? spec.input(std::move(shape), type) : computed(std::move(shape), type);
  }
  uint32_t maybe_weight(Shape shape) { return random.chance(0.7) ? weight(std::move(shape)) : kAbsent; }

 private:
  // What a node makes of a value of any kind, for example the bf16 form of an f32 parameter.
  uint32_t computed(Shape shape, DType type) {
    const ValueKind kinds[] = {ValueKind::input, ValueKind::weight, ValueKind::parameter};
    const uint32_t from = spec.value(kinds[below(3)], shape, any_dtype());
    return spec.node(CastOp{}, {from}, std::move(shape), type);
  }

  std::vector<DType> halves_;
};

}  // namespace ba_sam::test
