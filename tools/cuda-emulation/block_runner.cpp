// See block_runner.h.
#include "block_runner.h"

#include <cstdlib>
#include <cstring>
#include <new>

#include "cluster_runner.h"
#include "hopper_block.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)(address), (void)(bytes))
#endif

__thread uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace ba_sam::emulation {

__thread Thread* running_thread = nullptr;
__thread uint8_t* dynamic_shared_memory = nullptr;

namespace {

constexpr int kMaxThreads = 1024;
constexpr size_t kRedzone = 256;
constexpr size_t kSharedAlignment = 1024;  // what swizzled tiles need
constexpr uint32_t kRedzoneWord = 0xdbdbdbdbu;

struct KernelAborted {};  // unwinds the stacks of threads whose kernel has failed

const char* base_name(const char* path) {
  const char* slash = std::strrchr(path, '/');
  return slash ? slash + 1 : path;
}

}  // namespace

BA_SAM_UNCHECKED bool same(const Site& a, const Site& b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string text_of(const char* name, const Site& site) {
  return std::string(name) + " (" + base_name(site.file) + ":" + std::to_string(site.line) + " in " + site.function +
         ")";
}

std::string text_of(const uint3& v) {
  return "(" + std::to_string(v.x) + ", " + std::to_string(v.y) + ", " + std::to_string(v.z) + ")";
}

BlockRunner::BlockRunner(ClusterRunner& cluster) : cluster_(cluster), stacks_(kMaxThreads), threads_(kMaxThreads) {}

BlockRunner::~BlockRunner() {
  retiring_ = true;  // lets every fiber leave its stack as AddressSanitizer wants it
  for (int i = 0; i < prepared_; ++i) Fiber::switch_to(cluster_.host(), threads_[i].fiber);
  std::free(shared_memory_);
}

void BlockRunner::prepare(const GridLaunch& launch, uint3 block_index, uint64_t block_number, int rank) {
  launch_ = &launch;
  rank_ = rank;
  block_index_ = block_index;
  random_ = launch.seed + 0x9e3779b97f4a7c15u * (block_number + 1);
  prepare_shared();
  prepare_threads();
}

void BlockRunner::start() {
  resume_from_host(launch_->order == Order::reverse ? live_ - 1 : 0);
}

void BlockRunner::unwind() {
  for (int i = 0; i < count_; ++i) {
    if (threads_[i].started && !threads_[i].finished) resume_from_host(i);
  }
}

BA_SAM_UNCHECKED void BlockRunner::meet_warp(Thread& self, const char* name, const Site& site, uint32_t mask,
                                             WarpOperation operation, void* operands) {
  Warp& warp = warps_[self.index / 32];
  const int lane = self.index % 32;
  if (mask != 0xffffffffu) fail(self, site, std::string(name) + " with a partial mask, which is not emulated");
  if (warp.present != 0xffffffffu) fail(self, site, std::string(name) + " in a warp of fewer than 32 threads");
  if (warp.exited != 0) {
    fail(self, site,
         text_of(name, site) + " waits for all lanes, but lane " + std::to_string(__builtin_ctz(warp.exited)) +
             " has left the kernel");
  }
  if (warp.arrived == 0) {
    warp.name = name;
    warp.site = &site;
    warp.operation = operation;
    warp.first_lane = lane;
  } else if (warp.operation != operation || !same(*warp.site, site)) {
    fail(self, site,
         "lanes of one warp are at different collectives: lane " + std::to_string(lane) + " at " + text_of(name, site) +
             ", lane " + std::to_string(warp.first_lane) + " at " + text_of(warp.name, *warp.site));
  }
  warp.operands[lane] = operands;
  warp.arrived |= 1u << lane;
  if (warp.arrived == 0xffffffffu) {
    if (operation) operation(warp.operands);
    warp.arrived = 0;
    warp.runnable = 0xffffffffu;
    active_warps_ |= 1u << (self.index / 32);
    yield(self);
  } else {
    block(self, warp, name, site);
  }
}

void BlockRunner::meet_block(Thread& self, const char* name, const Site& site) {
  if (barrier_arrived_ == 0) {
    barrier_site_ = &site;
    barrier_first_ = self.index;
  } else if (!same(*barrier_site_, site)) {
    fail(self, site,
         "threads of one block are at different barriers: this one at " + text_of(name, site) + ", thread " +
             text_of(threads_[barrier_first_].position) + " at " + text_of(name, *barrier_site_));
  }
  ++barrier_arrived_;
  if (barrier_arrived_ == live_) {
    release_barrier();
    yield(self);
  } else {
    block(self, warps_[self.index / 32], name, site);
  }
}

void BlockRunner::fail(const Thread& at, const Site& site, const std::string& what) {
  cluster_.abort("kernel " + launch_->name + ", block " + text_of(blockIdx) + ", thread " + text_of(at.position) +
                 ", " + base_name(site.file) + ":" + std::to_string(site.line) + ": " + what);
  throw KernelAborted();
}

int BlockRunner::place_in_shared(const void* address, size_t bytes) const {
  const auto at = reinterpret_cast<uintptr_t>(address), start = reinterpret_cast<uintptr_t>(shared_);
  const uintptr_t end = start + launch_->shared_bytes;
  if (at >= start && at + bytes <= end) return 0;
  if (at + bytes > start - kRedzone && at < start) return -1;
  if (at + bytes > end && at < end + kRedzone) return 1;
  return 2;
}

bool BlockRunner::on_a_stack(const void* address) const {
  const char* at = static_cast<const char*>(address);
  return at >= stacks_.bottom(0) && at < stacks_.bottom(kMaxThreads - 1) + stacks_.size();
}

void BlockRunner::thread_main(void* argument) {
  auto& self = *static_cast<Thread*>(argument);
  BlockRunner& runner = *self.runner;
  for (;;) {
    if (runner.retiring_) Fiber::switch_to(self.fiber, runner.cluster_.host(), true);
    self.started = true;
    try {
      runner.launch_->call.run_thread();
    } catch (const KernelAborted&) {
    }
    self.finished = true;
    runner.leave(self);
  }
}

void BlockRunner::leave(Thread& self) {
  if (cluster_.aborting()) {
    Fiber::switch_to(self.fiber, cluster_.host());
    return;
  }
  Warp& warp = warps_[self.index / 32];
  const uint32_t bit = 1u << self.index % 32;
  warp.exited |= bit;
  set_blocked(self, warp);
  --live_;
  std::string unfinished;
  if (uses_hopper_) unfinished = hopper_->leave(self, live_ == 0);
  if (!unfinished.empty()) {
    stop(unfinished, self);
  } else if (warp.arrived != 0) {
    stop("lane " + std::to_string(self.index % 32) + " leaves the kernel while lane " +
             std::to_string(warp.first_lane) + " waits in " + text_of(warp.name, *warp.site),
         self);
  } else if (live_ > 0 && barrier_arrived_ == live_) {
    release_barrier();
  }
  if (!cluster_.aborting()) cluster_.thread_left();
  Thread* next = cluster_.aborting() ? nullptr : pick_or_deliver(self.index / 32);
  if (!next && cluster_.live_count() > 0 && !cluster_.aborting()) stop(cluster_.deadlock(), self);
  if (next) {
    go(self.fiber, *next);
  } else {
    Fiber::switch_to(self.fiber, cluster_.host());
  }
}

void BlockRunner::stop(const std::string& what, const Thread& at) {
  cluster_.abort("kernel " + launch_->name + ", block " + text_of(blockIdx) + ", thread " + text_of(at.position) +
                 ": " + what);
}

std::string BlockRunner::waiting(int most) const {
  std::string text;
  int shown = 0;
  const char* last_name = nullptr;
  const Site* last_site = nullptr;
  for (int i = 0; i < count_ && shown < most; ++i) {
    const Thread& thread = threads_[i];
    if (thread.finished || !thread.waits_in) continue;
    if (last_site && last_name == thread.waits_in && same(*last_site, *thread.waits_at)) continue;
    last_name = thread.waits_in;
    last_site = thread.waits_at;
    text += std::string(shown++ ? ", " : " ") + "thread " + text_of(thread.position) + " in " +
            text_of(last_name, *last_site);
    if (uses_hopper_) text += hopper_->waits_for(thread);
  }
  return text;
}

BA_SAM_UNCHECKED void BlockRunner::set_blocked(Thread& self, Warp& warp) {
  warp.runnable &= ~(1u << self.index % 32);
  if (warp.runnable == 0) active_warps_ &= ~(1u << self.index / 32);
}

BA_SAM_UNCHECKED void BlockRunner::block(Thread& self, Warp& warp, const char* name, const Site& site) {
  self.waits_in = name;
  self.waits_at = &site;
  set_blocked(self, warp);
  Thread* next = pick_or_deliver(self.index / 32);
  if (!next) fail(self, site, cluster_.deadlock());
  if (next != &self) go(self.fiber, *next);
  self.waits_in = nullptr;
  if (cluster_.aborting()) throw KernelAborted();
}

BA_SAM_UNCHECKED void BlockRunner::yield(Thread& self) {
  Thread* next = pick_in_cluster(self.index / 32);
  if (next == &self) return;
  go(self.fiber, *next);
  if (cluster_.aborting()) throw KernelAborted();
}

HopperBlock& BlockRunner::hopper(Thread& self, const char* name, const Site& site) {
  if (!uses_hopper_) {
    if (launch_->sm != 90) {
      fail(self, site,
           std::string(name) + " needs compute capability 9.0, the device has " + std::to_string(launch_->sm / 10) +
               "." + std::to_string(launch_->sm % 10));
    }
    if (!hopper_) hopper_ = std::make_unique<HopperBlock>(*this);
    hopper_->begin();
    uses_hopper_ = true;
  }
  return *hopper_;
}

HopperBlock& BlockRunner::hopper_of(int rank, Thread& self, const char* name, const Site& site) {
  if (rank < 0 || rank >= cluster_.size()) {
    fail(self, site,
         std::string(name) + ": block " + std::to_string(rank) + " of a cluster of " + std::to_string(cluster_.size()));
  }
  BlockRunner& other = cluster_.block(rank);
  if (other.live_ == 0) {
    fail(self, site, std::string(name) + ": block " + std::to_string(rank) + " of the cluster has left its kernel");
  }
  return other.hopper(self, name, site);
}

void BlockRunner::suspend(Thread& self, const char* name, const Site& site) {
  block(self, warps_[self.index / 32], name, site);
}

void BlockRunner::resume(int index) {
  warps_[index / 32].runnable |= 1u << index % 32;
  active_warps_ |= 1u << index / 32;
}

int BlockRunner::choose(int count) {
  if (launch_->order == Order::forward) return 0;
  if (launch_->order == Order::reverse) return count - 1;
  return static_cast<int>(next_random() % static_cast<uint64_t>(count));
}

void BlockRunner::release_barrier() {
  barrier_arrived_ = 0;
  for (int w = 0; w < warp_count_; ++w) {
    warps_[w].runnable = warps_[w].present & ~warps_[w].exited & ~warps_[w].arrived;
    if (warps_[w].runnable != 0) active_warps_ |= 1u << w;
  }
  restart_order_ = true;
}

BA_SAM_UNCHECKED uint64_t BlockRunner::next_random() {
  uint64_t z = (random_ += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

BA_SAM_UNCHECKED int BlockRunner::any_bit(uint32_t bits, unsigned rotation) {
  const uint32_t rotated = bits >> rotation | (rotation ? bits << (32 - rotation) : 0);
  return (__builtin_ctz(rotated) + static_cast<int>(rotation)) % 32;
}

BA_SAM_UNCHECKED Thread* BlockRunner::pick(int warp) {
  if (active_warps_ == 0) return nullptr;
  int lane = 0;
  switch (launch_->order) {
    case Order::forward: {
      if (restart_order_) warp = 0;
      const uint32_t from_here = active_warps_ >> warp;
      warp = from_here ? warp + __builtin_ctz(from_here) : __builtin_ctz(active_warps_);
      lane = __builtin_ctz(warps_[warp].runnable);
      break;
    }
    case Order::reverse: {
      if (restart_order_) warp = 31;
      const uint32_t up_to_here = active_warps_ & (0xffffffffu >> (31 - warp));
      warp = 31 - __builtin_clz(up_to_here ? up_to_here : active_warps_);
      lane = 31 - __builtin_clz(warps_[warp].runnable);
      break;
    }
    case Order::random: {
      const uint64_t bits = next_random();
      if (warps_[warp].runnable == 0 || (bits >> 10 & 7) == 0) warp = any_bit(active_warps_, bits & 31);
      lane = any_bit(warps_[warp].runnable, bits >> 5 & 31);
      break;
    }
  }
  restart_order_ = false;
  return &threads_[warp * 32 + lane];
}

BA_SAM_UNCHECKED Thread* BlockRunner::pick_any() {
  return pick(launch_->order == Order::reverse ? 31 : 0);
}

BA_SAM_UNCHECKED Thread* BlockRunner::pick_in_cluster(int warp) {
  Thread* next = nullptr;
  if (cluster_.size() > 1 && launch_->order == Order::random && (next_random() & 7) == 0) {
    next = cluster_.pick_elsewhere(*this);
  }
  if (!next) next = pick(warp);
  if (!next && cluster_.size() > 1) next = cluster_.pick_elsewhere(*this);
  return next;
}

BA_SAM_UNCHECKED Thread* BlockRunner::pick_or_deliver(int warp) {
  Thread* next = pick_in_cluster(warp);
  if (!next && cluster_.deliver()) next = pick_in_cluster(warp);
  return next;
}

bool BlockRunner::deliver() {
  return uses_hopper_ && hopper_->deliver();
}

BA_SAM_UNCHECKED void BlockRunner::go(Fiber& from, Thread& to) {
  if (to.runner != this) to.runner->enter();
  running_thread = &to;
  threadIdx = to.position;
  Fiber::switch_to(from, to.fiber);
}

BA_SAM_UNCHECKED void BlockRunner::enter() const {
  blockIdx = block_index_;
  blockDim = launch_->block;
  gridDim = launch_->grid;
  dynamic_shared_memory = shared_;
}

void BlockRunner::resume_from_host(int index) {
  enter();
  go(cluster_.host(), threads_[index]);
}

void BlockRunner::prepare_shared() {
  const size_t bytes = launch_->shared_bytes;
  if (bytes + kSharedAlignment + kRedzone > shared_capacity_) {
    std::free(shared_memory_);
    shared_capacity_ = (bytes + 2 * kSharedAlignment + kRedzone - 1) / kSharedAlignment * kSharedAlignment;
    shared_memory_ = static_cast<uint8_t*>(std::aligned_alloc(kSharedAlignment, shared_capacity_));
    if (!shared_memory_) throw std::bad_alloc();
  }
  shared_ = shared_memory_ + kSharedAlignment;
  fill_words(shared_ - kRedzone, kRedzone, kRedzoneWord);
  fill_words(shared_, bytes, kUnwritten);
  fill_words(shared_ + bytes, kRedzone, kRedzoneWord);
  ASAN_POISON_MEMORY_REGION(shared_memory_, kSharedAlignment);
  ASAN_POISON_MEMORY_REGION(shared_ + bytes, kRedzone);
}

void BlockRunner::check_shared_redzones() {
  const size_t bytes = launch_->shared_bytes;
  ASAN_UNPOISON_MEMORY_REGION(shared_memory_, kSharedAlignment);
  ASAN_UNPOISON_MEMORY_REGION(shared_ + bytes, kRedzone);
  uint8_t expected[kRedzone];
  fill_words(expected, kRedzone, kRedzoneWord);
  const bool below = std::memcmp(shared_ - kRedzone, expected, kRedzone) != 0;
  const bool above = std::memcmp(shared_ + bytes, expected, kRedzone) != 0;
  if ((below || above) && !cluster_.aborting()) {
    cluster_.abort("kernel " + launch_->name + ", block " + text_of(block_index_) + ": wrote " +
                   (above ? "behind" : "before") + " its " + std::to_string(bytes) + " bytes of dynamic shared memory");
  }
}

void BlockRunner::prepare_threads() {
  const dim3 size = launch_->block;
  count_ = static_cast<int>(size.x * size.y * size.z);
  live_ = count_;
  warp_count_ = (count_ + 31) / 32;
  active_warps_ = warp_count_ == 32 ? 0xffffffffu : (1u << warp_count_) - 1;
  barrier_arrived_ = 0;
  restart_order_ = false;
  uses_hopper_ = false;
  for (int w = 0; w < warp_count_; ++w) {
    const int lanes = count_ - w * 32 < 32 ? count_ - w * 32 : 32;
    warps_[w].present = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
    warps_[w].runnable = warps_[w].present;
    warps_[w].arrived = warps_[w].exited = 0;
  }
  for (; prepared_ < count_; ++prepared_) {
    Thread& thread = threads_[prepared_];
    thread.runner = this;
    thread.index = prepared_;
    thread.fiber.prepare(stacks_.bottom(prepared_), stacks_.size(), prepared_, thread_main, &thread);
  }
  uint3 at{0, 0, 0};
  for (int i = 0; i < count_; ++i) {
    Thread& thread = threads_[i];
    thread.position = at;
    thread.started = thread.finished = false;
    thread.waits_in = nullptr;
    thread.copies.clear();
    thread.first_copy = 0;
    thread.closed_groups = 0;
    if (++at.x == size.x) {
      at.x = 0;
      if (++at.y == size.y) {
        at.y = 0;
        ++at.z;
      }
    }
  }
}

}  // namespace ba_sam::emulation
