// See executor.h.
#include "executor.h"

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>

#include "team.h"
#include "tensor.h"

// Without OpenMP there are lanes without teams: a backend that computes elsewhere needs no more.
#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace ba_sam {
namespace {

constexpr int kMaxThreads = 1024;

int default_threads() {
  if (const char* text = std::getenv("BA_SAM_THREADS")) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (end != text && *end == '\0' && value >= 1 && value <= kMaxThreads) return static_cast<int>(value);
  }
#ifdef _OPENMP
  return std::max(1, std::min(omp_get_num_procs(), kMaxThreads));  // respects the affinity mask
#else
  return 1;
#endif
}

// Node unloads an addon when the last environment that loaded it ends, for example a worker: the compute thread would
// wake up in unmapped code. This keeps the library mapped for the life of the process.
void pin_library() {
  Dl_info info;
  if (dladdr(reinterpret_cast<void*>(&pin_library), &info) && info.dli_fname) {
    dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
  }
}

bool is_first_thread() {
#if defined(__linux__)
  return syscall(SYS_gettid) == getpid();
#else
  return false;
#endif
}

// exit() destroys the thread-local objects of the thread that calls it before anything else: the one place that no listener of
// JavaScript can skip (process.exit in a listener of 'exit', process.reallyExit) and that comes before static destructors.
struct ThreadEnd {
  const bool ends_process;
  ~ThreadEnd() {
    if (ends_process) {
      Executor::instance().shut_down();
    } else {
      Executor::instance().drain(Executor::release_owner());
    }
  }
};

}  // namespace

struct Executor::Lane {
  struct Task {
    const void* owner;
    std::shared_ptr<CancelToken> token;
    std::function<void()> work;
  };
  std::condition_variable queued;
  std::deque<Task> queue;
  const void* running_owner = nullptr;
  std::shared_ptr<CancelToken> running_token;
  std::thread::id thread;
  bool running = false;
  bool has_team = false;
  bool started = false;
};

struct Executor::State {
  std::mutex mutex;
  std::condition_variable finished;
  std::map<int, Lane> lanes;  // a lane never moves: its thread holds a reference
  bool shut = false;
  int threads = default_threads();
  int threads_refused = 0;
};

Executor& Executor::instance() {
  static Executor* executor = new Executor();
  return *executor;
}

Executor::Executor() : state_(new State()) {
  pin_library();
  // For threads that nothing is known of: the process's first one where Node runs on another, or a library's that calls exit().
  std::atexit([] { Executor::instance().shut_down(); });
}

void Executor::start_team(Lane& lane, std::unique_lock<std::mutex>& lock) {
#ifdef _OPENMP
  const int wanted = lane.has_team ? state_->threads : 1;
  lock.unlock();
  omp_set_dynamic(0);
  const int team = team_to_be_had(wanted);
  omp_set_num_threads(team);  // per calling thread
  lock.lock();
  if (team < wanted) {
    state_->threads = team;
    state_->threads_refused = wanted;
  }
#else
  (void)lane, (void)lock;
#endif
}

void Executor::loop(Lane& lane) {
  State& s = *state_;
  std::unique_lock<std::mutex> lock(s.mutex);
  lane.thread = std::this_thread::get_id();
  static thread_local ThreadEnd end{true};  // of a thread that never ends by itself
  (void)end;
  for (;;) {
    lane.queued.wait(lock, [&] { return !lane.queue.empty(); });
    if (!lane.started) {
      lane.started = true;
      start_team(lane, lock);
      continue;  // what was queued may have been drained meanwhile
    }
    Lane::Task task = std::move(lane.queue.front());
    lane.queue.pop_front();
    lane.running = true;
    lane.running_owner = task.owner;
    lane.running_token = task.token;
    lock.unlock();
    task.work();
    task.work = nullptr;  // frees what it captured before drain() may return
    lock.lock();
    lane.running = false;
    lane.running_owner = nullptr;
    lane.running_token.reset();
    s.finished.notify_all();
  }
}

void Executor::submit(int lane_index, const void* owner, std::shared_ptr<CancelToken> token,
                      std::function<void()> work) {
  {
    std::lock_guard<std::mutex> lock(state_->mutex);
    if (!state_->shut) {
      auto found = state_->lanes.find(lane_index);
      if (found == state_->lanes.end()) {
        found = state_->lanes.try_emplace(lane_index).first;
        Lane& lane = found->second;
        lane.has_team = lane_index == 0;
        try {
          std::thread([this, &lane] { loop(lane); }).detach();
        } catch (const std::system_error& error) {
          state_->lanes.erase(found);
          throw SamError("ERR_OUT_OF_MEMORY", std::string("Could not start a compute thread: ") + error.what());
        }
      }
      found->second.queue.push_back({owner, std::move(token), std::move(work)});
      found->second.queued.notify_one();
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

const void* Executor::release_owner() {
  static const char owner = 0;
  return &owner;
}

void Executor::drain_with_thread() {
  static thread_local ThreadEnd end{is_first_thread()};
  (void)end;
}

void Executor::drain(const void* owner) {
  State& s = *state_;
  const std::thread::id self = std::this_thread::get_id();
  std::unique_lock<std::mutex> lock(s.mutex);
  auto is_mine = [&](const void* o) { return owner == nullptr || o == owner; };
  // Queued work would wait behind other owners' runs: take it out and let it report its cancellation from here.
  std::deque<Lane::Task> mine;
  for (auto& [index, lane] : s.lanes) {
    std::deque<Lane::Task> others;
    for (auto& task : lane.queue) (is_mine(task.owner) ? mine : others).push_back(std::move(task));
    lane.queue.swap(others);
    if (lane.running && is_mine(lane.running_owner)) lane.running_token->cancelled = true;
  }
  lock.unlock();
  for (auto& task : mine) {
    task.token->cancelled = true;
    task.work();
  }
  lock.lock();
  // Not for this thread itself: work that calls exit() does not end.
  s.finished.wait(lock, [&] {
    return std::none_of(s.lanes.begin(), s.lanes.end(), [&](const auto& entry) {
      const Lane& lane = entry.second;
      return lane.running && lane.thread != self && is_mine(lane.running_owner);
    });
  });
}

int Executor::threads() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->threads;
}

int Executor::threads_refused() const {
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->threads_refused;
}

void Executor::set_threads(int threads) {
  if (threads < 1 || threads > kMaxThreads) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected integer between 1 and 1024 for threads but received " + std::to_string(threads));
  }
  std::lock_guard<std::mutex> lock(state_->mutex);
  const auto lane = state_->lanes.find(0);
  if (lane != state_->lanes.end() && lane->second.started && threads != state_->threads) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected threads to be set before the first run; it is " +
                                               std::to_string(state_->threads) + " now");
  }
  state_->threads = threads;
}

}  // namespace ba_sam
