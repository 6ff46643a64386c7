// See async_task.h.
#include "async_task.h"

#include <chrono>
#include <exception>
#include <new>

namespace ba_sam::node {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(30);

struct Task;

struct Event {
  Task* task;
  bool done;
  double progress;
};

struct Task {
  napi_threadsafe_function channel = nullptr;
  // Once Node has said that the channel closes, it may be gone: it must not be touched again. Compute thread only.
  bool closed = false;
  napi_deferred deferred = nullptr;
  std::vector<Napi::ObjectReference> keep_alive;
  Napi::FunctionReference on_progress;
  std::function<void(const std::function<void(double)>&)> work;
  std::function<Napi::Value(Napi::Env, const std::vector<Napi::ObjectReference>&)> result;
  std::shared_ptr<CancelToken> token;
  std::string error_code, error_message;
  std::chrono::steady_clock::time_point last_progress{};
  Event end{this, true, 1.0};  // part of the task: its end must not need memory

  // After the environment has gone its references have gone with it.
  void abandon() {
    for (auto& reference : keep_alive) reference.SuppressDestruct();
    on_progress.SuppressDestruct();
    delete this;
  }
};

// What a result function threw, as what the promise is rejected with.
napi_value reason_of(Napi::Env env, const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const Napi::Error& error) {
    return error.Value();
  } catch (const SamError& error) {
    return make_error(env, error.code(), error.what()).Value();
  } catch (const std::bad_alloc&) {
    return make_error(env, "ERR_OUT_OF_MEMORY", "Out of memory").Value();
  } catch (const std::exception& error) {
    return make_error(env, "ERR_INTERNAL", error.what()).Value();
  }
}

void settle(Napi::Env env, Task* task) {
  if (!task->error_code.empty()) {
    napi_reject_deferred(env, task->deferred, make_error(env, task->error_code, task->error_message).Value());
    return;
  }
  Napi::Value value = env.Undefined();
  try {
    if (task->result) value = task->result(env, task->keep_alive);
  } catch (...) {
    napi_reject_deferred(env, task->deferred, reason_of(env, std::current_exception()));
    return;
  }
  napi_resolve_deferred(env, task->deferred, value);
}

void report_progress(Napi::Env env, Task* task, double progress) {
  if (task->on_progress.IsEmpty() || task->token->cancelled) return;
  try {
    task->on_progress.Call({Napi::Number::New(env, progress)});
  } catch (const Napi::Error&) {
    // The library wraps callbacks so that they do not throw; a bare addon user's exception ends the run.
    task->token->cancelled = true;
  }
}

// On the event loop; env is null when the environment shuts down with events still queued. Node calls this from C: nothing may
// be thrown, and while a worker is being terminated every call into JavaScript may.
void on_event(napi_env raw_env, napi_value, void*, void* data) {
  auto* event = static_cast<Event*>(data);
  Task* task = event->task;
  const bool done = event->done;
  const double progress = event->progress;
  if (!done) delete event;
  if (!raw_env) {
    if (done) task->abandon();
    return;
  }
  try {
    Napi::Env env(raw_env);
    Napi::HandleScope scope(env);
    if (done) {
      settle(env, task);
    } else {
      report_progress(env, task, progress);
    }
  } catch (...) {
    // The environment is ending, and with it whoever waits for this promise.
  }
  if (done) delete task;
}

// Whether the event loop will see the event; afterwards the task may be deleted.
bool send(Task* task, Event* event) {
  if (!task->closed && napi_call_threadsafe_function(task->channel, event, napi_tsfn_nonblocking) == napi_ok)
    return true;
  task->closed = true;
  return false;
}

void execute(Task* task) {
  auto progress = [task](double fraction) {
    if (task->on_progress.IsEmpty()) return;
    const auto now = std::chrono::steady_clock::now();
    if (fraction < 1.0 && now - task->last_progress < kProgressInterval) return;
    task->last_progress = now;
    auto* event = new (std::nothrow) Event{task, false, fraction};
    if (event && !send(task, event)) delete event;
  };
  try {
    if (task->token->cancelled) throw SamError("ERR_ABORTED", "The run was aborted before it started");
    task->work(progress);
  } catch (const SamError& error) {
    task->error_code = error.code();
    task->error_message = error.what();
  } catch (const std::bad_alloc&) {
    task->error_code = "ERR_OUT_OF_MEMORY";
    task->error_message = "Out of memory";
  } catch (const std::exception& error) {
    task->error_code = "ERR_INTERNAL";
    task->error_message = error.what();
  }
  task->work = nullptr;  // releases plans and weights here, not whenever the event loop gets to it
  napi_threadsafe_function channel = task->channel;
  if (send(task, &task->end)) {
    napi_release_threadsafe_function(channel, napi_tsfn_release);
  } else {
    task->abandon();  // the channel has released itself
  }
}

struct EnvironmentTag {
  char unused = 0;
};

const void* owner_of(Napi::Env env) {
  return env.GetInstanceData<EnvironmentTag>();
}

}  // namespace

Napi::Error make_error(Napi::Env env, const std::string& code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

void install_cleanup(Napi::Env env) {
  auto* tag = new EnvironmentTag();
  env.SetInstanceData<EnvironmentTag>(tag);
  Executor::instance().drain_with_thread();
  // Channels created later close first (hooks run last in, first out), but Node frees them only after all hooks
  // have run: a task that finishes during drain() still finds its channel, closed but there.
  env.AddCleanupHook([tag] { Executor::instance().drain(tag); });
}

Napi::Value start_task(Napi::Env env, AsyncTaskOptions options) {
  auto task = std::make_unique<Task>();
  napi_value promise = nullptr;
  if (napi_create_promise(env, &task->deferred, &promise) != napi_ok) {
    throw make_error(env, "ERR_INTERNAL", "Could not create a promise");
  }
  for (const auto& object : options.keep_alive) task->keep_alive.push_back(Napi::Persistent(object));
  if (!options.on_progress.IsEmpty()) task->on_progress = Napi::Persistent(options.on_progress);
  task->work = std::move(options.work);
  task->result = std::move(options.result);
  task->token = options.token ? std::move(options.token) : std::make_shared<CancelToken>();
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, options.name), 0, 1, nullptr,
                                      nullptr, nullptr, on_event, &task->channel);
  if (status != napi_ok) throw make_error(env, "ERR_INTERNAL", "Could not create a thread-safe function");
  Task* raw = task.release();
  try {
    Executor::instance().submit(options.lane, owner_of(env), raw->token, [raw] { execute(raw); });
  } catch (const SamError& error) {
    raw->work = [error](const std::function<void(double)>&) { throw error; };
    execute(raw);
  }
  return Napi::Value(env, promise);
}

}  // namespace ba_sam::node
