// See rule.h.
#include "rule.h"

namespace ba_sam {

void Rule::fail(const std::string& message) const {
  const auto index = out().producer;
  throw SamError("ERR_GRAPH", std::string(node.info().name) + " (node " + std::to_string(index) + "): " + message);
}

std::string Rule::name(size_t i) const {
  const auto& declared = node.info().inputs;
  return declared[std::min(i, declared.size() - 1)].name;
}

void Rule::expect_float(size_t i) const {
  require(is_float(dtype(i)), name(i) + " of dtype f32, bf16 or f16");
}

void Rule::expect_dtype(size_t i, DType expected) const {
  if (dtype(i) != expected) {
    fail("expected " + name(i) + " of dtype " + dtype_name(expected) + " but received " + dtype_name(dtype(i)));
  }
}

void Rule::expect_rank(size_t i, size_t rank) const {
  require(shape(i).size() == rank, name(i) + " of rank " + std::to_string(rank) + ", not " + shape_text(shape(i)));
}

void Rule::expect_nonempty(size_t i) const {
  for (int64_t dim : shape(i)) require(dim > 0, name(i) + " without empty dimensions");
}

void Rule::expect_shape(size_t i, const Shape& expected) const {
  if (shape(i) != expected) {
    fail("expected " + name(i) + " of shape " + shape_text(expected) + " but received " + shape_text(shape(i)));
  }
}

void Rule::expect_vector(size_t i, int64_t length) const {
  expect_dtype(i, DType::f32);
  expect_shape(i, {length});
}

void Rule::expect_out(const Shape& expected, size_t output) const {
  if (out(output).shape != expected) {
    fail("expected an output of shape " + shape_text(expected) + " but it is declared as " +
         shape_text(out(output).shape));
  }
}

void Rule::expect_out_dtype(DType expected, size_t output) const {
  if (out(output).dtype != expected) {
    fail(std::string("expected an output of dtype ") + dtype_name(expected) + " but it is declared as " +
         dtype_name(out(output).dtype));
  }
}

void Rule::expect_float_out() const {
  require(is_float(out().dtype), "an output of dtype f32, bf16 or f16");
}

void Rule::expect_wide_out(size_t i) const {
  require(out().dtype == DType::f32 || out().dtype == dtype(i), "an output of dtype f32 or that of " + name(i));
}

void Rule::expect_image_and_weight(size_t x, size_t weight) const {
  expect_float(x);
  expect_rank(x, 4);
  expect_rank(weight, 4);
  expect_nonempty(x);
  expect_nonempty(weight);
  expect_dtype(weight, dtype(x));
}

void Rule::expect_image_sides(size_t x) const {
  require(shape(x)[1] <= kMaxSide && shape(x)[2] <= kMaxSide, "an image of at most 2^20 a side");
}

void Rule::expect_sliding_kernel(size_t x, size_t weight, size_t bias, int64_t stride, int64_t padding) const {
  const Shape &image = shape(x), &w = shape(weight);
  between(stride, 1, 64, "stride");
  between(padding, 0, 64, "padding");
  require(w[2] <= 64 && w[3] <= 64, "a kernel of at most 64 × 64");
  expect_image_sides(x);
  const int64_t padded_h = image[1] + 2 * padding, padded_w = image[2] + 2 * padding;
  require(padded_h >= w[2] && padded_w >= w[3], "an input at least as large as the kernel");
  if (has(bias)) expect_vector(bias, w[0]);
  expect_out({image[0], (padded_h - w[2]) / stride + 1, (padded_w - w[3]) / stride + 1, w[0]});
  expect_wide_out(x);
}

void Rule::between(int64_t value, int64_t low, int64_t high, const char* what) const {
  if (value < low || value > high) {
    fail("expected an integer between " + std::to_string(low) + " and " + std::to_string(high) + " for " + what +
         " but received " + std::to_string(value));
  }
}

int64_t Rule::head_dim(int64_t channels, int64_t heads) const {
  between(heads, 1, 4096, "heads");
  require(channels > 0 && channels % heads == 0 && channels / heads <= 256,
          "channels divisible by heads with a head size of at most 256");
  return channels / heads;
}

void check_node(const Graph& graph, const Node& node) {
  std::visit([&](const auto& op) { check(Rule(graph, node), op); }, node.op);
}

double node_flops(const Graph& graph, const Node& node) {
  return std::visit([&](const auto& op) { return flops(OpView(graph, node), op); }, node.op);
}

double node_cost(const Graph& graph, const Node& node) {
  // A byte moved costs about as much as 10 flops on the machines this was measured on.
  double moved = 0;
  for (size_t i = 0; i < node.outputs.size(); ++i) {
    if (node.has_output(i)) moved += 10.0 * 8.0 * static_cast<double>(graph.output(node, i).elements());
  }
  return node_flops(graph, node) + moved;
}

}  // namespace ba_sam
