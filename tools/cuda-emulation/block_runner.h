// The scheduler of one block's threads. Internal to the executor.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "emulated_thread.h"
#include "executor.h"
#include "fiber.h"

namespace ba_sam::emulation {

class BlockRunner;
class ClusterRunner;  // cluster_runner.h
class HopperBlock;    // hopper_block.h

struct Warp {
  uint32_t present = 0, runnable = 0, arrived = 0, exited = 0;
  const char* name = nullptr;  // of the collective that lanes wait in
  const Site* site = nullptr;
  WarpOperation operation = nullptr;
  int first_lane = 0;  // that arrived
  void* operands[32];
};

struct PendingCopy {
  void* to;
  uint8_t data[16];
  uint32_t group;
};

struct Thread {
  uint3 position = {0, 0, 0};  // threadIdx
  Fiber fiber;
  BlockRunner* runner = nullptr;
  int index = 0;
  bool started = false, finished = false;
  const char* waits_in = nullptr;  // collective or barrier, null while it can run
  const Site* waits_at = nullptr;
  std::vector<PendingCopy> copies;
  size_t first_copy = 0;
  uint32_t closed_groups = 0;
};

BA_SAM_UNCHECKED inline Thread& running() {
  return *running_thread;
}

BA_SAM_UNCHECKED bool same(const Site& a, const Site& b);
// For messages: a collective and its place, a position.
std::string text_of(const char* name, const Site& site);
std::string text_of(const uint3& position);

class BlockRunner {
 public:
  explicit BlockRunner(ClusterRunner& cluster);
  ~BlockRunner();
  BlockRunner(const BlockRunner&) = delete;
  BlockRunner& operator=(const BlockRunner&) = delete;

  // Before the threads of a block run; `rank`: in its cluster.
  void prepare(const GridLaunch& launch, uint3 block_index, uint64_t block_number, int rank);
  // From the host; returns when no thread of the cluster can or may go on.
  void start();
  // After a failure: the threads leave their kernels.
  void unwind();
  void check_shared_redzones();

  BA_SAM_UNCHECKED void meet_warp(Thread& self, const char* name, const Site& site, uint32_t mask,
                                  WarpOperation operation, void* operands);
  void meet_block(Thread& self, const char* name, const Site& site);

  [[noreturn]] void fail(const Thread& at, const Site& site, const std::string& what);

  const Thread& lane_of_running_warp(int lane) const { return threads_[running().index / 32 * 32 + lane]; }
  const Site& site_of_running_warp() const { return *warps_[running().index / 32].site; }

  // What sm_90's asynchronous operations keep of this block. Fails on a device that has none.
  HopperBlock& hopper(Thread& self, const char* name, const Site& site);
  // Of another block of the cluster, or of this one. Fails where there is none, or it has left its kernel.
  HopperBlock& hopper_of(int rank, Thread& self, const char* name, const Site& site);
  // Until somebody calls resume(); never for nothing. `name` and `site` are for messages.
  void suspend(Thread& self, const char* name, const Site& site);
  void resume(int index);

  const Thread& thread(int index) const { return threads_[index]; }
  int thread_count() const { return count_; }
  int live_count() const { return live_; }
  ClusterRunner& cluster() const { return cluster_; }
  int rank() const { return rank_; }
  uint8_t* shared() const { return shared_; }
  size_t shared_bytes() const { return launch_->shared_bytes; }
  // One of 0 … count − 1, as the order of threads has it.
  int choose(int count);

  // −1: below, 1: above, 0: inside the dynamic shared memory; 2: elsewhere.
  int place_in_shared(const void* address, size_t bytes) const;
  bool on_a_stack(const void* address) const;

  // A thread that can go on, seen from another block; null if there is none.
  BA_SAM_UNCHECKED Thread* pick_any();
  // Brings copies that somebody waits for, if there are any.
  bool deliver();
  // What threads of this block wait in, of at most `most` groups of them.
  std::string waiting(int most) const;

 private:
  static void thread_main(void* argument);

  // The thread's end: goes on with another one, or back to the host.
  void leave(Thread& self);

  // As fail(), for a thread that has left its kernel.
  void stop(const std::string& what, const Thread& at);

  BA_SAM_UNCHECKED void set_blocked(Thread& self, Warp& warp);
  BA_SAM_UNCHECKED void block(Thread& self, Warp& warp, const char* name, const Site& site);

  // Everybody waiting here may go on, this thread among them: the order decides who does.
  BA_SAM_UNCHECKED void yield(Thread& self);

  void release_barrier();

  BA_SAM_UNCHECKED uint64_t next_random();
  BA_SAM_UNCHECKED static int any_bit(uint32_t bits, unsigned rotation);
  BA_SAM_UNCHECKED Thread* pick(int warp);
  // As pick(), from the cluster's other blocks where it has some.
  BA_SAM_UNCHECKED Thread* pick_in_cluster(int warp);
  // As that; when nobody can go on, copies arrive that somebody waits for.
  BA_SAM_UNCHECKED Thread* pick_or_deliver(int warp);
  BA_SAM_UNCHECKED void go(Fiber& from, Thread& to);
  // Makes this block the running one.
  BA_SAM_UNCHECKED void enter() const;
  void resume_from_host(int index);
  void prepare_shared();
  void prepare_threads();

  ClusterRunner& cluster_;
  int rank_ = 0;
  uint3 block_index_ = {0, 0, 0};
  FiberStacks stacks_;
  std::vector<Thread> threads_;
  Warp warps_[32];
  const GridLaunch* launch_ = nullptr;
  int prepared_ = 0;  // fibers that exist; they serve one block after another
  int count_ = 0, live_ = 0, warp_count_ = 0;
  uint32_t active_warps_ = 0;  // that have runnable lanes
  int barrier_arrived_ = 0, barrier_first_ = 0;
  const Site* barrier_site_ = nullptr;
  bool restart_order_ = false;  // a barrier has opened: the order starts anew
  bool retiring_ = false;
  uint64_t random_ = 0;
  uint8_t *shared_memory_ = nullptr, *shared_ = nullptr;
  size_t shared_capacity_ = 0;
  std::unique_ptr<HopperBlock> hopper_;
  bool uses_hopper_ = false;  // this block
};

}  // namespace ba_sam::emulation
