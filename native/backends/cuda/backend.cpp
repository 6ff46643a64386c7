// See backend.h.
#include "backend.h"

#include <algorithm>
#include <cstring>

#include "device.h"

namespace ba_sam::cuda {
namespace {

// What cuBLASLt's documentation recommends for Hopper; elsewhere its kernels ask for less.
constexpr size_t kWorkspaceHopper = size_t{32} << 20;
constexpr size_t kWorkspaceOthers = size_t{8} << 20;

// to[i, j, k] = from[…] with the axes of `from` (dims of the layout) in the layout's order; or back.
void permute(uint8_t* to, const uint8_t* from, const WeightLayout& layout, size_t element_bytes, bool back) {
  const int64_t* d = layout.dims;
  const int64_t strides[3] = {d[1] * d[2], d[2], 1};
  const int* a = layout.axes;
  int64_t packed = 0;
  for (int64_t i = 0; i < d[a[0]]; ++i) {
    for (int64_t j = 0; j < d[a[1]]; ++j) {
      for (int64_t k = 0; k < d[a[2]]; ++k, ++packed) {
        const int64_t plain = i * strides[a[0]] + j * strides[a[1]] + k * strides[a[2]];
        const int64_t source = back ? packed : plain, target = back ? plain : packed;
        std::memcpy(to + static_cast<size_t>(target) * element_bytes,
                    from + static_cast<size_t>(source) * element_bytes, element_bytes);
      }
    }
  }
}

// A weight in device memory. The store that keeps it keeps the backend alive, too.
struct DeviceTensor final : PackedTensor {
  CudaBackend& backend;
  WeightLayout layout;
  DType dtype;
  Shape shape;
  std::shared_ptr<Memory> memory;

  DeviceTensor(CudaBackend& b, const WeightLayout& l, const Tensor& tensor)
      : backend(b), layout(l), dtype(tensor.dtype), shape(tensor.shape) {
    const size_t bytes = tensor.data.size();
    if (layout.is_plain()) {
      memory = backend.upload(tensor.data.data(), bytes, "a weight");
    } else {
      Buffer permuted(bytes, "a weight");
      permute(permuted.data(), tensor.data.data(), layout, dtype_bytes(dtype), false);
      memory = backend.upload(permuted.data(), bytes, "a weight");
    }
  }

  size_t bytes() const override { return memory->size(); }
  std::shared_ptr<const Tensor> unpack() const override {
    const DeviceScope scope(backend.options().device);
    auto tensor = std::make_shared<Tensor>();
    tensor->dtype = dtype;
    tensor->shape = shape;
    tensor->data = Buffer(memory->size(), "a weight");
    if (layout.is_plain()) {
      backend.read(tensor->data.data(), memory->data(), memory->size());
    } else {
      Buffer permuted(memory->size(), "a weight");
      backend.read(permuted.data(), memory->data(), memory->size());
      permute(tensor->data.data(), permuted.data(), layout, dtype_bytes(dtype), true);
    }
    return tensor;
  }
};

// What a plan has of CUDA's between its runs: nothing after the first one, a graph after the second.
class Recording final : public Execution::Recording {
 public:
  explicit Recording(int device) : device_(device) {}
  ~Recording() override {
    if (!graph_) return;
    const DeviceScope scope(device_);
    if (cudaGraphExecDestroy(graph_) != cudaSuccess) cudaGetLastError();
  }
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  void replay(const std::vector<Execution::Step>& steps, cudaStream_t stream) {
    if (!graph_) capture(steps, stream);
    check(cudaGraphLaunch(graph_, stream), "the launch of a graph");
  }

 private:
  void capture(const std::vector<Execution::Step>& steps, cudaStream_t stream) {
    // Thread-local: other threads may allocate and free on other devices meanwhile.
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "the start of a capture");
    cudaGraph_t graph = nullptr;
    try {
      for (const Execution::Step& step : steps) step.kernel->run(step.io);
    } catch (...) {
      if (cudaStreamEndCapture(stream, &graph) != cudaSuccess) cudaGetLastError();
      if (graph) cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph), "the end of a capture");
    const cudaError_t error = cudaGraphInstantiate(&graph_, graph, 0);
    cudaGraphDestroy(graph);
    check(error, "a graph");
  }

  int device_;
  cudaGraphExec_t graph_ = nullptr;
};

}  // namespace

bool WeightLayout::operator==(const WeightLayout& other) const {
  if (is_plain() && other.is_plain()) return true;
  return std::equal(dims, dims + 3, other.dims) && std::equal(axes, axes + 3, other.axes);
}

CudaBackend::CudaBackend(const BackendOptions& options) : options_(options) {
  require_device(options.device);
  const lt::Found found = lt::find();
  if (!found.library) throw SamError("ERR_DEVICE_UNAVAILABLE", found.reason);
  library_ = found.library;
}

CudaBackend::~CudaBackend() {
  if (!stream_) return;
  const DeviceScope scope(options_.device);
  staging_->abandon();
  gemm_.reset();
  staging_.reset();
  if (cudaStreamDestroy(stream_) != cudaSuccess) cudaGetLastError();
}

void CudaBackend::start() {
  int major = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, options_.device), "a compute capability");
  const size_t workspace_bytes = major >= 9 ? kWorkspaceHopper : kWorkspaceOthers;
  const auto workspace = std::make_shared<DeviceMemory>(options_.device, workspace_bytes, "cuBLASLt's workspace");
  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  try {
    staging_ = std::make_unique<Staging>(stream);
    gemm_ = std::make_unique<Gemm>(*library_, stream, workspace, options_.tf32, options_.limits);
  } catch (...) {
    if (cudaStreamDestroy(stream) != cudaSuccess) cudaGetLastError();
    throw;
  }
  stream_ = stream;
}

void CudaBackend::enter() {
  use_device(options_.device);
  if (!stream_) return start();
  // A lost device says so here, before anything is prepared.
  const cudaError_t error = cudaStreamQuery(stream_);
  if (error != cudaErrorNotReady) check(error, "the device's stream");
}

std::unique_ptr<Kernel> CudaBackend::make_kernel(const Graph& graph, const Node& node, WeightStore& weights) {
  const KernelContext c{{graph, node, weights}, *this};
  return std::visit([&](const auto& op) { return cuda::make_kernel(c, op); }, node.op);
}

std::shared_ptr<Memory> CudaBackend::allocate(size_t bytes, const char* what) {
  return std::make_shared<DeviceMemory>(options_.device, bytes, what);
}

std::shared_ptr<const Memory> CudaBackend::weight(WeightStore& weights, const std::string& name) {
  return weight(weights, name, {});
}

std::shared_ptr<const Memory> CudaBackend::weight(WeightStore& weights, const std::string& name,
                                                  const WeightLayout& layout) {
  const auto accepts = [&](const PackedTensor& packed) {
    const auto* tensor = dynamic_cast<const DeviceTensor*>(&packed);
    return tensor && &tensor->backend == this && tensor->layout == layout;
  };
  const auto pack = [&](std::shared_ptr<const Tensor> tensor) -> std::shared_ptr<const PackedTensor> {
    return std::make_shared<DeviceTensor>(*this, layout, *tensor);
  };
  return std::static_pointer_cast<const DeviceTensor>(weights.packed(name, accepts, pack))->memory;
}

std::shared_ptr<Memory> CudaBackend::upload(const void* host, size_t bytes, const char* what) {
  auto memory = allocate(bytes, what);
  staging_->upload(memory->data(), host, bytes);
  return memory;
}

void CudaBackend::write(void* memory, const void* host, size_t bytes) {
  staging_->upload(memory, host, bytes);
  staging_->flush();
}

void CudaBackend::read(void* host, const void* memory, size_t bytes) {
  try {
    staging_->download(host, memory, bytes);
    staging_->flush();
  } catch (...) {
    staging_->abandon();  // nothing is written to `host` later
    throw;
  }
}

void CudaBackend::run(Execution& execution, const RunControl& control) {
  check_cancel(control.cancel);
  try {
    for (const Execution::Upload& u : execution.uploads) {
      staging_->upload(u.memory, u.host, u.bytes, &control.cancel);
    }
    run_steps(execution, control);
    check_cancel(control.cancel);
    for (const Execution::Download& d : execution.downloads) staging_->download(d.host, d.memory, d.bytes);
    staging_->flush();
  } catch (...) {
    staging_->abandon();
    throw;
  }
  check_cancel(control.cancel);
  if (control.progress) control.progress(1);
}

void CudaBackend::run_steps(Execution& execution, const RunControl& control) {
  const std::vector<Execution::Step>& steps = execution.steps;
  if (control.node_ms) {
    std::vector<Event> events(1);  // before, between and after the steps
    events.front().record(stream_);
    for (const Execution::Step& step : steps) {
      check_cancel(control.cancel);
      step.kernel->run(step.io);
      events.emplace_back();
      events.back().record(stream_);
    }
    events.back().wait();
    for (size_t i = 0; i < steps.size(); ++i) {
      (*control.node_ms)[steps[i].node] = events[i + 1].milliseconds_since(events[i]);
    }
    return;
  }
  if (steps.empty()) return;
  if (execution.recording) return static_cast<Recording&>(*execution.recording).replay(steps, stream_);
  for (const Execution::Step& step : steps) {
    check_cancel(control.cancel);
    step.kernel->run(step.io);
  }
  execution.recording = std::make_unique<Recording>(options_.device);
}

void CudaBackend::finish() {
  staging_->flush();
}

std::shared_ptr<CudaBackend> make_cuda_backend(const BackendOptions& options) {
  return std::make_shared<CudaBackend>(options);
}

}  // namespace ba_sam::cuda
