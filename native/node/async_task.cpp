// See async_task.h.
#include "async_task.h"

#include <chrono>
#include <new>

namespace ba_sam::node {
namespace {

constexpr auto kProgressInterval = std::chrono::milliseconds(30);

struct Task {
  napi_threadsafe_function channel = nullptr;
  napi_deferred deferred = nullptr;
  std::vector<Napi::ObjectReference> keep_alive;
  Napi::FunctionReference on_progress;
  std::function<void(const std::function<void(double)>&)> work;
  std::function<Napi::Value(Napi::Env)> result;
  std::shared_ptr<CancelToken> token;
  std::string error_code, error_message;
  std::chrono::steady_clock::time_point last_progress{};

  // After the environment has gone its references have gone with it.
  void abandon() {
    for (auto& reference : keep_alive) reference.SuppressDestruct();
    on_progress.SuppressDestruct();
    delete this;
  }
};

struct Event {
  Task* task;
  bool done;
  double progress;
};

void settle(napi_env raw_env, Task* task) {
  Napi::Env env(raw_env);
  if (task->error_code.empty()) {
    Napi::Value value = env.Undefined();
    try {
      if (task->result) value = task->result(env);
    } catch (const Napi::Error& error) {
      napi_reject_deferred(env, task->deferred, error.Value());
      return;
    }
    napi_resolve_deferred(env, task->deferred, value);
  } else {
    napi_reject_deferred(env, task->deferred, make_error(env, task->error_code, task->error_message).Value());
  }
}

// On the event loop; env is null when the environment shuts down with events still queued.
void on_event(napi_env raw_env, napi_value, void*, void* data) {
  auto* event = static_cast<Event*>(data);
  Task* task = event->task;
  const bool done = event->done;
  const double progress = event->progress;
  delete event;
  if (!raw_env) {
    if (done) task->abandon();
    return;
  }
  Napi::Env env(raw_env);
  Napi::HandleScope scope(env);
  if (!done) {
    if (!task->on_progress.IsEmpty() && !task->token->cancelled) {
      try {
        task->on_progress.Call({Napi::Number::New(env, progress)});
      } catch (const Napi::Error& error) {
        // The library wraps callbacks so that they do not throw; a bare addon user's exception ends the run.
        task->token->cancelled = true;
      }
    }
    return;
  }
  settle(raw_env, task);
  delete task;
}

void send(Task* task, bool done, double progress) {
  auto* event = new Event{task, done, progress};
  if (napi_call_threadsafe_function(task->channel, event, napi_tsfn_nonblocking) != napi_ok) {
    delete event;
    if (done) task->abandon();
  }
}

void execute(Task* task) {
  auto progress = [task](double fraction) {
    if (task->on_progress.IsEmpty()) return;
    const auto now = std::chrono::steady_clock::now();
    if (fraction < 1.0 && now - task->last_progress < kProgressInterval) return;
    task->last_progress = now;
    send(task, false, fraction);
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
  send(task, true, 1.0);
  napi_release_threadsafe_function(channel, napi_tsfn_release);
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
