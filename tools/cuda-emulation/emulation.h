// What tests can set and ask of the emulation. Programs that cannot include this use the environment variables named here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "executor.h"

namespace ba_sam::emulation {

struct Settings {
  int devices = 2;                  // BA_SAM_EMULATION_DEVICES
  int sm = 80;                      // BA_SAM_EMULATION_SM: 10 · major + minor of all devices
  size_t memory = size_t{8} << 30;  // BA_SAM_EMULATION_MEMORY: bytes of each device
  int driver = 13000;               // BA_SAM_EMULATION_DRIVER: a CUDA version, or "none"
  int threads = 1;                  // BA_SAM_EMULATION_THREADS: host threads that run blocks
  Order order = Order::forward;     // BA_SAM_EMULATION_ORDER: forward, reverse, random, random:SEED
  uint64_t seed = 1;
  uint64_t lose_at = 0;  // BA_SAM_EMULATION_LOSE_AT: the n-th launch from 1 on loses its device; 0: none
  // BA_SAM_EMULATION_PROTECT: 0, or 1: host code that touches device memory ends the process (memory_registry.h)
  bool protect = false;
  bool lazy = false;  // BA_SAM_EMULATION_STREAMS: eager, or lazy: work runs no sooner than it must
};

// From the environment, read once per process.
Settings environment_settings();
// Forgets errors and counters and applies the settings. Objects that live go on living.
void reset(const Settings& settings = environment_settings());

// How the last failed kernel, copy or matrix product failed; empty if none has since the last reset.
std::string last_failure();

struct Leaks {
  size_t device_blocks, host_blocks, streams, events, graphs, graph_execs;
  size_t total() const { return device_blocks + host_blocks + streams + events + graphs + graph_execs; }
};
Leaks live_objects();
// What was written outside allocations that live or were freed since the last reset; empty if nothing.
std::string damage();
// Kernels and matrix products that ran since the last reset.
uint64_t launches();

}  // namespace ba_sam::emulation

// For those who load a library with the emulation inside: the same as text, valid until the thread's next call. `what`:
// "failure", "damage", "leaks" (numbers of Leaks' fields with spaces between), "launches".
extern "C" __attribute__((visibility("default"))) const char* ba_sam_emulation_report(const char* what);
// Settings as "name=value" with the environment variable's name without its prefix, in lower case: "lose_at=3".
extern "C" __attribute__((visibility("default"))) int ba_sam_emulation_set(const char* name_and_value);
