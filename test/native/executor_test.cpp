// Lanes of the executor: order within one, concurrency between them, draining all of them, the end of threads. Prints "N passed, N failed".
#include "../../native/core/executor.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

// Opens once; everybody waits for it, for half a minute at most.
class Gate {
 public:
  void open() {
    std::lock_guard<std::mutex> lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  bool wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] { return open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool open_ = false;
};

std::shared_ptr<CancelToken> token() {
  return std::make_shared<CancelToken>();
}

void test_lanes() {
  Executor& executor = Executor::instance();
  const char owner = 0;
  Gate zero, one, done;
  bool met[2] = {};
  executor.submit(0, &owner, token(), [&] {
    zero.open();
    met[0] = one.wait();
  });
  executor.submit(1, &owner, token(), [&] {
    one.open();
    met[1] = zero.wait();
    done.open();
  });
  g_counts.check(done.wait(), "lanes run");
  executor.drain(&owner);
  g_counts.check(met[0] && met[1], "two lanes run at the same time");

  std::vector<int> order;
  std::thread::id thread[2];
  Gate last;
  for (int i = 0; i < 100; ++i) {
    executor.submit(0, &owner, token(), [&, i] {
      order.push_back(i);
      if (i == 0) thread[0] = std::this_thread::get_id();
      if (i == 99) {
        thread[1] = std::this_thread::get_id();
        last.open();
      }
    });
  }
  g_counts.check(last.wait(), "a hundred tasks run");
  executor.drain(&owner);
  bool sorted = order.size() == 100;
  for (size_t i = 0; i < order.size(); ++i) sorted = sorted && order[i] == static_cast<int>(i);
  g_counts.check(sorted && thread[0] == thread[1], "in order, on one thread");
}

void test_drain() {
  Executor& executor = Executor::instance();
  const char mine = 0, theirs = 0;
  Gate running[2], release;
  std::atomic<int> cancelled{0}, others{0};
  std::thread::id ran_on;
  for (int lane = 0; lane < 2; ++lane) {
    const auto t = token();
    executor.submit(lane, &mine, t, [&, lane, t] {
      running[lane].open();
      while (!t->cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ++cancelled;
    });
    const auto queued = token();
    executor.submit(lane, &mine, queued, [&, queued] {
      if (queued->cancelled) ++cancelled;
      ran_on = std::this_thread::get_id();
    });
    const auto other = token();
    executor.submit(lane, &theirs, other, [&, other] {
      if (!other->cancelled && release.wait()) ++others;
    });
  }
  g_counts.check(running[0].wait() && running[1].wait(), "both lanes are busy");
  executor.drain(&mine);
  g_counts.check(cancelled == 4, "running and queued work of every lane is cancelled");
  g_counts.check(ran_on == std::this_thread::get_id(), "queued work reports from the draining thread");
  g_counts.check(others == 0, "the other owner's work goes on");
  release.open();
  executor.drain(&mine);  // nothing left: returns at once
  while (others < 2) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  g_counts.check(others == 2, "and ends by itself");
}

// As in exit(), which a library may call on a compute thread: it must not wait for itself, nor anybody for ever.
void test_drain_by_itself() {
  Executor& executor = Executor::instance();
  const char owner = 0;
  Gate drained, done;
  bool queued_ran = false;
  executor.submit(0, &owner, token(), [&] {
    executor.submit(0, &owner, token(), [&] { queued_ran = true; });
    executor.drain(nullptr);
    drained.open();
  });
  g_counts.check(drained.wait(), "a compute thread does not wait for its own work");
  executor.submit(0, &owner, token(), [&] { done.open(); });
  g_counts.check(done.wait() && queued_ran, "and what was queued behind it has reported");
}

// What a thread gave up to be freed is freed before it ends.
void test_thread_end() {
  Executor& executor = Executor::instance();
  std::atomic<int> freed{0};
  Gate busy, release;
  const char owner = 0;
  executor.submit(1, &owner, token(), [&] {
    busy.open();
    release.wait();
  });
  busy.wait();
  std::thread thread([&] {
    executor.drain_with_thread();
    executor.drain_with_thread();
    executor.submit(1, Executor::release_owner(), token(), [&] { ++freed; });
  });
  thread.join();
  g_counts.check(freed == 1, "behind a busy lane, too");
  release.open();
  executor.drain(&owner);
  Gate still;
  executor.submit(1, &owner, token(), [&] { still.open(); });
  g_counts.check(still.wait(), "and others go on");
  executor.drain(&owner);
}

void test_threads() {
  Executor& executor = Executor::instance();
  g_counts.check(executor.threads() >= 1 && executor.threads_refused() == 0, "a team");
  g_counts.check(error_of([&] { executor.set_threads(0); }, "ERR_INVALID_ARGUMENT").find("between 1 and 1024") !=
                     std::string::npos,
                 "no team of 0");
  executor.set_threads(executor.threads());
  const auto message = error_of([&] { executor.set_threads(executor.threads() + 1); }, "ERR_INVALID_ARGUMENT");
  g_counts.check(message.find("before the first run") != std::string::npos, "too late: " + message);
}

void test_shut_down() {
  Executor& executor = Executor::instance();
  const char owner = 0;
  Gate running[2];
  for (int lane = 1; lane <= 2; ++lane) {
    const auto t = token();
    executor.submit(lane, &owner, t, [&, lane, t] {
      running[lane - 1].open();
      while (!t->cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    });
  }
  g_counts.check(running[0].wait() && running[1].wait(), "two lanes run");
  executor.shut_down();
  const auto late = token();
  bool seen = false;
  executor.submit(0, &owner, late, [&] { seen = late->cancelled; });
  g_counts.check(seen, "work after the end is cancelled at once");
}

}  // namespace

int main() {
  // Lane 0 last would hide that lanes need no order.
  Executor& executor = Executor::instance();
  const char owner = 0;
  Gate first;
  executor.submit(1, &owner, token(), [&] { first.open(); });
  g_counts.check(first.wait(), "lane 1 without lane 0");
  executor.drain(&owner);
  executor.set_threads(2);
  g_counts.check(executor.threads() == 2, "lane 0 has not run: its team may change");
  test_lanes();
  test_drain();
  test_drain_by_itself();
  test_thread_end();
  test_threads();
  test_shut_down();
  return g_counts.finish();
}
