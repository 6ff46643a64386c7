// Decodes and validates a graph; see graph.h for the wire format.
#include "graph.h"

#include <cmath>
#include <cstring>

namespace ba_sam {
namespace {

// Large enough for any SAM at any sensible size, small enough that products of dims cannot overflow int64.
constexpr uint32_t kMaxValues = 100000;
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr uint16_t kMaxNameBytes = 1024;

[[noreturn]] void fail(const std::string& message) {
  throw SamError("ERR_GRAPH", message);
}

class Reader {
 public:
  Reader(const uint8_t* bytes, size_t size) : bytes_(bytes), size_(size) {}

  template <typename T>
  T read(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, bytes_ + offset_, sizeof(T));
    offset_ += sizeof(T);
    return value;
  }

  std::string text(size_t length, const char* what) {
    need(length, what);
    std::string out(reinterpret_cast<const char*>(bytes_) + offset_, length);
    offset_ += length;
    return out;
  }

  // A count whose items take at least `item_bytes` each cannot exceed what is left: no huge reserve on bad input.
  uint32_t count(uint32_t limit, size_t item_bytes, const char* what) {
    const uint32_t n = read<uint32_t>(what);
    if (n > limit || n > remaining() / item_bytes) {
      fail("Expected at most " + std::to_string(std::min<size_t>(limit, remaining() / item_bytes)) + " for " + what +
           " but received " + std::to_string(n));
    }
    return n;
  }

  size_t remaining() const { return size_ - offset_; }

 private:
  void need(size_t bytes, const char* what) const {
    if (bytes > remaining()) {
      fail("Expected " + std::to_string(bytes) + " more bytes for " + what + " at offset " + std::to_string(offset_) +
           " but the graph ends after " + std::to_string(size_));
    }
  }

  const uint8_t* bytes_;
  size_t size_;
  size_t offset_ = 0;
};

Value read_value(Reader& in, uint32_t index) {
  const std::string where = "value " + std::to_string(index);
  Value value;
  const auto kind = in.read<uint8_t>("a value's kind");
  if (kind > 2) fail("Expected kind 0, 1 or 2 for " + where + " but received " + std::to_string(kind));
  value.kind = static_cast<ValueKind>(kind);
  const auto dtype = in.read<uint8_t>("a value's dtype");
  if (dtype >= kDTypeCount) fail("Expected a known dtype for " + where + " but received " + std::to_string(dtype));
  value.dtype = static_cast<DType>(dtype);
  const auto rank = in.read<uint8_t>("a value's rank");
  if (rank < 1 || rank > kMaxRank) {
    fail("Expected rank between 1 and 6 for " + where + " but received " + std::to_string(rank));
  }
  in.read<uint8_t>("a value's padding");
  int64_t elements = 1;
  for (int d = 0; d < rank; ++d) {
    const auto dim = in.read<int64_t>("a value's dimension");
    // A dimension of 0 is legal only for the token axis of an empty prompt; kernels treat it as no work.
    if (dim < 0 || dim > kMaxElements || (dim > 0 && elements > kMaxElements / dim)) {
      fail("Expected at most 2^40 elements for " + where + " but dimension " + std::to_string(d) + " is " +
           std::to_string(dim));
    }
    elements *= dim;
    value.shape.push_back(dim);
  }
  if (value.kind != ValueKind::computed) {
    const auto length = in.read<uint16_t>("a name's length");
    if (length == 0 || length > kMaxNameBytes) {
      fail("Expected a name of 1 to 1024 bytes for " + where + " but received " + std::to_string(length));
    }
    value.name = in.text(length, "a name");
  }
  return value;
}

Node read_node(Reader& in, uint32_t index, Graph& graph, std::vector<bool>& defined) {
  Node node;
  const auto op = in.read<uint8_t>("a node's op");
  const OpInfo& info = op_info(op);
  const std::string where = std::string(info.name) + " (node " + std::to_string(index) + ")";
  node.op = static_cast<Op>(op);

  const auto inputs = in.read<uint8_t>("a node's input count");
  if (inputs < info.required_inputs || inputs > info.max_inputs) {
    fail("Expected " + std::to_string(info.required_inputs) + " to " + std::to_string(info.max_inputs) +
         " inputs for " + where + " but received " + std::to_string(inputs));
  }
  const auto attributes = in.read<uint16_t>("a node's attribute count");
  if (attributes < info.required_attributes || attributes > info.max_attributes) {
    fail("Expected " + std::to_string(info.required_attributes) + " to " + std::to_string(info.max_attributes) +
         " attributes for " + where + " but received " + std::to_string(attributes));
  }
  for (int i = 0; i < inputs; ++i) {
    const auto value = in.read<uint32_t>("a node's input");
    if (value == kAbsent) {
      if (i < info.required_inputs) fail("Expected input " + std::to_string(i) + " of " + where + " to be there");
    } else if (value >= graph.values.size() || !defined[value]) {
      fail("Expected input " + std::to_string(i) + " of " + where + " to be defined before it but received value " +
           std::to_string(value));
    }
    node.inputs.push_back(value);
  }
  node.output = in.read<uint32_t>("a node's output");
  if (node.output >= graph.values.size() || graph.values[node.output].kind != ValueKind::computed ||
      defined[node.output]) {
    fail("Expected an undefined computed value as output of " + where + " but received value " +
         std::to_string(node.output));
  }
  for (int i = 0; i < attributes; ++i) {
    const auto attribute = in.read<double>("a node's attribute");
    if (!std::isfinite(attribute)) fail("Expected finite attributes for " + where);
    node.attributes.push_back(attribute);
  }
  graph.values[node.output].producer = static_cast<int32_t>(index);
  // Kept rather than walked: a graph may be one chain of fifty thousand views.
  if (node.op == Op::reshape) graph.values[node.output].root = graph.values[node.inputs[0]].root;
  defined[node.output] = true;
  return node;
}

}  // namespace

int64_t Value::elements() const {
  int64_t n = 1;
  for (int64_t dim : shape) n *= dim;
  return n;
}

uint32_t view_root(const Graph& graph, uint32_t value) {
  return graph.values[value].root;
}

std::string shape_text(const Shape& shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

Graph decode_graph(const uint8_t* bytes, size_t size) {
  Reader in(bytes, size);
  if (in.read<uint32_t>("the magic number") != kGraphMagic) fail("Expected a graph to start with BSG1");
  const auto version = in.read<uint32_t>("the version");
  if (version != kGraphVersion) {
    fail("Expected graph version " + std::to_string(kGraphVersion) + " but received " + std::to_string(version));
  }

  Graph graph;
  const uint32_t value_count = in.count(kMaxValues, 12, "the number of values");
  std::vector<bool> defined(value_count, false);
  graph.values.reserve(value_count);
  for (uint32_t i = 0; i < value_count; ++i) {
    graph.values.push_back(read_value(in, i));
    graph.values.back().root = i;
    const ValueKind kind = graph.values.back().kind;
    if (kind == ValueKind::input) graph.inputs.push_back(i);
    defined[i] = kind != ValueKind::computed;
  }

  const uint32_t node_count = in.count(kMaxValues, 8, "the number of nodes");
  graph.nodes.reserve(node_count);
  for (uint32_t i = 0; i < node_count; ++i) {
    graph.nodes.push_back(read_node(in, i, graph, defined));
    check_node(graph, graph.nodes.back());
  }

  const uint32_t output_count = in.count(kMaxValues, 4, "the number of outputs");
  for (uint32_t i = 0; i < output_count; ++i) {
    const auto value = in.read<uint32_t>("an output");
    if (value >= value_count || !defined[value]) {
      fail("Expected output " + std::to_string(i) + " to be a defined value but received " + std::to_string(value));
    }
    // A weight may be kept in packed form only, and a reshape is a view of it.
    if (graph.values[view_root(graph, value)].kind == ValueKind::weight) {
      fail("Expected output " + std::to_string(i) + " to be an input or a computed value, not a weight");
    }
    graph.outputs.push_back(value);
  }
  if (in.remaining() != 0) fail("Expected the graph to end but " + std::to_string(in.remaining()) + " bytes follow");
  return graph;
}

}  // namespace ba_sam
