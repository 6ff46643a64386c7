// Products of the CUDA backend under every behaviour of cuBLASLt: with its epilogues, without them, refusing at the last
// moment, refusing everything, failing. Prints "N passed, N failed".
#include <functional>

#include "../native/graph_fixture.h"
#include "cuda_support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;
namespace lt = cuda::lt;

Counts g_counts;
const std::vector<DType> kFloats = {DType::f32, DType::bf16, DType::f16};

// The library that is there, with some of its functions replaced; lambdas without captures reach it through here.
const lt::Library* g_real = nullptr;
uint32_t g_epilogue = 0;
int g_searches = 0;
uint32_t g_reductions = 0xff;

lt::Library counting() {
  lt::Library l = *g_real;
  l.preference_set = [](lt::Preference p, lt::PreferenceAttribute attribute, const void* value, size_t bytes) {
    if (attribute == lt::kPreferenceReductionSchemes) std::memcpy(&g_reductions, value, sizeof(g_reductions));
    return g_real->preference_set(p, attribute, value, bytes);
  };
  l.heuristic = [](lt::Handle h, lt::MatmulDesc desc, lt::Layout a, lt::Layout b, lt::Layout c, lt::Layout d,
                   lt::Preference p, int requested, lt::HeuristicResult* results, int* returned) {
    ++g_searches;
    return g_real->heuristic(h, desc, a, b, c, d, p, requested, results, returned);
  };
  return l;
}

// Has algorithms for plain products only.
lt::Library without_epilogues() {
  lt::Library l = *g_real;
  l.desc_set = [](lt::MatmulDesc desc, lt::MatmulDescAttribute attribute, const void* value, size_t bytes) {
    if (attribute == lt::kDescEpilogue) std::memcpy(&g_epilogue, value, sizeof(g_epilogue));
    return g_real->desc_set(desc, attribute, value, bytes);
  };
  l.heuristic = [](lt::Handle h, lt::MatmulDesc desc, lt::Layout a, lt::Layout b, lt::Layout c, lt::Layout d,
                   lt::Preference p, int requested, lt::HeuristicResult* results, int* returned) {
    if (g_epilogue != lt::kDefault) {
      *returned = 0;
      return lt::kNotSupported;
    }
    return g_real->heuristic(h, desc, a, b, c, d, p, requested, results, returned);
  };
  return l;
}

template <lt::Status kStatus>
lt::Library failing() {
  lt::Library l = *g_real;
  l.matmul = [](lt::Handle, lt::MatmulDesc, const void*, const void*, lt::Layout, const void*, lt::Layout, const void*,
                const void*, lt::Layout, void*, lt::Layout, const lt::Algorithm*, void*, size_t,
                cudaStream_t) { return kStatus; };
  return l;
}

GraphSpec product(int64_t m, int64_t n, int64_t k, DType in, DType out, Activation activation, bool bias,
                  bool residual) {
  GraphSpec s;
  std::vector<uint32_t> inputs = {s.input({m, k}, in), s.weight({n, k}, in), bias ? s.weight({n}) : kAbsent};
  if (residual) inputs.push_back(s.input({m, n}, out));
  s.outputs = {s.node(LinearOp{residual ? Activation::none : activation}, inputs, {m, n}, out)};
  return s;
}

// Every product with what is in place now; their fallbacks to the SIMT kernel.
size_t check_products(Random& random, const std::string& name, const cuda::BackendOptions& options = {}) {
  const int64_t shapes[][3] = {{1, 1, 1}, {5, 3, 3}, {33, 65, 24}, {130, 40, 64}, {7, 256, 40}, {2, 17, 1}};
  const auto backend = cuda::make_cuda_backend(options);
  for (const auto& [m, n, k] : shapes) {
    for (DType in : kFloats) {
      for (DType out : {in, DType::f32}) {
        for (int variant = 0; variant < 12; ++variant) {
          const GraphSpec spec =
              product(m, n, k, in, out, static_cast<Activation>(variant % 3), variant / 3 % 2, variant / 6);
          std::set<Op> seen;
          const std::string problem = problem_of(spec, random, backend, &seen);
          g_counts.check(problem.empty(), name + ": linear " + std::to_string(m) + " " + std::to_string(n) + " " +
                                              std::to_string(k) + " " + dtype_name(in) + " → " + dtype_name(out) +
                                              " variant " + std::to_string(variant) + ": " + problem);
        }
        GraphSpec s;
        s.outputs = {s.node(MatmulOp{}, {s.input({3, m, k}, in), s.input({3, n, k}, in)}, {3, m, n}, out)};
        std::set<Op> seen;
        const std::string problem = problem_of(s, random, backend, &seen);
        g_counts.check(problem.empty(), name + ": matmul: " + problem);
      }
    }
  }
  return backend->gemm().fallbacks();
}

void run_spec(const GraphSpec& spec, Random& random, const std::shared_ptr<cuda::CudaBackend>& backend, int runs = 1) {
  const Fixture f(spec, random, backend);
  Plan plan(f.weights, f.graph);
  for (int i = 0; i < runs; ++i) f.run(plan);
}

// What a real cuBLASLt has algorithms for goes to it, once searched for, with its epilogues.
void test_choices(Random& random) {
  const lt::Library library = counting();
  lt::replace(&library);
  const auto backend = cuda::make_cuda_backend({});
  for (DType dtype : kFloats) {
    g_searches = 0;
    const GraphSpec spec = product(64, 32, 64, dtype, dtype, Activation::relu, true, false);
    run_spec(spec, random, backend, 3);
    run_spec(spec, random, backend, 2);
    g_counts.check(g_searches == 1,
                   std::string("one search per shape in ") + dtype_name(dtype) + ": " + std::to_string(g_searches));
  }
  g_counts.check(g_reductions == lt::kReduceComputeType, "no reduction in place, which atomics would make random");
  g_counts.check(backend->gemm().fallbacks() == 0, "nothing falls back where rows are aligned");
  run_spec(product(64, 32, 3, DType::bf16, DType::bf16, Activation::relu, true, false), random, backend, 2);
  g_counts.check(backend->gemm().fallbacks() > 0, "rows of 3 channels fall back");
  lt::replace(nullptr);
}

// GELU: exact in f32 and f16, with tanh in bf16, as close as gemm.h says.
void test_gelu(Random& random) {
  for (DType dtype : kFloats) {
    GraphSpec s = product(400, 8, 8, dtype, dtype, Activation::gelu, false, false);
    Fixture f(s, random, cuda::make_cuda_backend({}));
    // Row i of x times the unit matrix: every output is a number between −8 and 8.
    Array x(400 * 8), unit(64);
    for (size_t i = 0; i < x.size(); ++i) x[i] = -8 + 16.0 * static_cast<double>(i) / static_cast<double>(x.size());
    for (size_t i = 0; i < 8; ++i) unit[9 * i] = 1;
    f.data[0] = stored(x, dtype);
    f.data[1] = stored(unit, dtype);
    f.weights = f.store(cuda::make_cuda_backend({}));
    Plan plan(f.weights, f.graph);
    const Array out = loaded(f.run(plan)[0], dtype), in = loaded(f.data[0], dtype);
    double worst = 0;
    const double half_ulp = dtype == DType::f32 ? 1.0 / (1 << 24) : dtype == DType::f16 ? 1.0 / 2048 : 1.0 / 256;
    for (size_t i = 0; i < out.size(); ++i) {
      const double exact = activate(in[i], Activation::gelu);
      worst = std::max(worst, std::abs(out[i] - exact) - half_ulp * std::abs(exact));
    }
    // A device's tanh is an approximation, too: 2^-11 of it.
    const double limit = dtype == DType::bf16 ? (kEmulated ? 4.8e-4 : 1.5e-3) : 1e-6;
    g_counts.check(worst == worst && worst <= limit,
                   std::string("gelu in ") + dtype_name(dtype) + ": " + std::to_string(worst));
  }
}

void test_errors(Random& random) {
  const GraphSpec spec = product(8, 8, 8, DType::f32, DType::f32, Activation::none, true, false);
  const auto message = [&](const lt::Library& library, const std::string& code) {
    lt::replace(&library);
    const std::string text = error_of([&] { run_spec(spec, random, cuda::make_cuda_backend({})); }, code);
    lt::replace(nullptr);
    return text;
  };
  const std::string internal = message(failing<lt::kInternalError>(), "ERR_INTERNAL");
  g_counts.check(internal.find("cuBLASLt refused a product: ") == 0, internal);
  const std::string memory = message(failing<lt::kAllocFailed>(), "ERR_OUT_OF_MEMORY");
  g_counts.check(memory.find("cuBLASLt refused a product: ") == 0, memory);
  lt::Library broken = *g_real;
  broken.create = [](lt::Handle*) { return lt::kNotInitialized; };
  const std::string start = message(broken, "ERR_INTERNAL");
  g_counts.check(start.find("cuBLASLt refused its context: ") == 0, start);
}

}  // namespace

int main() {
  if (no_device()) return g_counts.finish();
  g_real = lt::find().library;
  {
    Random random(1);
    if (g_real) {
      check_products(random, "cuBLASLt");
      cuda::BackendOptions options;
      options.limits.product_elements = 3000;
      options.limits.product_batch = 2;
      check_products(random, "in parts", options);
      test_choices(random);
      test_gelu(random);
      test_errors(random);
      const lt::Library plain = without_epilogues();
      lt::replace(&plain);
      check_products(random, "without epilogues");
      const lt::Library late = failing<lt::kNotSupported>();
      lt::replace(&late);
      g_counts.check(check_products(random, "refusing late") > 0, "what is refused late falls back");
    } else {
      std::printf("cuBLASLt: not there, skipped\n");
    }
    lt::replace(&refusing_cublaslt());
    g_counts.check(check_products(random, "refusing") > 0, "what is refused falls back");
  }
  check_emulation(g_counts);
  return g_counts.finish();
}
