// linear with operands of e4m3 against float64 loops, in all variants, whole and in parts, with cuBLASLt's epilogue and
// without; and what is said where there are no such products. Prints "N passed, N failed".
#include "../native/f8_graphs.h"
#include "cuda_support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;
namespace lt = cuda::lt;

Counts g_counts;
const std::vector<DType> kFloats = {DType::f32, DType::bf16, DType::f16};

const lt::Library* g_real = nullptr;
uint32_t g_epilogue = 0;
int g_fused = 0;

// Counts epilogues; refuses them, when asked to, once a plan asks for an algorithm.
template <bool kRefuse>
lt::Library watching() {
  lt::Library l = *g_real;
  l.desc_set = [](lt::MatmulDesc desc, lt::MatmulDescAttribute attribute, const void* value, size_t bytes) {
    if (attribute == lt::kDescEpilogue) std::memcpy(&g_epilogue, value, sizeof(g_epilogue));
    return g_real->desc_set(desc, attribute, value, bytes);
  };
  l.heuristic = [](lt::Handle h, lt::MatmulDesc desc, lt::Layout a, lt::Layout b, lt::Layout c, lt::Layout d,
                   lt::Preference p, int requested, lt::HeuristicResult* results, int* returned) {
    if (kRefuse && g_epilogue != lt::kDefault) {
      *returned = 0;
      return lt::kNotSupported;
    }
    const lt::Status status = g_real->heuristic(h, desc, a, b, c, d, p, requested, results, returned);
    g_fused += status == lt::kSuccess && *returned > 0 && g_epilogue != lt::kDefault;
    return status;
  };
  return l;
}

void check_cases(Random& random, const std::string& name, const cuda::BackendOptions& options = {}) {
  const auto backend = cuda::make_cuda_backend(options);
  for (const F8Case& c : f8_cases(kFloats, 300)) {
    const std::string problem = f8_problem_of(c, random, backend);
    g_counts.check(problem.empty(), name + ": " + c.name + ": " + problem);
  }
  for (DType dtype : kFloats) {
    std::string problem = f8_nonfinite_problem(random, backend, dtype);
    g_counts.check(problem.empty(), name + ": not finite, " + dtype_name(dtype) + ": " + problem);
    problem = f8_rounding_problem(random, backend, dtype);
    g_counts.check(problem.empty(), name + ": rounding, " + dtype_name(dtype) + ": " + problem);
    problem = f8_shared_weight_problem(random, backend, dtype);
    g_counts.check(problem.empty(), name + ": a shared weight, " + dtype_name(dtype) + ": " + problem);
  }
}

// A bias and a matrix that no weight store keeps.
void check_computed_operands(Random& random) {
  const auto backend = cuda::make_cuda_backend({});
  for (DType dtype : kFloats) {
    for (DType out : {dtype, DType::f32}) {
      for (const ValueKind kind : {ValueKind::weight, ValueKind::input, ValueKind::parameter}) {
        GraphSpec s;
        const auto x = s.input({5, 16}, dtype), w = s.value(kind, {32, 16}, dtype), bias = s.input({32});
        s.outputs = {s.node(LinearOp{Activation::relu, true}, {x, w, bias}, {5, 32}, out)};
        const std::string problem = f8_problem_of({"", s}, random, backend);
        g_counts.check(problem.empty(), std::string("computed operands, ") + dtype_name(dtype) + ": " + problem);
      }
    }
  }
}

std::string refusal(const lt::Library& library, Random& random) {
  lt::replace(&library);
  const std::string message = error_of(
      [&] {
        const auto backend = cuda::make_cuda_backend({});
        f8_shared_weight_problem(random, backend, DType::bf16);
      },
      "ERR_DEVICE_UNAVAILABLE");
  lt::replace(nullptr);
  return message;
}

void check_refusals(Random& random) {
  lt::Library old = *g_real;
  old.version = [] { return size_t{120804}; };
  const std::string message = refusal(old, random);
  g_counts.check(contains(message, "version 12.8 was found: load the model without f8"), "an old one: " + message);
  const std::string none = refusal(refusing_cublaslt(), random);
  g_counts.check(contains(none, "version 13.0 has none on this device for m = 9, n = 16, k = 32"), "none: " + none);
}

}  // namespace

int main() {
  if (no_device()) return g_counts.finish();
  Random random(1);
  g_real = lt::find().library;
  if (!g_real) {
    std::printf("cuBLASLt: not there, skipped\n");
    return g_counts.finish();
  }
  check_refusals(random);
  const std::string reason = [&] {
    const lt::Library real = *g_real;
    return refusal(real, random);
  }();
  if (!reason.empty()) {
    std::printf("%s: skipped\n", reason.c_str());
    return g_counts.finish();
  }
  const lt::Library fusing = watching<false>();
  lt::replace(&fusing);
  check_cases(random, "fused");
  g_counts.check(g_fused > 0, "biases are fused");
  check_computed_operands(random);
  const lt::Library plain = watching<true>();
  lt::replace(&plain);
  check_cases(random, "not fused");
  lt::replace(nullptr);
  cuda::BackendOptions products, rows;
  products.limits.product_elements = 6000;
  check_cases(random, "products in parts", products);
  rows.limits.gathered_bytes = 5000;
  check_cases(random, "rows in parts", rows);
  check_emulation(g_counts);
  return g_counts.finish();
}
