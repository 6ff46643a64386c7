// The sharing of a grid's blocks among host threads.
#include "executor.h"

#include <atomic>
#include <condition_variable>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "cluster_runner.h"

namespace ba_sam::emulation {

void fill_words(void* memory, size_t bytes, uint32_t word) {
  auto* at = static_cast<uint8_t*>(memory);
  size_t done = 0;
  for (; done + 4 <= bytes; done += 4) std::memcpy(at + done, &word, 4);
  if (done < bytes) std::memcpy(at + done, &word, bytes - done);
}

namespace {

// One for each host thread that ever runs blocks.
ClusterRunner& this_thread_runner() {
  static thread_local std::unique_ptr<ClusterRunner> runner;
  if (!runner) runner = std::make_unique<ClusterRunner>();
  return *runner;
}

uint64_t clusters_of(const GridLaunch& launch) {
  const auto quotient = [](unsigned grid, unsigned cluster) { return static_cast<uint64_t>(grid / cluster); };
  return quotient(launch.grid.x, launch.cluster.x) * quotient(launch.grid.y, launch.cluster.y) *
         quotient(launch.grid.z, launch.cluster.z);
}

// Blocks of one grid, or its clusters, taken by whoever is free.
class GridJob {
 public:
  explicit GridJob(const GridLaunch& launch) : launch_(launch), count_(clusters_of(launch)) {
    // A stride without a common divisor with the count visits every cluster once.
    if (launch.order == Order::random && count_ > 2) {
      stride_ = launch.seed % count_;
      while (stride_ == 0 || common_divisor(stride_, count_) != 1) stride_ = (stride_ + 1) % count_;
    }
  }

  void work() {
    for (;;) {
      const uint64_t turn = next_.fetch_add(1);
      if (turn >= count_ || failed_.load()) return;
      uint64_t number = turn;
      if (launch_.order == Order::reverse) number = count_ - 1 - turn;
      if (launch_.order == Order::random) number = (turn * stride_ + launch_.seed % count_) % count_;
      std::string failure = this_thread_runner().run(launch_, number);
      if (!failure.empty()) {
        const std::lock_guard<std::mutex> lock(mutex_);
        if (!failed_.exchange(true)) failure_ = std::move(failure);
      }
    }
  }

  uint64_t count() const { return count_; }
  const std::string& failure() const { return failure_; }

 private:
  static uint64_t common_divisor(uint64_t a, uint64_t b) { return b == 0 ? a : common_divisor(b, a % b); }

  const GridLaunch& launch_;
  uint64_t count_, stride_ = 1;
  std::atomic<uint64_t> next_{0};
  std::atomic<bool> failed_{false};
  std::mutex mutex_;
  std::string failure_;
};

// Host threads that help with blocks; they stay, because a runner's stacks are expensive to make.
class Helpers {
 public:
  ~Helpers() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  void run(GridJob& job, int helpers) {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      while (static_cast<int>(threads_.size()) < helpers) threads_.emplace_back([this] { serve(); });
      job_ = &job;
      wanted_ = helpers;
    }
    wake_.notify_all();
    job.work();
    std::unique_lock<std::mutex> lock(mutex_);
    job_ = nullptr;
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      wake_.wait(lock, [this] { return stopping_ || (job_ && wanted_ > 0); });
      if (stopping_) return;
      GridJob* job = job_;
      --wanted_;
      ++busy_;
      lock.unlock();
      job->work();
      lock.lock();
      if (--busy_ == 0) done_.notify_all();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<std::thread> threads_;
  GridJob* job_ = nullptr;
  int wanted_ = 0, busy_ = 0;
  bool stopping_ = false;
};

}  // namespace

std::string run_grid(const GridLaunch& launch) {
  GridJob job(launch);
  int threads = launch.threads;
#if defined(__SANITIZE_ADDRESS__)
  threads = 1;  // __shared__ is one variable for the whole process then
#endif
  if (static_cast<uint64_t>(threads) > job.count()) threads = static_cast<int>(job.count());
  if (threads <= 1) {
    job.work();
  } else {
    static Helpers helpers;
    helpers.run(job, threads - 1);
  }
  return job.failure();
}

}  // namespace ba_sam::emulation
