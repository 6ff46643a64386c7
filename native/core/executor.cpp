// See executor.h.
#include "executor.h"

#include <dlfcn.h>
#include <omp.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "tensor.h"

namespace ba_sam {
namespace {

constexpr int kMaxThreads = 1024;

int default_threads() {
  if (const char* text = std::getenv("BA_SAM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && value >= 1 && value <= kMaxThreads) return static_cast<int>(value);
  }
  return std::max(1, std::min(omp_get_num_procs(), kMaxThreads));  // respects the affinity mask
}

// Node unloads an addon when the last environment that loaded it ends, for example a worker: the compute thread would
// wake up in unmapped code. This keeps the library mapped for the life of the process.
void pin_library() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&pin_library), &info) && info.dli_fname) {
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

}  // namespace

struct Executor::State {
  struct Task {
    const void* owner;
    std::shared_ptr<CancelToken> token;
    std::function<void()> work;
  };
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<Task> queue;
  const void* running_owner = nullptr;
  std::shared_ptr<CancelToken> running_token;
  bool running = false;
  bool started = false;
  bool shut = false;
  int threads = default_threads();
};

Executor& Executor::instance() {
  static Executor* executor = new Executor();
  return *executor;
}

Executor::Executor() : state_(new State()) {
  pin_library();
  std::thread([this] { loop(); }).detach();
  // For those who load the addon without the library, whose exit hook calls shut_down() in time.
  std::atexit([] { Executor::instance().shut_down(); });
}

void Executor::loop() {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  for (;;) {
    s.changed.wait(lock, [&] { return !s.queue.empty(); });
    State::Task task = std::move(s.queue.front());
    s.queue.pop_front();
    if (!s.started) {
      s.started = true;
      omp_set_dynamic(0);
      omp_set_num_threads(s.threads);  // per calling thread: this one is the only one that computes
    }
    s.running = true;
    s.running_owner = task.owner;
    s.running_token = task.token;
    lock.unlock();
    task.work();
    task.work = nullptr;  // frees what it captured before drain() may return
    lock.lock();
    s.running = false;
    s.running_owner = nullptr;
    s.running_token.reset();
    s.changed.notify_all();
  }
}

void Executor::submit(const void* owner, std::shared_ptr<CancelToken> token, std::function<void()> work) {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->shut) {
      state_->queue.push_back({owner, std::move(token), std::move(work)});
      state_->changed.notify_all();
      return;
    }
  }
  token->cancelled = true;
  work();
}

void Executor::shut_down() {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    state_->shut = true;
  }
  drain(nullptr);
}

void Executor::drain(const void* owner) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  auto is_mine = [&](const void* o) { return owner == nullptr || o == owner; };
  // Queued work would wait behind other owners' runs: take it out and let it report its cancellation from here.
  std::deque<State::Task> mine, others;
  for (auto& task : s.queue) (is_mine(task.owner) ? mine : others).push_back(std::move(task));
  s.queue.swap(others);
  if (s.running && is_mine(s.running_owner)) s.running_token->cancelled = true;
  lock.unlock();
  for (auto& task : mine) {
    task.token->cancelled = true;
    task.work();
  }
  lock.lock();
  s.changed.wait(lock, [&] { return !(s.running && is_mine(s.running_owner)); });
}

int Executor::threads() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->threads;
}

void Executor::set_threads(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected integer between 1 and 1024 for threads but received " + std::to_string(threads));
  }
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (state_->started && threads != state_->threads) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected threads to be set before the first run; it is " +
                                               std::to_string(state_->threads) + " now");
  }
  state_->threads = threads;
}

}  // namespace ba_sam
