// See backend.h.
#include "backend.h"

#include <omp.h>

#include <chrono>
#include <cstring>
#include <dnnl.hpp>

namespace ba_sam::cpu {
namespace {

KernelPtr make(const KernelContext& c) {
  switch (c.node.op) {
    case Op::linear:
      return make_linear(c);
    case Op::layer_norm:
      return make_layer_norm(c);
    case Op::grid_attention:
      return make_grid_attention(c);
    case Op::attention:
      return make_attention(c);
    case Op::conv2d:
      return make_conv2d(c);
    case Op::conv_transpose2d:
      return make_conv_transpose2d(c);
    case Op::patch_embed:
      return make_patch_embed(c);
    case Op::add:
      return make_add(c);
    case Op::concat:
      return make_concat(c);
    case Op::slice:
      return make_slice(c);
    case Op::matmul:
      return make_matmul(c);
    case Op::transpose:
      return make_transpose(c);
    case Op::reshape:
      break;  // a view: plans give it no kernel
    case Op::cast:
      return make_cast(c);
    case Op::point_encoding:
      return make_point_encoding(c);
    case Op::grid_encoding:
      return make_grid_encoding(c);
    case Op::resize_positions:
      return make_resize_positions(c);
    case Op::resize_rel_pos:
      return make_resize_rel_pos(c);
    case Op::upsample_masks:
      return make_upsample_masks(c);
  }
  throw SamError("ERR_INTERNAL", std::string("No CPU kernel for ") + op_info(static_cast<uint8_t>(c.node.op)).name);
}

void check_dtypes(const KernelContext& c) {
  auto check = [](DType dtype) {
    const std::string reason = unavailable_reason(dtype);
    if (!reason.empty()) throw SamError("ERR_DEVICE_UNAVAILABLE", reason);
  };
  check(c.out().dtype);
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
  explicit CpuBackend(int threads) : threads_(threads) {}

  std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) override {
    const KernelContext c{{graph, node, weights}, threads_ ? threads_ : omp_get_max_threads(), best_isa()};
    check_dtypes(c);
    try {
      return make(c);
    } catch (const dnnl::error& error) {
      throw SamError(error.status == dnnl_out_of_memory ? "ERR_OUT_OF_MEMORY" : "ERR_INTERNAL",
                     std::string("oneDNN refused ") + op_info(static_cast<uint8_t>(node.op)).name + " to " +
                         shape_text(c.out().shape) + ": " + error.what());
    }
  }

  std::shared_ptr<Memory> allocate(size_t bytes, const char* what) override {
    return std::make_shared<HostMemory>(bytes, what);
  }

  std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name) override {
    return std::make_shared<TensorMemory>(weights.plain(name));
  }

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
  int threads_;
};

}  // namespace

std::string unavailable_reason(DType dtype) {
  if (dtype == DType::f16) return "Expected dtype f32 or bf16 on the CPU but received f16; f16 needs a CUDA device";
  if (dtype != DType::bf16 || isa_supported(Isa::avx512)) return "";
  return "Expected a processor with AVX-512 for dtype bf16 on the CPU but this one has none; use dtype f32";
}

std::shared_ptr<Backend> make_cpu_backend(int threads) {
  return std::make_shared<CpuBackend>(threads);
}

}  // namespace ba_sam::cpu
