// The functions of every addon: the end of the process, and graph inspection.
#include "../core/executor.h"
#include "../core/graph.h"
#include "../ops/rule.h"
#include "async_task.h"
#include "js_value.h"
#include "objects.h"

namespace ba_sam::node {
namespace {

// shutDown(): cancels everything and waits; nothing runs afterwards. For the exit hook of the main thread.
Napi::Value shut_down(const Napi::CallbackInfo& info) {
  Executor::instance().shut_down();
  return info.Env().Undefined();
}

Napi::Array names_of(Napi::Env env, const std::vector<OperandInfo>& operands) {
  auto names = Napi::Array::New(env);
  for (const OperandInfo& operand : operands) names.Set(names.Length(), operand.name);
  return names;
}

// opTable(): the list of ops as this addon knows it, for the test that compares their homes
Napi::Value op_table(const Napi::CallbackInfo& info) {
  auto table = Napi::Array::New(info.Env());
  for (int op = 0; op < kOpCount; ++op) {
    const OpInfo& row = op_info(static_cast<Op>(op));
    auto entry = Napi::Object::New(info.Env());
    entry.Set("name", row.name);
    entry.Set("inputs", names_of(info.Env(), row.inputs));
    entry.Set("outputs", names_of(info.Env(), row.outputs));
    table.Set(table.Length(), entry);
  }
  return table;
}

// checkGraph(bytes): number of nodes; throws ERR_GRAPH
Napi::Value check_graph(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ArrayView bytes = to_array(info[0], "graph");
    const Graph graph = decode_graph(static_cast<const uint8_t*>(bytes.data), bytes.bytes);
    return Napi::Number::New(info.Env(), static_cast<double>(graph.nodes.size()));
  });
}

// graphFlops(bytes): multiply-adds × 2 of every node's products and convolutions; throws ERR_GRAPH
Napi::Value graph_flops(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ArrayView bytes = to_array(info[0], "graph");
    const Graph graph = decode_graph(static_cast<const uint8_t*>(bytes.data), bytes.bytes);
    auto flops = Napi::Float64Array::New(info.Env(), graph.nodes.size());
    for (size_t n = 0; n < graph.nodes.size(); ++n) flops[n] = node_flops(graph, graph.nodes[n]);
    return flops;
  });
}

}  // namespace

void define_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("shutDown", Napi::Function::New<shut_down>(env, "shutDown"));
  exports.Set("opTable", Napi::Function::New<op_table>(env, "opTable"));
  exports.Set("graphFlops", Napi::Function::New<graph_flops>(env, "graphFlops"));
  exports.Set("checkGraph", Napi::Function::New<check_graph>(env, "checkGraph"));
}

}  // namespace ba_sam::node
