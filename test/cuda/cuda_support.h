// What the tests of the CUDA backend share: a cuBLASLt to run with, and what the emulation has to say at the end.
#pragma once

#include "../../native/backends/cuda/backend.h"
#include "../../native/backends/cuda/cublaslt.h"
#include "../../native/backends/cuda/device.h"
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

// Says why tests are skipped where no device can be used.
inline bool no_device() {
  const std::string reason = cuda::list_devices(false).reason;
  if (!reason.empty()) std::printf("%s: skipped\n", reason.c_str());
  return !reason.empty();
}

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

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::shared_ptr<cuda::CudaBackend> backend_on(int device) {
  cuda::BackendOptions options;
  options.device = device;
  return cuda::make_cuda_backend(options);
}

// Executable graphs, which only the emulation counts.
inline size_t live_graphs() {
#if defined(BA_SAM_CUDA_EMULATION)
  return emulation::live_objects().graph_execs;
#else
  return 0;
#endif
}

// Norm, product with residual, convolution, attention-free: some of everything, `rows` rows, with a constant to fold.
inline GraphSpec layers(int64_t rows, DType dtype = DType::f32) {
  GraphSpec s;
  const auto weight = [&](const char* name, Shape shape, DType type) {
    return s.value(ValueKind::weight, std::move(shape), type, name);
  };
  const auto x = s.input({rows, 4, 16});
  const auto y = s.node(LayerNormOp{1e-6}, {x, weight("g", {16}, DType::f32), weight("b", {16}, DType::f32)},
                        {rows, 4, 16}, dtype);
  const auto hidden = s.node(LinearOp{Activation::gelu},
                             {y, weight("w1", {32, 16}, dtype), weight("b1", {32}, DType::f32)}, {rows, 4, 32}, dtype);
  const auto sum = s.node(LinearOp{}, {hidden, weight("w2", {16, 32}, dtype), weight("b2", {16}, DType::f32), x},
                          {rows, 4, 16}, DType::f32);
  const auto folded = s.node(ResizeRelPosOp{}, {weight("table", {7, 16}, DType::f32)}, {4, 16});
  const auto positions = s.node(ReshapeOp{}, {folded}, {1, 4, 16});
  s.outputs = {s.node(AddOp{}, {sum, positions}, {rows, 4, 16})};
  return s;
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
