// decode_graph: round trips, every validation error, and truncation at every byte. Prints "N passed, N failed".
#include <ctime>
#include <limits>

#include "support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;
constexpr auto kBf16 = DType::bf16, kF32 = DType::f32, kI32 = DType::i32, kU8 = DType::u8;

std::string decode_error(const std::vector<uint8_t>& bytes) {
  // A heap block of exactly this size: AddressSanitizer sees a read of one byte more.
  std::vector<uint8_t> exact(bytes);
  exact.shrink_to_fit();
  return error_of([&] { decode_graph(exact.data(), exact.size()); });
}

// A valid graph of one node with every optional input there.
GraphSpec valid(Op op) {
  GraphSpec s;
  auto finish = [&](std::vector<uint32_t> inputs, std::vector<double> attributes, Shape shape, DType dtype = kF32) {
    s.outputs = {s.node(op, std::move(inputs), std::move(attributes), std::move(shape), dtype)};
    return s;
  };
  auto in = [&](Shape shape, DType dtype = kF32) { return s.input(std::move(shape), dtype); };
  auto w = [&](Shape shape, DType dtype = kF32) { return s.weight(std::move(shape), dtype); };
  switch (op) {
    case Op::linear: {
      const auto x = in({2, 5, 8}), weight = w({6, 8}), bias = w({6}), residual = in({2, 5, 6});
      return finish({x, weight, bias, residual}, {0}, {2, 5, 6});
    }
    case Op::layer_norm: {
      const auto x = in({2, 5, 8}), weight = w({8}), bias = w({8});
      return finish({x, weight, bias}, {1e-6, 2}, {2, 5, 8});
    }
    case Op::grid_attention: {
      const auto qkv = in({2, 3, 5, 24}), rel_h = w({5, 4}), rel_w = w({9, 4}), bias = w({24});
      return finish({qkv, rel_h, rel_w, bias}, {2, 0, 0.5, 1, 3, 0.25, 0.5}, {2, 3, 5, 8});
    }
    case Op::attention: {
      const auto q = in({2, 5, 8}), k = in({2, 7, 8}), v = in({2, 7, 8});
      return finish({q, k, v}, {2, 0.5}, {2, 5, 8});
    }
    case Op::conv2d: {
      const auto x = in({2, 6, 5, 3}), weight = w({4, 3, 3, 2}), bias = w({4});
      return finish({x, weight, bias}, {2, 1, 1}, {2, 3, 3, 4});
    }
    case Op::conv_transpose2d: {
      const auto x = in({2, 3, 5, 4}), weight = w({4, 3, 2, 2}), bias = w({3});
      return finish({x, weight, bias}, {1}, {2, 6, 10, 3});
    }
    case Op::patch_embed: {
      const auto x = in({2, 3, 8, 12}), weight = w({6, 3, 4, 4}), bias = w({6}), positions = in({1, 2, 3, 6});
      return finish({x, weight, bias, positions}, {}, {2, 2, 3, 6});
    }
    case Op::add: {
      const auto a = in({2, 1, 4}), b = in({1, 3, 4});
      return finish({a, b}, {}, {2, 3, 4});
    }
    case Op::concat: {
      const auto a = in({1, 2, 4}), b = in({3, 0, 4}), c = in({3, 5, 4});
      return finish({a, b, c}, {}, {3, 7, 4});
    }
    case Op::slice:
      return finish({in({2, 7, 4})}, {3, 4}, {2, 4, 4});
    case Op::matmul: {
      const auto a = in({2, 3, 4}), b = in({2, 5, 4});
      return finish({a, b}, {}, {2, 3, 5});
    }
    case Op::transpose:
      return finish({in({2, 3, 5, 4})}, {1}, {2, 4, 3, 5});
    case Op::reshape:
      return finish({in({2, 3, 4})}, {}, {6, 1, 4});
    case Op::cast:
      return finish({in({2, 3})}, {}, {2, 3}, kBf16);
    case Op::point_encoding: {
      std::vector<uint32_t> inputs = {in({2, 3, 2}), in({2, 3}, kI32), w({2, 4})};
      for (int i = 0; i < 5; ++i) inputs.push_back(w({1, 8}));
      return finish(inputs, {64, 32}, {2, 3, 8});
    }
    case Op::grid_encoding:
      return finish({w({2, 4})}, {}, {1, 3, 5, 8});
    case Op::resize_positions:
      return finish({w({1, 4, 4, 6})}, {}, {1, 3, 7, 6});
    case Op::resize_rel_pos: {
      const auto table = w({7, 4}), coefficient = w({1});
      return finish({table, coefficient}, {}, {11, 4});
    }
    case Op::upsample_masks:
      return finish({in({2, 3, 4, 4})}, {16, 16, 16, 12}, {2, 3, 24, 32}, kU8);
  }
  return s;
}

struct Case {
  Op op;
  const char* expected;  // part of the message
  std::function<void(GraphSpec&)> change;
};

void expect_error(const Case& c, const std::string& message) {
  g_counts.check(message.find(c.expected) != std::string::npos, std::string(op_info(static_cast<uint8_t>(c.op)).name) +
                                                                    ": expected an error with \"" + c.expected +
                                                                    "\" but received \"" + message + "\"");
}

// Shorthands for the table: values are numbered in the order valid() declares them; the output comes last.
using Change = std::function<void(GraphSpec&)>;
Change shape(size_t value, Shape to) {
  return [=](GraphSpec& s) { s.values[value].shape = to; };
}
Change out(Shape to) {
  return [=](GraphSpec& s) { s.values.back().shape = to; };
}
Change dtype(size_t value, DType to) {
  return [=](GraphSpec& s) { s.values[value].dtype = static_cast<uint8_t>(to); };
}
Change out_dtype(DType to) {
  return [=](GraphSpec& s) { s.values.back().dtype = static_cast<uint8_t>(to); };
}
Change attribute(size_t index, double to) {
  return [=](GraphSpec& s) { s.nodes[0].attributes[index] = to; };
}
Change second_attribute(double value) {
  return [=](GraphSpec& s) { s.nodes[0].attributes.push_back(value); };
}
Change absent(size_t input) {
  return [=](GraphSpec& s) { s.nodes[0].inputs[input] = kAbsent; };
}
Change both(Change a, Change b) {
  return [=](GraphSpec& s) { a(s), b(s); };
}

// patchEmbed of u8 pixels: pixels, content, weight.
void photograph(GraphSpec& s, int64_t channels = 3) {
  s = GraphSpec();
  const auto x = s.input({2, 8, 12, channels}, kU8), content = s.input({2, 2}, kI32), w = s.weight({6, channels, 4, 4});
  s.outputs = {s.node(Op::patch_embed, {x, w, kAbsent, kAbsent, content}, {1, 2, 3, 4, 5, 6}, {2, 2, 3, 6})};
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<Case> op_cases() {
  return {
      {Op::linear, "x of dtype f32, bf16 or f16", dtype(0, kI32)},
      {Op::linear, "weight of rank 2", shape(1, {6, 8, 1})},
      {Op::linear, "weight of dtype f32 but received bf16", dtype(1, kBf16)},
      {Op::linear, "weight without empty", both(shape(1, {6, 0}), shape(0, {2, 5, 0}))},
      {Op::linear, "x with 7 channels", shape(1, {6, 7})},
      {Op::linear, "output of shape [2, 5, 6]", out({2, 5, 7})},
      {Op::linear, "output of dtype f32 or that of x", out_dtype(kBf16)},
      {Op::linear, "bias of shape [6]", shape(2, {7})},
      {Op::linear, "bias of dtype f32", dtype(2, kBf16)},
      {Op::linear, "between 0 and 2 for activation", attribute(0, 3)},
      {Op::linear, "between 0 and 2 for activation", attribute(0, 0.5)},
      {Op::linear, "between 0 and 2 for activation", attribute(0, -1)},
      {Op::linear, "residual of shape [2, 5, 6]", shape(3, {2, 6, 5})},
      {Op::linear, "residual of dtype f32", dtype(3, kBf16)},
      {Op::linear, "no activation together with a residual", attribute(0, 1)},
      {Op::linear, "between 0 and 1 for f8", second_attribute(2)},
      {Op::linear, "sides are multiples of 16 for f8, not [6, 8]", second_attribute(1)},
      {Op::layer_norm, "x of dtype f32, bf16 or f16", dtype(0, kU8)},
      {Op::layer_norm, "weight without empty", both(shape(1, {0}), shape(0, {2, 5, 0}))},
      {Op::layer_norm, "weight of shape [8]", shape(1, {9})},
      {Op::layer_norm, "bias of shape [8]", shape(2, {1, 8})},
      {Op::layer_norm, "bias of dtype f32", dtype(2, kBf16)},
      {Op::layer_norm, "eps between 0 and 1", attribute(0, 0)},
      {Op::layer_norm, "eps between 0 and 1", attribute(0, 1)},
      {Op::layer_norm, "for activation", attribute(1, 7)},
      {Op::layer_norm, "output of shape", out({2, 5, 9})},
      {Op::layer_norm, "output of dtype f32, bf16 or f16", out_dtype(kU8)},
      {Op::grid_attention, "qkv of dtype", dtype(0, kI32)},
      {Op::grid_attention, "qkv of rank 4", shape(0, {2, 15, 24})},
      {Op::grid_attention, "qkv without empty", shape(0, {0, 3, 5, 24})},
      {Op::grid_attention, "2^20 tokens a side", shape(0, {2, (1 << 20) + 1, 5, 24})},
      {Op::grid_attention, "3·H·D channels", shape(0, {2, 3, 5, 25})},
      {Op::grid_attention, "for heads", attribute(0, 0)},
      {Op::grid_attention, "for heads", attribute(0, 4097)},
      {Op::grid_attention, "divisible by heads", attribute(0, 3)},
      {Op::grid_attention, "head size of at most 256", both(shape(0, {2, 3, 5, 3 * 2 * 257}), attribute(0, 2))},
      {Op::grid_attention, "for window", attribute(1, 1025)},
      {Op::grid_attention, "for metric", attribute(3, 4)},
      {Op::grid_attention, "start of at least 0", attribute(4, -1)},
      {Op::grid_attention, "one slope per head", [](GraphSpec& s) { s.nodes[0].attributes.push_back(1); }},
      {Op::grid_attention, "slopes exactly when there is a metric", attribute(3, 0)},
      {Op::grid_attention, "slopes exactly when", [](GraphSpec& s) { s.nodes[0].attributes.resize(5); }},
      {Op::grid_attention, "slopes of at least 0", attribute(6, -0.5)},
      {Op::grid_attention, "global attention only", attribute(1, 2)},
      {Op::grid_attention, "both relative position tables", absent(1)},
      {Op::grid_attention, "both relative position tables", absent(2)},
      {Op::grid_attention, "relH of dtype f32", dtype(1, kBf16)},
      {Op::grid_attention, "relW of dtype f32", dtype(2, kBf16)},
      {Op::grid_attention, "relH of shape [5, 4]", shape(1, {6, 4})},
      {Op::grid_attention, "relW of shape [9, 4]", shape(2, {9, 8})},
      {Op::grid_attention, "qkvBias of shape [24]", shape(3, {8})},
      {Op::grid_attention, "output of shape", out({2, 3, 5, 24})},
      {Op::grid_attention, "output of dtype", out_dtype(kBf16)},
      {Op::attention, "q, k and v of dtype", dtype(1, kI32)},
      {Op::attention, "of one dtype", dtype(2, kBf16)},
      {Op::attention, "of rank 3 or more", shape(0, {2, 8})},
      {Op::attention, "k and v of one shape", shape(2, {2, 6, 8})},
      {Op::attention, "same batch, or 1", shape(0, {3, 5, 8})},
      {Op::attention, "same channels", shape(0, {2, 5, 4})},
      {Op::attention, "k without empty", both(shape(1, {2, 0, 8}), shape(2, {2, 0, 8}))},
      {Op::attention, "divisible by heads", attribute(0, 3)},
      {Op::attention, "output of shape", out({2, 7, 8})},
      {Op::attention, "output of dtype", out_dtype(kBf16)},
      {Op::conv2d, "x of dtype", dtype(0, kU8)},
      {Op::conv2d, "x of rank 4", shape(0, {2, 30, 3})},
      {Op::conv2d, "weight of rank 4", shape(1, {4, 3, 3})},
      {Op::conv2d, "x without empty", shape(0, {0, 6, 5, 3})},
      {Op::conv2d, "weight without empty", shape(1, {0, 3, 3, 2})},
      {Op::conv2d, "weight of dtype", dtype(1, kBf16)},
      {Op::conv2d, "x with 5 channels", shape(1, {4, 5, 3, 2})},
      {Op::conv2d, "for stride", attribute(0, 0)},
      {Op::conv2d, "for stride", attribute(0, 65)},
      {Op::conv2d, "for padding", attribute(1, 65)},
      {Op::conv2d, "for activation", attribute(2, -1)},
      {Op::conv2d, "kernel of at most 64", shape(1, {4, 3, 65, 2})},
      {Op::conv2d, "2^20 a side", shape(0, {1, (1 << 20) + 1, 5, 3})},
      {Op::conv2d, "at least as large as the kernel", shape(1, {4, 3, 9, 2})},
      {Op::conv2d, "bias of shape [4]", shape(2, {3})},
      {Op::conv2d, "output of shape [2, 3, 3, 4]", out({2, 3, 4, 4})},
      {Op::conv2d, "output of dtype", out_dtype(kBf16)},
      {Op::conv_transpose2d, "x of dtype", dtype(0, kU8)},
      {Op::conv_transpose2d, "x of rank 4", shape(0, {2, 15, 4})},
      {Op::conv_transpose2d, "weight of rank 4", shape(1, {4, 3, 2})},
      {Op::conv_transpose2d, "x without empty", shape(0, {2, 0, 5, 4})},
      {Op::conv_transpose2d, "weight without empty", shape(1, {4, 3, 0, 0})},
      {Op::conv_transpose2d, "weight of dtype", dtype(1, kBf16)},
      {Op::conv_transpose2d, "a square kernel", shape(1, {4, 3, 2, 3})},
      {Op::conv_transpose2d, "a square kernel", shape(1, {5, 3, 2, 2})},
      {Op::conv_transpose2d, "a square kernel", shape(1, {4, 3, 17, 17})},
      {Op::conv_transpose2d, "2^20 a side", shape(0, {1, (1 << 20) + 1, 1, 4})},
      {Op::conv_transpose2d, "bias of shape [3]", shape(2, {4})},
      {Op::conv_transpose2d, "for activation", attribute(0, 3)},
      {Op::conv_transpose2d, "output of shape", out({2, 6, 5, 3})},
      {Op::conv_transpose2d, "output of dtype", out_dtype(kBf16)},
      {Op::patch_embed, "pixels of dtype f32 or u8", dtype(0, kBf16)},
      {Op::patch_embed, "pixels of rank 4", shape(0, {3, 8, 12})},
      {Op::patch_embed, "weight of rank 4", shape(1, {6, 48})},
      {Op::patch_embed, "pixels without empty", shape(0, {0, 3, 8, 12})},
      {Op::patch_embed, "weight without empty", shape(1, {6, 3, 0, 0})},
      {Op::patch_embed, "weight of dtype", dtype(1, kI32)},
      {Op::patch_embed, "a weight [C, 3, P, P]", shape(1, {6, 4, 4, 4})},
      {Op::patch_embed, "a weight [C, 3, P, P]", shape(1, {6, 3, 4, 2})},
      {Op::patch_embed, "multiples of 4", shape(0, {2, 3, 8, 10})},
      {Op::patch_embed, "bias of shape [6]", shape(2, {7})},
      {Op::patch_embed, "positions of dtype f32", dtype(3, kBf16)},
      {Op::patch_embed, "positions of shape [1, 2, 3, 6]", shape(3, {2, 2, 3, 6})},
      {Op::patch_embed, "output of shape", out({2, 3, 2, 6})},
      {Op::patch_embed, "output of dtype f32", out_dtype(kBf16)},
      {Op::patch_embed, "neither content nor attributes with f32",
       [](GraphSpec& s) {
         s.nodes[0].attributes = {0, 0};
       }},
      {Op::patch_embed, "neither content nor attributes with f32",
       [](GraphSpec& s) { s.nodes[0].inputs.push_back(0); }},
      {Op::patch_embed, "a weight [C, 12, P, P]", dtype(0, kU8)},
      {Op::patch_embed, "u8 pixels [B, H, W, 3]", [](GraphSpec& s) { photograph(s, 4); }},
      {Op::patch_embed, "multiples of 4", both([](GraphSpec& s) { photograph(s); }, shape(0, {2, 8, 10, 3}))},
      {Op::patch_embed, "content with u8", both([](GraphSpec& s) { photograph(s); }, absent(4))},
      {Op::patch_embed, "content of dtype i32", both([](GraphSpec& s) { photograph(s); }, dtype(1, kU8))},
      {Op::patch_embed, "content of shape [2, 2]", both([](GraphSpec& s) { photograph(s); }, shape(1, {1, 2}))},
      {Op::patch_embed, "three means",
       both([](GraphSpec& s) { photograph(s); }, [](GraphSpec& s) { s.nodes[0].attributes.pop_back(); })},
      {Op::patch_embed, "deviations above 0", both([](GraphSpec& s) { photograph(s); }, attribute(5, 0))},
      {Op::patch_embed, "deviations above 0", both([](GraphSpec& s) { photograph(s); }, attribute(3, 1e-60))},
      {Op::add, "a of dtype", dtype(0, kI32)},
      {Op::add, "b of dtype f32", dtype(1, kBf16)},
      {Op::add, "of the same rank", shape(1, {3, 4})},
      {Op::add, "broadcastable", shape(1, {1, 3, 5})},
      {Op::add, "output of shape [2, 3, 4]", out({2, 1, 4})},
      {Op::add, "output of dtype", out_dtype(kBf16)},
      {Op::concat, "x of dtype", dtype(0, kI32)},
      {Op::concat, "x of rank 3", shape(0, {2, 4})},
      {Op::concat, "every input to be there", absent(1)},
      {Op::concat, "x of rank 3", shape(1, {3, 0, 2, 2})},
      {Op::concat, "x of dtype f32", dtype(2, kBf16)},
      {Op::concat, "the same channels", shape(2, {3, 5, 3})},
      {Op::concat, "one batch size, or 1", shape(2, {2, 5, 4})},
      {Op::concat, "output of shape [3, 7, 4]", out({3, 8, 4})},
      {Op::concat, "output of dtype", out_dtype(kBf16)},
      {Op::slice, "x of dtype", dtype(0, kI32)},
      {Op::slice, "x of rank 3", shape(0, {7, 4})},
      {Op::slice, "for start", attribute(0, 8)},
      {Op::slice, "for start", attribute(0, -1)},
      {Op::slice, "for count", attribute(1, 0)},
      {Op::slice, "for count", attribute(1, 8)},
      {Op::slice, "start + count of at most 7", attribute(1, 5)},
      {Op::slice, "output of shape [2, 4, 4]", out({2, 5, 4})},
      {Op::slice, "output of dtype", out_dtype(kBf16)},
      {Op::matmul, "a of dtype", dtype(0, kI32)},
      {Op::matmul, "b of dtype f32", dtype(1, kBf16)},
      {Op::matmul, "a of rank 3", shape(0, {3, 4})},
      {Op::matmul, "b of rank 3", shape(1, {5, 4})},
      {Op::matmul, "a without empty", shape(0, {2, 0, 4})},
      {Op::matmul, "b without empty", shape(1, {2, 0, 4})},
      {Op::matmul, "a [B, M, K] and b [B, N, K]", shape(1, {1, 5, 4})},
      {Op::matmul, "a [B, M, K] and b [B, N, K]", shape(1, {2, 5, 3})},
      {Op::matmul, "output of shape [2, 3, 5]", out({2, 5, 3})},
      {Op::matmul, "output of dtype", out_dtype(kBf16)},
      {Op::transpose, "x of dtype", dtype(0, kU8)},
      {Op::transpose, "rank 3 or more", shape(0, {6, 5})},
      {Op::transpose, "for toChannelsFirst", attribute(0, 2)},
      {Op::transpose, "output of shape [2, 4, 3, 5]", out({2, 3, 5, 4})},
      {Op::transpose, "output of shape [2, 5, 4, 3]", attribute(0, 0)},
      {Op::transpose, "output of dtype", out_dtype(kBf16)},
      {Op::reshape, "as many elements", out({6, 4, 2})},
      {Op::reshape, "output of dtype", out_dtype(kBf16)},
      {Op::cast, "x of dtype", dtype(0, kI32)},
      {Op::cast, "output of dtype f32, bf16 or f16", out_dtype(DType::u8)},
      {Op::cast, "output of shape", out({3, 2})},
      {Op::point_encoding, "coords of dtype f32", dtype(0, kBf16)},
      {Op::point_encoding, "coords of rank 3", shape(0, {6, 2})},
      {Op::point_encoding, "labels of dtype i32", dtype(1, kF32)},
      {Op::point_encoding, "gaussian of dtype f32", dtype(2, kBf16)},
      {Op::point_encoding, "gaussian of rank 2", shape(2, {2, 2, 2})},
      {Op::point_encoding, "coords [P, n, 2] and gaussian [2, F]", shape(0, {2, 3, 3})},
      {Op::point_encoding, "coords [P, n, 2] and gaussian [2, F]", shape(2, {3, 4})},
      {Op::point_encoding, "labels of shape [2, 3]", shape(1, {3, 2})},
      {Op::point_encoding, "label embeddings of dtype f32", dtype(5, kBf16)},
      {Op::point_encoding, "label embeddings of shape [1, 8]", shape(7, {1, 7})},
      {Op::point_encoding, "for inputW", attribute(0, 0)},
      {Op::point_encoding, "for inputH", attribute(1, 1 << 21)},
      {Op::point_encoding, "output of shape", out({2, 3, 9})},
      {Op::point_encoding, "output of dtype f32", out_dtype(kBf16)},
      {Op::grid_encoding, "gaussian of dtype f32", dtype(0, kBf16)},
      {Op::grid_encoding, "gaussian of rank 2", shape(0, {8})},
      {Op::grid_encoding, "gaussian [2, F]", shape(0, {3, 4})},
      {Op::grid_encoding, "output [1, Gh, Gw, 2F]", out({1, 3, 5, 4})},
      {Op::grid_encoding, "output [1, Gh, Gw, 2F]", out({1, 15, 8})},
      {Op::grid_encoding, "output of dtype f32", out_dtype(kBf16)},
      {Op::resize_positions, "positions of dtype f32", dtype(0, kBf16)},
      {Op::resize_positions, "positions of rank 4", shape(0, {16, 6})},
      {Op::resize_positions, "positions without empty", shape(0, {1, 0, 4, 6})},
      {Op::resize_positions, "output [1, Gh, Gw, C]", shape(0, {2, 4, 4, 6})},
      {Op::resize_positions, "output [1, Gh, Gw, C]", out({1, 3, 7, 5})},
      {Op::resize_positions, "output [1, Gh, Gw, C]", out({1, 0, 7, 6})},
      {Op::resize_positions, "output of dtype f32", out_dtype(kBf16)},
      {Op::resize_rel_pos, "table of dtype f32", dtype(0, kBf16)},
      {Op::resize_rel_pos, "table of rank 2", shape(0, {28})},
      {Op::resize_rel_pos, "table without empty", shape(0, {0, 4})},
      {Op::resize_rel_pos, "output [L, 4]", out({11, 5})},
      {Op::resize_rel_pos, "output [L, 4]", out({0, 4})},
      {Op::resize_rel_pos, "coefficient of shape [1]", shape(1, {2})},
      {Op::resize_rel_pos, "output of dtype f32", out_dtype(kBf16)},
      {Op::upsample_masks, "lowRes of dtype f32", dtype(0, kBf16)},
      {Op::upsample_masks, "lowRes of rank 4", shape(0, {6, 4, 4})},
      {Op::upsample_masks, "lowRes without empty", shape(0, {2, 0, 4, 4})},
      {Op::upsample_masks, "for inputW", attribute(0, 0)},
      {Op::upsample_masks, "for inputH", attribute(1, 0)},
      {Op::upsample_masks, "for contentW", attribute(2, 17)},
      {Op::upsample_masks, "for contentH", attribute(3, 0)},
      {Op::upsample_masks, "output [P, M, H, W]", out({2, 2, 24, 32})},
      {Op::upsample_masks, "output [P, M, H, W]", out({2, 3, 0, 32})},
      {Op::upsample_masks, "output of dtype u8", out_dtype(kBf16)},
      // Of the wire format itself, on some op's graph.
      {Op::add, "to start with BSG1", [](GraphSpec& s) { s.magic ^= 1; }},
      {Op::add, "graph version 1", [](GraphSpec& s) { s.version = 2; }},
      {Op::add, "kind 0, 1 or 2", [](GraphSpec& s) { s.values[0].kind = 3; }},
      {Op::add, "a known dtype", [](GraphSpec& s) { s.values[0].dtype = 5; }},
      {Op::add, "rank between 1 and 6", shape(0, {})},
      {Op::add, "rank between 1 and 6", shape(0, {1, 1, 1, 1, 1, 1, 1})},
      {Op::add, "2^40 elements", shape(0, {-1, 1, 4})},
      {Op::add, "2^40 elements", shape(0, {(int64_t{1} << 40) + 1, 1, 4})},
      {Op::add, "2^40 elements", shape(0, {int64_t{1} << 20, int64_t{1} << 20, 2})},
      {Op::add, "2^40 elements", shape(0, {std::numeric_limits<int64_t>::max(), 2, 4})},
      {Op::add, "2^40 elements", shape(0, {std::numeric_limits<int64_t>::min(), 2, 4})},
      {Op::add, "a name of 1 to 1024 bytes", [](GraphSpec& s) { s.values[0].name.clear(); }},
      {Op::add, "a name of 1 to 1024 bytes", [](GraphSpec& s) { s.values[0].name.assign(1025, 'x'); }},
      {Op::add, "an op between 0 and 18", [](GraphSpec& s) { s.nodes[0].op = kOpCount; }},
      {Op::add, "2 to 2 inputs", [](GraphSpec& s) { s.nodes[0].inputs.pop_back(); }},
      {Op::add, "2 to 2 inputs", [](GraphSpec& s) { s.nodes[0].inputs.push_back(0); }},
      {Op::add, "0 to 0 attributes", [](GraphSpec& s) { s.nodes[0].attributes.push_back(0); }},
      {Op::slice, "2 to 2 attributes", [](GraphSpec& s) { s.nodes[0].attributes.pop_back(); }},
      {Op::add, "input 0 of add (node 0) to be there", absent(0)},
      {Op::add, "to be defined before it", [](GraphSpec& s) { s.nodes[0].inputs[1] = 99; }},
      {Op::add, "to be defined before it", [](GraphSpec& s) { s.nodes[0].inputs[1] = s.nodes[0].output; }},
      {Op::add, "an undefined computed value", [](GraphSpec& s) { s.nodes[0].output = 0; }},
      {Op::add, "an undefined computed value", [](GraphSpec& s) { s.nodes[0].output = 99; }},
      {Op::add, "an undefined computed value", [](GraphSpec& s) { s.nodes.push_back(s.nodes[0]); }},
      {Op::slice, "finite attributes", attribute(0, kNaN)},
      {Op::slice, "finite attributes", attribute(1, std::numeric_limits<double>::infinity())},
      {Op::add, "output 0 to be a defined value", [](GraphSpec& s) { s.outputs = {99}; }},
      {Op::add, "output 1 to be a defined value",
       [](GraphSpec& s) { s.outputs.push_back(s.value(ValueKind::computed, {1})); }},
      {Op::grid_encoding, "not a weight", [](GraphSpec& s) { s.outputs = {0}; }},
      {Op::reshape, "not a weight", [](GraphSpec& s) { s.values[0].kind = static_cast<uint8_t>(ValueKind::weight); }},
  };
}

void test_round_trips() {
  for (uint8_t op = 0; op < kOpCount; ++op) {
    const auto bytes = valid(static_cast<Op>(op)).encode();
    const std::string name = op_info(op).name;
    const std::string error = decode_error(bytes);
    g_counts.check(error.empty(), name + " decodes: " + error);
    if (!error.empty()) continue;
    g_counts.check(spec_of(decode_graph(bytes.data(), bytes.size())).encode() == bytes,
                   name + " encodes to the same bytes");
    bool all = true;
    for (size_t size = 0; size < bytes.size(); ++size) {
      all =
          all && decode_error({bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(size)}).rfind("Expected", 0) == 0;
    }
    g_counts.check(all, name + " truncated anywhere is refused");
    auto longer = bytes;
    longer.push_back(0);
    g_counts.check(decode_error(longer).find("1 bytes follow") != std::string::npos, name + " with a byte more");
  }
}

// Counts near 2^32 must be refused before anything of that size is reserved.
void test_counts() {
  for (size_t offset : {size_t{8}, size_t{12}}) {
    for (uint32_t count : {0xffffffffu, 0x7fffffffu, 100001u, 2u}) {
      GraphSpec empty;
      auto bytes = empty.encode();  // magic, version, three counts
      std::memcpy(bytes.data() + offset, &count, 4);
      g_counts.check(decode_error(bytes).find("Expected at most") == 0, "a count of " + std::to_string(count));
    }
  }
  g_counts.check(decode_error(GraphSpec().encode()).empty(), "an empty graph");
  g_counts.check(decode_error({}).find("4 more bytes for the magic number") != std::string::npos, "no bytes at all");
}

void test_absent_options() {
  const std::pair<Op, std::vector<size_t>> optional[] = {{Op::linear, {2, 3}},      {Op::grid_attention, {1, 2, 3}},
                                                         {Op::conv2d, {2}},         {Op::conv_transpose2d, {2}},
                                                         {Op::patch_embed, {2, 3}}, {Op::resize_rel_pos, {1}}};
  for (const auto& [op, inputs] : optional) {
    GraphSpec spec = valid(op);
    for (size_t i : inputs) spec.nodes[0].inputs[i] = kAbsent;
    const std::string error = decode_error(spec.encode());
    g_counts.check(error.empty(), std::string(op_info(static_cast<uint8_t>(op)).name) + " without options: " + error);
  }
}

void test_photograph() {
  GraphSpec s;
  photograph(s);
  const std::string error = decode_error(s.encode());
  g_counts.check(error.empty(), "patchEmbed of a photograph: " + error);
}

void test_views() {
  GraphSpec s;
  const auto x = s.input({2, 3});
  auto v = x;
  for (int i = 0; i < 50; ++i) v = s.node(Op::reshape, {v}, {}, i % 2 ? Shape{2, 3} : Shape{6});
  s.outputs = {v, x};
  const auto bytes = s.encode();
  const Graph graph = decode_graph(bytes.data(), bytes.size());
  g_counts.check(view_root(graph, v) == x, "the root of a chain of views");
  g_counts.check(graph.inputs == std::vector<uint32_t>{x} && graph.outputs == s.outputs, "inputs and outputs in order");
}

// A megabyte of views of views, each an output: linear time, not half a minute of the thread that decodes.
void test_long_chain() {
  GraphSpec s;
  auto v = s.input({2, 3});
  for (int i = 0; i < 49999; ++i) s.outputs.push_back(v = s.node(Op::reshape, {v}, {}, {6}));
  const auto bytes = s.encode();
  const std::clock_t start = std::clock();
  const std::string error = decode_error(bytes);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  g_counts.check(error.empty() && seconds < 5, "a chain of 49999 views: " + std::to_string(seconds) + " s " + error);
}

}  // namespace

int main() {
  test_round_trips();
  for (const Case& c : op_cases()) {
    GraphSpec spec = valid(c.op);
    c.change(spec);
    expect_error(c, decode_error(spec.encode()));
  }
  test_counts();
  test_absent_options();
  test_photograph();
  test_views();
  test_long_chain();
  return g_counts.finish();
}
