// See cluster_runner.h.
#include "cluster_runner.h"

namespace ba_sam::emulation {

std::string ClusterRunner::run(const GridLaunch& launch, uint64_t number) {
  const dim3 sides = launch.cluster;
  size_ = static_cast<int>(sides.x * sides.y * sides.z);
  order_ = launch.order;
  aborting_ = false;
  failure_.clear();
  arrived_ = 0;
  waiting_.clear();
  meetings_ = 0;
  const uint64_t across = launch.grid.x / sides.x, down = launch.grid.y / sides.y;
  const dim3 first(static_cast<unsigned>(number % across) * sides.x,
                   static_cast<unsigned>(number / across % down) * sides.y,
                   static_cast<unsigned>(number / across / down) * sides.z);
  for (unsigned rank = 0; rank < static_cast<unsigned>(size_); ++rank) {
    if (rank == blocks_.size()) blocks_.push_back(std::make_unique<BlockRunner>(*this));
    const uint3 at = {first.x + rank % sides.x, first.y + rank / sides.x % sides.y, first.z + rank / sides.x / sides.y};
    const uint64_t block_number = (static_cast<uint64_t>(at.z) * launch.grid.y + at.y) * launch.grid.x + at.x;
    blocks_[rank]->prepare(launch, at, block_number, static_cast<int>(rank));
  }
  in_order(0).start();
  for (int rank = 0; aborting_ && rank < size_; ++rank) block(rank).unwind();
  running_thread = nullptr;
  for (int rank = 0; rank < size_; ++rank) block(rank).check_shared_redzones();
  return failure_;
}

void ClusterRunner::abort(const std::string& what) {
  if (!aborting_) failure_ = what;
  aborting_ = true;
}

int ClusterRunner::live_count() const {
  int live = 0;
  for (int rank = 0; rank < size_; ++rank) live += block(rank).live_count();
  return live;
}

std::string ClusterRunner::deadlock() const {
  std::string text = "threads wait for each other for ever:";
  for (int rank = 0; rank < size_; ++rank) {
    if (size_ > 1) text += (rank == 0 ? " in block " : "; in block ") + std::to_string(rank) + " of the cluster";
    text += block(rank).waiting(4);
  }
  return text;
}

BA_SAM_UNCHECKED Thread* ClusterRunner::pick_elsewhere(const BlockRunner& here) {
  for (int i = 0; i < size_; ++i) {
    BlockRunner& other = in_order(i);
    if (&other == &here) continue;
    if (Thread* thread = other.pick_any()) return thread;
  }
  return nullptr;
}

bool ClusterRunner::deliver() {
  const int first = size_ > 1 && order_ == Order::random ? block(0).choose(size_) : 0;
  for (int i = 0; i < size_; ++i) {
    if (in_order((first + i) % size_).deliver()) return true;
  }
  return false;
}

void ClusterRunner::meet(Thread& self, const char* name, const Site& site) {
  if (arrived_ == 0) {
    first_ = &self;
    site_ = site;
  } else if (!same(site_, site)) {
    self.runner->fail(self, site,
                      "threads of one cluster are at different barriers: this one at " + text_of(name, site) +
                          ", thread " + text_of(first_->position) + " of block " +
                          std::to_string(first_->runner->rank()) + " at " + text_of(name, site_));
  }
  if (++arrived_ == live_count()) return open();
  waiting_.push_back(&self);
  self.runner->suspend(self, name, site);
}

void ClusterRunner::thread_left() {
  if (arrived_ > 0 && arrived_ == live_count()) open();
}

void ClusterRunner::open() {
  ++meetings_;
  arrived_ = 0;
  for (const Thread* thread : waiting_) thread->runner->resume(thread->index);
  waiting_.clear();
}

}  // namespace ba_sam::emulation
