// The functions of every addon: the end of the process, and graph inspection.
#include "../core/executor.h"
#include "../core/graph.h"
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

// opTable(): the vocabulary as native code knows it, for the test that compares its homes
Napi::Value op_table(const Napi::CallbackInfo& info) {
  auto table = Napi::Array::New(info.Env());
  for (uint8_t op = 0; op < kOpCount; ++op) {
    const OpInfo& row = op_info(op);
    auto entry = Napi::Object::New(info.Env());
    entry.Set("name", row.name);
    entry.Set("requiredInputs", row.required_inputs);
    entry.Set("maxInputs", row.max_inputs);
    entry.Set("requiredAttributes", row.required_attributes);
    table.Set(op, entry);
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

}  // namespace

void define_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("shutDown", Napi::Function::New<shut_down>(env, "shutDown"));
  exports.Set("opTable", Napi::Function::New<op_table>(env, "opTable"));
  exports.Set("checkGraph", Napi::Function::New<check_graph>(env, "checkGraph"));
}

}  // namespace ba_sam::node
