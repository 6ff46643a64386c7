// A stack and a place to go on from: what one CUDA thread of a block is, on one host thread.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || defined(BA_SAM_EMULATION_UCONTEXT)
#define BA_SAM_FIBER_UCONTEXT 1
#include <ucontext.h>
#endif

namespace ba_sam::emulation {

// Stacks of many fibers in one mapping, each with an inaccessible page below it. Throws std::bad_alloc.
class FiberStacks {
 public:
  explicit FiberStacks(int count);
  ~FiberStacks();
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;

  char* bottom(int index) const { return memory_ + index * pitch_ + guard_; }
  size_t size() const { return pitch_ - guard_; }

 private:
  char* memory_;
  size_t bytes_, pitch_, guard_;
};

class Fiber {
 public:
  // The running host thread itself, to switch away from and back to.
  void adopt_host_thread();
  // Calls entry(argument) on first switch; entry never returns.
  void prepare(char* stack_bottom, size_t stack_size, int index, void (*entry)(void*), void* argument);

  // Goes on with `to`; returns when somebody switches to `from`. With `last`, nobody ever will.
  static void switch_to(Fiber& from, Fiber& to, bool last = false);

 private:
  static void begin(void* fiber);
  void arrived();

#if defined(BA_SAM_FIBER_UCONTEXT)
  static void begin_halves(unsigned high, unsigned low);
  ucontext_t context_;
#else
  void* stack_pointer_ = nullptr;
#endif
  void (*entry_)(void*) = nullptr;
  void* argument_ = nullptr;
  const void* stack_bottom_ = nullptr;
  size_t stack_size_ = 0;
  void* fake_stack_ = nullptr;  // AddressSanitizer's, while somebody else runs
};

}  // namespace ba_sam::emulation
