// What the addon's classes share: how one is recognised, and how what it holds is counted and freed.
#pragma once

#include <napi.h>

#include <memory>
#include <string>

#include "../core/executor.h"
#include "js_value.h"

namespace ba_sam::node {

inline bool has_tag(const Napi::Value& value, const napi_type_tag& tag) {
  bool matches = false;
  return value.IsObject() &&
         napi_check_object_type_tag(value.Env(), value.As<Napi::Object>(), &tag, &matches) == napi_ok && matches;
}

template <typename T>
T* unwrap(const Napi::Value& value, const napi_type_tag& tag, const char* name) {
  if (!has_tag(value, tag)) bad_argument(name, std::string("a ") + name);
  return T::Unwrap(value.As<Napi::Object>());
}

// Frees the last reference on the backend's compute thread: unmapping a model's memory takes tens of milliseconds.
template <typename T>
void release(std::shared_ptr<T> object) {
  if (!object) return;
  const std::shared_ptr<Backend> backend = object->backend();
  try {
    Executor::instance().submit(backend->lane(), Executor::release_owner(), std::make_shared<CancelToken>(),
                                [backend, object = std::move(object)]() mutable {
                                  try {
                                    backend->enter();
                                  } catch (const SamError&) {
                                    // A lost device has nothing left to be entered for, and its memory is gone.
                                  }
                                  object.reset();
                                });
  } catch (const std::exception&) {
    // No thread or no memory to be had: what the task captured has been freed here. A finalizer must not throw.
  }
}

// Tells the garbage collector what an abandoned model holds, so that it is worth collecting. On the event loop.
inline void report_bytes(Napi::Env env, int64_t& reported, int64_t bytes) {
  reported += bytes;
  Napi::MemoryManagement::AdjustExternalMemory(env, bytes);
}

}  // namespace ba_sam::node
