// decode_graph: round trips, every validation error, and truncation at every byte. Prints "N passed, N failed".
#include <algorithm>
#include <ctime>
#include <limits>

#include "op_cases.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

std::string decode_error(const std::vector<uint8_t>& bytes) {
  // A heap block of exactly this size: AddressSanitizer sees a read of one byte more.
  std::vector<uint8_t> exact(bytes);
  exact.shrink_to_fit();
  return error_of([&] { decode_graph(exact.data(), exact.size()); });
}

void expect_error(const std::string& name, const BrokenCase& c, GraphSpec spec) {
  c.change(spec);
  const std::string message = decode_error(spec.encode());
  g_counts.check(message.find(c.expected) != std::string::npos,
                 name + ": expected an error with \"" + c.expected + "\" but received \"" + message + "\"");
}

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

// Of the wire format itself, each on some op's graph.
struct WireCase {
  Op op;
  BrokenCase broken;
};

Change add_attribute(const char* name, std::variant<std::vector<double>, std::string> value) {
  return [=](GraphSpec& s) { s.nodes[0].attributes.push_back({name, value}); };
}
Change without_attribute(const char* name) {
  return [=](GraphSpec& s) {
    auto& all = s.nodes[0].attributes;
    all.erase(std::remove_if(all.begin(), all.end(), [&](const Attribute& a) { return a.name == name; }), all.end());
  };
}
Change output(size_t index, uint32_t value) {
  return [=](GraphSpec& s) {
    auto& outputs = s.nodes[0].outputs;
    outputs.resize(std::max(outputs.size(), index + 1), kAbsent);
    outputs[index] = value;
  };
}

std::vector<WireCase> wire_cases() {
  const std::vector<double> none;
  return {
      {Op::add, {"to start with BSG1", [](GraphSpec& s) { s.magic ^= 1; }}},
      {Op::add, {"graph version 2 but received 1", [](GraphSpec& s) { s.version = 1; }}},
      {Op::add, {"graph version 2 but received 3", [](GraphSpec& s) { s.version = 3; }}},
      {Op::add, {"kind 0, 1, 2 or 3", [](GraphSpec& s) { s.values[0].kind = 4; }}},
      {Op::add, {"a known dtype", [](GraphSpec& s) { s.values[0].dtype = 5; }}},
      {Op::add, {"rank between 1 and 6", shape(0, {})}},
      {Op::add, {"rank between 1 and 6", shape(0, {1, 1, 1, 1, 1, 1, 1})}},
      {Op::add, {"2^40 elements", shape(0, {-1, 1, 4})}},
      {Op::add, {"2^40 elements", shape(0, {(int64_t{1} << 40) + 1, 1, 4})}},
      {Op::add, {"2^40 elements", shape(0, {int64_t{1} << 20, int64_t{1} << 20, 2})}},
      {Op::add, {"2^40 elements", shape(0, {std::numeric_limits<int64_t>::max(), 2, 4})}},
      {Op::add, {"2^40 elements", shape(0, {std::numeric_limits<int64_t>::min(), 2, 4})}},
      {Op::add, {"a name of 1 to 1024 bytes", [](GraphSpec& s) { s.values[0].name.clear(); }}},
      {Op::add, {"a name of 1 to 1024 bytes", [](GraphSpec& s) { s.values[0].name.assign(1025, 'x'); }}},
      {Op::add,
       {"a name of 1 to 1024 bytes",
        [](GraphSpec& s) {
          s.values[0].kind = static_cast<uint8_t>(ValueKind::parameter);
          s.values[0].name.clear();
        }}},
      {Op::add, {"the name of an op but received \"conv3d\"", [](GraphSpec& s) { s.nodes[0].op = "conv3d"; }}},
      {Op::add, {"the name of an op but received \"\"", [](GraphSpec& s) { s.nodes[0].op.clear(); }}},
      {Op::add, {"the name of an op but received \"add", [](GraphSpec& s) { s.nodes[0].op.push_back(0); }}},
      {Op::layer_norm, {"the name of an op", [](GraphSpec& s) { s.nodes[0].op = "layer_norm"; }}},
      {Op::add, {"2 to 2 inputs for add (node 0) but received 1", [](GraphSpec& s) { s.nodes[0].inputs.pop_back(); }}},
      {Op::add,
       {"2 to 2 inputs for add (node 0) but received 3", [](GraphSpec& s) { s.nodes[0].inputs.push_back(0); }}},
      {Op::add, {"input 0 of add (node 0) to be there", absent(0)}},
      {Op::add, {"to be defined before it", [](GraphSpec& s) { s.nodes[0].inputs[1] = 99; }}},
      {Op::add, {"to be defined before it", [](GraphSpec& s) { s.nodes[0].inputs[1] = s.nodes[0].outputs[0]; }}},
      {Op::linear, {"input 2 of linear (node 0) to be defined", [](GraphSpec& s) { s.nodes[0].inputs[2] = 99; }}},
      // outputs
      {Op::add, {"1 to 1 outputs for add (node 0) but received 0", [](GraphSpec& s) { s.nodes[0].outputs.clear(); }}},
      {Op::add,
       {"1 to 1 outputs for add (node 0) but received 2",
        [](GraphSpec& s) { s.nodes[0].outputs.push_back(s.value(ValueKind::computed, {1})); }}},
      {Op::layer_norm,
       {"1 to 3 outputs for layerNorm (node 0) but received 4",
        [](GraphSpec& s) { s.nodes[0].outputs.push_back(s.value(ValueKind::computed, {1})); }}},
      {Op::add, {"an undefined computed value", output(0, 0)}},
      {Op::add, {"an undefined computed value", output(0, 99)}},
      {Op::add, {"an undefined computed value", output(0, kAbsent)}},
      {Op::layer_norm, {"an undefined computed value", output(0, kAbsent)}},
      {Op::add, {"an undefined computed value", [](GraphSpec& s) { s.nodes.push_back(s.nodes[0]); }}},
      {Op::layer_norm, {"an undefined computed value", output(LayerNormOp::mean, 99)}},
      {Op::layer_norm, {"an undefined computed value", output(LayerNormOp::rstd, 0)}},
      {Op::layer_norm,
       {"an undefined computed value",
        [](GraphSpec& s) { s.nodes[0].outputs[LayerNormOp::rstd] = s.nodes[0].outputs[LayerNormOp::mean]; }}},
      {Op::attention,
       {"an undefined computed value",
        [](GraphSpec& s) { s.nodes[0].outputs[AttentionOp::log_sum_exp] = s.nodes[0].outputs[AttentionOp::y]; }}},
      // attributes
      {Op::add, {"only attributes that it has for add (node 0) but received axis", add_attribute("axis", none)}},
      {Op::slice,
       {"only attributes that it has for slice (node 0) but received start, count, step",
        add_attribute("step", std::vector<double>{1})}},
      {Op::layer_norm, {"only attributes that it has", add_attribute("Eps", std::vector<double>{1e-6})}},
      {Op::layer_norm, {"only attributes that it has", add_attribute("", std::vector<double>{1e-6})}},
      {Op::slice, {"attribute start of slice (node 0) once", add_attribute("start", std::vector<double>{3})}},
      {Op::linear, {"attribute activation of linear (node 0) once", add_attribute("activation", "none")}},
      {Op::slice, {"attribute count of slice (node 0) to be there", without_attribute("count")}},
      {Op::slice, {"attribute start of slice (node 0) to be there", without_attribute("start")}},
      {Op::attention, {"attribute scale of attention (node 0) to be there", without_attribute("scale")}},
      {Op::transpose, {"attribute to of transpose (node 0) to be there", without_attribute("to")}},
      {Op::slice, {"an integer for start of slice (node 0) but received \"3\"", attribute("start", "3")}},
      {Op::slice, {"an integer for start of slice (node 0) but received a list", attribute("start", none)}},
      {Op::slice, {"an integer for start", attribute("start", std::vector<double>{3, 3})}},
      {Op::slice, {"an integer for start", attribute("start", 0.5)}},
      {Op::slice, {"an integer for start", attribute("start", 1e300)}},
      {Op::layer_norm, {"a number for eps of layerNorm (node 0) but received a list", attribute("eps", none)}},
      {Op::layer_norm, {"a number for eps", attribute("eps", "1e-6")}},
      {Op::linear, {"one of none, relu, gelu for activation", attribute("activation", none)}},
      {Op::attention,
       {"numbers for slopes of attention (node 0) but received \"alibi\"", attribute("slopes", "alibi")}},
      {Op::slice, {"finite attributes for slice (node 0)", attribute("start", kNaN)}},
      {Op::slice, {"finite attributes", attribute("count", std::numeric_limits<double>::infinity())}},
      {Op::attention, {"finite attributes", attribute("slopes", std::vector<double>{0.25, kNaN})}},
      // outputs of the graph
      {Op::add, {"output 0 to be a defined value", [](GraphSpec& s) { s.outputs = {99}; }}},
      {Op::add, {"output 0 to be a defined value", [](GraphSpec& s) { s.outputs = {kAbsent}; }}},
      {Op::add,
       {"output 1 to be a defined value",
        [](GraphSpec& s) { s.outputs.push_back(s.value(ValueKind::computed, {1})); }}},
      {Op::grid_encoding, {"not a weight", [](GraphSpec& s) { s.outputs = {0}; }}},
      {Op::reshape, {"not a weight", [](GraphSpec& s) { s.values[0].kind = static_cast<uint8_t>(ValueKind::weight); }}},
  };
}

void test_round_trips() {
  for (uint8_t op = 0; op < kOpCount; ++op) {
    const auto bytes = valid_graph(static_cast<Op>(op)).encode();
    const std::string name = op_info(static_cast<Op>(op)).name;
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
  for (size_t offset : {size_t{8}, size_t{12}, size_t{16}}) {
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

// Texts and lists that say they are longer than what is left of the graph.
void test_lengths() {
  const GraphSpec spec = valid_graph(Op::linear);
  const auto bytes = spec.encode();
  // Each length stands before what it is the length of.
  for (const std::string text :
       {spec.values[0].name, std::string("linear"), std::string("activation"), std::string("none")}) {
    const auto at = std::search(bytes.begin(), bytes.end(), text.begin(), text.end());
    for (const size_t length : {size_t{0xffff}, static_cast<size_t>(bytes.end() - at) + 1}) {
      auto longer = bytes;
      const auto wrong = static_cast<uint16_t>(length);
      std::memcpy(&longer[static_cast<size_t>(at - bytes.begin()) - 2], &wrong, 2);
      const std::string message = decode_error(longer);
      g_counts.check(message.find("Expected " + std::to_string(length) + " more bytes for ") == 0,
                     "a length of " + std::to_string(length) + " for " + text + ": " + message);
    }
  }
  const auto count_of = [](std::vector<uint8_t> graph, const std::string& name, uint16_t count) {
    const auto at = std::search(graph.begin(), graph.end(), name.begin(), name.end());
    std::memcpy(&graph[static_cast<size_t>(at - graph.begin()) + name.size() + 1], &count, 2);
    return graph;
  };
  g_counts.check(decode_error(count_of(valid_graph(Op::attention).encode(), "slopes", 0xffff)).find("more bytes for") !=
                     std::string::npos,
                 "65535 numbers that are not there");
  auto kind = bytes;
  const std::string f8 = "f8";
  const auto at = std::search(kind.begin(), kind.end(), f8.begin(), f8.end());
  *(at + 2) = 2;
  g_counts.check(decode_error(kind) == "Expected kind 0 or 1 for f8 of linear (node 0)", "an attribute of kind 2");
}

// Without what is optional: operands, outputs at the end and in the middle, attributes.
void test_absent_options() {
  for (uint8_t op = 0; op < kOpCount; ++op) {
    const OpInfo& info = op_info(static_cast<Op>(op));
    GraphSpec spec = valid_graph(static_cast<Op>(op));
    for (size_t i = 0; i < info.inputs.size(); ++i) {
      const Presence presence = info.inputs[i].presence;
      const bool optional = presence == Presence::optional || presence == Presence::accumulated;
      // u8 pixels need their content, and attention has k with v, and both in place of the fused projection.
      const std::string name = info.inputs[i].name;
      if (optional && name != "content" && name != "k" && name != "v") spec.nodes[0].inputs[i] = kAbsent;
    }
    std::string error = decode_error(spec.encode());
    g_counts.check(error.empty(), std::string(info.name) + " without options: " + error);
    for (size_t i = 1; i < info.outputs.size(); ++i) {
      GraphSpec fewer = valid_graph(static_cast<Op>(op));
      fewer.outputs = {fewer.nodes[0].outputs[0]};
      fewer.nodes[0].outputs[i] = kAbsent;
      error = decode_error(fewer.encode());
      g_counts.check(error.empty(), std::string(info.name) + " without " + info.outputs[i].name + ": " + error);
      fewer.nodes[0].outputs.resize(i);
      error = decode_error(fewer.encode());
      g_counts.check(error.empty(), std::string(info.name) + " with fewer outputs: " + error);
    }
  }
}

// What is not on the wire has the list's default, and what is comes in any order.
void test_attributes() {
  GraphSpec s;
  const auto x = s.input({1, 4, 4, 8});
  s.outputs = {s.node(LinearOp{}, {x, s.weight({8, 8})}, {1, 4, 4, 8}),
               s.node(Conv2dOp{}, {x, s.weight({8, 8, 1, 1})}, {1, 4, 4, 8}),
               s.node(LayerNormOp{1e-5}, {x, s.weight({8}), s.weight({8})}, {1, 4, 4, 8}),
               s.node(AttentionOp{2, 0.25}, {x, x, x}, {1, 4, 4, 8}),
               s.node(AttentionOp{2, 0.25, 0, DistanceMetric::chebyshev, 1, {0.5, 0.125}}, {x, x, x}, {1, 4, 4, 8})};
  const auto full = s.encode();
  const size_t required[] = {0, 0, 1, 2};
  for (size_t i = 0; i < 4; ++i) s.nodes[i].attributes.resize(required[i]);
  std::reverse(s.nodes[4].attributes.begin(), s.nodes[4].attributes.end());
  const auto bytes = s.encode();
  g_counts.check(bytes != full && decode_error(bytes).empty() && spec_of(decode(s)).encode() == full,
                 "defaults of attributes, and their order");
  const AttentionOp op = decode(s).nodes[4].as<AttentionOp>();
  g_counts.check(op.heads == 2 && op.scale == 0.25 && op.window == 0 && op.metric == DistanceMetric::chebyshev &&
                     op.start == 1 && op.slopes == std::vector<double>{0.5, 0.125},
                 "attributes arrive in the fields of their names");
}

void test_views() {
  GraphSpec s;
  const auto x = s.input({2, 3});
  auto v = x;
  for (int i = 0; i < 50; ++i) v = s.node(ReshapeOp{}, {v}, i % 2 ? Shape{2, 3} : Shape{6});
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
  for (int i = 0; i < 49999; ++i) s.outputs.push_back(v = s.node(ReshapeOp{}, {v}, {6}));
  const auto bytes = s.encode();
  const std::clock_t start = std::clock();
  const std::string error = decode_error(bytes);
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  g_counts.check(error.empty() && seconds < 5, "a chain of 49999 views: " + std::to_string(seconds) + " s " + error);
}

}  // namespace

int main() {
  test_round_trips();
  for (const WireCase& c : wire_cases()) expect_error(op_info(c.op).name, c.broken, valid_graph(c.op));
  test_counts();
  test_lengths();
  test_absent_options();
  test_attributes();
  test_views();
  test_long_chain();
  return g_counts.finish();
}
