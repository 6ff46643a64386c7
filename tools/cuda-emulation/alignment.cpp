// Accesses at addresses that their type does not allow: a device faults, the host's processor mostly does not notice. g++
// checks each one (-fsanitize=alignment) and calls this.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "block_runner.h"

// With AddressSanitizer the compiler's own runtime is there, and ends the process.
#if !defined(__SANITIZE_ADDRESS__)

namespace {

// What the compiler passes: GCC's and Clang's names for both are the same.
struct SourceLocation {
  const char* file;
  uint32_t line, column;
};
struct TypeName {
  uint16_t kind, info;
  char text[1];
};
struct Mismatch {
  SourceLocation at;
  const TypeName* type;
  unsigned char log_alignment, access;
};

}  // namespace

// Throws in a kernel, as every other finding does. The compiler takes this for a function that cannot: an object with a
// destructor in a kernel would end the process here, with an exception that nobody catches.
extern "C" void __ubsan_handle_type_mismatch_v1(void* data, void* address) {
  const auto& found = *static_cast<const Mismatch*>(data);
  ba_sam::emulation::Thread* thread = ba_sam::emulation::running_thread;
  const unsigned alignment = 1u << found.log_alignment;
  if (thread != nullptr) {
    const ba_sam::emulation::Site site{found.at.file, "", static_cast<int>(found.at.line)};
    const std::string kind = found.access == 1 ? "a write" : "an access";
    thread->runner->fail(
        *thread, site,
        kind + " of " + found.type->text + " at an address that is not a multiple of " + std::to_string(alignment));
  }
  std::fprintf(stderr, "%s:%u: %s at %p, not a multiple of %u\n", found.at.file, found.at.line, found.type->text,
               address, alignment);
  std::abort();
}

#endif
