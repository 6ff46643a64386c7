// The end of a process while a compute thread works: static objects that the work uses are destroyed after it, and nobody waits for
// ever. Each case in a process of its own. Prints "N passed, N failed".
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "../../native/core/executor.h"
#include "support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;
std::atomic<bool> g_destroyed{false};
constexpr int kStatus = 7, kUsedAfterDestruction = 3;

// Like oneDNN's primitive cache: made by the first work, so that it is destroyed before what was registered earlier. The work has
// time to see it.
struct MadeLate {
  ~MadeLate() {
    g_destroyed = true;
    usleep(100'000);
  }
};

// Starts work that goes on until it is cancelled.
void start_work(int lane) {
  static std::atomic<int> running{0};
  const auto token = std::make_shared<CancelToken>();
  static const char owner = 0;
  const int before = running;
  Executor::instance().submit(lane, &owner, token, [token] {
    static MadeLate late;
    ++running;
    while (!token->cancelled) {
      if (g_destroyed) _exit(kUsedAfterDestruction);
    }
  });
  while (running == before) std::this_thread::yield();
}

void check_end(const std::string& name, int (*program)()) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(30);
    exit(program());
  }
  int status = 0;
  waitpid(child, &status, 0);
  g_counts.check(WIFEXITED(status) && WEXITSTATUS(status) == kStatus, name + ": status " + std::to_string(status));
}

int end_in_first_thread() {
  Executor::instance().drain_with_thread();
  start_work(0);
  start_work(1);
  return kStatus;
}

// Another thread that used the executor ends first: the work of others goes on.
int end_after_another_thread() {
  Executor::instance().drain_with_thread();
  start_work(0);
  std::thread([] { Executor::instance().drain_with_thread(); }).join();
  return g_destroyed ? 1 : kStatus;
}

// What libgomp does when it gets no thread.
int end_in_compute_thread() {
  Executor::instance().drain_with_thread();
  static const char owner = 0;
  start_work(1);
  Executor::instance().submit(0, &owner, std::make_shared<CancelToken>(), [] { exit(kStatus); });
  for (;;) pause();
}

int end_without_notice() {
  Executor::instance().submit(0, &g_counts, std::make_shared<CancelToken>(), [] {});
  return kStatus;
}

}  // namespace

int main() {
  check_end("the first thread ends", end_in_first_thread);
  check_end("after another one", end_after_another_thread);
  check_end("a compute thread ends", end_in_compute_thread);
  check_end("a thread ends that the executor does not know", end_without_notice);
  return g_counts.finish();
}
