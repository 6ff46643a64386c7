// What the tests of the CUDA backend share: a cuBLASLt to run with, and what the emulation has to say at the end.
#pragma once

#include "../../native/cuda/backend.h"
#include "../../native/cuda/cublaslt.h"
#include "../native/support.h"

#if defined(BA_SAM_CUDA_EMULATION)
#include "emulation.h"
#endif

namespace ba_sam::test {

#if defined(BA_SAM_CUDA_EMULATION)
constexpr bool kEmulated = true;
#else
constexpr bool kEmulated = false;
#endif

// A cuBLASLt that has nothing for any shape: all products go to the SIMT kernel.
inline const cuda::lt::Library& refusing_cublaslt() {
  using namespace cuda::lt;
  static const Library library = [] {
    Library l = {};
    l.version = [] { return size_t{130000}; };
    l.status_name = [](Status) { return "a status"; };
    l.create = [](Handle*) { return kSuccess; };
    l.destroy = [](Handle) { return kSuccess; };
    l.desc_create = [](MatmulDesc*, ComputeType, DataType) { return kSuccess; };
    l.desc_destroy = [](MatmulDesc) { return kSuccess; };
    l.desc_set = [](MatmulDesc, MatmulDescAttribute, const void*, size_t) { return kSuccess; };
    l.layout_create = [](Layout*, DataType, uint64_t, uint64_t, int64_t) { return kSuccess; };
    l.layout_destroy = [](Layout) { return kSuccess; };
    l.layout_set = [](Layout, LayoutAttribute, const void*, size_t) { return kSuccess; };
    l.preference_create = [](Preference*) { return kSuccess; };
    l.preference_destroy = [](Preference) { return kSuccess; };
    l.preference_set = [](Preference, PreferenceAttribute, const void*, size_t) { return kSuccess; };
    l.heuristic = [](Handle, MatmulDesc, Layout, Layout, Layout, Layout, Preference, int, HeuristicResult*,
                     int* returned) {
      *returned = 0;
      return kNotSupported;
    };
    return l;
  }();
  return library;
}

// Nothing is left and nothing was written where it should not be.
inline void check_emulation(Counts& counts) {
#if defined(BA_SAM_CUDA_EMULATION)
  const emulation::Leaks leaks = emulation::live_objects();
  counts.check(leaks.total() == 0, "leaks: " + std::to_string(leaks.device_blocks) + " device, " +
                                       std::to_string(leaks.host_blocks) + " host, " + std::to_string(leaks.streams) +
                                       " streams, " + std::to_string(leaks.events) + " events, " +
                                       std::to_string(leaks.graphs + leaks.graph_execs) + " graphs");
  counts.check(emulation::damage().empty(), "damage: " + emulation::damage());
#else
  (void)counts;
#endif
}

}  // namespace ba_sam::test
