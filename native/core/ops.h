// The op vocabulary: what each op is called, what it takes, and the shape it must produce.
//
// An op has four homes with one name: lib/graph/ops.ts, this table, docs/ops.md (with its reference function) and
// the kernels of each backend. test/graph/vocabulary.test.ts enumerates them.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace ba_sam {

// Values are part of the graph's wire format: append only.
enum class Op : uint8_t {
  linear = 0,
  layer_norm = 1,
  grid_attention = 2,
  attention = 3,
  conv2d = 4,
  conv_transpose2d = 5,
  patch_embed = 6,
  add = 7,
  concat = 8,
  slice = 9,
  matmul = 10,
  transpose = 11,
  reshape = 12,
  cast = 13,
  point_encoding = 14,
  grid_encoding = 15,
  resize_positions = 16,
  resize_rel_pos = 17,
  upsample_masks = 18,
};
constexpr uint8_t kOpCount = 19;

enum class Activation : uint8_t { none = 0, relu = 1, gelu = 2 };

constexpr int kMaxInputs = 8;
constexpr uint32_t kAbsent = 0xffffffffu;  // an optional input that is not there

struct OpInfo {
  const char* name;     // as lib/graph/ops.ts spells it
  int required_inputs;  // the first ones; the rest up to max_inputs may be absent
  int max_inputs;
  int required_attributes;
  int max_attributes;
};

// Throws SamError ERR_GRAPH on an unknown op.
const OpInfo& op_info(uint8_t op);

struct Graph;
struct Node;

// Checks a node's input shapes, dtypes and attributes against its declared output; throws SamError ERR_GRAPH that
// names the op and says what was expected.
void check_node(const Graph& graph, const Node& node);

// Multiply-adds ×2 plus bytes moved: a rough cost used for progress only.
double node_cost(const Graph& graph, const Node& node);

}  // namespace ba_sam
