// What sm_90's asynchronous operations keep of one block: mbarriers, TMA copies on their way, wgmma. Internal to
// the executor.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "../../native/backends/cuda/hopper.h"
#include "block_runner.h"

namespace ba_sam::emulation {

// The piece of 16 bytes that lies at `offset` of a swizzled tile; offsets are from the dynamic shared memory.
BA_SAM_UNCHECKED inline uint32_t swizzled(uint32_t offset, uint32_t row_bytes) {
  return offset ^ (row_bytes == 128 ? (offset >> 7 & 7) << 4 : (offset >> 7 & 1) << 4);
}
// Of 8 rows, after which the permutation repeats.
constexpr uint32_t swizzle_period(uint32_t row_bytes) {
  return 8 * row_bytes;
}

// An mbarrier. Its phase is complete when nothing is pending and all announced bytes have arrived.
struct SharedBarrier {
  uint64_t* at;
  uint32_t count, pending;
  int owner;            // the thread that initialised it
  uint64_t made_at;     // meetings of the cluster before that
  bool fenced = false;  // known to the TMA
  uint64_t phase = 0;
  int64_t announced = 0, in_flight = 0;  // bytes of this phase
  std::vector<int> waiting;
};

struct TensorCopy {
  cuda::TensorMap map;
  int at[5];
  uint8_t* to;
  int64_t bytes;
  int barrier;
};

struct NamedBarrier {
  int threads = 0, arrived = 0, first = 0;
  uint32_t warps = 0;  // that have arrived
  uint64_t phase = 0;
  Site site = {};
  std::vector<int> waiting;
};

// d of products that are pending, from the first that uses it to the last.
struct Accumulator {
  int tiles;
  std::vector<float> sum;    // [64][8 · tiles]
  float* of_thread[128];     // null: has not come here yet, or has its results
  uint64_t last_group[128];  // of a product that the thread has issued
  Site last_site;
  int returned = 0;
};

struct WarpgroupOperation {
  WarpgroupCall call;
  int first = 0;  // thread that came first
  int arrived = 0;
  int remaining = 128;  // threads that may still look at it
  uint64_t group = 0;   // of a product
  std::shared_ptr<Accumulator> accumulator;
  struct Registers {
    uint32_t value[128][4];
    const uint32_t* of_thread[128];
  };
  std::unique_ptr<Registers> a;
};

struct Warpgroup {
  std::deque<WarpgroupOperation> log;
  uint64_t first = 0;      // number of log.front()
  uint64_t executed = 0;   // operations before this one are
  uint64_t committed = 0;  // groups that all threads have committed
  std::vector<std::shared_ptr<Accumulator>> accumulators;
  std::vector<int> waiting;
  int left = -1;  // a thread that has left the kernel, after so many operations:
  uint64_t left_after = 0;
  int registers = 0;
};

struct HopperThread {
  int barrier = -1;     // that it waits for
  uint64_t phase = 0;   // of it
  int named = 0;        // barrier that it waits for
  uint64_t issued = 0;  // operations of its warpgroup
  uint64_t seen = 0;    // of these: whose ends it has waited for
  uint64_t groups = 0;  // committed
  int uncommitted = 0;  // products
  bool fenced = false;  // since the last commit or wait
};

class HopperBlock {
 public:
  explicit HopperBlock(BlockRunner& runner) : runner_(runner) {}
  void begin();
  // A thread's end: what it left unfinished, or nothing.
  std::string leave(const Thread& thread, bool last);
  // Nobody can go on: brings what somebody waits for, if anything.
  bool deliver();
  // What a blocked thread waits for, for messages.
  std::string waits_for(const Thread& thread) const;

  void init_barrier(Thread& self, const Site& site, uint64_t* barrier, uint32_t arrivals);
  void fence_barriers(const Thread& self);
  void fence_shared() { ++fences_; }
  // `self` may be of another block of the cluster, here and in load().
  void arrive(Thread& self, const Site& site, const char* name, uint64_t* barrier, uint32_t bytes);
  void wait(Thread& self, const Site& site, uint64_t* barrier, uint32_t parity);
  void load(Thread& self, const Site& site, const char* name, void* shared, const cuda::TensorMap& map,
            uint64_t* barrier, const int* coordinates, int rank);
  // What lies here where `address` lies in the running thread's block.
  uint8_t* here(Thread& self, const Site& site, const char* name, const void* address) const;

  // Of the running warp; returns the phase that the barrier was in.
  uint64_t arrive_named(const Thread& self, const Site& site, const char* name, int id, int threads);
  void wait_named(Thread& self, const Site& site, const char* name, int id, uint64_t phase);

  void call(Thread& self, const WarpgroupCall& call);

 private:
  int find_barrier(Thread& self, const Site& site, const char* name, uint64_t* barrier);
  void check_place(Thread& self, const Site& site, const char* name, uint64_t* barrier);
  void complete(SharedBarrier& barrier);
  void bring(const TensorCopy& copy);

  WarpgroupOperation& join(Thread& self, const WarpgroupCall& call);
  void check_descriptor(Thread& self, const WarpgroupCall& call, uint64_t descriptor, bool k_major, int extent);
  void issue(Thread& self, WarpgroupOperation& operation, const WarpgroupCall& call);
  void commit(Thread& self, const WarpgroupOperation& operation);
  void wait_for_groups(Thread& self, const WarpgroupCall& call);
  void return_results(Thread& self, const Site& site, uint64_t groups);
  void execute(Thread& self, const WarpgroupOperation& operation);
  void check_piece(Thread& self, const WarpgroupCall& call, uint32_t offset);
  std::string leave_warpgroup(const Thread& thread);

  BlockRunner& runner_;
  std::vector<SharedBarrier> barriers_;
  std::vector<TensorCopy> copies_;
  // Shared memory as copies brought it or products found it, and by 16 bytes how many fences there had been then: what
  // products may read without another one.
  std::vector<uint8_t> brought_;
  std::vector<uint32_t> brought_after_;
  uint32_t fences_ = 0;  // fence_proxy_async
  NamedBarrier named_[16];
  Warpgroup groups_[8];
  HopperThread threads_[1024];
};

}  // namespace ba_sam::emulation
