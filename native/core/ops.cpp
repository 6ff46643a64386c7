// Shape, dtype and attribute rules of every op.
#include "ops.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "f8.h"
#include "graph.h"

namespace ba_sam {
namespace {

constexpr int kMaxSlopes = 4096;

constexpr OpInfo kOps[kOpCount] = {
    // name               inputs  attributes
    {"linear", 2, 4, 1, 2},     // x, weight, bias?, residual? | activation, f8?
    {"layerNorm", 3, 3, 2, 2},  // x, weight, bias | eps, activation
    {"gridAttention", 1, 4, 5,
     5 + kMaxSlopes},                 // qkv, relH?, relW?, qkvBias? | heads, window, scale, metric, start, slopes…
    {"attention", 3, 3, 2, 2},        // q, k, v | heads, scale
    {"conv2d", 2, 3, 3, 3},           // x, weight, bias? | stride, padding, activation
    {"convTranspose2d", 2, 3, 1, 1},  // x, weight, bias? | activation
    {"patchEmbed", 2, 5, 0, 6},       // pixels, weight, bias?, positions?, content? | mean × 3, std × 3
    {"add", 2, 2, 0, 0},              // a, b
    {"concat", 1, kMaxInputs, 0, 0},  // x…
    {"slice", 1, 1, 2, 2},            // x | start, count
    {"matmul", 2, 2, 0, 0},           // a, b
    {"transpose", 1, 1, 1, 1},        // x | toChannelsFirst
    {"reshape", 1, 1, 0, 0},          // x
    {"cast", 1, 1, 0, 0},             // x
    {"pointEncoding", 8, 8, 2, 2},    // coords, labels, gaussian, notAPoint, point0 … point3 | inputW, inputH
    {"gridEncoding", 1, 1, 0, 0},     // gaussian
    {"resizePositions", 1, 1, 0, 0},  // positions
    {"resizeRelPos", 1, 2, 0, 0},     // table, coefficient?
    {"upsampleMasks", 1, 1, 4, 4},    // lowRes | inputW, inputH, contentW, contentH
};

// One node under check; every failure names the op and its place in the graph.
class Checker {
 public:
  Checker(const Graph& graph, const Node& node)
      : graph_(graph), node_(node), info_(op_info(static_cast<uint8_t>(node.op))) {}

  [[noreturn]] void fail(const std::string& message) const {
    const auto index = graph_.values[node_.output].producer;
    throw SamError("ERR_GRAPH", std::string(info_.name) + " (node " + std::to_string(index) + "): " + message);
  }

  bool has(size_t i) const { return node_.has_input(i); }
  const Shape& shape(size_t i) const { return graph_.input(node_, i).shape; }
  DType dtype(size_t i) const { return graph_.input(node_, i).dtype; }
  const Shape& out() const { return graph_.output(node_).shape; }
  DType out_dtype() const { return graph_.output(node_).dtype; }

  void require(bool condition, const std::string& expectation) const {
    if (!condition) fail("expected " + expectation);
  }

  void expect_shape(size_t i, const Shape& expected, const char* what) const {
    if (shape(i) != expected) {
      fail(std::string("expected ") + what + " of shape " + shape_text(expected) + " but received " +
           shape_text(shape(i)));
    }
  }
  void expect_out(const Shape& expected) const {
    if (out() != expected) {
      fail("expected an output of shape " + shape_text(expected) + " but it is declared as " + shape_text(out()));
    }
  }
  void expect_dtype(size_t i, DType expected, const char* what) const {
    if (dtype(i) != expected) {
      fail(std::string("expected ") + what + " of dtype " + dtype_name(expected) + " but received " +
           dtype_name(dtype(i)));
    }
  }
  void expect_out_dtype(DType expected) const {
    if (out_dtype() != expected) {
      fail(std::string("expected an output of dtype ") + dtype_name(expected) + " but it is declared as " +
           dtype_name(out_dtype()));
    }
  }
  void expect_float(size_t i, const char* what) const {
    require(is_float(dtype(i)), std::string(what) + " of dtype f32, bf16 or f16");
  }
  void expect_float_out() const { require(is_float(out_dtype()), "an output of dtype f32, bf16 or f16"); }
  void expect_rank(size_t i, size_t rank, const char* what) const {
    require(shape(i).size() == rank,
            std::string(what) + " of rank " + std::to_string(rank) + ", not " + shape_text(shape(i)));
  }
  void expect_nonempty(size_t i, const char* what) const {
    for (int64_t dim : shape(i)) require(dim > 0, std::string(what) + " without empty dimensions");
  }

  size_t attributes() const { return node_.attributes.size(); }
  double attribute(size_t i) const { return node_.attributes[i]; }
  int64_t integer(size_t i, int64_t low, int64_t high, const char* what) const {
    const double value = node_.attributes[i];
    if (!(value >= static_cast<double>(low) && value <= static_cast<double>(high)) || value != std::floor(value)) {
      fail("expected an integer between " + std::to_string(low) + " and " + std::to_string(high) + " for " + what +
           " but received " + std::to_string(value));
    }
    return static_cast<int64_t>(value);
  }

  // A vector of f32 parameters: bias, slopes, norm weights.
  void expect_vector(size_t i, int64_t length, const char* what) const {
    expect_dtype(i, DType::f32, what);
    expect_shape(i, {length}, what);
  }

 private:
  const Graph& graph_;
  const Node& node_;
  const OpInfo& info_;
};

constexpr int64_t kMaxSide = int64_t{1} << 20;

void check_linear(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_rank(1, 2, "weight");
  c.expect_dtype(1, c.dtype(0), "weight");
  c.expect_nonempty(1, "weight");
  c.require(c.shape(0).back() == c.shape(1)[1],
            "x with " + std::to_string(c.shape(1)[1]) + " channels, not " + shape_text(c.shape(0)));
  Shape expected = c.shape(0);
  expected.back() = c.shape(1)[0];
  c.expect_out(expected);
  c.require(c.out_dtype() == DType::f32 || c.out_dtype() == c.dtype(0), "an output of dtype f32 or that of x");
  if (c.has(2)) c.expect_vector(2, c.shape(1)[0], "bias");
  const int64_t activation = c.integer(0, 0, 2, "activation");
  if (c.has(3)) {
    c.expect_shape(3, expected, "residual");
    c.expect_dtype(3, c.out_dtype(), "residual");
    c.require(activation == 0, "no activation together with a residual");
  }
  if (c.attributes() > 1 && c.integer(1, 0, 1, "f8") == 1) {
    const Shape& w = c.shape(1);
    c.require(w[0] % kF8Multiple == 0 && w[1] % kF8Multiple == 0,
              "a weight whose sides are multiples of " + std::to_string(kF8Multiple) + " for f8, not " + shape_text(w));
  }
}

void check_layer_norm(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_nonempty(1, "weight");
  c.expect_vector(1, c.shape(0).back(), "weight");
  c.expect_vector(2, c.shape(0).back(), "bias");
  c.require(c.attribute(0) > 0 && c.attribute(0) < 1, "eps between 0 and 1");
  c.integer(1, 0, 2, "activation");
  c.expect_out(c.shape(0));
  c.expect_float_out();
}

int64_t check_heads(const Checker& c, int64_t channels) {
  const int64_t heads = c.integer(0, 1, 4096, "heads");
  c.require(channels > 0 && channels % heads == 0 && channels / heads <= 256,
            "channels divisible by heads with a head size of at most 256");
  return channels / heads;
}

void check_grid_attention(const Checker& c, size_t attributes) {
  c.expect_float(0, "qkv");
  c.expect_rank(0, 4, "qkv");
  c.expect_nonempty(0, "qkv");
  const Shape& qkv = c.shape(0);
  c.require(qkv[1] <= kMaxSide && qkv[2] <= kMaxSide, "a grid of at most 2^20 tokens a side");
  c.require(qkv[3] % 3 == 0, "qkv with 3·H·D channels, not " + shape_text(qkv));
  const int64_t channels = qkv[3] / 3;
  const int64_t head_dim = check_heads(c, channels);
  const int64_t heads = channels / head_dim;
  const int64_t window = c.integer(1, 0, 1024, "window");
  const int64_t metric = c.integer(3, 0, 3, "metric");
  c.require(c.attribute(4) >= 0, "start of at least 0");
  c.require(attributes == 5 || static_cast<int64_t>(attributes) == 5 + heads, "one slope per head");
  c.require((metric == 0) == (attributes == 5), "slopes exactly when there is a metric");
  for (size_t i = 5; i < attributes; ++i) c.require(c.attribute(i) >= 0, "slopes of at least 0");
  c.require(metric == 0 || window == 0, "a distance penalty in global attention only");
  c.require(c.has(1) == c.has(2), "both relative position tables or none");
  if (c.has(1)) {
    c.expect_dtype(1, DType::f32, "relH");
    c.expect_dtype(2, DType::f32, "relW");
    c.expect_shape(1, {2 * (window ? window : qkv[1]) - 1, head_dim}, "relH");
    c.expect_shape(2, {2 * (window ? window : qkv[2]) - 1, head_dim}, "relW");
  }
  if (c.has(3)) c.expect_vector(3, qkv[3], "qkvBias");
  c.expect_out({qkv[0], qkv[1], qkv[2], channels});
  c.expect_out_dtype(c.dtype(0));
}

void check_attention(const Checker& c) {
  for (size_t i = 0; i < 3; ++i) {
    c.expect_float(i, "q, k and v");
    c.require(c.dtype(i) == c.dtype(0), "q, k and v of one dtype");
    c.require(c.shape(i).size() >= 3, "q, k and v of rank 3 or more");
  }
  c.require(c.shape(1) == c.shape(2), "k and v of one shape");
  const int64_t q_batch = c.shape(0)[0], k_batch = c.shape(1)[0];
  c.require((q_batch == k_batch || q_batch == 1 || k_batch == 1) && c.shape(0).back() == c.shape(1).back(),
            "q and k with the same channels and the same batch, or 1");
  c.expect_nonempty(1, "k");
  check_heads(c, c.shape(0).back());
  Shape expected = c.shape(0);
  expected[0] = q_batch == 1 ? k_batch : q_batch;
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(0));
}

void check_conv2d(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_rank(0, 4, "x");
  c.expect_rank(1, 4, "weight");
  c.expect_nonempty(0, "x");
  c.expect_nonempty(1, "weight");
  c.expect_dtype(1, c.dtype(0), "weight");
  const Shape &x = c.shape(0), &w = c.shape(1);
  c.require(w[1] == x[3], "x with " + std::to_string(w[1]) + " channels, not " + shape_text(x));
  const int64_t stride = c.integer(0, 1, 64, "stride");
  const int64_t padding = c.integer(1, 0, 64, "padding");
  c.integer(2, 0, 2, "activation");
  c.require(w[2] <= 64 && w[3] <= 64, "a kernel of at most 64 × 64");
  c.require(x[1] <= kMaxSide && x[2] <= kMaxSide, "an image of at most 2^20 a side");
  c.require(x[1] + 2 * padding >= w[2] && x[2] + 2 * padding >= w[3], "an input at least as large as the kernel");
  if (c.has(2)) c.expect_vector(2, w[0], "bias");
  c.expect_out({x[0], (x[1] + 2 * padding - w[2]) / stride + 1, (x[2] + 2 * padding - w[3]) / stride + 1, w[0]});
  c.require(c.out_dtype() == DType::f32 || c.out_dtype() == c.dtype(0), "an output of dtype f32 or that of x");
}

void check_conv_transpose2d(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_rank(0, 4, "x");
  c.expect_rank(1, 4, "weight");
  c.expect_nonempty(0, "x");
  c.expect_nonempty(1, "weight");
  c.expect_dtype(1, c.dtype(0), "weight");
  const Shape &x = c.shape(0), &w = c.shape(1);
  c.require(w[0] == x[3] && w[2] == w[3] && w[2] <= 16,
            "a square kernel [" + std::to_string(x[3]) + ", out, k, k] with stride k, not " + shape_text(w));
  c.require(x[1] <= kMaxSide && x[2] <= kMaxSide, "an image of at most 2^20 a side");
  if (c.has(2)) c.expect_vector(2, w[1], "bias");
  c.integer(0, 0, 2, "activation");
  c.expect_out({x[0], x[1] * w[2], x[2] * w[2], w[1]});
  c.expect_out_dtype(c.dtype(0));
}

// Pixels are f32 [B, I, H, W], normalised, or u8 [B, H, W, 3] as a photograph is decoded, with what normalises them.
void check_patch_embed(const Checker& c, size_t attributes) {
  const bool bytes = c.dtype(0) == DType::u8;
  c.require(bytes || c.dtype(0) == DType::f32, "pixels of dtype f32 or u8");
  c.expect_rank(0, 4, "pixels");
  c.expect_rank(1, 4, "weight");
  c.expect_nonempty(0, "pixels");
  c.expect_nonempty(1, "weight");
  c.expect_float(1, "weight");
  const Shape &x = c.shape(0), &w = c.shape(1);
  const int64_t channels = bytes ? x[3] : x[1], height = bytes ? x[1] : x[2], width = bytes ? x[2] : x[3];
  c.require(w[1] == channels && w[2] == w[3],
            "a weight [C, " + std::to_string(channels) + ", P, P], not " + shape_text(w));
  c.require(height % w[2] == 0 && width % w[2] == 0, "image sides that are multiples of " + std::to_string(w[2]));
  const int64_t gh = height / w[2], gw = width / w[2];
  if (c.has(2)) c.expect_vector(2, w[0], "bias");
  if (c.has(3)) {
    c.expect_dtype(3, DType::f32, "positions");
    c.expect_shape(3, {1, gh, gw, w[0]}, "positions");
  }
  if (bytes) {
    c.require(channels == 3, "u8 pixels [B, H, W, 3], not " + shape_text(x));
    c.require(c.has(4), "content with u8 pixels");
    c.expect_dtype(4, DType::i32, "content");
    c.expect_shape(4, {x[0], 2}, "content");
    c.require(attributes == 6, "three means and three deviations with u8 pixels");
    for (size_t i = 3; i < 6; ++i) c.require(static_cast<float>(c.attribute(i)) > 0, "deviations above 0");
  } else {
    c.require(!c.has(4) && attributes == 0, "neither content nor attributes with f32 pixels");
  }
  c.expect_out({x[0], gh, gw, w[0]});
  c.expect_out_dtype(DType::f32);
}

void check_add(const Checker& c) {
  c.expect_float(0, "a");
  c.expect_dtype(1, c.dtype(0), "b");
  const Shape &a = c.shape(0), &b = c.shape(1);
  c.require(a.size() == b.size(), "a and b of the same rank");
  Shape expected(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    c.require(a[i] == b[i] || a[i] == 1 || b[i] == 1,
              "broadcastable shapes, not " + shape_text(a) + " and " + shape_text(b));
    expected[i] = a[i] == 1 ? b[i] : a[i];
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(0));
}

void check_concat(const Checker& c, size_t inputs) {
  c.expect_float(0, "x");
  c.expect_rank(0, 3, "x");
  Shape expected = {1, 0, c.shape(0)[2]};
  for (size_t i = 0; i < inputs; ++i) {
    c.require(c.has(i), "every input to be there");
    c.expect_rank(i, 3, "x");
    c.expect_dtype(i, c.dtype(0), "x");
    c.require(c.shape(i)[2] == expected[2], "inputs with the same channels");
    if (c.shape(i)[0] != 1) {
      c.require(expected[0] == 1 || expected[0] == c.shape(i)[0], "inputs with one batch size, or 1");
      expected[0] = c.shape(i)[0];
    }
    expected[1] += c.shape(i)[1];
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(0));
}

void check_slice(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_rank(0, 3, "x");
  const Shape& x = c.shape(0);
  const int64_t start = c.integer(0, 0, x[1], "start");
  const int64_t count = c.integer(1, 1, std::max<int64_t>(1, x[1]), "count");
  c.require(start + count <= x[1], "start + count of at most " + std::to_string(x[1]));
  c.expect_out({x[0], count, x[2]});
  c.expect_out_dtype(c.dtype(0));
}

void check_matmul(const Checker& c) {
  c.expect_float(0, "a");
  c.expect_dtype(1, c.dtype(0), "b");
  c.expect_rank(0, 3, "a");
  c.expect_rank(1, 3, "b");
  c.expect_nonempty(0, "a");
  c.expect_nonempty(1, "b");
  const Shape &a = c.shape(0), &b = c.shape(1);
  c.require(a[0] == b[0] && a[2] == b[2],
            "a [B, M, K] and b [B, N, K], not " + shape_text(a) + " and " + shape_text(b));
  c.expect_out({a[0], a[1], b[1]});
  c.require(c.out_dtype() == DType::f32 || c.out_dtype() == c.dtype(0), "an output of dtype f32 or that of a");
}

void check_transpose(const Checker& c) {
  const Shape& x = c.shape(0);
  c.expect_float(0, "x");
  c.require(x.size() >= 3, "x of rank 3 or more");
  Shape expected = x;
  if (c.integer(0, 0, 1, "toChannelsFirst")) {
    std::rotate(expected.begin() + 1, expected.end() - 1, expected.end());  // [B, …, C] → [B, C, …]
  } else {
    std::rotate(expected.begin() + 1, expected.begin() + 2, expected.end());  // [B, C, …] → [B, …, C]
  }
  c.expect_out(expected);
  c.expect_out_dtype(c.dtype(0));
}

void check_reshape(const Checker& c) {
  int64_t in = 1, out = 1;
  for (int64_t d : c.shape(0)) in *= d;
  for (int64_t d : c.out()) out *= d;
  c.require(in == out, "as many elements in " + shape_text(c.out()) + " as in " + shape_text(c.shape(0)));
  c.expect_out_dtype(c.dtype(0));
}

void check_cast(const Checker& c) {
  c.expect_float(0, "x");
  c.expect_float_out();
  c.expect_out(c.shape(0));
}

void check_point_encoding(const Checker& c) {
  c.expect_dtype(0, DType::f32, "coords");
  c.expect_rank(0, 3, "coords");
  c.expect_dtype(1, DType::i32, "labels");
  c.expect_dtype(2, DType::f32, "gaussian");
  c.expect_rank(2, 2, "gaussian");
  const Shape& coords = c.shape(0);
  c.require(coords[2] == 2 && c.shape(2)[0] == 2, "coords [P, n, 2] and gaussian [2, F]");
  c.expect_shape(1, {coords[0], coords[1]}, "labels");
  const int64_t channels = 2 * c.shape(2)[1];
  for (size_t i = 3; i < 8; ++i) {
    c.expect_dtype(i, DType::f32, "the label embeddings");
    c.expect_shape(i, {1, channels}, "the label embeddings");
  }
  c.integer(0, 1, kMaxSide, "inputW");
  c.integer(1, 1, kMaxSide, "inputH");
  c.expect_out({coords[0], coords[1], channels});
  c.expect_out_dtype(DType::f32);
}

void check_grid_encoding(const Checker& c) {
  c.expect_dtype(0, DType::f32, "gaussian");
  c.expect_rank(0, 2, "gaussian");
  c.require(c.shape(0)[0] == 2, "gaussian [2, F]");
  c.require(c.out().size() == 4 && c.out()[0] == 1 && c.out()[3] == 2 * c.shape(0)[1],
            "an output [1, Gh, Gw, 2F], not " + shape_text(c.out()));
  c.expect_out_dtype(DType::f32);
}

void check_resize_positions(const Checker& c) {
  c.expect_dtype(0, DType::f32, "positions");
  c.expect_rank(0, 4, "positions");
  c.expect_nonempty(0, "positions");
  c.require(c.shape(0)[0] == 1 && c.out().size() == 4 && c.out()[0] == 1 && c.out()[3] == c.shape(0)[3] &&
                c.out()[1] > 0 && c.out()[2] > 0,
            "an output [1, Gh, Gw, C], not " + shape_text(c.out()));
  c.expect_out_dtype(DType::f32);
}

void check_resize_rel_pos(const Checker& c) {
  c.expect_dtype(0, DType::f32, "table");
  c.expect_rank(0, 2, "table");
  c.expect_nonempty(0, "table");
  c.require(c.out().size() == 2 && c.out()[0] > 0 && c.out()[1] == c.shape(0)[1],
            "an output [L, " + std::to_string(c.shape(0)[1]) + "], not " + shape_text(c.out()));
  if (c.has(1)) c.expect_vector(1, 1, "coefficient");
  c.expect_out_dtype(DType::f32);
}

void check_upsample_masks(const Checker& c) {
  c.expect_dtype(0, DType::f32, "lowRes");
  c.expect_rank(0, 4, "lowRes");
  c.expect_nonempty(0, "lowRes");
  const int64_t input_w = c.integer(0, 1, kMaxSide, "inputW"), input_h = c.integer(1, 1, kMaxSide, "inputH");
  c.integer(2, 1, input_w, "contentW");
  c.integer(3, 1, input_h, "contentH");
  const Shape &low = c.shape(0), &out = c.out();
  c.require(out.size() == 4 && out[0] == low[0] && out[1] == low[1] && out[2] >= 1 && out[2] <= kMaxSide &&
                out[3] >= 1 && out[3] <= kMaxSide,
            "an output [P, M, H, W], not " + shape_text(out));
  c.require(c.out_dtype() == DType::u8 || c.out_dtype() == DType::f32, "an output of dtype u8 (masks) or f32 (logits)");
}

}  // namespace

const OpInfo& op_info(uint8_t op) {
  if (op >= kOpCount) {
    throw SamError("ERR_GRAPH", "Expected an op between 0 and " + std::to_string(kOpCount - 1) + " but received " +
                                    std::to_string(op));
  }
  return kOps[op];
}

void check_node(const Graph& graph, const Node& node) {
  const Checker c(graph, node);
  switch (node.op) {
    case Op::linear:
      return check_linear(c);
    case Op::layer_norm:
      return check_layer_norm(c);
    case Op::grid_attention:
      return check_grid_attention(c, node.attributes.size());
    case Op::attention:
      return check_attention(c);
    case Op::conv2d:
      return check_conv2d(c);
    case Op::conv_transpose2d:
      return check_conv_transpose2d(c);
    case Op::patch_embed:
      return check_patch_embed(c, node.attributes.size());
    case Op::add:
      return check_add(c);
    case Op::concat:
      return check_concat(c, node.inputs.size());
    case Op::slice:
      return check_slice(c);
    case Op::matmul:
      return check_matmul(c);
    case Op::transpose:
      return check_transpose(c);
    case Op::reshape:
      return check_reshape(c);
    case Op::cast:
      return check_cast(c);
    case Op::point_encoding:
      return check_point_encoding(c);
    case Op::grid_encoding:
      return check_grid_encoding(c);
    case Op::resize_positions:
      return check_resize_positions(c);
    case Op::resize_rel_pos:
      return check_resize_rel_pos(c);
    case Op::upsample_masks:
      return check_upsample_masks(c);
  }
}

double node_cost(const Graph& graph, const Node& node) {
  const Value& out = graph.output(node);
  const double elements = static_cast<double>(out.elements());
  // A byte moved costs about as much as 10 flops on the machines this was measured on.
  const double moved = 10.0 * 8.0 * elements;
  switch (node.op) {
    case Op::linear:
      return 2.0 * elements * static_cast<double>(graph.input(node, 0).shape.back()) + moved;
    case Op::conv2d:
    case Op::patch_embed: {
      const Shape& w = graph.input(node, 1).shape;
      return 2.0 * elements * static_cast<double>(w[1] * w[2] * w[3]) + moved;
    }
    case Op::conv_transpose2d:
      return 2.0 * elements * static_cast<double>(graph.input(node, 0).shape[3]) + moved;
    case Op::matmul:
      return 2.0 * elements * static_cast<double>(graph.input(node, 0).shape[2]) + moved;
    case Op::grid_attention: {
      const double window = node.attributes[1];
      const double keys = window > 0 ? window * window : static_cast<double>(out.shape[1] * out.shape[2]);
      return 4.0 * elements * keys * 1.5 + moved;  // softmax and biases cost about half the products
    }
    case Op::attention: {
      const Value& k = graph.input(node, 1);
      const double keys = static_cast<double>(k.elements()) / static_cast<double>(k.shape[0] * k.shape.back());
      return 4.0 * elements * keys * 1.5 + moved;
    }
    default:
      return moved;
  }
}

}  // namespace ba_sam
