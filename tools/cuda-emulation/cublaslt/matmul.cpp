// cublasLtMatmulAlgoGetHeuristic and cublasLtMatmul: what is accepted, and what is put into the stream.
//
// Where the documentation leaves a choice, the strict one is taken, so that a caller's other ways are tested: 16-bit
// matrices need 16-byte alignment of addresses and columns, a fused bias needs 16-byte alignment.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "../stream_interface.h"
#include "cublaslt.h"

using namespace ba_sam::emulation::lt;

#define BA_SAM_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr uint64_t kMagic = 0x6c74656d756c6174;
constexpr int kIllegalAddress = 700, kMisalignedAddress = 716;  // cudaError_t

uint64_t alignment_of(uint64_t bits) {
  bits |= 256;
  return bits & (~bits + 1);
}
uint64_t alignment_of(const void* pointer) {
  return alignment_of(static_cast<uint64_t>(reinterpret_cast<uintptr_t>(pointer)));
}

bool known_type(uint32_t type) {
  return type == kF32 || type == kF16 || type == kBF16;
}

// Products of e4m3 as the documentation has them for factors per row, and stricter: no activation in the epilogue.
bool f8_supported(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  const char* sm = std::getenv("BA_SAM_EMULATION_SM");
  if (!sm || std::atoi(sm) != 90) return false;
  if (desc.scale != kF32 || desc.compute != kCompute32F || b.type != kE4M3) return false;
  if (c.type != d.type || !known_type(d.type)) return false;
  if (desc.transpose_a != 1 || desc.transpose_b != 0 || d.batch_count != 1) return false;
  if (desc.scale_mode_a != kOuterVector || desc.scale_mode_b != kOuterVector) return false;
  if (a.leading % 16 != 0 || b.leading % 16 != 0 || a.rows % 16 != 0 || a.columns % 16 != 0) return false;
  if (desc.epilogue != kDefault && desc.epilogue != kBias) return false;
  const uint32_t bias_type = d.type == kF32 ? uint32_t{kBF16} : d.type;
  const uint32_t described = desc.bias_type == -1 ? d.type : static_cast<uint32_t>(desc.bias_type);
  return desc.epilogue != kBias || described == bias_type;
}

// Types as the documentation's table of cublasLtMatmul() has them for 32-bit floating-point compute types.
bool types_supported(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  if (desc.scale != kF32 || a.type != b.type || c.type != d.type) return false;
  if (!known_type(a.type) || !known_type(d.type)) return false;
  switch (desc.compute) {
    case kCompute32F:
    case kCompute32FPedantic:
      return d.type == kF32 || d.type == a.type;
    case kCompute32FFastTf32:
      return a.type == kF32 && d.type == kF32;
  }
  return false;
}

bool valid_layout(const Layout& l) {
  if (l.rows == 0 || l.columns == 0 || l.batch_count < 1 || l.leading < 1) return false;
  if (l.order != kColumns && l.order != kRows) return false;
  return static_cast<uint64_t>(l.leading) >= (l.order == kColumns ? l.rows : l.columns);
}

constexpr uint32_t kEpilogues[] = {kDefault, kRelu, kBias, kRelu | kBias, kGelu, kGelu | kBias};

// Everything that does not depend on addresses.
Status check(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  for (const Layout* layout : {&a, &b, &c, &d}) {
    if (!valid_layout(*layout)) return kInvalidValue;
    if (layout->batch_count != d.batch_count) return kInvalidValue;
    constexpr uint64_t kMost = 0x7fffffff;
    if (layout->rows > kMost || layout->columns > kMost || layout->batch_count > 65535) return kNotSupported;
  }
  for (const int32_t operation : {desc.transpose_a, desc.transpose_b, desc.transpose_c}) {
    if (operation < 0 || operation > 2) return kInvalidValue;
  }
  const uint64_t m = desc.transpose_a ? a.columns : a.rows, k = desc.transpose_a ? a.rows : a.columns;
  const uint64_t k_of_b = desc.transpose_b ? b.columns : b.rows, n = desc.transpose_b ? b.rows : b.columns;
  if (k != k_of_b || d.rows != m || d.columns != n || c.rows != m || c.columns != n) return kInvalidValue;
  // Matrices of D must not overlap each other.
  if (d.batch_count > 1 && d.batch_stride < static_cast<int64_t>(extent(d))) return kInvalidValue;
  if (a.batch_stride < 0 || b.batch_stride < 0 || c.batch_stride < 0) return kInvalidValue;

  if (a.type == kE4M3 ? !f8_supported(desc, a, b, c, d) : !types_supported(desc, a, b, c, d)) return kNotSupported;
  if (desc.pointer_mode != 0 || desc.transpose_c != 0 || c.order != d.order) return kNotSupported;
  bool known = false;
  for (const uint32_t epilogue : kEpilogues) known = known || desc.epilogue == epilogue;
  if (!known) return kNotSupported;
  if (desc.epilogue & kBias) {
    const bool other = desc.bias_type != -1 && static_cast<uint32_t>(desc.bias_type) != d.type;
    if (other && a.type != kE4M3) return kNotSupported;
    if (d.order != kColumns || desc.bias_batch_stride < 0) return kNotSupported;
  }
  // Columns of 16-bit matrices start at multiples of 16 bytes.
  for (const Layout* layout : {&a, &b, &c, &d}) {
    const uint64_t lines = layout->order == kColumns ? layout->columns : layout->rows;
    if (bytes_of(layout->type) == 2 && lines > 1 && layout->leading % 8 != 0) return kNotSupported;
    if (bytes_of(layout->type) == 2 && layout->batch_count > 1 && layout->batch_stride % 8 != 0) return kNotSupported;
  }
  return kSuccess;
}

uint64_t mix(uint64_t hash, uint64_t part) {
  hash = (hash ^ part) * 0xbf58476d1ce4e5b9u;
  return hash ^ hash >> 29;
}
uint64_t mix(uint64_t hash, const Layout& l) {
  for (const uint64_t part :
       {uint64_t{l.type}, static_cast<uint64_t>(l.order), l.rows, l.columns, static_cast<uint64_t>(l.leading),
        static_cast<uint64_t>(l.batch_count), static_cast<uint64_t>(l.batch_stride)}) {
    hash = mix(hash, part);
  }
  return hash;
}
// Two problems for which an algorithm may be exchanged have the same number.
uint64_t problem_of(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d) {
  uint64_t hash = kMagic;
  for (const uint64_t part : {static_cast<uint64_t>(desc.compute), static_cast<uint64_t>(desc.transpose_a),
                              static_cast<uint64_t>(desc.transpose_b), uint64_t{desc.epilogue},
                              static_cast<uint64_t>(desc.bias_type), static_cast<uint64_t>(desc.scale_mode_a)}) {
    hash = mix(hash, part);
  }
  return mix(mix(mix(mix(hash, a), b), c), d);
}

Status choose(const Desc& desc, const Layout& a, const Layout& b, const Layout& c, const Layout& d,
              const Preference& preference, Algorithm& algorithm) {
  const Status status = check(desc, a, b, c, d);
  if (status != kSuccess) return status;
  algorithm = {};
  algorithm.magic = kMagic;
  algorithm.problem = problem_of(desc, a, b, c, d);
  const Layout* layouts[4] = {&a, &b, &c, &d};
  for (int i = 0; i < 4; ++i) {
    const uint32_t promised = preference.alignment[i];
    if (promised == 0 || (promised & (promised - 1)) != 0) return kInvalidValue;
    if (promised < (bytes_of(layouts[i]->type) <= 2 ? 16u : 4u)) return kNotSupported;
    algorithm.alignment[i] = static_cast<uint16_t>(promised < 256 ? promised : 256);
  }
  // Fused biases of less alignment are accepted by some versions and fault in others.
  algorithm.bias_alignment = desc.epilogue & kBias ? alignment_of(desc.bias) : 1;
  if ((desc.epilogue & kBias) && algorithm.bias_alignment < 16) return kNotSupported;
  // Long sums for few results are split, in ways that the mask and the workspace allow.
  const uint64_t m = d.rows, n = d.columns, k = desc.transpose_a ? a.rows : a.columns;
  if (k >= 1024 && m * n * 4 <= k * 64) {
    const uint64_t partial = 2 * m * n * 4 * static_cast<uint64_t>(d.batch_count);
    if (preference.reduction_schemes & kInPlace) {
      algorithm.scheme = kInPlace;
    } else if ((preference.reduction_schemes & (kInComputeType | kInOutputType)) &&
               partial <= preference.workspace_bytes) {
      algorithm.scheme = kInComputeType;
      algorithm.workspace_bytes = partial;
    }
  }
  return kSuccess;
}

struct Task {
  Product product;
  const ba_sam_emulation_stream_interface* interface;
  int device;
  std::atomic<unsigned> turn{0};
};

uint64_t bytes_of_all(const Layout& l) {
  return (static_cast<uint64_t>(l.batch_count - 1) * static_cast<uint64_t>(l.batch_stride) + extent(l)) *
         bytes_of(l.type);
}

int run_task(void* context, char* failure, size_t failure_bytes) {
  auto& task = *static_cast<Task*>(context);
  const Product& p = task.product;
  const auto check_range = [&](const char* name, const void* data, uint64_t bytes) {
    if (bytes == 0 || task.interface->is_device_memory(task.device, data, bytes)) return true;
    std::snprintf(failure, failure_bytes,
                  "matrix product, m = %llu, n = %llu, k = %llu: %s is not inside one allocation of the device",
                  static_cast<unsigned long long>(p.m()), static_cast<unsigned long long>(p.n()),
                  static_cast<unsigned long long>(p.k()), name);
    return false;
  };
  const bool bias = (p.desc.epilogue & kBias) != 0;
  const uint64_t bias_elements =
      p.m() + static_cast<uint64_t>(p.d.batch_count - 1) * static_cast<uint64_t>(p.desc.bias_batch_stride);
  if (!check_range("A", p.a_data, bytes_of_all(p.a)) || !check_range("B", p.b_data, bytes_of_all(p.b)) ||
      !check_range("C", p.c_data, p.beta != 0 ? bytes_of_all(p.c) : 0) ||
      !check_range("D", p.d_data, bytes_of_all(p.d)) ||
      !check_range("the bias", p.desc.bias, bias ? bias_elements * bytes_of(p.bias_type()) : 0) ||
      !check_range("the factors of A", p.desc.scales_a, p.is_f8() ? p.m() * sizeof(float) : 0) ||
      !check_range("the factors of B", p.desc.scales_b, p.is_f8() ? p.n() * sizeof(float) : 0) ||
      !check_range("the workspace", p.workspace, p.algorithm.workspace_bytes)) {
    return kIllegalAddress;
  }
  if (bias && alignment_of(p.desc.bias) < (p.algorithm.bias_alignment < 16 ? p.algorithm.bias_alignment : 16)) {
    std::snprintf(failure, failure_bytes,
                  "matrix product: the bias is less aligned than when its algorithm was chosen");
    return kMisalignedAddress;
  }
  // Whatever lies in the workspace is lost.
  if (p.algorithm.workspace_bytes != 0) std::memset(p.workspace, 0xff, p.algorithm.workspace_bytes);
  compute(p, task.turn++);
  return 0;
}

}  // namespace

BA_SAM_EXPORT Status cublasLtMatmulAlgoGetHeuristic(void* handle, const Desc* desc, const Layout* a, const Layout* b,
                                                    const Layout* c, const Layout* d, const Preference* preference,
                                                    int requested, HeuristicResult* results, int* returned) {
  if (!handle) return kNotInitialized;
  if (!desc || !a || !b || !c || !d || !preference || requested <= 0 || !results || !returned) return kInvalidValue;
  *returned = 0;
  HeuristicResult result = {};
  const Status status = choose(*desc, *a, *b, *c, *d, *preference, result.algorithm);
  if (status != kSuccess) return status;
  result.workspace_bytes = result.algorithm.workspace_bytes;
  result.state = kSuccess;
  result.waves = 1;
  results[0] = result;
  *returned = 1;
  return kSuccess;
}

BA_SAM_EXPORT Status cublasLtMatmul(void* handle, const Desc* desc, const void* alpha, const void* a,
                                    const Layout* a_layout, const void* b, const Layout* b_layout, const void* beta,
                                    const void* c, const Layout* c_layout, void* d, const Layout* d_layout,
                                    const Algorithm* algorithm, void* workspace, size_t workspace_bytes, void* stream) {
  if (!handle) return kNotInitialized;
  if (!desc || !alpha || !beta || !a || !b || !d || !a_layout || !b_layout || !c_layout || !d_layout) {
    return kInvalidValue;
  }
  const Status status = check(*desc, *a_layout, *b_layout, *c_layout, *d_layout);
  if (status != kSuccess) return status;
  auto* task =
      new Task{{*desc, *a_layout, *b_layout, *c_layout, *d_layout, 0, 0, a, b, c, d, workspace, {}}, nullptr, 0};
  Product& p = task->product;
  const auto refuse = [task](Status why) {
    delete task;
    return why;
  };
  std::memcpy(&p.alpha, alpha, sizeof(float));
  std::memcpy(&p.beta, beta, sizeof(float));
  if (p.beta != 0 && !c) return refuse(kInvalidValue);
  if (c == d && !c_layout->same_as(*d_layout)) return refuse(kInvalidValue);
  if ((desc->epilogue & kBias) && !desc->bias) return refuse(kInvalidValue);
  if (p.is_f8() && (!desc->scales_a || !desc->scales_b)) return refuse(kInvalidValue);

  // The addresses as they are, where no algorithm was chosen under promises.
  const void* data[4] = {a, b, p.beta != 0 ? c : d, d};
  if (algorithm) {
    p.algorithm = *algorithm;
    if (p.algorithm.magic != kMagic) return refuse(kInvalidValue);
    if (p.algorithm.problem != problem_of(*desc, p.a, p.b, p.c, p.d)) return refuse(kInvalidValue);
  } else {
    Preference preference;
    preference.workspace_bytes = workspace_bytes;
    for (int i = 0; i < 4; ++i) preference.alignment[i] = static_cast<uint32_t>(alignment_of(data[i]));
    const Status chosen = choose(*desc, p.a, p.b, p.c, p.d, preference, p.algorithm);
    if (chosen != kSuccess) return refuse(chosen);
  }
  for (int i = 0; i < 4; ++i) {
    if (alignment_of(data[i]) < p.algorithm.alignment[i]) return refuse(kNotSupported);
  }
  if (p.algorithm.workspace_bytes > 0) {
    if (!workspace || workspace_bytes < p.algorithm.workspace_bytes || alignment_of(workspace) < 256) {
      return refuse(kInvalidValue);
    }
  }

  // A null stream has no table; the emulation needs a stream of its caller's own.
  if (reinterpret_cast<uintptr_t>(stream) <= 2) return refuse(kExecutionFailed);
  std::memcpy(&task->interface, stream, sizeof task->interface);
  if (!task->interface || task->interface->magic != BA_SAM_EMULATION_STREAM_MAGIC) return refuse(kExecutionFailed);
  task->device = task->interface->device_of(stream);
  const int error = task->interface->enqueue(
      stream, run_task, [](void* context) { delete static_cast<Task*>(context); }, task);
  return error == 0 ? kSuccess : kExecutionFailed;
}
