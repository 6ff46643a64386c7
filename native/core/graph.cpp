// Decodes and validates a graph; see graph.h for the wire format.
#include "graph.h"

#include <cmath>
#include <cstring>

#include "../ops/rule.h"

namespace ba_sam {
namespace {

// Large enough for any SAM at any sensible size, small enough that products of dims cannot overflow int64.
constexpr uint32_t kMaxValues = 100000;
constexpr int64_t kMaxElements = int64_t{1} << 40;
constexpr uint16_t kMaxNameBytes = 1024;
constexpr double kMaxInteger = 9007199254740992.0;  // 2^53: every integer up to it is a number

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

  std::string text(const char* what) {
    const size_t length = read<uint16_t>(what);
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
  if (kind >= kValueKindCount) {
    fail("Expected kind 0, 1, 2 or 3 for " + where + " but received " + std::to_string(kind));
  }
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
    value.name = in.text("a value's name");
    if (value.name.empty() || value.name.size() > kMaxNameBytes) {
      fail("Expected a name of 1 to 1024 bytes for " + where + " but received " + std::to_string(value.name.size()));
    }
  }
  return value;
}

// An attribute as it stands on the wire.
struct RawAttribute {
  std::string name, text;
  bool is_text = false;
  std::vector<double> numbers;
};

RawAttribute read_attribute(Reader& in, const std::string& where) {
  RawAttribute attribute;
  attribute.name = in.text("an attribute's name");
  const auto kind = in.read<uint8_t>("an attribute's kind");
  if (kind > 1) fail("Expected kind 0 or 1 for " + attribute.name + " of " + where);
  attribute.is_text = kind == 1;
  if (attribute.is_text) {
    attribute.text = in.text("an attribute");
    return attribute;
  }
  const auto count = in.read<uint16_t>("the length of an attribute");
  for (int i = 0; i < count; ++i) {
    attribute.numbers.push_back(in.read<double>("an attribute"));
    if (!std::isfinite(attribute.numbers.back())) fail("Expected finite attributes for " + where);
  }
  return attribute;
}

// Fills in one field after another of an op's struct from what was read.
class AttributeReader {
 public:
  AttributeReader(const std::vector<RawAttribute>& found, const std::string& where) : found_(found), where_(where) {}

  template <typename T>
  void operator()(const char* name, T& field, bool required) {
    for (const RawAttribute& attribute : found_) {
      if (attribute.name != name) continue;
      ++taken_;
      set(attribute, field);
      return;
    }
    if (required) fail("Expected attribute " + std::string(name) + " of " + where_ + " to be there");
  }

  // Throws when an attribute was given that the op does not have, or one was given twice.
  void finish() const {
    for (size_t i = 0; i < found_.size() && taken_ != found_.size(); ++i) {
      for (size_t j = 0; j < i; ++j) {
        if (found_[i].name == found_[j].name) fail("Expected attribute " + found_[i].name + " of " + where_ + " once");
      }
    }
    if (taken_ != found_.size()) {
      std::string names;
      for (const RawAttribute& attribute : found_) names += (names.empty() ? "" : ", ") + attribute.name;
      fail("Expected only attributes that it has for " + where_ + " but received " + names);
    }
  }

 private:
  [[noreturn]] void expected(const RawAttribute& a, const std::string& what) const {
    std::string received = a.is_text ? "\"" + a.text + "\"" : a.numbers.size() == 1 ? "" : "a list";
    if (received.empty()) received = std::to_string(a.numbers[0]);
    fail("Expected " + what + " for " + a.name + " of " + where_ + " but received " + received);
  }
  double number(const RawAttribute& a, const char* what) const {
    if (a.is_text || a.numbers.size() != 1) expected(a, what);
    return a.numbers[0];
  }
  int64_t integer(const RawAttribute& a, double value, const char* what) const {
    if (value != std::floor(value) || !(std::fabs(value) <= kMaxInteger)) expected(a, what);
    return static_cast<int64_t>(value);
  }

  void set(const RawAttribute& a, double& field) const { field = number(a, "a number"); }
  void set(const RawAttribute& a, int64_t& field) const { field = integer(a, number(a, "an integer"), "an integer"); }
  void set(const RawAttribute& a, bool& field) const {
    const double value = number(a, "0 or 1");
    if (value != 0 && value != 1) expected(a, "0 or 1");
    field = value == 1;
  }
  void set(const RawAttribute& a, std::vector<double>& field) const {
    if (a.is_text) expected(a, "numbers");
    field = a.numbers;
  }
  void set(const RawAttribute& a, Size& field) const {
    if (a.is_text || a.numbers.size() != 2) expected(a, "width and height");
    field.width = integer(a, a.numbers[0], "whole width and height");
    field.height = integer(a, a.numbers[1], "whole width and height");
  }
  template <typename Enum>
  std::enable_if_t<std::is_enum_v<Enum>> set(const RawAttribute& a, Enum& field) const {
    std::string names;
    int i = 0;
    for (const char* name : EnumNames<Enum>::values) {
      if (a.is_text && a.text == name) {
        field = static_cast<Enum>(i);
        return;
      }
      names += std::string(i++ ? ", " : "") + name;
    }
    expected(a, "one of " + names);
  }

  const std::vector<RawAttribute>& found_;
  const std::string& where_;
  size_t taken_ = 0;
};

void read_inputs(Reader& in, Node& node, const std::string& where, const Graph& graph,
                 const std::vector<bool>& defined) {
  const OpInfo& info = node.info();
  const size_t inputs = in.read<uint8_t>("a node's input count");
  const size_t required = info.required_inputs();
  if (inputs < required || inputs > info.max_inputs()) {
    fail("Expected " + std::to_string(required) + " to " + std::to_string(info.max_inputs()) + " inputs for " + where +
         " but received " + std::to_string(inputs));
  }
  for (size_t i = 0; i < inputs; ++i) {
    const auto value = in.read<uint32_t>("a node's input");
    if (value == kAbsent) {
      if (i < required) fail("Expected input " + std::to_string(i) + " of " + where + " to be there");
    } else if (value >= graph.values.size() || !defined[value]) {
      fail("Expected input " + std::to_string(i) + " of " + where + " to be defined before it but received value " +
           std::to_string(value));
    }
    node.inputs.push_back(value);
  }
}

void read_outputs(Reader& in, Node& node, const std::string& where, uint32_t index, Graph& graph,
                  std::vector<bool>& defined) {
  const OpInfo& info = node.info();
  const size_t outputs = in.read<uint8_t>("a node's output count");
  if (outputs < 1 || outputs > info.outputs.size()) {
    fail("Expected 1 to " + std::to_string(info.outputs.size()) + " outputs for " + where + " but received " +
         std::to_string(outputs));
  }
  for (size_t i = 0; i < outputs; ++i) {
    const auto value = in.read<uint32_t>("a node's output");
    node.outputs.push_back(value);
    if (value == kAbsent && info.outputs[i].presence == Presence::optional) continue;
    if (value >= graph.values.size() || graph.values[value].kind != ValueKind::computed || defined[value]) {
      fail("Expected an undefined computed value as output of " + where + " but received value " +
           std::to_string(value));
    }
    graph.values[value].producer = static_cast<int32_t>(index);
    defined[value] = true;
  }
  // Kept rather than walked: a graph may be one chain of fifty thousand views.
  if (info.is_view) graph.values[node.outputs[0]].root = graph.values[node.inputs[0]].root;
}

Node read_node(Reader& in, uint32_t index, Graph& graph, std::vector<bool>& defined) {
  Node node;
  node.op = make_op(in.text("a node's op"));
  const std::string where = std::string(node.info().name) + " (node " + std::to_string(index) + ")";
  read_inputs(in, node, where, graph, defined);
  read_outputs(in, node, where, index, graph, defined);
  std::vector<RawAttribute> attributes(in.read<uint8_t>("a node's attribute count"));
  for (RawAttribute& attribute : attributes) attribute = read_attribute(in, where);
  AttributeReader reader(attributes, where);
  std::visit([&](auto& op) { visit_attributes(op, reader); }, node.op);
  reader.finish();
  return node;
}

}  // namespace

int64_t Value::elements() const {
  int64_t n = 1;
  for (int64_t dim : shape) n *= dim;
  return n;
}

int Node::accumulated_input() const {
  const auto& declared = info().inputs;
  for (size_t i = 0; i < declared.size(); ++i) {
    if (declared[i].presence == Presence::accumulated && has_input(i)) return static_cast<int>(i);
  }
  return -1;
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

  const uint32_t node_count = in.count(kMaxValues, 15, "the number of nodes");
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
