// mbarriers, TMA copies, named barriers (hopper_block.h).
#include <algorithm>
#include <cstring>

#include "cluster_runner.h"
#include "hopper_block.h"
#include "memory_registry.h"

namespace ba_sam::emulation {

namespace {

// What a barrier's eight bytes hold: they are checked wherever it is used.
constexpr uint64_t kBarrierSignature = 0x7fa1b2c300000000u;
constexpr int64_t kMostBytes = (1 << 20) - 1;

std::string number(int64_t n, const char* unit) {
  return std::to_string(n) + " " + unit + (n == 1 ? "" : "s");
}

}  // namespace

void HopperBlock::begin() {
  barriers_.clear();
  copies_.clear();
  for (NamedBarrier& barrier : named_) barrier = {};
  for (Warpgroup& group : groups_) group = {};
  brought_.resize(runner_.shared_bytes());
  fill_words(brought_.data(), brought_.size(), kUnwritten);
  brought_after_.assign(brought_.size() / 16, 0);
  fences_ = 0;
  std::fill(threads_, threads_ + runner_.thread_count(), HopperThread{});
  for (int i = 0; i < runner_.thread_count(); ++i) {  // some may have left before the first use
    if (runner_.thread(i).finished) groups_[i / 128].left = i;
  }
}

std::string HopperBlock::leave(const Thread& thread, bool last) {
  std::string text = leave_warpgroup(thread);
  if (text.empty() && last && !copies_.empty()) {
    text = "the block ends while " + number(static_cast<int64_t>(copies_.size()), "tma_load") +
           " that nobody waited for may still write to its shared memory";
  }
  return text;
}

std::string HopperBlock::waits_for(const Thread& thread) const {
  const HopperThread& own = threads_[thread.index];
  if (own.barrier >= 0) {
    const SharedBarrier& barrier = barriers_[static_cast<size_t>(own.barrier)];
    std::string text = " for parity " + std::to_string(own.phase & 1) + ", where " + number(barrier.pending, "arrival");
    if (barrier.announced != barrier.in_flight) {
      text += " and " + number(barrier.announced - barrier.in_flight, "byte");
    }
    return text + " of barrier " + std::to_string(reinterpret_cast<uint8_t*>(barrier.at) - runner_.shared()) +
           " are missing";
  }
  if (own.named != 0) {
    const NamedBarrier& barrier = named_[own.named];
    return " for barrier " + std::to_string(own.named) + ", where " + std::to_string(barrier.arrived) + " of " +
           number(barrier.threads, "thread") + " are";
  }
  return "";
}

// --- barriers in shared memory

void HopperBlock::check_place(Thread& self, const Site& site, const char* name, uint64_t* barrier) {
  if (reinterpret_cast<uintptr_t>(barrier) % 8 != 0) {
    runner_.fail(self, site, std::string(name) + ": its barrier's address is not a multiple of 8");
  }
  const int place = runner_.place_in_shared(barrier, 8);
  if (place == 0) return;
  // A static __shared__ array cannot be told from other host memory.
  if (place != 2 || runner_.on_a_stack(barrier) || MemoryRegistry::get().contains(barrier)) {
    runner_.fail(self, site, std::string(name) + ": its barrier is not in shared memory");
  }
}

void HopperBlock::init_barrier(Thread& self, const Site& site, uint64_t* barrier, uint32_t arrivals) {
  check_place(self, site, "mbarrier_init", barrier);
  if (arrivals < 1 || arrivals >= 1u << 20) {
    runner_.fail(self, site, "mbarrier_init: for " + std::to_string(arrivals) + " arrivals, not 1 … 1048575");
  }
  for (const SharedBarrier& other : barriers_) {
    if (other.at == barrier) runner_.fail(self, site, "mbarrier_init: the barrier is initialised already");
  }
  const uint64_t content = kBarrierSignature | barriers_.size();
  std::memcpy(barrier, &content, 8);
  SharedBarrier made{};
  made.at = barrier;
  made.count = made.pending = arrivals;
  made.owner = self.index;
  made.made_at = runner_.cluster().meetings();
  barriers_.push_back(made);
}

void HopperBlock::fence_barriers(const Thread& self) {
  for (SharedBarrier& barrier : barriers_) {
    if (barrier.owner == self.index) barrier.fenced = true;
  }
}

int HopperBlock::find_barrier(Thread& self, const Site& site, const char* name, uint64_t* barrier) {
  check_place(self, site, name, barrier);
  uint64_t content;
  std::memcpy(&content, barrier, 8);
  const uint64_t index = content & 0xffffffffu;
  if ((content ^ index) == kBarrierSignature && index < barriers_.size() && barriers_[index].at == barrier) {
    if (self.runner != &runner_ && barriers_[index].made_at == runner_.cluster().meetings()) {
      runner_.fail(self, site,
                   std::string(name) + ": block " + std::to_string(runner_.rank()) +
                       " of the cluster has initialised its barrier with no cluster_sync since");
    }
    return static_cast<int>(index);
  }
  for (const SharedBarrier& other : barriers_) {
    if (other.at == barrier)
      runner_.fail(self, site, std::string(name) + ": something else was written over its barrier");
  }
  std::string where;
  if (self.runner != &runner_) where = " in block " + std::to_string(runner_.rank()) + " of the cluster";
  runner_.fail(self, site, std::string(name) + ": its barrier is not initialised" + where);
}

void HopperBlock::complete(SharedBarrier& barrier) {
  ++barrier.phase;
  barrier.pending = barrier.count;
  barrier.announced = barrier.in_flight = 0;
  for (const int thread : barrier.waiting) runner_.resume(thread);
  barrier.waiting.clear();
}

void HopperBlock::arrive(Thread& self, const Site& site, const char* name, uint64_t* at, uint32_t bytes) {
  SharedBarrier& barrier = barriers_[static_cast<size_t>(find_barrier(self, site, name, at))];
  if (barrier.pending == 0) {
    runner_.fail(self, site,
                 std::string(name) + ": more arrivals than the " + std::to_string(barrier.count) +
                     " of the barrier in a phase that waits for bytes");
  }
  barrier.announced += bytes;
  if (barrier.announced > kMostBytes)
    runner_.fail(self, site, std::string(name) + ": more than 1048575 bytes in a phase");
  if (--barrier.pending != 0) return;
  if (barrier.in_flight > barrier.announced) {
    runner_.fail(self, site,
                 std::string(name) + ": copies bring " + std::to_string(barrier.in_flight) +
                     " bytes in this phase, but " + std::to_string(barrier.announced) + " were announced");
  }
  if (barrier.announced == 0) complete(barrier);
}

void HopperBlock::wait(Thread& self, const Site& site, uint64_t* at, uint32_t parity) {
  const int index = find_barrier(self, site, "mbarrier_wait", at);
  if (parity > 1) runner_.fail(self, site, "mbarrier_wait: parity " + std::to_string(parity) + ", not 0 or 1");
  const uint64_t phase = barriers_[static_cast<size_t>(index)].phase;
  if ((phase & 1) != parity) return;
  HopperThread& own = threads_[self.index];
  own.barrier = index;
  own.phase = phase;
  barriers_[static_cast<size_t>(index)].waiting.push_back(self.index);
  runner_.suspend(self, "mbarrier_wait", site);
  own.barrier = -1;
  if (barriers_[static_cast<size_t>(index)].phase - phase > 1) {
    runner_.fail(self, site, "mbarrier_wait: the next phase was over, too, before this thread saw the end of its own");
  }
}

// --- copies

uint8_t* HopperBlock::here(Thread& self, const Site& site, const char* name, const void* address) const {
  if (self.runner->place_in_shared(address, 8) != 0) {
    runner_.fail(self, site, std::string(name) + ": its address is not in the dynamic shared memory");
  }
  return runner_.shared() + (static_cast<const uint8_t*>(address) - self.runner->shared());
}

void HopperBlock::load(Thread& self, const Site& site, const char* name, void* shared, const cuda::TensorMap& map,
                       uint64_t* at, const int* coordinates, int rank) {
  const auto refuse = [&](const std::string& what) { runner_.fail(self, site, name + (": " + what)); };
  const int index = find_barrier(self, site, name, at);
  SharedBarrier& barrier = barriers_[static_cast<size_t>(index)];
  if (map.signature != kTensorMapSignature) refuse("its map was not made by make_tensor_map");
  if (map.rank != rank) {
    refuse(number(rank, "coordinate") + " for a map of rank " + std::to_string(map.rank));
  }
  TensorCopy copy{};
  copy.map = map;
  copy.to = static_cast<uint8_t*>(shared);
  copy.bytes = 2;
  copy.barrier = index;
  int64_t extent = 2;
  for (int i = 0; i < rank; ++i) {
    copy.at[i] = coordinates[i];
    copy.bytes *= map.box[i];
    extent += map.last_index[i] * map.strides[i];
  }
  const auto bytes = static_cast<size_t>(copy.bytes);
  if (reinterpret_cast<uintptr_t>(shared) % 128 != 0) refuse("its shared address is not a multiple of 128");
  const int place = runner_.place_in_shared(shared, bytes);
  if (place == 2) refuse("its shared address is not in the dynamic shared memory");
  const auto offset = static_cast<uint32_t>(copy.to - runner_.shared());
  if (offset % swizzle_period(map.swizzle) != 0) {
    refuse("its shared address is not a multiple of " + std::to_string(swizzle_period(map.swizzle)) +
           ", as the swizzle needs");
  }
  if (place != 0) {
    refuse(std::to_string(bytes) + " bytes reach " + (place < 0 ? "before" : "behind") +
           " the block's dynamic shared memory");
  }
  if (!barrier.fenced) refuse("its barrier was initialised without mbarrier_init_fence after it");
  MemoryBlock block;
  const MemoryRegistry& memory = MemoryRegistry::get();
  if (!memory.find(map.data, block) || !memory.covers(block, map.data, static_cast<size_t>(extent))) {
    refuse("the tensor of its map does not lie inside one allocation");
  }
  if (barrier.pending == 0 && barrier.in_flight + copy.bytes > barrier.announced) {
    refuse("it brings " + number(copy.bytes, "byte") + " to a barrier that waits for " +
           std::to_string(barrier.announced - barrier.in_flight));
  }
  for (const TensorCopy& other : copies_) {
    if (copy.to < other.to + other.bytes && other.to < copy.to + copy.bytes) {
      refuse("another one is on its way to the same place");
    }
  }
  fill_words(shared, bytes, kInFlight);
  barrier.in_flight += copy.bytes;
  copies_.push_back(copy);
}

bool HopperBlock::deliver() {
  int found = 0;
  const auto ready = [](const SharedBarrier& barrier) {
    return !barrier.waiting.empty() && barrier.pending == 0 && barrier.in_flight == barrier.announced;
  };
  for (const SharedBarrier& barrier : barriers_) found += ready(barrier);
  if (found == 0) return false;
  int chosen = runner_.choose(found);
  size_t index = 0;
  while (!ready(barriers_[index]) || chosen-- > 0) ++index;
  size_t kept = 0;
  for (const TensorCopy& copy : copies_) {
    if (copy.barrier == static_cast<int>(index)) {
      bring(copy);
    } else {
      copies_[kept++] = copy;
    }
  }
  copies_.resize(kept);
  complete(barriers_[index]);
  return true;
}

void HopperBlock::bring(const TensorCopy& copy) {
  const cuda::TensorMap& map = copy.map;
  int box[5], at[5] = {};
  int64_t size[5], strides[5];
  for (int i = 0; i < 5; ++i) {
    const bool real = i < map.rank;
    box[i] = real ? map.box[i] : 1;
    size[i] = real ? int64_t{map.last_index[i]} + 1 : 1;
    strides[i] = real ? map.strides[i] : 0;
  }
  auto offset = static_cast<uint32_t>(copy.to - runner_.shared());
  for (;;) {
    bool inside = true;
    int64_t from = 0;
    for (int i = 1; i < 5; ++i) {
      const int64_t index = int64_t{copy.at[i]} + at[i];
      inside = inside && index >= 0 && index < size[i];
      from += index * strides[i];
    }
    for (int piece = 0; piece < box[0]; piece += 8, offset += 16) {
      uint8_t data[16] = {};
      const int64_t index = int64_t{copy.at[0]} + piece;
      const int64_t begin = std::max<int64_t>(index, 0), end = std::min<int64_t>(index + 8, size[0]);
      if (inside && begin < end) {
        std::memcpy(data + (begin - index) * 2, map.data + from + begin * 2, static_cast<size_t>(end - begin) * 2);
      }
      const uint32_t to = swizzled(offset, map.swizzle);
      std::memcpy(runner_.shared() + to, data, 16);
      std::memcpy(&brought_[to], data, 16);
      brought_after_[to / 16] = fences_;
    }
    int i = 1;
    while (i < 5 && ++at[i] == box[i]) at[i++] = 0;
    if (i == 5) return;
  }
}

// --- named barriers

uint64_t HopperBlock::arrive_named(const Thread& self, const Site& site, const char* name, int id, int threads) {
  if (id < 1 || id > 15)
    runner_.fail(self, site, std::string(name) + ": barrier " + std::to_string(id) + ", not 1 … 15");
  if (threads < 32 || threads > 1024 || threads % 32 != 0) {
    runner_.fail(self, site, std::string(name) + ": " + std::to_string(threads) + " threads, not whole warps");
  }
  NamedBarrier& barrier = named_[id];
  const uint32_t warp = 1u << self.index / 32;
  if (barrier.arrived == 0) {
    barrier.threads = threads;
    barrier.first = self.index;
    barrier.site = site;
  } else if (barrier.threads != threads) {
    runner_.fail(self, site,
                 std::string(name) + ": barrier " + std::to_string(id) + " of " + std::to_string(threads) +
                     " threads, but thread " + text_of(runner_.thread(barrier.first).position) + " says " +
                     std::to_string(barrier.threads) + " (" + text_of("there", barrier.site) + ")");
  } else if ((barrier.warps & warp) != 0) {
    runner_.fail(self, site,
                 std::string(name) + ": this warp has arrived at barrier " + std::to_string(id) +
                     " already, and it has not opened since");
  }
  barrier.warps |= warp;
  barrier.arrived += 32;
  const uint64_t phase = barrier.phase;
  if (barrier.arrived == threads) {
    ++barrier.phase;
    barrier.arrived = 0;
    barrier.warps = 0;
    for (const int thread : barrier.waiting) runner_.resume(thread);
    barrier.waiting.clear();
  }
  return phase;
}

void HopperBlock::wait_named(Thread& self, const Site& site, const char* name, int id, uint64_t phase) {
  if (named_[id].phase != phase) return;
  threads_[self.index].named = id;
  named_[id].waiting.push_back(self.index);
  runner_.suspend(self, name, site);
  threads_[self.index].named = 0;
}

// --- what kernels call

namespace {

struct NamedOperands {
  const Site* site;
  const char* name;
  int id, threads;
  uint64_t phase;
};

void arrive_as_warp(void* const (&operands)[32]) {
  auto& first = *static_cast<NamedOperands*>(operands[0]);
  for (int lane = 1; lane < 32; ++lane) {
    const auto& own = *static_cast<NamedOperands*>(operands[lane]);
    if (own.id != first.id || own.threads != first.threads) {
      fail_lane(lane, "%s: barrier %d of %d threads, in lane 0 barrier %d of %d", own.name, own.id, own.threads,
                first.id, first.threads);
    }
  }
  Thread& self = running();
  const uint64_t phase = self.runner->hopper(self, first.name, *first.site)
                             .arrive_named(self, *first.site, first.name, first.id, first.threads);
  for (void* operand : operands) static_cast<NamedOperands*>(operand)->phase = phase;
}

}  // namespace

void init_barrier(const Site& site, uint64_t* barrier, uint32_t arrivals) {
  Thread& self = running();
  self.runner->hopper(self, "mbarrier_init", site).init_barrier(self, site, barrier, arrivals);
}

void fence_barriers(const Site& site) {
  Thread& self = running();
  self.runner->hopper(self, "mbarrier_init_fence", site).fence_barriers(self);
}

void fence_shared(const Site& site) {
  Thread& self = running();
  self.runner->hopper(self, "fence_proxy_async", site).fence_shared();
}

void arrive_at_barrier(const Site& site, const char* name, uint64_t* barrier, uint32_t bytes) {
  Thread& self = running();
  self.runner->hopper(self, name, site).arrive(self, site, name, barrier, bytes);
}

void arrive_in_cluster(const Site& site, uint64_t* barrier, uint32_t block) {
  Thread& self = running();
  const char* name = "mbarrier_arrive_cluster";
  HopperBlock& there = self.runner->hopper_of(static_cast<int>(block), self, name, site);
  there.arrive(self, site, name, reinterpret_cast<uint64_t*>(there.here(self, site, name, barrier)), 0);
}

void wait_for_barrier(const Site& site, uint64_t* barrier, uint32_t parity) {
  Thread& self = running();
  self.runner->hopper(self, "mbarrier_wait", site).wait(self, site, barrier, parity);
}

void meet_at_named_barrier(const Site& site, const char* name, int id, int threads, bool waits) {
  NamedOperands operands{&site, name, id, threads, 0};
  meet_warp(name, site, 0xffffffffu, arrive_as_warp, &operands);
  Thread& self = running();
  if (waits) self.runner->hopper(self, name, site).wait_named(self, site, name, id, operands.phase);
}

void load_tensor(const Site& site, void* shared, const cuda::TensorMap& map, uint64_t* barrier, const int* coordinates,
                 int rank) {
  Thread& self = running();
  const char* name = "tma_load";
  self.runner->hopper(self, name, site).load(self, site, name, shared, map, barrier, coordinates, rank);
}

void load_tensor_in_cluster(const Site& site, void* shared, const cuda::TensorMap& map, uint64_t* barrier,
                            const int* coordinates, int rank, uint32_t blocks) {
  Thread& self = running();
  const char* name = "tma_load_multicast";
  if (blocks == 0) self.runner->fail(self, site, std::string(name) + ": to no block");
  for (int block = 0; blocks >> block != 0; ++block) {
    if ((blocks >> block & 1) == 0) continue;
    HopperBlock& there = self.runner->hopper_of(block, self, name, site);
    uint8_t* to = there.here(self, site, name, shared);
    there.load(self, site, name, to, map, reinterpret_cast<uint64_t*>(there.here(self, site, name, barrier)),
               coordinates, rank);
  }
}

uint32_t rank_in_cluster(const Site& site) {
  Thread& self = running();
  self.runner->hopper(self, "cluster_rank", site);
  return static_cast<uint32_t>(self.runner->rank());
}

void meet_cluster(const Site& site) {
  const char* name = "cluster_sync";
  meet_warp(name, site, 0xffffffffu, nullptr, nullptr);
  Thread& self = running();
  self.runner->hopper(self, name, site);
  self.runner->cluster().meet(self, name, site);
}

}  // namespace ba_sam::emulation
