// See objects.h.
#include "objects.h"

#include <atomic>
#include <cstring>

#include "async_task.h"
#include "backend_entry.h"
#include "held.h"
#include "js_value.h"
#include "object_lifetime.h"
#include "set_weight.h"

namespace ba_sam::node {
namespace {

constexpr napi_type_tag kTokenTag = {0x6b1f0e4cd6d74a01, 0x9c0ba5a000000001};
constexpr napi_type_tag kWeightsTag = {0x6b1f0e4cd6d74a02, 0x9c0ba5a000000002};
constexpr napi_type_tag kPlanTag = {0x6b1f0e4cd6d74a03, 0x9c0ba5a000000003};

class TokenObject : public Napi::ObjectWrap<TokenObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("CancelToken", DefineClass(env, "CancelToken", {InstanceMethod<&TokenObject::cancel>("cancel")}));
  }
  explicit TokenObject(const Napi::CallbackInfo& info) : ObjectWrap(info), token(std::make_shared<CancelToken>()) {
    info.This().As<Napi::Object>().TypeTag(&kTokenTag);
  }
  void cancel(const Napi::CallbackInfo&) { token->cancelled = true; }

  std::shared_ptr<CancelToken> token;
};

class WeightsObject : public Napi::ObjectWrap<WeightsObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("Weights", DefineClass(env, "Weights",
                                       {InstanceMethod<&WeightsObject::set>("set"),
                                        InstanceMethod<&WeightsObject::set_parameter>("setParameter"),
                                        InstanceMethod<&WeightsObject::read_parameter>("readParameter"),
                                        InstanceAccessor<&WeightsObject::byte_length>("byteLength"),
                                        InstanceMethod<&WeightsObject::dispose>("dispose")}));
  }

  // new Weights(options?): what the backend is to be, see make_backend
  explicit WeightsObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kWeightsTag);
    guarded(info.Env(), [&] { store_ = std::make_shared<WeightStore>(make_backend(info[0])); });
  }

  // set(name, sourceDtype, dtype, shape, bytes, moved?): Promise<void>. The bytes are copied here, unless they were moved: then
  // nobody else has their buffer, who could free it or write to it.
  Napi::Value set(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const DType source = to_dtype(info[1], "source dtype"), dtype = to_dtype(info[2], "dtype");
      std::string name = to_text(info[0], "name");
      Shape shape = to_shape(info[3], "shape");
      auto worker =
          std::make_unique<SetWeight>(info.Env(), store(), reported_, std::move(name), source, dtype, std::move(shape));
      // Last: a getter in the shape could have freed what an earlier view points to.
      const ArrayView view = to_array(info[4], "bytes");
      if (info[5].ToBoolean()) {
        worker->keep(view, info[4].As<Napi::Object>());
      } else {
        worker->copy(view);
      }
      worker->Queue();
      return worker.release()->promise();
    });
  }

  // setParameter(name, dtype, shape, values, token?): Promise<void>. Values are copied here; they are in place after every
  // run that was started before, and before every one that is started after.
  Napi::Value set_parameter(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const DType dtype = to_dtype(info[1], "dtype");
      const Shape shape = to_shape(info[2], "shape");
      const ArrayView view = to_array(info[3], "values");
      if (!holds(view, dtype)) bad_argument("values", std::string("a typed array of dtype ") + dtype_name(dtype));
      auto copy = std::make_shared<Buffer>(view.bytes, "a parameter");
      if (view.bytes) std::memcpy(copy->data(), view.data, view.bytes);
      auto made = std::make_shared<size_t>(0);
      AsyncTaskOptions options;
      options.token = to_token(info[4]);
      options.result = [reported = reported_, made](Napi::Env env, const auto&) -> Napi::Value {
        report_bytes(env, *reported, static_cast<int64_t>(*made));
        return env.Undefined();
      };
      return on_lane(info, std::move(options),
                     [store = store(), name = to_text(info[0], "name"), dtype, shape, copy, made] {
                       *made = store->set_parameter(name, dtype, shape, copy->data(), copy->size());
                     });
    });
  }

  // readParameter(name, out, token?): Promise<void>. `out` is written on the event loop, when the value is there: until then it
  // may have been transferred, or its buffer made smaller.
  Napi::Value read_parameter(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      auto value = std::make_shared<Buffer>(to_array(info[1], "out").bytes, "a parameter's value");
      AsyncTaskOptions options;
      options.token = to_token(info[2]);
      options.keep_alive.push_back(info[1].As<Napi::Object>());
      options.result = [value](Napi::Env env, const auto& kept) -> Napi::Value {
        const ArrayView view = to_array(kept[0].Value(), "out");
        if (view.bytes != value->size())
          bad_argument("out", "an array that keeps its buffer until its values are there");
        if (view.bytes) std::memcpy(view.data, value->data(), view.bytes);
        return env.Undefined();
      };
      return on_lane(info, std::move(options), [store = store(), name = to_text(info[0], "name"), value] {
        store->read_parameter(name, value->data(), value->size());
      });
    });
  }

  Napi::Value byte_length(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), store_ ? static_cast<double>(store_->bytes()) : 0.0);
  }
  void dispose(const Napi::CallbackInfo&) { free(); }
  ~WeightsObject() override { free(); }

  const std::shared_ptr<WeightStore>& store() const {
    if (!store_) throw SamError("ERR_DISPOSED", "The weights are disposed");
    return store_;
  }

 private:
  // In order with the runs of this model's plans.
  template <typename Work>
  Napi::Value on_lane(const Napi::CallbackInfo& info, AsyncTaskOptions options, Work work) {
    options.name = "ba-sam parameter";
    options.lane = store()->backend()->lane();
    options.keep_alive.push_back(info.This().As<Napi::Object>());  // whose destructor takes back what was reported
    options.work = [backend = store()->backend(), work = std::move(work)](const std::function<void(double)>&) {
      backend->enter();
      work();
    };
    return start_task(info.Env(), std::move(options));
  }

  void free() {
    Napi::MemoryManagement::AdjustExternalMemory(Env(), -*reported_);
    *reported_ = 0;
    release(std::move(store_));
  }

  std::shared_ptr<WeightStore> store_;
  std::shared_ptr<int64_t> reported_ = std::make_shared<int64_t>(0);  // bytes; touched on the event loop only
};

class PlanObject : public Napi::ObjectWrap<PlanObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("Plan", DefineClass(env, "Plan",
                                    {InstanceMethod<&PlanObject::run>("run"),
                                     InstanceAccessor<&PlanObject::arena_bytes>("arenaBytes"),
                                     InstanceMethod<&PlanObject::dispose>("dispose")}));
  }

  // new Plan(weights, graph: Uint8Array)
  explicit PlanObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kPlanTag);
    guarded(info.Env(), [&] {
      auto* weights = unwrap<WeightsObject>(info[0], kWeightsTag, "Weights");
      const ArrayView bytes = to_array(info[1], "graph");
      plan_ =
          std::make_shared<Plan>(weights->store(), decode_graph(static_cast<const uint8_t*>(bytes.data), bytes.bytes));
      arena_bytes_ = std::make_shared<std::atomic<size_t>>(0);
    });
  }

  // run(inputs, outputs, token?, onProgress?, profile?): Promise<Float64Array | undefined>
  // Inputs are copied here, but for those that are held. Typed arrays among the outputs are written by the compute thread:
  // nobody else may have them before the promise is settled.
  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!plan_) throw SamError("ERR_DISPOSED", "The plan is disposed");
      const Graph& graph = plan_->graph();
      AsyncTaskOptions options;
      options.name = "ba-sam run";
      options.lane = plan_->backend()->lane();
      options.token = to_token(info[2]);
      if (info[3].IsFunction()) options.on_progress = info[3].As<Napi::Function>();

      auto memory = std::make_shared<std::vector<std::shared_ptr<const Buffer>>>();  // of inputs, and of held outputs
      const auto input_list = list(info[0], graph.inputs.size(), "inputs");
      std::vector<const void*> inputs;
      for (size_t i = 0; i < graph.inputs.size(); ++i) {
        memory->push_back(input_memory(input_list.Get(i), graph.values[graph.inputs[i]]));
        inputs.push_back(memory->back()->data());
      }
      const auto output_list = list(info[1], graph.outputs.size(), "outputs");
      std::vector<void*> outputs;
      size_t held = 0;
      for (size_t i = 0; i < graph.outputs.size(); ++i) {
        const ba_sam::Value& value = graph.values[graph.outputs[i]];
        const Napi::Value output = output_list.Get(i);
        if (HeldObject* object = to_held(output)) {
          const std::shared_ptr<Buffer> buffer = object->take(value);
          outputs.push_back(buffer->data());
          memory->push_back(buffer);
          ++held;
        } else {
          outputs.push_back(to_array(output, value.dtype, value.bytes(), "an output").data);
        }
        options.keep_alive.push_back(output.As<Napi::Object>());
      }

      auto node_ms = info[4].ToBoolean() ? std::make_shared<std::vector<double>>() : nullptr;
      auto token = options.token ? options.token : std::make_shared<CancelToken>();
      options.token = token;
      auto arena = arena_bytes_;
      options.work = [plan = plan_, memory, inputs, outputs, token, node_ms,
                      arena](const std::function<void(double)>& progress) {
        plan->run(inputs, outputs, token->cancelled, progress, node_ms.get());
        arena->store(plan->arena_bytes());
      };
      if (node_ms || held) {
        options.result = [node_ms](Napi::Env env, const auto& kept) -> Napi::Value {
          for (const Napi::ObjectReference& output : kept) {
            if (HeldObject* object = to_held(output.Value())) object->fill();
          }
          if (!node_ms) return env.Undefined();
          auto array = Napi::Float64Array::New(env, node_ms->size());
          std::copy(node_ms->begin(), node_ms->end(), array.Data());
          return array;
        };
      }
      return start_task(info.Env(), std::move(options));
    });
  }

  Napi::Value arena_bytes(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), arena_bytes_ ? static_cast<double>(arena_bytes_->load()) : 0.0);
  }
  void dispose(const Napi::CallbackInfo&) { release(std::move(plan_)); }
  ~PlanObject() override { release(std::move(plan_)); }

 private:
  static Napi::Array list(const Napi::Value& value, size_t length, const char* name) {
    if (!value.IsArray() || value.As<Napi::Array>().Length() != length) {
      bad_argument(name, "an array of " + std::to_string(length));
    }
    return value.As<Napi::Array>();
  }

  // What is held, or a copy of a typed array.
  static std::shared_ptr<const Buffer> input_memory(const Napi::Value& input, const ba_sam::Value& value) {
    if (const HeldObject* held = to_held(input)) return held->read(value);
    const ArrayView view = to_array(input, value.dtype, value.bytes(), value.name.c_str());
    auto copy = std::make_shared<Buffer>(view.bytes, "an input");
    if (view.bytes) std::memcpy(copy->data(), view.data, view.bytes);
    return copy;
  }

  std::shared_ptr<Plan> plan_;
  std::shared_ptr<std::atomic<size_t>> arena_bytes_;  // known after the first run, which is on another thread
};

}  // namespace

std::shared_ptr<CancelToken> to_token(const Napi::Value& value) {
  if (value.IsUndefined()) return nullptr;
  return unwrap<TokenObject>(value, kTokenTag, "CancelToken")->token;
}

void define_classes(Napi::Env env, Napi::Object exports) {
  TokenObject::define(env, exports);
  WeightsObject::define(env, exports);
  PlanObject::define(env, exports);
  HeldObject::define(env, exports);
}

}  // namespace ba_sam::node
