// See gemm.h.
#include "gemm.h"

#include <algorithm>

#include "kernels.h"

namespace ba_sam::cuda {
namespace {

constexpr size_t kVersionWithF8 = 120900;
constexpr int64_t kRowStep = 128;  // rows of a part: a multiple keeps addresses aligned

lt::DataType lt_type(DType dtype) {
  return dtype == DType::bf16 ? lt::kBF16 : dtype == DType::f16 ? lt::kF16 : lt::kF32;
}

// The largest power of two, at most 256, that divides everything given.
unsigned alignment_of(const void* pointer, int64_t stride_bytes = 0) {
  const uint64_t bits = reinterpret_cast<uintptr_t>(pointer) | static_cast<uint64_t>(stride_bytes) | 256;
  return static_cast<unsigned>(bits & (~bits + 1));
}

const void* advance(const void* pointer, int64_t elements, size_t element_bytes) {
  return pointer ? static_cast<const uint8_t*>(pointer) + elements * static_cast<int64_t>(element_bytes) : nullptr;
}
// The bias as cuBLASLt's epilogue takes it.
const void* fused_bias(const GemmCall& call) {
  return call.bias_bf16 ? call.bias_bf16 : call.bias;
}
void* advance(void* pointer, int64_t elements, size_t element_bytes) {
  return static_cast<uint8_t*>(pointer) + elements * static_cast<int64_t>(element_bytes);
}

}  // namespace

bool Gemm::Key::operator==(const Key& o) const {
  return m == o.m && n == o.n && k == o.k && batch == o.batch && x_stride == o.x_stride && w_stride == o.w_stride &&
         in == o.in && out == o.out && epilogue == o.epilogue && residual == o.residual && f8 == o.f8 &&
         align_x == o.align_x && align_w == o.align_w && align_c == o.align_c && align_out == o.align_out &&
         align_bias == o.align_bias;
}

size_t Gemm::Hash::operator()(const Key& key) const {
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const int64_t part : {key.m, key.n, key.k, key.batch, key.x_stride, key.w_stride,
                             int64_t{key.in} << 16 | int64_t{key.out} << 12 | int64_t{key.epilogue} << 2 |
                                 int64_t{key.f8} << 1 | key.residual,
                             int64_t{key.align_x} << 48 | int64_t{key.align_w} << 36 | int64_t{key.align_c} << 24 |
                                 int64_t{key.align_out} << 12 | key.align_bias}) {
    hash = (hash ^ static_cast<uint64_t>(part)) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 29;
  }
  return hash;
}

// Descriptors of one shape and the algorithm for it; without one `usable` is false.
struct Gemm::MatmulChoice {
  const lt::Library& library;
  lt::MatmulDesc desc = nullptr;
  lt::Layout w = nullptr, x = nullptr, out = nullptr;
  lt::HeuristicResult chosen = {};
  bool usable = false;

  explicit MatmulChoice(const lt::Library& l) : library(l) {}
  ~MatmulChoice() {
    if (desc) library.desc_destroy(desc);
    for (lt::Layout layout : {w, x, out}) {
      if (layout) library.layout_destroy(layout);
    }
  }
  MatmulChoice(const MatmulChoice&) = delete;
  MatmulChoice& operator=(const MatmulChoice&) = delete;
};

Gemm::Gemm(const lt::Library& library, cudaStream_t stream, std::shared_ptr<DeviceMemory> workspace, bool tf32,
           const Limits& limits)
    : library_(library), stream_(stream), workspace_(std::move(workspace)), tf32_(tf32), limits_(limits) {
  require(library_.create(&handle_), "its context");
  const auto set = [&](lt::PreferenceAttribute attribute, auto value) {
    return library_.preference_set(preference_, attribute, &value, sizeof(value));
  };
  try {
    require(library_.preference_create(&preference_), "a preference");
    require(set(lt::kPreferenceMaxWorkspace, uint64_t{workspace_->size()}), "the size of a workspace");
    require(set(lt::kPreferenceReductionSchemes, static_cast<uint32_t>(lt::kReduceComputeType)), "a reduction scheme");
  } catch (...) {
    if (preference_) library_.preference_destroy(preference_);
    library_.destroy(handle_);
    throw;
  }
}

Gemm::~Gemm() {
  choices_.clear();
  library_.preference_destroy(preference_);
  library_.destroy(handle_);
}

void Gemm::require(lt::Status status, const char* what) const {
  if (status == lt::kSuccess) return;
  const std::string tried = std::string("cuBLASLt's ") + what;
  const cudaError_t error = cudaGetLastError();  // says more than the status, when the device has failed
  if (error != cudaSuccess) fail(error, tried);
  const std::string message = "cuBLASLt refused " + std::string(what) + ": " + library_.status_name(status);
  throw SamError(status == lt::kAllocFailed ? "ERR_OUT_OF_MEMORY" : "ERR_INTERNAL", message);
}

Gemm::MatmulChoice& Gemm::choice_for(const GemmCall& call, uint32_t epilogue) {
  const auto in_bytes = static_cast<int64_t>(call.in_bytes());
  const auto out_bytes = static_cast<int64_t>(dtype_bytes(call.out_dtype));
  const bool batched = call.batch > 1;
  const int64_t out_stride = batched ? call.m * call.n : 0;
  const void* c = call.residual ? call.residual : call.out;
  Key key = {};
  key.m = call.m;
  key.n = call.n;
  key.k = call.k;
  key.batch = call.batch;
  if (batched) {
    key.x_stride = call.x_stride;
    key.w_stride = call.w_stride;
  }
  key.in = static_cast<int>(call.in_dtype);
  key.out = static_cast<int>(call.out_dtype);
  key.epilogue = static_cast<int>(epilogue);
  key.residual = call.residual != nullptr;
  key.f8 = call.is_f8();
  key.align_x = alignment_of(call.x, key.x_stride * in_bytes);
  key.align_w = alignment_of(call.w, key.w_stride * in_bytes);
  key.align_c = alignment_of(c, out_stride * out_bytes);
  key.align_out = alignment_of(call.out, out_stride * out_bytes);
  key.align_bias = alignment_of(fused_bias(call));

  const auto found = choices_.find(key);
  if (found != choices_.end()) return *found->second;

  auto choice = std::make_unique<MatmulChoice>(library_);
  const lt::ComputeType compute = call.in_dtype == DType::f32 && tf32_ ? lt::kCompute32FFastTF32 : lt::kCompute32F;
  require(library_.desc_create(&choice->desc, compute, lt::kF32), "a product's description");
  const auto describe = [&](lt::MatmulDescAttribute attribute, auto value) {
    require(library_.desc_set(choice->desc, attribute, &value, sizeof(value)), "an attribute of a product");
  };
  describe(lt::kDescTransA, static_cast<int32_t>(lt::kTransposed));
  describe(lt::kDescTransB, static_cast<int32_t>(lt::kNotTransposed));
  describe(lt::kDescEpilogue, epilogue);
  if (epilogue & lt::kBias) describe(lt::kDescBiasPointer, fused_bias(call));
  if (call.is_f8()) {
    // Sums with 14 bits of mantissa, as everybody has them in the forward pass: an e4m3 has 4.
    describe(lt::kDescFastAccumulation, int8_t{1});
    describe(lt::kDescScaleModeA, static_cast<int32_t>(lt::kScaleOuterVector));
    describe(lt::kDescScaleModeB, static_cast<int32_t>(lt::kScaleOuterVector));
    describe(lt::kDescScalePointerA, call.w_scales);
    describe(lt::kDescScalePointerB, call.x_scales);
    if (call.bias_bf16) describe(lt::kDescBiasType, static_cast<int32_t>(lt::kBF16));
  }

  const auto layout = [&](lt::Layout* target, lt::DataType type, int64_t rows, int64_t columns, int64_t stride) {
    require(library_.layout_create(target, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), rows),
            "a matrix's description");
    if (!batched) return;
    const auto count = static_cast<int32_t>(call.batch);
    require(library_.layout_set(*target, lt::kLayoutBatchCount, &count, sizeof(count)), "a batch's description");
    require(library_.layout_set(*target, lt::kLayoutBatchStride, &stride, sizeof(stride)), "a batch's description");
  };
  const lt::DataType in = call.is_f8() ? lt::kE4M3 : lt_type(call.in_dtype);
  layout(&choice->w, in, call.k, call.n, call.w_stride);
  layout(&choice->x, in, call.k, call.m, call.x_stride);
  layout(&choice->out, lt_type(call.out_dtype), call.n, call.m, out_stride);

  const auto promise = [&](lt::PreferenceAttribute attribute, uint32_t bytes) {
    require(library_.preference_set(preference_, attribute, &bytes, sizeof(bytes)), "an alignment");
  };
  promise(lt::kPreferenceAlignmentA, key.align_w);
  promise(lt::kPreferenceAlignmentB, key.align_x);
  promise(lt::kPreferenceAlignmentC, key.align_c);
  promise(lt::kPreferenceAlignmentD, key.align_out);
  int returned = 0;
  const lt::Status status = library_.heuristic(handle_, choice->desc, choice->w, choice->x, choice->out, choice->out,
                                               preference_, 1, &choice->chosen, &returned);
  // "Not supported" is an answer, and so is "invalid value", which it gives for alignments that no kernel has.
  if (status != lt::kSuccess && status != lt::kNotSupported && status != lt::kInvalidValue) require(status, "a search");
  choice->usable = status == lt::kSuccess && returned > 0 && choice->chosen.state == lt::kSuccess &&
                   choice->chosen.workspace_bytes <= workspace_->size();
  return *choices_.emplace(key, std::move(choice)).first->second;
}

bool Gemm::multiply(const GemmCall& call, uint32_t epilogue) {
  MatmulChoice& choice = choice_for(call, epilogue);
  if (!choice.usable) return false;
  const auto point = [&](lt::MatmulDescAttribute attribute, const void* data) {
    require(library_.desc_set(choice.desc, attribute, &data, sizeof(data)), "an address");
  };
  if (epilogue & lt::kBias) point(lt::kDescBiasPointer, fused_bias(call));
  if (call.is_f8()) {
    point(lt::kDescScalePointerA, call.w_scales);
    point(lt::kDescScalePointerB, call.x_scales);
  }
  const float alpha = 1, beta = call.residual ? 1 : 0;
  const void* c = call.residual ? call.residual : call.out;
  const lt::Status status =
      library_.matmul(handle_, choice.desc, &alpha, call.w, choice.w, call.x, choice.x, &beta, c, choice.out, call.out,
                      choice.out, &choice.chosen.algorithm, workspace_->data(), workspace_->size(), stream_);
  if (status == lt::kNotSupported || status == lt::kArchMismatch) {
    choice.usable = false;  // chosen, and refused all the same: not again
    return false;
  }
  require(status, "a product");
  return true;
}

void Gemm::run_part(const GemmCall& call) {
  // cuBLASLt's relu is max(x, 0), which is 0 for what is not a number.
  const bool apart =
      call.activation == Activation::relu || (call.activation == Activation::gelu && call.out_dtype != DType::bf16);
  uint32_t epilogue = call.bias ? lt::kBias : 0;
  if (call.activation == Activation::gelu && !apart) epilogue |= lt::kGelu;
  if (!epilogue) epilogue = lt::kDefault;

  if (multiply(call, epilogue)) {
    if (apart) finish_product(call, false, stream_);
  } else if (epilogue != lt::kDefault && multiply(call, lt::kDefault)) {
    finish_product(call, true, stream_);
  } else if (call.is_f8()) {
    refuse_f8(" has none on this device for m = " + std::to_string(call.m) + ", n = " + std::to_string(call.n) +
              ", k = " + std::to_string(call.k));
  } else {
    ++fallbacks_;
    gemm_simt(call, stream_);
  }
}

void Gemm::refuse_f8(const std::string& why) const {
  const size_t version = library_.version();
  throw SamError(
      "ERR_DEVICE_UNAVAILABLE",
      "Expected products of e4m3 with factors per row, which cuBLASLt has from version 12.9 on for devices of "
      "compute capability 9.0, but version " +
          std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + why +
          ": load the model without f8");
}

void Gemm::require_f8() const {
  if (library_.version() < kVersionWithF8) refuse_f8(" was found");
}

void Gemm::run(const GemmCall& call) {
  if (call.m == 0 || call.n == 0 || call.batch == 0) return;
  const int64_t wide = std::max(call.n, call.k);
  const int64_t rows = std::max(kRowStep, limits_.product_elements / wide / kRowStep * kRowStep);
  const int64_t items = call.m > rows ? 1 : limits_.product_batch;
  if (call.m <= rows && call.batch <= items) return run_part(call);

  GemmCall part = call;
  for (int64_t b = 0; b < call.batch; b += items) {
    part.batch = std::min(items, call.batch - b);
    for (int64_t row = 0; row < call.m; row += rows) {
      part.m = std::min(rows, call.m - row);
      part.x = advance(call.x, b * call.x_stride + row * call.k, call.in_bytes());
      if (call.is_f8()) part.x_scales = call.x_scales + row;
      part.w = advance(call.w, b * call.w_stride, call.in_bytes());
      part.residual = advance(call.residual, (b * call.m + row) * call.n, dtype_bytes(call.out_dtype));
      part.out = advance(call.out, (b * call.m + row) * call.n, dtype_bytes(call.out_dtype));
      run_part(part);
    }
  }
}

}  // namespace ba_sam::cuda
