// Seeded random graphs of every op: small, valid by construction, with views, constants to fold, residuals, broadcasts,
// empty token axes and weights that several nodes share.
#pragma once

#include <algorithm>

#include "support.h"

namespace ba_sam::test {

class GraphMaker {
 public:
  // halves: the 16-bit dtypes that values may have besides f32.
  GraphMaker(Random& random, std::vector<DType> halves) : random_(random), halves_(std::move(halves)) {}

  // `nodes` random nodes and one to three outputs.
  GraphSpec make(int nodes) {
    for (int i = 0; i < nodes; ++i) step(static_cast<Op>(random_.integer(0, kOpCount - 1)));
    const int count = static_cast<int>(random_.integer(1, 3));
    for (int i = 0; i < count; ++i)
      spec.outputs.push_back(spec.nodes[random_.integer(0, static_cast<int64_t>(spec.nodes.size()) - 1)].output);
    std::vector<uint32_t> legal;
    for (uint32_t v : spec.outputs) {
      if (!rooted_in_weight(v)) legal.push_back(v);
    }
    spec.outputs = legal;
    return spec;
  }

  void step(Op op) {
    switch (op) {
      case Op::linear:
        return linear();
      case Op::layer_norm: {
        const auto x = pick([](const Item& v) { return v.shape.back() > 0; }, [&] { return tokens(); });
        const int64_t c = at(x).shape.back();
        add(op, {x, weight({c}), weight({c})}, {random_.chance(0.5) ? 1e-6 : 1e-5, activation()}, at(x).shape,
            any_dtype());
        return;
      }
      case Op::grid_attention:
        return grid_attention();
      case Op::attention:
        return attention();
      case Op::conv2d: {
        const auto x = pick(is_grid, [&] { return grid(); });
        const Shape s = at(x).shape;
        const int64_t stride = small(3), padding = random_.integer(0, 2);
        const int64_t kh = random_.integer(1, std::min<int64_t>(3, s[1] + 2 * padding));
        const int64_t kw = random_.integer(1, std::min<int64_t>(3, s[2] + 2 * padding)), out = small(9);
        add(op, {x, weight({out, s[3], kh, kw}, dtype(x)), maybe_weight({out})},
            {static_cast<double>(stride), static_cast<double>(padding), activation()},
            {s[0], (s[1] + 2 * padding - kh) / stride + 1, (s[2] + 2 * padding - kw) / stride + 1, out}, wide(x));
        return;
      }
      case Op::conv_transpose2d: {
        const auto x = pick(is_grid, [&] { return grid(); });
        const Shape s = at(x).shape;
        const int64_t k = small(3), out = small(9);
        add(op, {x, weight({s[3], out, k, k}, dtype(x)), maybe_weight({out})}, {activation()},
            {s[0], s[1] * k, s[2] * k, out}, dtype(x));
        return;
      }
      case Op::patch_embed: {
        const int64_t p = small(4), gh = small(4), gw = small(5), c = small(12), b = small(3);
        const bool bytes = random_.chance(0.5);
        const int64_t channels = bytes ? 3 : small(3);
        const auto x =
            bytes ? spec.input({b, gh * p, gw * p, 3}, DType::u8) : spec.input({b, channels, gh * p, gw * p});
        const auto matrix = weight({c, channels, p, p}, any_dtype()), bias = maybe_weight({c});
        const auto positions = random_.chance(0.5) ? fresh({1, gh, gw, c}, DType::f32) : kAbsent;
        if (bytes) {
          std::vector<double> attributes;
          for (int i = 0; i < 3; ++i) attributes.push_back(random_.uniform(90, 130));
          for (int i = 0; i < 3; ++i) attributes.push_back(random_.uniform(40, 70));
          add(op, {x, matrix, bias, positions, spec.input({b, 2}, DType::i32)}, attributes, {b, gh, gw, c}, DType::f32);
        } else {
          add(op, {x, matrix, bias, positions}, {}, {b, gh, gw, c}, DType::f32);
        }
        return;
      }
      case Op::add: {
        const auto a = pick(any, [&] { return tokens(); });
        const Shape s = at(a).shape;
        Shape other = s;
        for (int64_t& dim : other) dim = random_.chance(0.3) ? 1 : dim;
        const auto b = pick([&](const Item& v) { return v.shape == other && v.dtype == at(a).dtype; },
                            [&] { return fresh(other, dtype(a)); });
        if (random_.chance(0.5))
          add(op, {a, b}, {}, s, dtype(a));
        else
          add(op, {b, a}, {}, s, dtype(a));
        return;
      }
      case Op::concat: {
        const auto first = pick(is_tokens, [&] { return tokens(); });
        const int64_t c = at(first).shape[2];
        const DType type = dtype(first);
        std::vector<uint32_t> inputs = {first};
        int64_t batch = at(first).shape[0], count = at(first).shape[1];
        for (int64_t i = random_.integer(0, 3); i > 0; --i) {
          auto fits = [&](const Item& v) {
            return is_tokens(v) && v.shape[2] == c && v.dtype == static_cast<uint8_t>(type) &&
                   (v.shape[0] == 1 || batch == 1 || v.shape[0] == batch);
          };
          inputs.push_back(pick(fits, [&] {
            return fresh({random_.chance(0.5) ? 1 : batch, random_.integer(0, 5), c}, type);
          }));
          batch = std::max(batch, at(inputs.back()).shape[0]);
          count += at(inputs.back()).shape[1];
        }
        add(op, inputs, {}, {batch, count, c}, type);
        return;
      }
      case Op::slice: {
        const auto x = pick([](const Item& v) { return is_tokens(v) && v.shape[1] > 0; },
                            [&] {
                              return fresh({small(3), small(7), small(9)}, any_dtype());
                            });
        const int64_t n = at(x).shape[1], start = random_.integer(0, n - 1), count = random_.integer(1, n - start);
        add(op, {x}, {static_cast<double>(start), static_cast<double>(count)}, {at(x).shape[0], count, at(x).shape[2]},
            dtype(x));
        return;
      }
      case Op::matmul: {
        const auto a = pick([](const Item& v) { return is_tokens(v) && nonempty(v); },
                            [&] {
                              return fresh({small(3), small(7), small(9)}, any_dtype());
                            });
        const Shape s = at(a).shape;
        auto fits = [&](const Item& v) {
          return is_tokens(v) && nonempty(v) && v.shape[0] == s[0] && v.shape[2] == s[2] && v.dtype == at(a).dtype;
        };
        const auto b = pick(fits, [&] { return fresh({s[0], small(9), s[2]}, dtype(a)); });
        add(op, {a, b}, {}, {s[0], s[1], at(b).shape[1]}, wide(a));
        return;
      }
      case Op::transpose: {
        const auto x = pick([](const Item& v) { return v.shape.size() >= 3; }, [&] { return grid(); });
        Shape s = at(x).shape;
        const bool first = random_.chance(0.5);
        if (first)
          std::rotate(s.begin() + 1, s.end() - 1, s.end());
        else
          std::rotate(s.begin() + 1, s.begin() + 2, s.end());
        add(op, {x}, {first ? 1.0 : 0.0}, s, dtype(x));
        return;
      }
      case Op::reshape: {
        const auto x = pick(any, [&] { return tokens(); });
        add(op, {x}, {}, other_shape(at(x).shape), dtype(x));
        return;
      }
      case Op::cast: {
        const auto x = pick(any, [&] { return tokens(); });
        add(op, {x}, {}, at(x).shape, any_dtype());
        return;
      }
      case Op::point_encoding: {
        const int64_t p = small(3), n = random_.integer(0, 4), f = small(5);
        std::vector<uint32_t> inputs = {spec.input({p, n, 2}), spec.input({p, n}, DType::i32), weight({2, f})};
        for (int i = 0; i < 5; ++i) inputs.push_back(weight({1, 2 * f}));
        add(op, inputs, {64, 48}, {p, n, 2 * f}, DType::f32);
        return;
      }
      case Op::grid_encoding: {
        const int64_t f = small(5);
        add(op, {fresh({2, f}, DType::f32)}, {}, {1, small(5), small(5), 2 * f}, DType::f32);
        return;
      }
      case Op::resize_positions: {
        const int64_t c = small(6);
        add(op, {fresh({1, small(6), small(6), c}, DType::f32)}, {}, {1, small(9), small(9), c}, DType::f32);
        return;
      }
      case Op::resize_rel_pos: {
        const int64_t d = small(6);
        add(op, {fresh({small(9), d}, DType::f32), maybe_weight({1})}, {}, {small(15), d}, DType::f32);
        return;
      }
      case Op::upsample_masks: {
        const Shape s = {small(3), small(3), small(6), small(6)};
        const int64_t w = small(24), h = small(24), cw = random_.integer(1, w), ch = random_.integer(1, h);
        add(op, {fresh(s, DType::f32)},
            {static_cast<double>(w), static_cast<double>(h), static_cast<double>(cw), static_cast<double>(ch)},
            {s[0], s[1], small(30), small(30)}, random_.chance(0.5) ? DType::u8 : DType::f32);
        return;
      }
    }
  }

  GraphSpec spec;

 private:
  using Item = GraphSpec::Item;

  static bool any(const Item&) { return true; }
  static bool nonempty(const Item& v) {
    return std::all_of(v.shape.begin(), v.shape.end(), [](int64_t d) { return d > 0; });
  }
  static bool is_grid(const Item& v) { return v.shape.size() == 4 && nonempty(v); }
  static bool is_tokens(const Item& v) { return v.shape.size() == 3 && v.shape[2] > 0; }

  const Item& at(uint32_t v) const { return spec.values[v]; }
  DType dtype(uint32_t v) const { return static_cast<DType>(at(v).dtype); }
  DType any_dtype() {
    if (halves_.empty() || random_.chance(0.5)) return DType::f32;
    return halves_[random_.integer(0, static_cast<int64_t>(halves_.size()) - 1)];
  }
  DType wide(uint32_t v) { return random_.chance(0.5) ? DType::f32 : dtype(v); }
  int64_t small(int64_t high) { return random_.integer(1, high); }
  double activation() { return static_cast<double>(random_.integer(0, 2)); }

  bool rooted_in_weight(uint32_t v) const {
    for (;;) {
      const auto step =
          std::find_if(spec.nodes.begin(), spec.nodes.end(), [&](const auto& n) { return n.output == v; });
      if (step == spec.nodes.end()) return at(v).kind == static_cast<uint8_t>(ValueKind::weight);
      if (step->op != static_cast<uint8_t>(Op::reshape)) return false;
      v = step->inputs[0];
    }
  }

  // A float value that the graph has and that fits, or what `otherwise` declares.
  template <typename Fits, typename Otherwise>
  uint32_t pick(Fits fits, Otherwise otherwise) {
    std::vector<uint32_t> found;
    for (uint32_t v = 0; v < spec.values.size(); ++v) {
      if (is_float(dtype(v)) && fits(at(v))) found.push_back(v);
    }
    if (found.empty() || random_.chance(0.15)) return otherwise();
    return found[random_.integer(0, static_cast<int64_t>(found.size()) - 1)];
  }

  // An input, or sometimes a weight: what depends on weights alone is folded.
  uint32_t fresh(Shape shape, DType type) {
    return random_.chance(0.3) ? weight(std::move(shape), type) : spec.input(std::move(shape), type);
  }
  uint32_t tokens() { return fresh({small(3), random_.chance(0.1) ? 0 : small(7), small(20)}, any_dtype()); }
  uint32_t grid() { return fresh({small(3), small(6), small(6), small(12)}, any_dtype()); }
  uint32_t weight(Shape shape, DType type = DType::f32) {
    for (uint32_t v = 0; v < spec.values.size(); ++v) {
      const Item& item = at(v);
      const bool same = item.kind == static_cast<uint8_t>(ValueKind::weight) && item.shape == shape && dtype(v) == type;
      if (same && random_.chance(0.3)) return v;
    }
    return spec.weight(std::move(shape), type);
  }
  uint32_t maybe_weight(Shape shape) { return random_.chance(0.7) ? weight(std::move(shape)) : kAbsent; }

  uint32_t add(Op op, std::vector<uint32_t> inputs, std::vector<double> attributes, Shape shape, DType type) {
    return spec.node(op, std::move(inputs), std::move(attributes), std::move(shape), type);
  }

  // One linear layer, or two around a residual.
  void linear() {
    const auto x = pick([](const Item& v) { return v.shape.back() > 0; }, [&] { return tokens(); });
    const int64_t k = at(x).shape.back(), n = small(20);
    Shape hidden = at(x).shape;
    hidden.back() = n;
    auto matrix = [&](int64_t rows, int64_t columns, DType type) {
      if (random_.chance(0.8)) return weight({rows, columns}, type);
      return add(Op::reshape, {weight({rows, columns, 1, 1}, type)}, {}, {rows, columns}, type);  // a 1×1 convolution's
    };
    if (random_.chance(0.15)) {  // x is operand and residual at once: never in place
      const auto square = matrix(k, k, dtype(x));
      add(Op::linear, {x, square, maybe_weight({k}), x}, {0}, at(x).shape, dtype(x));
      return;
    }
    const auto w = matrix(n, k, dtype(x));
    const bool residual = random_.chance(0.5);
    const auto y = add(Op::linear, {x, w, maybe_weight({n})}, {activation()}, hidden, residual ? dtype(x) : wide(x));
    if (residual) add(Op::linear, {y, matrix(k, n, dtype(x)), maybe_weight({k}), x}, {0}, at(x).shape, dtype(x));
  }

  void grid_attention() {
    const int64_t b = small(2), gh = small(6), gw = small(7), heads = small(3), dim = small(9);
    const int64_t channels = heads * dim, window = random_.chance(0.5) ? small(4) : 0;
    const DType type = any_dtype();
    const Shape shape = {b, gh, gw, 3 * channels};
    const auto qkv = pick([&](const Item& v) { return v.shape == shape && v.dtype == static_cast<uint8_t>(type); },
                          [&] { return fresh(shape, type); });
    const bool rel = random_.chance(0.6);
    const auto rel_h = rel ? fresh({2 * (window ? window : gh) - 1, dim}, DType::f32) : kAbsent;
    const auto rel_w = rel ? fresh({2 * (window ? window : gw) - 1, dim}, DType::f32) : kAbsent;
    const int64_t metric = window ? 0 : random_.integer(0, 3);
    std::vector<double> attributes = {static_cast<double>(heads), static_cast<double>(window), random_.uniform(0.1, 1),
                                      static_cast<double>(metric),
                                      metric ? static_cast<double>(random_.integer(0, 3)) : 0};
    for (int64_t h = 0; metric && h < heads; ++h) attributes.push_back(random_.integer(0, 8) / 8.0);
    add(Op::grid_attention, {qkv, rel_h, rel_w, maybe_weight({3 * channels})}, attributes, {b, gh, gw, channels}, type);
  }

  void attention() {
    const int64_t heads = small(3), channels = heads * small(9), batch = small(3);
    const DType type = any_dtype();
    const auto q = fresh({random_.chance(0.3) ? 1 : batch, random_.chance(0.15) ? 0 : small(6), channels}, type);
    const auto k = fresh({random_.chance(0.3) ? 1 : batch, small(6), channels}, type);
    const auto v = random_.chance(0.3) ? k : fresh(at(k).shape, type);
    Shape shape = at(q).shape;
    if (shape[0] == 1) shape[0] = at(k).shape[0];
    add(Op::attention, {q, k, v}, {static_cast<double>(heads), random_.uniform(0.1, 1)}, shape, type);
  }

  Shape other_shape(const Shape& shape) {
    int64_t elements = 1;
    for (int64_t dim : shape) elements *= dim;
    Shape out;
    for (int64_t rest = elements; out.size() < 4;) {
      std::vector<int64_t> divisors;
      for (int64_t d = 1; d <= std::min<int64_t>(rest, 40); ++d) {
        if (rest % d == 0) divisors.push_back(d);
      }
      if (rest == 0) divisors = {0};
      out.push_back(divisors[random_.integer(0, static_cast<int64_t>(divisors.size()) - 1)]);
      rest = rest ? rest / out.back() : 0;
      if (out.size() == 4) out.back() *= std::max<int64_t>(1, rest);
    }
    while (out.size() > 1 && out.front() == 1 && random_.chance(0.5)) out.erase(out.begin());
    return out;
  }

  Random& random_;
  std::vector<DType> halves_;
};

}  // namespace ba_sam::test
