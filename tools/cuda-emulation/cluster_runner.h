// The blocks that run at the same time on one host thread: a cluster, or one block alone. Internal to the executor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "block_runner.h"

namespace ba_sam::emulation {

class ClusterRunner {
 public:
  ClusterRunner() { host_.adopt_host_thread(); }
  ClusterRunner(const ClusterRunner&) = delete;
  ClusterRunner& operator=(const ClusterRunner&) = delete;

  // Of the grid's clusters the one with this number. Returns what went wrong, or nothing.
  std::string run(const GridLaunch& launch, uint64_t number);

  int size() const { return size_; }
  BlockRunner& block(int rank) const { return *blocks_[static_cast<size_t>(rank)]; }
  Fiber& host() { return host_; }

  // All threads of all blocks leave their kernels. The first text is what went wrong.
  void abort(const std::string& what);
  bool aborting() const { return aborting_; }

  // Threads that have not left their kernels.
  int live_count() const;
  void thread_left();
  std::string deadlock() const;

  // A thread of another block that can go on, or null.
  BA_SAM_UNCHECKED Thread* pick_elsewhere(const BlockRunner& here);
  // Nobody can go on: brings what somebody waits for, if anything.
  bool deliver();

  // Blocks until all live threads of the cluster called it from the same place.
  void meet(Thread& self, const char* name, const Site& site);
  // How often they have.
  uint64_t meetings() const { return meetings_; }

 private:
  // Blocks as the order of threads has them.
  BlockRunner& in_order(int i) const { return block(order_ == Order::reverse ? size_ - 1 - i : i); }
  void open();

  Fiber host_;
  std::vector<std::unique_ptr<BlockRunner>> blocks_;
  int size_ = 0;
  Order order_ = Order::forward;
  bool aborting_ = false;
  std::string failure_;
  int arrived_ = 0;  // at a meeting
  const Thread* first_ = nullptr;
  Site site_ = {};
  std::vector<Thread*> waiting_;
  uint64_t meetings_ = 0;
};

}  // namespace ba_sam::emulation
