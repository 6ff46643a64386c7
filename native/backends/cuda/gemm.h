// Matrix products with a weight on the right: out [M, N] = act(x [M, K] · w [N, K]ᵀ + bias) + residual, through cuBLASLt.
//
// Row-major x, w and out are column-major matrices of the transposed shape, so that this is cuBLASLt's
//   out [N, M] = op_T(w [K, N]) · x [K, M],   bias along the rows: its fused epilogues fit as they are.
// For each shape the heuristic is asked once; the answer is kept, with the descriptors, for the life of the backend. That
// makes results repeatable, and keeps descriptors and heuristics out of captured graphs. Split-K that reduces in place
// with atomics is excluded for the same reason.
//
// What cuBLASLt refuses (16-bit operands whose rows are not 16-byte aligned, as with 3 channels) falls back step by step:
// first without the fused epilogue, then to a SIMT kernel of our own (gemm_simt.cu), which takes everything.
#pragma once

#include <memory>
#include <unordered_map>

#include "../../ops/op.h"
#include "cublaslt.h"
#include "memory.h"

namespace ba_sam::cuda {

struct GemmCall {
  DType in_dtype = DType::f32;   // of x and w
  DType out_dtype = DType::f32;  // f32 or in_dtype; of bias, residual and out
  int64_t m = 0, n = 0, k = 0;
  // Items of a batch, and their distances in elements; those of out lie without gaps.
  int64_t batch = 1;
  int64_t x_stride = 0, w_stride = 0;

  const void* x = nullptr;
  const void* w = nullptr;
  const void* bias = nullptr;      // [N] or null
  const void* residual = nullptr;  // laid out as out, may be out itself; or null. Not together with an activation.
  void* out = nullptr;
  Activation activation = Activation::none;

  // Operands of e4m3 (../core/f8.h), stored as round(x · 2^-e): one f32 factor 2^e per row of x [M] and of w [N]. Null
  // otherwise. in_dtype says then what they were made of; K and N are multiples of 16, and there is no batch.
  const float* x_scales = nullptr;
  const float* w_scales = nullptr;
  bool is_f8() const { return x_scales != nullptr; }
  size_t in_bytes() const { return is_f8() ? 1 : dtype_bytes(in_dtype); }
  // cuBLASLt's e4m3 products take a bias of 16 bits also where the output is f32; this is the same bias so rounded.
  const void* bias_bf16 = nullptr;
};

// Where work is cut into parts. Tests cut smaller ones.
struct Limits {
  int64_t product_elements = int64_t{1} << 31;  // of a matrix: 32-bit indices are all that many kernels have
  int64_t product_batch = int64_t{1} << 15;     // of the 65535 that fit a grid's z
  int64_t gathered_bytes = int64_t{64} << 20;   // of the rows that a convolution gathers before its product
};

class Gemm {
 public:
  // Throws SamError when cuBLASLt has no context to give.
  Gemm(const lt::Library& library, cudaStream_t stream, std::shared_ptr<DeviceMemory> workspace, bool tf32,
       const Limits& limits);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // Queues the product. Throws SamError ERR_DEVICE_UNAVAILABLE when cuBLASLt has none of e4m3 for the shape or the device.
  // GELU is exact for outputs in f32 and f16. For bf16 it is cuBLASLt's fused one, with tanh in place
  // of erf: they differ by at most 4.73e-4, at x = ±2.7 (measured in f64 over [−8, 8]); bf16 rounds numbers
  // between 0.5 and 1 by up to 2e-3, f16 by 2.4e-4.
  void run(const GemmCall& call);

  // Throws SamError ERR_DEVICE_UNAVAILABLE when this cuBLASLt knows no products of e4m3 with factors per row.
  void require_f8() const;

  // Shapes that went to our own kernel, for benchmarks and tests.
  size_t fallbacks() const { return fallbacks_; }

 private:
  struct Key {
    int64_t m, n, k, batch, x_stride, w_stride;
    int in, out, epilogue, residual, f8;
    unsigned align_x, align_w, align_c, align_out, align_bias;
    bool operator==(const Key& other) const;
  };
  struct Hash {
    size_t operator()(const Key& key) const;
  };
  struct MatmulChoice;

  void run_part(const GemmCall& call);
  [[noreturn]] void refuse_f8(const std::string& why) const;
  MatmulChoice& choice_for(const GemmCall& call, uint32_t epilogue);
  // False when cuBLASLt has nothing for this shape with this epilogue.
  bool multiply(const GemmCall& call, uint32_t epilogue);
  void require(lt::Status status, const char* what) const;

  const lt::Library& library_;
  cudaStream_t stream_;
  std::shared_ptr<DeviceMemory> workspace_;
  bool tf32_;
  Limits limits_;
  lt::Handle handle_ = nullptr;
  lt::Preference preference_ = nullptr;
  std::unordered_map<Key, std::unique_ptr<MatmulChoice>, Hash> choices_;
  size_t fallbacks_ = 0;
};

}  // namespace ba_sam::cuda
