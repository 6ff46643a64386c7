// The class Held: an output of a run that stays in native memory, as an input of later runs.
#pragma once

#include <napi.h>

#include <memory>

#include "async_task.h"
#include "js_value.h"
#include "object_lifetime.h"

namespace ba_sam::node {

inline constexpr napi_type_tag kHeldTag = {0x6b1f0e4cd6d74a04, 0x9c0ba5a000000004};

// An output that stays in native memory, as an input of later runs. JavaScript cannot get at it: no transfer frees it.
class HeldObject : public Napi::ObjectWrap<HeldObject> {
 public:
  static void define(Napi::Env env, Napi::Object exports) {
    exports.Set("Held", DefineClass(env, "Held", {InstanceAccessor<&HeldObject::byte_length>("byteLength")}));
  }

  // new Held(dtype, elements)
  explicit HeldObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
    info.This().As<Napi::Object>().TypeTag(&kHeldTag);
    guarded(info.Env(), [&] {
      dtype_ = to_dtype(info[0], "dtype");
      const int64_t elements = to_integer(info[1], 0, int64_t{1} << 40, "elements");
      memory_ = std::make_shared<Buffer>(static_cast<size_t>(elements) * dtype_bytes(dtype_), "an output");
      report_bytes(info.Env(), reported_, static_cast<int64_t>(memory_->size()));
    });
  }
  ~HeldObject() override { Napi::MemoryManagement::AdjustExternalMemory(Env(), -reported_); }

  // Memory that a run writes, once: the same Held is no output again.
  std::shared_ptr<Buffer> take(const ba_sam::Value& value) {
    if (state_ != State::fresh || !fits(value)) bad_argument("an output", "a new Held of the output's dtype and size");
    state_ = State::taken;
    return memory_;
  }
  void fill() { state_ = State::filled; }
  std::shared_ptr<const Buffer> read(const ba_sam::Value& value) const {
    if (state_ != State::filled || !fits(value))
      bad_argument(value.name, "an output of this dtype and size that was held");
    return memory_;
  }

 private:
  enum class State { fresh, taken, filled };

  bool fits(const ba_sam::Value& value) const { return dtype_ == value.dtype && memory_->size() == value.bytes(); }
  Napi::Value byte_length(const Napi::CallbackInfo& info) {
    return Napi::Number::New(info.Env(), memory_ ? static_cast<double>(memory_->size()) : 0.0);
  }

  DType dtype_ = DType::f32;
  State state_ = State::fresh;
  std::shared_ptr<Buffer> memory_;
  int64_t reported_ = 0;
};

// null for what is no Held
inline HeldObject* to_held(const Napi::Value& value) {
  return has_tag(value, kHeldTag) ? HeldObject::Unwrap(value.As<Napi::Object>()) : nullptr;
}

}  // namespace ba_sam::node
