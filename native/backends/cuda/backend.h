// The CUDA backend: one device, one stream, one factory per op.
//
// A plan's first run queues its kernels one by one, which also loads their code and chooses cuBLASLt's algorithms. The
// second one captures them as a CUDA graph, which is replayed from then on. Everything happens on the device's lane.
#pragma once

#include "../../core/node_view.h"
#include "gemm.h"
#include "memory.h"
#include "staging.h"

namespace ba_sam::cuda {

struct BackendOptions {
  int device = 0;
  bool tf32 = false;  // products of f32 tensors with 10-bit mantissas, several times as fast
  Limits limits;
};

// How a weight lies in device memory: its axes, seen as `dims`, in the order `axes`. The default is the plain form.
struct WeightLayout {
  int64_t dims[3] = {0, 0, 0};
  int axes[3] = {0, 1, 2};

  bool is_plain() const { return axes[0] == 0 && axes[1] == 1; }
  bool operator==(const WeightLayout& other) const;
};

class CudaBackend final : public Backend {
 public:
  // Throws SamError ERR_DEVICE_UNAVAILABLE with the reason when the device or cuBLASLt cannot be used. Its context, which
  // takes a while, is made at the first enter().
  explicit CudaBackend(const BackendOptions& options);
  ~CudaBackend() override;

  int lane() const override { return options_.device; }
  void enter() override;
  std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) override;
  std::shared_ptr<Memory> allocate(size_t bytes, const char* what) override;
  std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name) override;
  bool stages_inputs() const override { return true; }
  void write(void* memory, const void* host, size_t bytes) override;
  void read(void* host, const void* memory, size_t bytes) override;
  void run(Execution& execution, const RunControl& control) override;
  void finish() override;

  const BackendOptions& options() const { return options_; }
  cudaStream_t stream() const { return stream_; }
  Gemm& gemm() { return *gemm_; }
  std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name, const WeightLayout& layout);
  // Device memory with a copy of `bytes` of host memory, which may be gone afterwards.
  std::shared_ptr<Memory> upload(const void* host, size_t bytes, const char* what);

 private:
  void start();
  void run_steps(Execution& execution, const RunControl& control);

  BackendOptions options_;
  const lt::Library* library_ = nullptr;
  cudaStream_t stream_ = nullptr;
  std::unique_ptr<Staging> staging_;
  std::unique_ptr<Gemm> gemm_;
};

// What a factory gets to work with.
struct KernelContext : NodeView {
  CudaBackend& backend;
};

// Per op, in native/ops/<op>/: what runs the node. A view needs nothing to be run.
#define OP(name, wire, Struct) KernelPtr make_kernel(const KernelContext& c, const Struct& op);
#define VIEW_OP(name, wire, Struct) \
  inline KernelPtr make_kernel(const KernelContext&, const Struct&) { return nullptr; }
#include "../../ops/ops.def"

std::shared_ptr<CudaBackend> make_cuda_backend(const BackendOptions& options);

}  // namespace ba_sam::cuda
