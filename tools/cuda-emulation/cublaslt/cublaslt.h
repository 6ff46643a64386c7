// The emulated cuBLASLt's view of cuBLASLt's C interface, versions 12 and 13: names of functions and numbers are NVIDIA's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ba_sam::emulation::lt {

enum Status : int {
  kSuccess = 0,
  kNotInitialized = 1,
  kAllocFailed = 3,
  kInvalidValue = 7,
  kArchMismatch = 8,
  kMappingError = 11,
  kExecutionFailed = 13,
  kInternalError = 14,
  kNotSupported = 15,
  kLicenseError = 16
};

enum DataType : int32_t { kF32 = 0, kF16 = 2, kBF16 = 14, kE4M3 = 28 };
enum ComputeType : int32_t { kCompute32F = 68, kCompute32FPedantic = 69, kCompute32FFastTf32 = 77 };
enum ScaleMode : int32_t { kScalar = 0, kOuterVector = 3 };
enum Order : int32_t { kColumns = 0, kRows = 1 };
enum Epilogue : uint32_t { kDefault = 1, kRelu = 2, kBias = 4, kGelu = 32 };
enum ReductionScheme : uint32_t { kNoReduction = 0, kInPlace = 1, kInComputeType = 2, kInOutputType = 4 };

struct Desc {
  int32_t compute = 0, scale = 0;
  int32_t pointer_mode = 0;
  int32_t transpose_a = 0, transpose_b = 0, transpose_c = 0;
  uint32_t epilogue = kDefault;
  const void* bias = nullptr;
  int64_t bias_batch_stride = 0;
  int32_t bias_type = -1;
  int32_t processors = 0;
  int8_t fast_accumulation = 0;
  int32_t scale_mode_a = 0, scale_mode_b = 0;
  const float *scales_a = nullptr, *scales_b = nullptr;  // [m] and [n] in mode kOuterVector
};

struct Layout {
  uint32_t type = 0;
  int32_t order = kColumns;
  uint64_t rows = 0, columns = 0;
  int64_t leading = 0;
  int32_t batch_count = 1;
  int64_t batch_stride = 0;

  bool same_as(const Layout& o) const {
    return type == o.type && order == o.order && rows == o.rows && columns == o.columns && leading == o.leading &&
           batch_count == o.batch_count && batch_stride == o.batch_stride;
  }
};

struct Preference {
  uint32_t search_mode = 0;
  uint64_t workspace_bytes = 0;
  uint32_t reduction_schemes = 7;
  uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D
  float waves = 0;
  uint64_t implementations = ~uint64_t{0};
};

// What 64 opaque bytes hold here: for which problem the algorithm was chosen, and under which promises.
struct Algorithm {
  uint64_t magic;
  uint64_t problem;
  uint16_t alignment[4];
  uint64_t bias_alignment;
  uint64_t workspace_bytes;
  uint64_t scheme;
  uint64_t unused[2];
};
static_assert(sizeof(Algorithm) == 64, "cublasLtMatmulAlgo_t");

struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status state;
  float waves;
  int reserved[4];
};

inline size_t bytes_of(uint32_t type) {
  return type == kF32 ? 4 : type == kE4M3 ? 1 : 2;
}

// Elements from a matrix's first to its last, both included.
inline uint64_t extent(const Layout& l) {
  const uint64_t lines = l.order == kColumns ? l.columns : l.rows, along = l.order == kColumns ? l.rows : l.columns;
  return (lines - 1) * static_cast<uint64_t>(l.leading) + along;
}

// One product, its arguments captured by value.
struct Product {
  Desc desc;
  Layout a, b, c, d;
  float alpha, beta;
  const void *a_data, *b_data, *c_data;
  void* d_data;
  void* workspace;
  Algorithm algorithm;

  bool is_f8() const { return a.type == kE4M3; }
  uint32_t bias_type() const { return desc.bias_type == -1 ? d.type : static_cast<uint32_t>(desc.bias_type); }
  uint64_t m() const { return d.rows; }
  uint64_t n() const { return d.columns; }
  uint64_t k() const { return desc.transpose_a ? a.rows : a.columns; }
};

// Computes in f32. `turn` varies the order of summation where the algorithm reduces in place.
void compute(const Product& product, unsigned turn);

}  // namespace ba_sam::emulation::lt
