// What kernels call through emulated_thread.h: meetings, failures, asynchronous copies.
#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "block_runner.h"
#include "memory_registry.h"

namespace ba_sam::emulation {

void meet_warp(const char* name, const Site& site, uint32_t mask, WarpOperation operation, void* operands) {
  Thread& self = running();
  self.runner->meet_warp(self, name, site, mask, operation, operands);
}

void meet_block(const char* name, const Site& site) {
  Thread& self = running();
  self.runner->meet_block(self, name, site);
}

namespace {
std::string formatted(const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  return text;
}
}  // namespace

void fail_thread(const Site& site, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  Thread& self = running();
  self.runner->fail(self, site, text);
}

void fail_lane(int lane, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  Thread& self = running();
  const Thread& at = self.runner->lane_of_running_warp(lane);
  self.runner->fail(at, self.runner->site_of_running_warp(), text);
}

void check_shared(int lane, const Site& site, const char* name, const void* address) {
  Thread& self = running();
  const Thread& at = lane < 0 ? self : self.runner->lane_of_running_warp(lane);
  if (reinterpret_cast<uintptr_t>(address) % 16 != 0) {
    self.runner->fail(at, site, std::string(name) + ": its shared address is not a multiple of 16");
  }
  const int place = self.runner->place_in_shared(address, 16);
  if (place == 0) return;
  if (place != 2) {
    self.runner->fail(at, site,
                      std::string(name) + ": 16 bytes reach " + (place < 0 ? "before" : "behind") +
                          " the block's dynamic shared memory");
  }
  // A static __shared__ array, which cannot be told from other host memory; what surely is none is refused.
  if (self.runner->on_a_stack(address) || MemoryRegistry::get().contains(address)) {
    self.runner->fail(at, site, std::string(name) + ": its shared address is not in shared memory");
  }
}

void issue_copy(const Site& site, void* shared, const void* global, bool valid) {
  Thread& self = running();
  check_shared(-1, site, "copy_async_16", shared);
  PendingCopy copy{shared, {}, self.closed_groups};
  if (reinterpret_cast<uintptr_t>(global) % 16 != 0) {
    self.runner->fail(self, site, "copy_async_16: its global address is not a multiple of 16");
  }
  if (valid) {
    if (self.runner->place_in_shared(global, 16) != 2) {
      self.runner->fail(self, site, "copy_async_16: it reads shared memory, where global memory is needed");
    }
    std::memcpy(copy.data, global, 16);
  }
  fill_words(shared, 16, kInFlight);
  self.copies.push_back(copy);
}

void commit_copies() {
  ++running().closed_groups;
}

void wait_copies(int pending) {
  Thread& self = running();
  const int64_t arrived = static_cast<int64_t>(self.closed_groups) - pending;
  while (self.first_copy < self.copies.size() && self.copies[self.first_copy].group < arrived) {
    const PendingCopy& copy = self.copies[self.first_copy++];
    std::memcpy(copy.to, copy.data, 16);
  }
  if (self.first_copy == self.copies.size()) {
    self.copies.clear();
    self.first_copy = 0;
  }
}

}  // namespace ba_sam::emulation
