// See backend.h.
#include "backend.h"

#include <omp.h>

#include <chrono>
#include <cstring>
#include <dnnl.hpp>

#include "../../core/team.h"

namespace ba_sam::cpu {
namespace {

void check_dtypes(const KernelContext& c) {
  auto check = [](DType dtype) {
    const std::string reason = unavailable_reason(dtype);
    if (!reason.empty()) throw SamError("ERR_DEVICE_UNAVAILABLE", reason);
  };
  for (size_t i = 0; i < c.node.outputs.size(); ++i) {
    if (c.has_out(i)) check(c.out(i).dtype);
  }
  for (size_t i = 0; i < c.node.inputs.size(); ++i) {
    if (c.has(i)) check(c.in(i).dtype);
  }
}

class HostMemory final : public Memory {
 public:
  HostMemory(size_t bytes, const char* what) : buffer_(bytes, what) {
    data_ = buffer_.data();
    size_ = buffer_.size();
  }

 private:
  Buffer buffer_;
};

class TensorMemory final : public Memory {
 public:
  explicit TensorMemory(std::shared_ptr<const Tensor> tensor) : tensor_(std::move(tensor)) {
    data_ = const_cast<uint8_t*>(tensor_->data.data());  // given away as const Memory only
    size_ = tensor_->data.size();
  }

 private:
  std::shared_ptr<const Tensor> tensor_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(const BackendOptions& options) : options_(options) {}

  std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) override {
    const int threads = team_to_be_had(options_.threads ? options_.threads : omp_get_max_threads());
    const KernelContext c{{graph, node, weights}, threads, options_.isa ? *options_.isa : best_isa()};
    check_dtypes(c);
    try {
      return std::visit([&](const auto& op) { return cpu::make_kernel(c, op); }, node.op);
    } catch (const dnnl::error& error) {
      throw SamError(
          error.status == dnnl_out_of_memory ? "ERR_OUT_OF_MEMORY" : "ERR_INTERNAL",
          std::string("oneDNN refused ") + node.info().name + " to " + shape_text(c.out().shape) + ": " + error.what());
    }
  }

  std::shared_ptr<Memory> allocate(size_t bytes, const char* what) override {
    return std::make_shared<HostMemory>(bytes, what);
  }

  std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name) override {
    return std::make_shared<TensorMemory>(weights.plain(name));
  }

  void write(void* memory, const void* host, size_t bytes) override { std::memcpy(memory, host, bytes); }
  void read(void* host, const void* memory, size_t bytes) override { std::memcpy(host, memory, bytes); }

  void run(Execution& execution, const RunControl& control) override {
    using Clock = std::chrono::steady_clock;
    double total = 0, done = 0;
    for (const Execution::Step& step : execution.steps) total += step.cost;
    for (const Execution::Step& step : execution.steps) {
      check_cancel(control.cancel);
      const auto start = Clock::now();
      step.kernel->run(step.io);
      done += step.cost;
      if (control.node_ms) {
        (*control.node_ms)[step.node] = std::chrono::duration<double, std::milli>(Clock::now() - start).count();
      }
      if (control.progress) control.progress(done / total);
    }
    check_cancel(control.cancel);
    for (const Execution::Download& d : execution.downloads) std::memcpy(d.host, d.memory, d.bytes);
  }

 private:
  BackendOptions options_;
};

}  // namespace

std::string unavailable_reason(DType dtype) {
  if (dtype == DType::f16) return "Expected dtype f32 or bf16 on the CPU but received f16; f16 needs a CUDA device";
  if (dtype != DType::bf16 || isa_supported(Isa::avx512)) return "";
  return "Expected a processor with AVX-512 for dtype bf16 on the CPU but this one has none; use dtype f32";
}

std::shared_ptr<Backend> make_cpu_backend(const BackendOptions& options) {
  return std::make_shared<CpuBackend>(options);
}

std::shared_ptr<Backend> make_cpu_backend(int threads) {
  return make_cpu_backend(BackendOptions{threads, {}});
}

}  // namespace ba_sam::cpu
