// Compares native/backends/cuda/cublaslt.h with the header of a real cuBLAS: every constant, every structure, every signature.
// Compiling it is the check; it is no part of any build, since no cuBLAS is needed for one:
//   node scripts/check-cublaslt.mjs <cuBLAS>/include
#include <cublasLt.h>

#include <cstddef>
#include <type_traits>

#include "../../native/backends/cuda/cublaslt.h"

namespace {

using namespace ba_sam::cuda;

#define SAME(ours, theirs) static_assert(static_cast<long long>(lt::ours) == static_cast<long long>(theirs), #theirs)
SAME(kSuccess, CUBLAS_STATUS_SUCCESS);
SAME(kNotInitialized, CUBLAS_STATUS_NOT_INITIALIZED);
SAME(kAllocFailed, CUBLAS_STATUS_ALLOC_FAILED);
SAME(kInvalidValue, CUBLAS_STATUS_INVALID_VALUE);
SAME(kArchMismatch, CUBLAS_STATUS_ARCH_MISMATCH);
SAME(kMappingError, CUBLAS_STATUS_MAPPING_ERROR);
SAME(kExecutionFailed, CUBLAS_STATUS_EXECUTION_FAILED);
SAME(kInternalError, CUBLAS_STATUS_INTERNAL_ERROR);
SAME(kNotSupported, CUBLAS_STATUS_NOT_SUPPORTED);
SAME(kF32, CUDA_R_32F);
SAME(kF16, CUDA_R_16F);
SAME(kBF16, CUDA_R_16BF);
SAME(kE4M3, CUDA_R_8F_E4M3);
SAME(kCompute32F, CUBLAS_COMPUTE_32F);
SAME(kCompute32FFastTF32, CUBLAS_COMPUTE_32F_FAST_TF32);
SAME(kNotTransposed, CUBLAS_OP_N);
SAME(kTransposed, CUBLAS_OP_T);
SAME(kDefault, CUBLASLT_EPILOGUE_DEFAULT);
SAME(kRelu, CUBLASLT_EPILOGUE_RELU);
SAME(kBias, CUBLASLT_EPILOGUE_BIAS);
SAME(kReluBias, CUBLASLT_EPILOGUE_RELU_BIAS);
SAME(kGelu, CUBLASLT_EPILOGUE_GELU);
SAME(kGeluBias, CUBLASLT_EPILOGUE_GELU_BIAS);
SAME(kReduceNone, CUBLASLT_REDUCTION_SCHEME_NONE);
SAME(kReduceComputeType, CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE);
SAME(kDescTransA, CUBLASLT_MATMUL_DESC_TRANSA);
SAME(kDescTransB, CUBLASLT_MATMUL_DESC_TRANSB);
SAME(kDescEpilogue, CUBLASLT_MATMUL_DESC_EPILOGUE);
SAME(kDescBiasPointer, CUBLASLT_MATMUL_DESC_BIAS_POINTER);
SAME(kDescScalePointerA, CUBLASLT_MATMUL_DESC_A_SCALE_POINTER);
SAME(kDescScalePointerB, CUBLASLT_MATMUL_DESC_B_SCALE_POINTER);
SAME(kDescFastAccumulation, CUBLASLT_MATMUL_DESC_FAST_ACCUM);
SAME(kDescBiasType, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE);
SAME(kDescScaleModeA, CUBLASLT_MATMUL_DESC_A_SCALE_MODE);
SAME(kDescScaleModeB, CUBLASLT_MATMUL_DESC_B_SCALE_MODE);
SAME(kScaleOuterVector, CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F);
SAME(kLayoutBatchCount, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT);
SAME(kLayoutBatchStride, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET);
SAME(kPreferenceMaxWorkspace, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES);
SAME(kPreferenceReductionSchemes, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK);
SAME(kPreferenceAlignmentA, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES);
SAME(kPreferenceAlignmentB, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES);
SAME(kPreferenceAlignmentC, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES);
SAME(kPreferenceAlignmentD, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES);
#undef SAME

static_assert(sizeof(lt::Algorithm) == sizeof(cublasLtMatmulAlgo_t));
static_assert(sizeof(lt::HeuristicResult) == sizeof(cublasLtMatmulHeuristicResult_t));
static_assert(offsetof(lt::HeuristicResult, algorithm) == offsetof(cublasLtMatmulHeuristicResult_t, algo));
static_assert(offsetof(lt::HeuristicResult, workspace_bytes) ==
              offsetof(cublasLtMatmulHeuristicResult_t, workspaceSize));
static_assert(offsetof(lt::HeuristicResult, state) == offsetof(cublasLtMatmulHeuristicResult_t, state));

// Two types are passed alike: enumerations of one size, pointers to anything, the same arithmetic type.
template <typename Ours, typename Theirs>
constexpr bool alike() {
  if constexpr (std::is_pointer_v<Ours> || std::is_pointer_v<Theirs>)
    return std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>;
  else if constexpr (std::is_enum_v<Theirs>)
    return std::is_enum_v<Ours> && sizeof(Ours) == sizeof(Theirs);
  else
    return std::is_same_v<Ours, Theirs>;
}
template <typename Ours, typename Theirs>
struct SameCall : std::false_type {};
template <typename OurResult, typename... Ours, typename TheirResult, typename... Theirs>
struct SameCall<OurResult (*)(Ours...), TheirResult (*)(Theirs...)> {
  static constexpr bool arguments() {
    if constexpr (sizeof...(Ours) == sizeof...(Theirs))
      return (alike<Ours, Theirs>() && ...);
    else
      return false;
  }
  static constexpr bool value = alike<OurResult, TheirResult>() && arguments();
};

#define SAME_CALL(ours, theirs) static_assert(SameCall<decltype(lt::Library::ours), decltype(&theirs)>::value, #theirs)
SAME_CALL(version, cublasLtGetVersion);
SAME_CALL(status_name, cublasLtGetStatusName);
SAME_CALL(create, cublasLtCreate);
SAME_CALL(destroy, cublasLtDestroy);
SAME_CALL(desc_create, cublasLtMatmulDescCreate);
SAME_CALL(desc_destroy, cublasLtMatmulDescDestroy);
SAME_CALL(desc_set, cublasLtMatmulDescSetAttribute);
SAME_CALL(layout_create, cublasLtMatrixLayoutCreate);
SAME_CALL(layout_destroy, cublasLtMatrixLayoutDestroy);
SAME_CALL(layout_set, cublasLtMatrixLayoutSetAttribute);
SAME_CALL(preference_create, cublasLtMatmulPreferenceCreate);
SAME_CALL(preference_destroy, cublasLtMatmulPreferenceDestroy);
SAME_CALL(preference_set, cublasLtMatmulPreferenceSetAttribute);
SAME_CALL(heuristic, cublasLtMatmulAlgoGetHeuristic);
SAME_CALL(matmul, cublasLtMatmul);
#undef SAME_CALL

}  // namespace
