// Adding a weight to a store, off the event loop.
#pragma once

#include <napi.h>

#include <cstring>
#include <memory>
#include <new>
#include <string>
#include <utility>

#include "../core/weights.h"
#include "async_task.h"
#include "js_value.h"
#include "object_lifetime.h"

namespace ba_sam::node {

// Conversion of one weight on libuv's pool: it needs no compute thread and must not wait behind an encode.
class SetWeight : public Napi::AsyncWorker {
 public:
  SetWeight(Napi::Env env, std::shared_ptr<WeightStore> store, std::shared_ptr<int64_t> reported, std::string name,
            DType source, DType dtype, Shape shape)
      : AsyncWorker(env, "ba-sam weights"),
        deferred_(Napi::Promise::Deferred::New(env)),
        store_(std::move(store)),
        reported_(std::move(reported)),
        name_(std::move(name)),
        source_(source),
        dtype_(dtype),
        shape_(std::move(shape)) {}
  Napi::Promise promise() const { return deferred_.Promise(); }

  // What is converted: a copy made here, or `bytes` where they lie, kept until then.
  void copy(const ArrayView& view) {
    copy_ = Buffer(view.bytes, "a weight");
    if (view.bytes) std::memcpy(copy_.data(), view.data, view.bytes);
    bytes_ = copy_.data();
    size_ = view.bytes;
  }
  void keep(const ArrayView& view, Napi::Object bytes) {
    keep_ = Napi::Persistent(bytes);
    bytes_ = static_cast<const uint8_t*>(view.data);
    size_ = view.bytes;
  }

  void Execute() override {
    try {
      store_->set(name_, source_, dtype_, shape_, bytes_, size_);
      copy_ = Buffer();
    } catch (const SamError& error) {
      fail(error.code(), error.what());
    } catch (const std::bad_alloc&) {
      fail("ERR_OUT_OF_MEMORY", "Out of memory");
    } catch (const std::exception& error) {
      fail("ERR_INTERNAL", error.what());
    }
  }
  void OnOK() override {
    report_bytes(Env(), *reported_, static_cast<int64_t>(size_ / dtype_bytes(source_) * dtype_bytes(dtype_)));
    deferred_.Resolve(Env().Undefined());
  }
  void OnError(const Napi::Error& error) override {
    deferred_.Reject(make_error(Env(), code_, error.Message()).Value());
  }

 private:
  void fail(std::string code, const char* message) {
    code_ = std::move(code);
    SetError(message);
  }

  Napi::Promise::Deferred deferred_;
  std::shared_ptr<WeightStore> store_;
  std::shared_ptr<int64_t> reported_;
  std::string name_;
  DType source_, dtype_;
  Shape shape_;
  Buffer copy_;
  Napi::ObjectReference keep_;
  const uint8_t* bytes_ = nullptr;
  size_t size_ = 0;
  std::string code_;
};

}  // namespace ba_sam::node
