// Sees that the tests have something for every op of the list: each case of native/ops/<op>/cases.cpp is there, is what it
// says, and covers the op's operands; and that every op on the CPU lets through what is not a number. Prints "N passed, N failed".
#include <map>
#include <set>

#include "../../native/backends/cpu/backend.h"
#include "graph_fixture.h"
#include "random_graph.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;
constexpr int kInstances = 200;
constexpr int kPoisoned = 60;

void check(Op op, bool ok, const std::string& what) {
  g_counts.check(ok, std::string(op_info(op).name) + ": " + what);
}

bool is_optional(const OperandInfo& operand) {
  return operand.presence == Presence::optional || operand.presence == Presence::accumulated;
}

// Whether it is one node of the op; nothing else can be asked of another graph.
bool test_valid_graph(Op op) {
  const OpInfo& info = op_info(op);
  const GraphSpec spec = valid_graph(op);
  const std::string error = error_of([&] { decode(spec); });
  check(op, error.empty(), "the valid graph decodes: " + error);
  const bool one = spec.nodes.size() == 1 && spec.nodes[0].op == info.name;
  check(op, one, "the valid graph is one node of it");
  if (!one || !error.empty()) return false;
  const Graph graph = decode(spec);
  const Node& node = graph.nodes[0];
  for (size_t i = 0; i < info.inputs.size(); ++i) {
    check(op, node.has_input(i), std::string(info.inputs[i].name) + " is there in the valid graph");
  }
  for (size_t i = 0; i < info.outputs.size(); ++i) {
    check(op, node.has_output(i), std::string(info.outputs[i].name) + " is there in the valid graph");
  }
  return true;
}

void test_broken_cases(Op op) {
  const std::vector<BrokenCase> cases = broken_cases(op);
  check(op, !cases.empty(), "there are broken cases");
  for (const BrokenCase& c : cases) {
    GraphSpec spec = valid_graph(op);
    c.change(spec);
    // A heap block of exactly this size: AddressSanitizer sees a read of one byte more.
    std::vector<uint8_t> bytes = spec.encode();
    bytes.shrink_to_fit();
    const std::string message = error_of([&] { decode_graph(bytes.data(), bytes.size()); });
    check(op, !c.expected.empty() && message.find(c.expected) != std::string::npos,
          "expected an error with \"" + c.expected + "\" but received \"" + message + "\"");
  }
}

// One array per output of the list, as long as the output, and made of the data.
void test_reference(Op op, Random& random) {
  const OpInfo& info = op_info(op);
  std::vector<Array> last;
  for (int draw = 0; draw < 2; ++draw) {
    const Fixture f(valid_graph(op), random, cpu::make_cpu_backend(1));
    std::vector<Array> values(f.data.size());
    for (size_t v = 0; v < values.size(); ++v) values[v] = loaded(f.data[v], f.graph.values[v].dtype);
    const Node& node = f.graph.nodes[0];
    const std::vector<Array> outputs = reference_of(f.graph, node, values);
    check(op, outputs.size() == info.outputs.size(), "the loop gives every output");
    for (size_t i = 0; i < outputs.size() && i < info.outputs.size(); ++i) {
      const std::string name = info.outputs[i].name;
      const bool asked = node.has_output(i);
      check(op, asked && outputs[i].size() == static_cast<size_t>(f.graph.output(node, i).elements()),
            "the loop gives all of " + name);
      bool all_zero = true;
      for (double x : outputs[i]) all_zero = all_zero && x == 0;
      check(op, !all_zero, "the loop gives something for " + name);
      check(op, draw == 0 || outputs[i] != last[i], "the loop's " + name + " follows from the data");
    }
    last = outputs;
  }
}

// Every instance is a valid graph that ends with the op; optional operands are there sometimes, and sometimes not.
void test_random_instances(Op op, Random& random) {
  const OpInfo& info = op_info(op);
  std::map<std::string, int> there, absent;
  std::map<DType, int> dtypes;
  for (int i = 0; i < kInstances; ++i) {
    GraphMaker maker(random, {DType::bf16, DType::f16});
    maker.step(op);
    const bool appended = !maker.spec.nodes.empty() && maker.spec.nodes.back().op == info.name;
    const std::string error = appended ? error_of([&] { decode(maker.spec); }) : "no such node";
    check(op, error.empty(), "random instance " + std::to_string(i) + ": " + error);
    if (!error.empty()) continue;
    const Graph graph = decode(maker.spec);
    const Node& node = graph.nodes.back();
    for (size_t k = 0; k < info.inputs.size(); ++k) ++(node.has_input(k) ? there : absent)[info.inputs[k].name];
    for (size_t k = 0; k < info.outputs.size(); ++k) ++(node.has_output(k) ? there : absent)[info.outputs[k].name];
    for (uint32_t v : node.inputs) {
      if (v != kAbsent) ++dtypes[graph.values[v].dtype];
    }
  }
  for (const auto* operands : {&info.inputs, &info.outputs}) {
    for (const OperandInfo& operand : *operands) {
      const std::string name = operand.name;
      check(op, there[name] > 0, "random instances have " + name);
      if (is_optional(operand)) check(op, absent[name] > 0, "random instances do without " + name);
    }
  }
  // Ops on f32 alone say so in their rules: the first input in another dtype is refused.
  GraphSpec half = valid_graph(op);
  dtype(0, DType::bf16)(half);
  const std::string refused = error_of([&] { decode(half); });
  const bool f32_only =
      refused.find("of dtype f32 but") != std::string::npos || refused.find("f32 or u8") != std::string::npos;
  for (const DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    if (dtype == DType::f32 || !f32_only) {
      check(op, dtypes[dtype] > 0, std::string("random instances have operands of dtype ") + dtype_name(dtype));
    }
  }
}

// What is not a number stays so, in every op, whatever its activation: a model that is broken must not give numbers.
void test_poisoned(Op op, Random& random) {
  std::set<Op> seen;
  std::vector<DType> dtypes;
  if (cpu::unavailable_reason(DType::bf16).empty()) dtypes.push_back(DType::bf16);
  for (int i = 0; i < kPoisoned; ++i) {
    GraphMaker maker(random, dtypes);
    maker.step(op);
    const auto last = maker.spec.nodes.back();
    if (op_info(op).is_view && maker.at(last.inputs[0]).kind == static_cast<uint8_t>(ValueKind::weight)) continue;
    maker.spec.outputs = {last.outputs[0]};
    const std::string problem = problem_of(maker.spec, random, cpu::make_cpu_backend(1 + i % 3), &seen, true);
    check(op, problem.empty(), "poisoned instance " + std::to_string(i) + ": " + problem);
  }
  check(op, seen.count(op) > 0, "a poisoned operand reaches its output");
}

}  // namespace

int main() {
  Random random(1);
  for (uint8_t i = 0; i < kOpCount; ++i) {
    const auto op = static_cast<Op>(i);
    if (!test_valid_graph(op)) continue;
    test_broken_cases(op);
    test_reference(op, random);
    test_random_instances(op, random);
    test_poisoned(op, random);
  }
  return g_counts.finish();
}
