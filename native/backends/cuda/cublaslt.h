// The part of cuBLASLt's public C interface that this backend calls, declared here, and the library found at run time.
//
// Nothing of cuBLAS is needed to build or to load the addon: the library is opened with dlopen when the first backend is
// made, and where it is missing there is a sentence that says so. Names and values are facts of NVIDIA's interface,
// versions 12.4 to 13; test/cuda/check_cublaslt.cpp compares them with a real header.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace ba_sam::cuda::lt {

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
};

enum DataType : int { kF32 = 0, kF16 = 2, kBF16 = 14, kE4M3 = 28 };     // cudaDataType
enum ComputeType : int { kCompute32F = 68, kCompute32FFastTF32 = 77 };  // cublasComputeType_t
enum Operation : int { kNotTransposed = 0, kTransposed = 1 };           // cublasOperation_t
enum Epilogue : int { kDefault = 1, kRelu = 2, kBias = 4, kReluBias = 6, kGelu = 32, kGeluBias = 36 };
// How an operand of e4m3 is scaled: one factor per row of A and per column of B, from cuBLASLt 12.9 on.
enum ScaleMode : int { kScaleOuterVector = 3 };
enum ReductionScheme : uint32_t { kReduceNone = 0, kReduceComputeType = 2 };

enum MatmulDescAttribute : int {
  kDescTransA = 3,       // int32_t
  kDescTransB = 4,       // int32_t
  kDescEpilogue = 7,     // uint32_t
  kDescBiasPointer = 8,  // const void*
  // Products of e4m3 only:
  kDescScalePointerA = 17,     // const float*
  kDescScalePointerB = 18,     // const float*
  kDescFastAccumulation = 25,  // int8_t
  kDescBiasType = 26,          // int32_t, a DataType
  kDescScaleModeA = 31,        // int32_t, a ScaleMode
  kDescScaleModeB = 32,        // int32_t
};
enum LayoutAttribute : int {
  kLayoutBatchCount = 5,   // int32_t
  kLayoutBatchStride = 6,  // int64_t, elements
};
enum PreferenceAttribute : int {
  kPreferenceMaxWorkspace = 1,      // uint64_t, bytes
  kPreferenceReductionSchemes = 3,  // uint32_t, a mask
  kPreferenceAlignmentA = 5,        // uint32_t, bytes; so are B, C and D
  kPreferenceAlignmentB = 6,
  kPreferenceAlignmentC = 7,
  kPreferenceAlignmentD = 8,
};

using Handle = struct HandleTag*;
using MatmulDesc = struct MatmulDescTag*;
using Layout = struct LayoutTag*;
using Preference = struct PreferenceTag*;

struct Algorithm {
  uint64_t data[8];
};
struct HeuristicResult {
  Algorithm algorithm;
  size_t workspace_bytes;
  Status state;  // the other fields hold only where this is kSuccess
  float waves;
  int reserved[4];
};

// The library's functions. All matrices are column-major: D [m, n] = alpha · op(A) · op(B) + beta · C, then the epilogue.
struct Library {
  size_t (*version)();  // 130101 for 13.1.1, 120405 for 12.4.5
  const char* (*status_name)(Status status);
  Status (*create)(Handle* handle);
  Status (*destroy)(Handle handle);

  Status (*desc_create)(MatmulDesc* desc, ComputeType compute, DataType scale);
  Status (*desc_destroy)(MatmulDesc desc);
  Status (*desc_set)(MatmulDesc desc, MatmulDescAttribute attribute, const void* value, size_t bytes);

  Status (*layout_create)(Layout* layout, DataType type, uint64_t rows, uint64_t columns, int64_t leading_dimension);
  Status (*layout_destroy)(Layout layout);
  Status (*layout_set)(Layout layout, LayoutAttribute attribute, const void* value, size_t bytes);

  Status (*preference_create)(Preference* preference);
  Status (*preference_destroy)(Preference preference);
  Status (*preference_set)(Preference preference, PreferenceAttribute attribute, const void* value, size_t bytes);

  // Fills at most `requested` results, best first, and says how many.
  Status (*heuristic)(Handle handle, MatmulDesc desc, Layout a, Layout b, Layout c, Layout d, Preference preference,
                      int requested, HeuristicResult* results, int* returned);
  Status (*matmul)(Handle handle, MatmulDesc desc, const void* alpha, const void* a, Layout a_layout, const void* b,
                   Layout b_layout, const void* beta, const void* c, Layout c_layout, void* d, Layout d_layout,
                   const Algorithm* algorithm, void* workspace, size_t workspace_bytes, cudaStream_t stream);
};

// What was found. `library` is null when nothing was, and `reason` says then what was tried and how to get it.
struct Found {
  const Library* library = nullptr;
  std::string path;
  std::string reason;
};

// Tries BA_SAM_CUBLASLT (a path; nothing else then), the loader's libcublasLt.so.13 and .12, and the toolkit's folder
// (CUDA_HOME, CUDA_PATH or /usr/local/cuda). A library that was found stays loaded; a failure is tried again, since
// the environment may have changed.
Found find();

// A table of functions to use instead of what find() would look for, null to end that: for tests of what a library may do.
void replace(const Library* library);

}  // namespace ba_sam::cuda::lt
