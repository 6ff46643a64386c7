// Work off the event loop: a promise for the caller, a task for the compute thread, and clean ends for everything
// that can happen in between (progress, cancelling, environment shutdown).
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <vector>

#include "../core/executor.h"
#include "../core/tensor.h"

namespace ba_sam::node {

struct AsyncTaskOptions {
  const char* name = "ba-sam";
  int lane = 0;  // whose compute thread does the work
  std::shared_ptr<CancelToken> token;
  // Objects whose memory the work uses; they stay alive until the promise is settled.
  std::vector<Napi::Object> keep_alive;
  // Called on the event loop with a fraction 0…1, at most every 30 ms; may be empty.
  Napi::Function on_progress;
  // On the compute thread. May throw SamError. Gets a progress reporter that is cheap to call often.
  std::function<void(const std::function<void(double)>&)> work;
  // On the event loop, after the work, with keep_alive; undefined when empty. Must hold no references of its own: it may be
  // destroyed on the compute thread, when the environment is gone.
  std::function<Napi::Value(Napi::Env, const std::vector<Napi::ObjectReference>&)> result;
};

// Returns the promise. Rejections are Errors with a `code` property.
Napi::Value start_task(Napi::Env env, AsyncTaskOptions options);

// Runs f and throws its SamError (or any other exception) as a JavaScript Error with a code.
Napi::Error make_error(Napi::Env env, const std::string& code, const std::string& message);

template <typename F>
auto guarded(Napi::Env env, F f) -> decltype(f()) {
  try {
    return f();
  } catch (const SamError& error) {
    throw make_error(env, error.code(), error.what());
  } catch (const std::bad_alloc&) {
    throw make_error(env, "ERR_OUT_OF_MEMORY", "Out of memory");
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw make_error(env, "ERR_INTERNAL", error.what());
  }
}

// Cancels and awaits this environment's tasks when it shuts down. Call once per environment, first thing.
void install_cleanup(Napi::Env env);

}  // namespace ba_sam::node
