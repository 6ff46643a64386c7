// See objects.h.
#include "objects.h"

#include <atomic>
#include <cstring>

#include "async_task.h"
#include "backend_entry.h"
#include "js_value.h"

namespace ba_sam::node {
namespace {

constexpr napi_type_tag kTokenTag = {0x6b1f0e4cd6d74a01, 0x9c0ba5a000000001};
constexpr napi_type_tag kWeightsTag = {0x6b1f0e4cd6d74a02, 0x9c0ba5a000000002};
constexpr napi_type_tag kPlanTag = {0x6b1f0e4cd6d74a03, 0x9c0ba5a000000003};

// Frees the last reference on the backend's compute thread: unmapping a model's memory takes tens of milliseconds.
template <typename T>
void release(std::shared_ptr<T> object) {
  static const char owner = 0;
  if (!object) return;
  const std::shared_ptr<Backend> backend = object->backend();
  try {
    Executor::instance().submit(backend->lane(), &owner, std::make_shared<CancelToken>(),
                                [backend, object = std::move(object)]() mutable {
                                  try {
                                    backend->enter();
                                  } catch (const SamError&) {
                                    // A lost device has nothing left to be entered for, and its memory is gone.
                                  }
                                  object.reset();
                                });
  } catch (const SamError&) {
    // No thread to be had: what the task captured has been freed here.
  }
}

template <typename T>
T* unwrap(const Napi::Value& value, const napi_type_tag& tag, const char* name) {
  bool matches = false;
  if (!value.IsObject() ||
      napi_check_object_type_tag(value.Env(), value.As<Napi::Object>(), &tag, &matches) != napi_ok || !matches) {
    bad_argument(name, std::string("a ") + name);
  }
  return T::Unwrap(value.As<Napi::Object>());
}

// Tells the garbage collector what an abandoned model holds, so that it is worth collecting. On the event loop.
void report_bytes(Napi::Env env, int64_t& reported, int64_t bytes) {
  reported += bytes;
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
}

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

// Conversion of one weight on libuv's pool: it needs no compute thread and must not wait behind an encode.
class SetWeight : public Napi::AsyncWorker {
 public:
  SetWeight(Napi::Env env, std::shared_ptr<WeightStore> store, std::shared_ptr<int64_t> reported, std::string name,
            DType source, DType dtype, Shape shape, const Napi::Value& bytes, const ArrayView& view)
      : AsyncWorker(env, "ba-sam weights"),
        deferred_(Napi::Promise::Deferred::New(env)),
        store_(std::move(store)),
        reported_(std::move(reported)),
        name_(std::move(name)),
        source_(source),
        dtype_(dtype),
        shape_(std::move(shape)),
        keep_(Napi::Persistent(bytes.As<Napi::Object>())),
        view_(view) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override {
    try {
      store_->set(name_, source_, dtype_, shape_, static_cast<const uint8_t*>(view_.data), view_.bytes);
    } catch (const SamError& error) {
      code_ = error.code();
      SetError(error.what());
    } catch (const std::bad_alloc&) {
      code_ = "ERR_OUT_OF_MEMORY";
      SetError("Out of memory");
    }
  }
  void OnOK() override {
    report_bytes(Env(), *reported_, static_cast<int64_t>(view_.bytes / dtype_bytes(source_) * dtype_bytes(dtype_)));
    deferred_.Resolve(Env().Undefined());
  }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(make_error(Env(), code_, error.Message()).Value());
  }

 private:
  Napi::Promise::Deferred deferred_;
  std::shared_ptr<WeightStore> store_;
  std::shared_ptr<int64_t> reported_;
  std::string name_;
  DType source_, dtype_;
  Shape shape_;
  Napi::ObjectReference keep_;
  ArrayView view_;
  std::string code_;
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

  // set(name, sourceDtype, dtype, shape, bytes): Promise<void>
  Napi::Value set(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const DType source = to_dtype(info[1], "source dtype"), dtype = to_dtype(info[2], "dtype");
      auto* worker = new SetWeight(info.Env(), store(), reported_, to_text(info[0], "name"), source, dtype,
                                   to_shape(info[3], "shape"), info[4], to_array(info[4], "bytes"));
      worker->Queue();
      return worker->promise();
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
      options.result = [reported = reported_, made](Napi::Env env) -> Napi::Value {
        report_bytes(env, *reported, static_cast<int64_t>(*made));
        return env.Undefined();
      };
      return on_lane(info, std::move(options),
                     [store = store(), name = to_text(info[0], "name"), dtype, shape, copy, made] {
                       *made = store->set_parameter(name, dtype, shape, copy->data(), copy->size());
                     });
    });
  }

  // readParameter(name, out, token?): Promise<void>. `out` is written by the compute thread.
  Napi::Value read_parameter(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      const ArrayView out = to_array(info[1], "out");
      AsyncTaskOptions options;
      options.token = to_token(info[2]);
      options.keep_alive.push_back(info[1].As<Napi::Object>());
      return on_lane(info, std::move(options), [store = store(), name = to_text(info[0], "name"), out] {
        store->read_parameter(name, static_cast<uint8_t*>(out.data), out.bytes);
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

  // run(inputs, outputs, token?, onProgress?, profile?, borrowed?): Promise<Float64Array | undefined>
  // Inputs are copied here, except the first `borrowed`: those, and outputs, which the compute thread writes, must not be
  // touched until it is settled.
  Napi::Value run(const Napi::CallbackInfo& info) {
    return guarded(info.Env(), [&]() -> Napi::Value {
      if (!plan_) throw SamError("ERR_DISPOSED", "The plan is disposed");
      const Graph& graph = plan_->graph();
      AsyncTaskOptions options;
      options.name = "ba-sam run";
      options.lane = plan_->backend()->lane();
      options.token = to_token(info[2]);
      if (info[3].IsFunction()) options.on_progress = info[3].As<Napi::Function>();

      const auto input_list = list(info[0], graph.inputs.size(), "inputs");
      const int64_t limit = static_cast<int64_t>(graph.inputs.size());
      const size_t borrowed =
          info[5].IsUndefined() ? 0 : static_cast<size_t>(to_integer(info[5], 0, limit, "borrowed"));
      auto copies = std::make_shared<std::vector<Buffer>>();
      std::vector<const void*> inputs;
      for (size_t i = 0; i < graph.inputs.size(); ++i) {
        const ba_sam::Value& value = graph.values[graph.inputs[i]];
        const ArrayView view = to_array(input_list.Get(i), value.dtype, value.bytes(), value.name.c_str());
        if (i < borrowed) {
          inputs.push_back(view.data);
          options.keep_alive.push_back(input_list.Get(i).As<Napi::Object>());
          continue;
        }
        copies->emplace_back(view.bytes, "an input");
        if (view.bytes) std::memcpy(copies->back().data(), view.data, view.bytes);
        inputs.push_back(copies->back().data());
      }
      const auto output_list = list(info[1], graph.outputs.size(), "outputs");
      std::vector<void*> outputs;
      for (size_t i = 0; i < graph.outputs.size(); ++i) {
        const ba_sam::Value& value = graph.values[graph.outputs[i]];
        outputs.push_back(to_array(output_list.Get(i), value.dtype, value.bytes(), "an output").data);
        options.keep_alive.push_back(output_list.Get(i).As<Napi::Object>());
      }

      auto node_ms = info[4].ToBoolean() ? std::make_shared<std::vector<double>>() : nullptr;
      auto token = options.token ? options.token : std::make_shared<CancelToken>();
      options.token = token;
      auto arena = arena_bytes_;
      options.work = [plan = plan_, copies, inputs, outputs, token, node_ms,
                      arena](const std::function<void(double)>& progress) {
        plan->run(inputs, outputs, token->cancelled, progress, node_ms.get());
        arena->store(plan->arena_bytes());
      };
      if (node_ms) {
        options.result = [node_ms](Napi::Env env) -> Napi::Value {
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
}

}  // namespace ba_sam::node
