// See team.h.
#include "team.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <vector>

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace ba_sam {
namespace {

constexpr int kLeftForOthers = 4;  // libuv's pool, which starts with the first file that somebody reads

// A thread that was joined counts against limits until the kernel has let go of it.
void await_end(const std::vector<long>& ids) {
  for (const long id : ids) {
    const std::string task = "/proc/self/task/" + std::to_string(id);
    for (int tries = 0; tries < 1000 && access(task.c_str(), F_OK) == 0; ++tries) usleep(tries < 10 ? 50 : 1000);
  }
}

}  // namespace

int count_threads(int wanted, const StartThread& start) {
  std::mutex mutex;
  std::condition_variable changed;
  bool over = false;
  std::vector<long> ids;
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(wanted));
  ids.reserve(static_cast<size_t>(wanted));
  try {
    while (static_cast<int>(threads.size()) < wanted) {
      threads.push_back(start([&] {
        std::unique_lock<std::mutex> lock(mutex);
#if defined(__linux__)
        ids.push_back(syscall(SYS_gettid));
#endif
        changed.wait(lock, [&] { return over; });
      }));
    }
  } catch (const std::exception&) {
    // There are no more: std::system_error, or no memory for one's stack.
  }
  {
    std::lock_guard<std::mutex> lock(mutex);
    over = true;
  }
  changed.notify_all();
  for (std::thread& thread : threads) thread.join();
  await_end(ids);
  return static_cast<int>(threads.size());
}

int team_to_be_had(int wanted, int had, const StartThread& start) {
  if (wanted <= had) return wanted;
  const int more = count_threads(wanted - had, start);
  return more == wanted - had ? wanted : had + std::max(0, more - kLeftForOthers);
}

int team_to_be_had(int wanted) {
#ifdef _OPENMP
  static thread_local int had = 1;
  static thread_local bool limited = false;
  if (wanted <= had || limited) return std::min(wanted, had);
  had = team_to_be_had(wanted, had, [](std::function<void()> run) { return std::thread(std::move(run)); });
  limited = had < wanted;
  // With something in it: compilers leave out a region that does nothing.
  std::atomic<int> started{0};
#pragma omp parallel num_threads(had)
  ++started;
  return had;
#else
  return wanted;
#endif
}

}  // namespace ba_sam
