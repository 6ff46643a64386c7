// Context switches: by hand on x86-64 (ucontext makes two system calls a switch), with AddressSanitizer told about them.
#include "fiber.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(BA_SAM_FIBER_UCONTEXT)
// void ba_sam_emulation_switch(void** save, void* load): saves what a function must preserve, and changes the stack.
// The floating-point control words are the same for all fibers.
asm(R"(
  .text
  .p2align 4
  .hidden ba_sam_emulation_switch
  .globl ba_sam_emulation_switch
  .type ba_sam_emulation_switch, @function
ba_sam_emulation_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size ba_sam_emulation_switch, .-ba_sam_emulation_switch
  .hidden ba_sam_emulation_begin
  .globl ba_sam_emulation_begin
  .type ba_sam_emulation_begin, @function
ba_sam_emulation_begin:
  movq %rbx, %rdi
  callq *%r12
  ud2
  .size ba_sam_emulation_begin, .-ba_sam_emulation_begin
)");
extern "C" void ba_sam_emulation_switch(void** save, void* load);
extern "C" void ba_sam_emulation_begin();
#endif

namespace ba_sam::emulation {

namespace {
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kStackBytes = 512 * 1024;  // sanitized frames are several times as large
#else
constexpr size_t kStackBytes = 128 * 1024;
#endif
}  // namespace

FiberStacks::FiberStacks(int count) {
  guard_ = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  pitch_ = kStackBytes + guard_;
  bytes_ = pitch_ * static_cast<size_t>(count);
  void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<char*>(memory);
  for (int i = 0; i < count; ++i) mprotect(bottom(i) - guard_, guard_, PROT_NONE);
}

FiberStacks::~FiberStacks() {
  munmap(memory_, bytes_);
}

void Fiber::adopt_host_thread() {
#if defined(__SANITIZE_ADDRESS__)
  pthread_attr_t attributes;
  void* bottom = nullptr;
  if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
    pthread_attr_getstack(&attributes, &bottom, &stack_size_);
    pthread_attr_destroy(&attributes);
  }
  stack_bottom_ = bottom;
#endif
}

// Tops of stacks are staggered: at equal distances the same variables of all lanes would share one set of the L1 cache.
void Fiber::prepare(char* stack_bottom, size_t stack_size, int index, void (*entry)(void*), void* argument) {
  entry_ = entry;
  argument_ = argument;
  stack_bottom_ = stack_bottom;
  stack_size_ = stack_size;
  fake_stack_ = nullptr;
  const size_t used = stack_size - 64 - static_cast<size_t>(index % 64) * 1088;
#if defined(BA_SAM_FIBER_UCONTEXT)
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_bottom;
  context_.uc_stack.ss_size = used & ~size_t{63};
  context_.uc_link = nullptr;
  const auto bits = static_cast<uint64_t>(reinterpret_cast<uintptr_t>(this));
  makecontext(&context_, reinterpret_cast<void (*)()>(&begin_halves), 2, static_cast<unsigned>(bits >> 32),
              static_cast<unsigned>(bits));
#else
  char* top = stack_bottom + (used & ~size_t{63});
  void* frame[8] = {};
  frame[3] = reinterpret_cast<void*>(&begin);  // r12
  frame[4] = this;                             // rbx
  frame[6] = reinterpret_cast<void*>(&ba_sam_emulation_begin);
  stack_pointer_ = top - sizeof frame - 8;  // the first call finds the stack aligned to 16
  std::memcpy(stack_pointer_, frame, sizeof frame);
#endif
}

#if defined(BA_SAM_FIBER_UCONTEXT)
void Fiber::begin_halves(unsigned high, unsigned low) {
  begin(reinterpret_cast<void*>(static_cast<uintptr_t>(static_cast<uint64_t>(high) << 32 | low)));
}
#endif

void Fiber::begin(void* fiber) {
  auto* self = static_cast<Fiber*>(fiber);
  self->arrived();
  self->entry_(self->argument_);
  std::abort();
}

__attribute__((no_sanitize("address", "undefined"))) void Fiber::arrived() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake_stack_, nullptr, nullptr);
#endif
}

__attribute__((no_sanitize("address", "undefined"))) void Fiber::switch_to(Fiber& from, Fiber& to,
                                                                           [[maybe_unused]] bool last) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(last ? nullptr : &from.fake_stack_, to.stack_bottom_, to.stack_size_);
#endif
#if defined(BA_SAM_FIBER_UCONTEXT)
  swapcontext(&from.context_, &to.context_);
#else
  ba_sam_emulation_switch(&from.stack_pointer_, to.stack_pointer_);
#endif
  from.arrived();
}

}  // namespace ba_sam::emulation
