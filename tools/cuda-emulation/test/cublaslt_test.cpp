// The emulated cuBLASLt (BA_SAM_CUBLASLT names it) against products in f64, through the interface that the backend uses.
#include "../../../native/backends/cuda/cublaslt.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "../../../native/backends/cuda/primitives.h"
#include "../../../test/native/support.h"
#include "emulation.h"

namespace {

using namespace ba_sam;
namespace lt = cuda::lt;

test::Counts counts;
const lt::Library* library;

struct Operand {
  int64_t rows, columns, leading;
  int64_t batch_stride = 0;
  bool row_major = false;
  size_t at(int64_t i, int64_t j, int64_t b) const {
    return static_cast<size_t>(b * batch_stride + (row_major ? i * leading + j : j * leading + i));
  }
};

size_t type_bytes(lt::DataType type) {
  return type == lt::kF32 ? 4 : 2;
}
void store(std::vector<uint8_t>& memory, lt::DataType type, size_t index, double value) {
  const auto x = static_cast<float>(value);
  const uint16_t half = type == lt::kBF16 ? cuda::from_float<cuda::bf16>(x).bits : cuda::from_float<cuda::f16>(x).bits;
  if (type == lt::kF32) {
    std::memcpy(memory.data() + 4 * index, &x, 4);
  } else {
    std::memcpy(memory.data() + 2 * index, &half, 2);
  }
}
double fetch(const std::vector<uint8_t>& memory, lt::DataType type, size_t index) {
  float x;
  uint16_t half;
  if (type == lt::kF32) {
    std::memcpy(&x, memory.data() + 4 * index, 4);
    return static_cast<double>(x);
  }
  std::memcpy(&half, memory.data() + 2 * index, 2);
  return static_cast<double>(type == lt::kBF16 ? cuda::to_float(cuda::bf16{half}) : cuda::to_float(cuda::f16{half}));
}

double gelu_tanh(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
}

struct Case {
  int64_t m, n, k;
  lt::DataType in = lt::kF32, out = lt::kF32;
  bool transpose_a = false, transpose_b = false;
  uint32_t epilogue = lt::kDefault;
  float alpha = 1, beta = 0;
  int64_t batch = 1;
  bool in_place = false, padded = false, row_major_a = false, tf32 = false;
  uint64_t workspace = 0;
  uint32_t schemes = 2;
  bool with_algorithm = true;
};

struct Device {
  uint8_t* data = nullptr;
  size_t bytes;
  explicit Device(const std::vector<uint8_t>& content) : bytes(content.size()) {
    cudaMalloc(&data, bytes);
    cudaMemcpy(data, content.data(), bytes, cudaMemcpyHostToDevice);
  }
  ~Device() { cudaFree(data); }
  Device(const Device&) = delete;
};

// Descriptors of one product.
struct Problem {
  lt::MatmulDesc desc = nullptr;
  lt::Layout a = nullptr, b = nullptr, d = nullptr;
  lt::Preference preference = nullptr;
  lt::Handle handle = nullptr;
  ~Problem() {
    library->desc_destroy(desc);
    for (lt::Layout layout : {a, b, d}) library->layout_destroy(layout);
    library->preference_destroy(preference);
    library->destroy(handle);
  }
  template <typename T>
  lt::Status set(int attribute, T value) {
    return library->desc_set(desc, static_cast<lt::MatmulDescAttribute>(attribute), &value, sizeof value);
  }
  template <typename T>
  lt::Status prefer(int attribute, T value) {
    return library->preference_set(preference, static_cast<lt::PreferenceAttribute>(attribute), &value, sizeof value);
  }
};

void make_layout(lt::Layout* layout, lt::DataType type, const Operand& o, int64_t batch) {
  library->layout_create(layout, type, static_cast<uint64_t>(o.rows), static_cast<uint64_t>(o.columns), o.leading);
  const int32_t order = o.row_major ? 1 : 0, count = static_cast<int32_t>(batch);
  library->layout_set(*layout, static_cast<lt::LayoutAttribute>(1), &order, sizeof order);
  library->layout_set(*layout, lt::kLayoutBatchCount, &count, sizeof count);
  library->layout_set(*layout, lt::kLayoutBatchStride, &o.batch_stride, sizeof o.batch_stride);
}

Operand operand(int64_t rows, int64_t columns, bool row_major, bool padded, int64_t batch) {
  Operand o{rows, columns, (row_major ? columns : rows) + (padded ? 8 : 0), 0, row_major};
  if (batch > 1) o.batch_stride = o.leading * (row_major ? rows : columns) + (padded ? 16 : 0);
  return o;
}

// What is described and promised for a case; addresses come later.
void describe(Problem& p, const Case& c, const Operand& a, const Operand& b, const Operand& d) {
  library->create(&p.handle);
  library->desc_create(&p.desc, c.tf32 ? lt::kCompute32FFastTF32 : lt::kCompute32F, lt::kF32);
  p.set(lt::kDescTransA, static_cast<int32_t>(c.transpose_a));
  p.set(lt::kDescTransB, static_cast<int32_t>(c.transpose_b));
  p.set(lt::kDescEpilogue, c.epilogue);
  make_layout(&p.a, c.in, a, c.batch);
  make_layout(&p.b, c.in, b, c.batch);
  make_layout(&p.d, c.out, d, c.batch);
  library->preference_create(&p.preference);
  p.prefer(lt::kPreferenceMaxWorkspace, c.workspace);
  p.prefer(lt::kPreferenceReductionSchemes, c.schemes);
  for (int i = 0; i < 4; ++i) p.prefer(lt::kPreferenceAlignmentA + i, uint32_t{16});
}

lt::Status choose(Problem& p, lt::HeuristicResult& result) {
  int returned = 0;
  const lt::Status status =
      library->heuristic(p.handle, p.desc, p.a, p.b, p.d, p.d, p.preference, 1, &result, &returned);
  return status == lt::kSuccess && returned != 1 ? lt::kInternalError : status;
}

std::vector<uint8_t> random_content(test::Random& random, lt::DataType type, const Operand& o, int64_t batch) {
  const size_t elements = o.at(o.rows - 1, o.columns - 1, batch - 1) + 1;
  std::vector<uint8_t> content(elements * type_bytes(type));
  for (size_t i = 0; i < elements; ++i) store(content, type, i, random.uniform(-1, 1));
  return content;
}

// With NaN in padding and wherever nothing must be read.
void run_case(const Case& c, const std::string& what, bool captured = false) {
  test::Random random(static_cast<uint64_t>(c.m * 7 + c.n * 3 + c.k));
  const Operand a = c.transpose_a ? operand(c.k, c.m, c.row_major_a, c.padded, c.batch)
                                  : operand(c.m, c.k, c.row_major_a, c.padded, c.batch);
  const Operand b =
      c.transpose_b ? operand(c.n, c.k, false, c.padded, c.batch) : operand(c.k, c.n, false, c.padded, c.batch);
  const Operand d = operand(c.m, c.n, false, c.padded, c.batch);
  auto a_host = random_content(random, c.in, a, c.batch), b_host = random_content(random, c.in, b, c.batch);
  auto c_host = random_content(random, c.out, d, c.batch);
  std::vector<uint8_t> bias_host(static_cast<size_t>(c.m) * type_bytes(c.out));
  for (size_t i = 0; i < static_cast<size_t>(c.m); ++i) store(bias_host, c.out, i, random.uniform(-1, 1));
  std::vector<uint8_t> d_host(c_host.size());
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (size_t i = 0; i < d_host.size() / type_bytes(c.out); ++i) store(d_host, c.out, i, nan);
  if (c.padded) {
    for (int64_t i = a.row_major ? a.columns : a.rows; i < a.leading; ++i) {
      const size_t first = a.row_major ? a.at(0, i, 0) : a.at(i, 0, 0);
      if (first < a_host.size() / type_bytes(c.in)) store(a_host, c.in, first, nan);
    }
  }

  Device a_device(a_host), b_device(b_host), bias(bias_host), workspace(std::vector<uint8_t>(c.workspace + 1));
  Device c_device(c.beta == 0 ? d_host : c_host), d_device(c.in_place && c.beta != 0 ? c_host : d_host);
  Problem p;
  describe(p, c, a, b, d);
  p.set(lt::kDescBiasPointer, static_cast<const void*>(bias.data));
  lt::HeuristicResult chosen = {};
  counts.check(choose(p, chosen) == lt::kSuccess, what + ": heuristic");
  counts.check(chosen.workspace_bytes <= c.workspace, what + ": workspace");

  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  if (captured) cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  const uint8_t* c_data = c.in_place ? d_device.data : c_device.data;
  const lt::Status status = library->matmul(
      p.handle, p.desc, &c.alpha, a_device.data, p.a, b_device.data, p.b, &c.beta, c_data, p.d, d_device.data, p.d,
      c.with_algorithm ? &chosen.algorithm : nullptr, workspace.data, c.workspace, stream);
  counts.check(status == lt::kSuccess, what + ": " + library->status_name(status));
  if (captured) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t exec = nullptr;
    counts.check(cudaStreamEndCapture(stream, &graph) == cudaSuccess, what + ": capture");
    cudaGraphInstantiate(&exec, graph, 0);
    cudaGraphDestroy(graph);
    cudaGraphLaunch(exec, stream);
    cudaGraphLaunch(exec, stream);
    cudaGraphExecDestroy(exec);
  }
  counts.check(cudaStreamSynchronize(stream) == cudaSuccess, what + ": runs: " + emulation::last_failure());
  cudaStreamDestroy(stream);
  cudaMemcpy(d_host.data(), d_device.data, d_host.size(), cudaMemcpyDeviceToHost);

  double worst = 0;
  for (int64_t batch = 0; batch < c.batch; ++batch) {
    for (int64_t i = 0; i < c.m; ++i) {
      for (int64_t j = 0; j < c.n; ++j) {
        double sum = 0;
        for (int64_t l = 0; l < c.k; ++l) {
          sum += fetch(a_host, c.in, c.transpose_a ? a.at(l, i, batch) : a.at(i, l, batch)) *
                 fetch(b_host, c.in, c.transpose_b ? b.at(j, l, batch) : b.at(l, j, batch));
        }
        double value = static_cast<double>(c.alpha) * sum;
        if (c.beta != 0) value += static_cast<double>(c.beta) * fetch(c_host, c.out, d.at(i, j, batch));
        if (c.epilogue & lt::kBias) value += fetch(bias_host, c.out, static_cast<size_t>(i));
        if (c.epilogue & lt::kRelu) value = value > 0 ? value : 0;
        if (c.epilogue & lt::kGelu) value = gelu_tanh(value);
        const double error =
            std::fabs(fetch(d_host, c.out, d.at(i, j, batch)) - value) / std::fmax(1, std::fabs(value));
        if (!(error <= worst)) worst = error;
      }
    }
  }
  const double size = std::sqrt(static_cast<double>(c.k));
  const double rounding = c.out == lt::kF32 ? 0 : c.out == lt::kBF16 ? 0x1p-8 : 0x1p-11;
  const double tolerance = 1e-6 * size + rounding + (c.tf32 ? 0x1p-11 * size : 0);
  counts.check(worst <= tolerance,
               what + ": error " + std::to_string(worst) + ", at most " + std::to_string(tolerance));
  if (c.tf32) counts.check(worst > 1e-6 * size, what + ": inputs were rounded");
}

void test_products() {
  for (const lt::DataType in : {lt::kF32, lt::kF16, lt::kBF16}) {
    for (const lt::DataType out : {lt::kF32, in}) {
      for (int bits = 0; bits < 8; ++bits) {
        Case c{40, 24, 56, in, out};
        c.transpose_a = bits & 1;
        c.transpose_b = bits & 2;
        c.padded = bits & 4;
        run_case(c, "product of type " + std::to_string(in) + " " + std::to_string(bits));
        c.batch = 3;
        c.alpha = 0.5f;
        c.beta = -2;
        run_case(c, "batch of type " + std::to_string(in) + " " + std::to_string(bits));
        c.in_place = true;
        run_case(c, "in place, type " + std::to_string(in) + " " + std::to_string(bits));
      }
      for (const uint32_t epilogue : {lt::kRelu, lt::kBias, lt::kReluBias, lt::kGelu, lt::kGeluBias}) {
        Case c{32, 17, 64, in, out};
        c.transpose_a = true;
        c.epilogue = epilogue;
        run_case(c, "epilogue " + std::to_string(epilogue));
        c.batch = 2;
        run_case(c, "batched epilogue " + std::to_string(epilogue));
      }
    }
  }
  Case odd{37, 13, 29};
  run_case(odd, "odd sizes in f32");
  odd.with_algorithm = false;
  run_case(odd, "without an algorithm");
  odd.row_major_a = true;
  run_case(odd, "row-major A");
  odd.transpose_a = true;
  run_case(odd, "row-major A, transposed");
  run_case({1, 1, 1}, "one by one");
  Case tf32{64, 48, 128};
  tf32.tf32 = true;
  run_case(tf32, "TF32");
  Case deep{16, 8, 4096};
  run_case(deep, "deep");
  deep.workspace = 1 << 20;
  run_case(deep, "deep, with a workspace");
  run_case(deep, "deep, with a workspace, in a graph", true);
  run_case({100, 900, 300, lt::kF32, lt::kF32, true}, "more than one panel of everything", true);
}

void expect(lt::Status found, lt::Status expected, const std::string& what) {
  counts.check(found == expected, what + ": " + library->status_name(found));
}

// Statuses of the heuristic for descriptions that are wrong or not supported.
void test_refusals() {
  const auto status_of = [](const Case& c, auto change) {
    const Operand a = c.transpose_a ? operand(c.k, c.m, false, false, 1) : operand(c.m, c.k, false, false, 1);
    Problem p;
    describe(p, c, a, operand(c.k, c.n, false, false, 1), operand(c.m, c.n, false, false, 1));
    change(p);
    lt::HeuristicResult result = {};
    return choose(p, result);
  };
  const auto keep = [](Problem&) {};
  expect(status_of({32, 16, 8}, keep), lt::kSuccess, "a plain product");
  expect(status_of({32, 16, 8, lt::kBF16, lt::kF16}, keep), lt::kNotSupported, "bf16 to f16");
  expect(status_of({32, 16, 8, lt::kF32, lt::kBF16}, keep), lt::kNotSupported, "f32 to bf16");
  Case tf32{32, 16, 8, lt::kBF16, lt::kBF16};
  tf32.tf32 = true;
  expect(status_of(tf32, keep), lt::kNotSupported, "TF32 of bf16");
  expect(status_of({32, 16, 3, lt::kBF16, lt::kBF16}, keep), lt::kNotSupported, "columns of three bf16");
  expect(status_of({32, 16, 3}, keep), lt::kSuccess, "columns of three f32");
  const Case half{32, 16, 8, lt::kBF16, lt::kBF16};
  expect(status_of(half, [](Problem& p) { p.prefer(lt::kPreferenceAlignmentB, uint32_t{8}); }), lt::kNotSupported,
         "8-byte alignment of bf16");
  expect(status_of(half, [](Problem& p) { p.prefer(lt::kPreferenceAlignmentB, uint32_t{12}); }), lt::kInvalidValue,
         "an alignment of 12");
  expect(status_of(half, [](Problem& p) { p.set(lt::kDescEpilogue, uint32_t{128 | 32}); }), lt::kNotSupported,
         "GELU_AUX");
  expect(status_of(half, [](Problem& p) { p.set(lt::kDescTransA, int32_t{1}); }), lt::kInvalidValue,
         "shapes that do not fit");
  expect(status_of(half, [](Problem& p) { p.set(2, int32_t{1}); }), lt::kNotSupported, "device pointers for alpha");
  const auto with_bias = [](int64_t type, uintptr_t address) {
    return [=](Problem& p) {
      p.set(lt::kDescEpilogue, static_cast<uint32_t>(lt::kBias));
      p.set(26, static_cast<int32_t>(type));
      p.set(lt::kDescBiasPointer, reinterpret_cast<const void*>(address));
    };
  };
  expect(status_of(half, with_bias(-1, 4096)), lt::kSuccess, "a bias");
  expect(status_of(half, with_bias(lt::kBF16, 4096)), lt::kSuccess, "a bias of D's type");
  expect(status_of(half, with_bias(lt::kF32, 4096)), lt::kNotSupported, "a bias of another type");
  expect(status_of(half, with_bias(-1, 4096 + 8)), lt::kNotSupported, "a bias aligned to 8 bytes");
  Problem p;
  describe(p, half, operand(32, 8, false, false, 1), operand(8, 16, false, false, 1), operand(32, 16, false, false, 1));
  expect(p.set(lt::kDescEpilogue, uint64_t{1}), lt::kInvalidValue, "an attribute of the wrong size");
  expect(p.set(99, uint32_t{1}), lt::kNotSupported, "an attribute that is none");
}

// What only the call itself shows.
void test_calls() {
  const Case c{32, 16, 8, lt::kBF16, lt::kBF16};
  const Operand a = operand(32, 8, false, false, 1), b = operand(8, 16, false, false, 1),
                d = operand(32, 16, false, false, 1);
  Problem p, other;
  describe(p, c, a, b, d);
  describe(other, {32, 16, 8}, a, b, d);
  lt::HeuristicResult chosen = {}, others = {};
  choose(p, chosen);
  choose(other, others);
  Device a_device(std::vector<uint8_t>(1024)), b_device(std::vector<uint8_t>(1024)),
      d_device(std::vector<uint8_t>(2048));
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  const float one = 1, zero = 0;
  const auto call = [&](const void* a_data, const void* b_data, void* d_data, const lt::Algorithm* algorithm,
                        cudaStream_t on) {
    return library->matmul(p.handle, p.desc, &one, a_data, p.a, b_data, p.b, &zero, d_data, p.d, d_data, p.d, algorithm,
                           nullptr, 0, on);
  };
  expect(call(a_device.data, b_device.data, d_device.data, &chosen.algorithm, stream), lt::kSuccess, "a call");
  expect(call(a_device.data, b_device.data, d_device.data, &others.algorithm, stream), lt::kInvalidValue,
         "another problem's algorithm");
  expect(call(a_device.data + 8, b_device.data, d_device.data, &chosen.algorithm, stream), lt::kNotSupported,
         "less alignment than promised");
  expect(call(a_device.data, b_device.data, d_device.data, &chosen.algorithm, nullptr), lt::kExecutionFailed,
         "no stream");
  expect(call(nullptr, b_device.data, d_device.data, &chosen.algorithm, stream), lt::kInvalidValue, "no A");
  // D has 1024 bytes; from here only 1008 are left.
  expect(call(a_device.data, b_device.data, d_device.data + 1040, &chosen.algorithm, stream), lt::kExecutionFailed,
         "D runs over its memory");
  counts.check(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress, "which a device would fault on");
  counts.check(emulation::last_failure().find("D is not inside") != std::string::npos, "names D");
  emulation::reset(emulation::Settings{});

  // An algorithm that needs a workspace does not run without it, or with half of it.
  Case deep{16, 8, 4096, lt::kBF16, lt::kF32};
  deep.workspace = 1 << 20;
  Problem q;
  describe(q, deep, operand(16, 4096, false, false, 1), operand(4096, 8, false, false, 1),
           operand(16, 8, false, false, 1));
  lt::HeuristicResult split = {};
  choose(q, split);
  counts.check(split.workspace_bytes == 2 * 16 * 8 * 4, "a workspace is asked for");
  Device deep_a(std::vector<uint8_t>(16 * 4096 * 2)), deep_b(std::vector<uint8_t>(4096 * 8 * 2)),
      workspace(std::vector<uint8_t>(4096));
  const auto split_call = [&](void* memory, size_t bytes) {
    return library->matmul(q.handle, q.desc, &one, deep_a.data, q.a, deep_b.data, q.b, &zero, d_device.data, q.d,
                           d_device.data, q.d, &split.algorithm, memory, bytes, stream);
  };
  expect(split_call(workspace.data, split.workspace_bytes), lt::kSuccess, "with its workspace");
  expect(split_call(workspace.data, split.workspace_bytes - 1), lt::kInvalidValue, "with less");
  expect(split_call(nullptr, split.workspace_bytes), lt::kInvalidValue, "without");
  expect(split_call(workspace.data + 16, split.workspace_bytes), lt::kInvalidValue, "with one that is not aligned");
  std::vector<uint8_t> after(4096);
  cudaMemcpy(after.data(), workspace.data, 4096, cudaMemcpyDeviceToHost);
  counts.check(after[0] == 0xff && after[1023] == 0xff && after[1024] == 0,
               "the workspace is overwritten, and no more");

  // In place, sums come in another order each time: nobody may count on repeatable results.
  q.prefer(lt::kPreferenceReductionSchemes, uint32_t{7});
  choose(q, split);
  test::Random random(3);
  std::vector<uint8_t> values(16 * 4096 * 2);
  for (size_t i = 0; i < values.size() / 2; ++i) store(values, lt::kBF16, i, random.uniform(-1, 1));
  cudaMemcpy(deep_a.data, values.data(), values.size(), cudaMemcpyHostToDevice);
  cudaMemcpy(deep_b.data, values.data(), deep_b.bytes, cudaMemcpyHostToDevice);
  // One recorded product, run twice.
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  split_call(nullptr, 0);
  cudaStreamEndCapture(stream, &graph);
  cudaGraphInstantiate(&exec, graph, 0);
  std::vector<uint8_t> first(512), second(512);
  cudaGraphLaunch(exec, stream);
  cudaMemcpy(first.data(), d_device.data, 512, cudaMemcpyDeviceToHost);
  cudaGraphLaunch(exec, stream);
  cudaMemcpy(second.data(), d_device.data, 512, cudaMemcpyDeviceToHost);
  counts.check(first != second, "reduction in place is not repeatable");
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
}

void test_speed() {
  const int64_t side = 1024;
  Case c{side, side, side, lt::kBF16, lt::kBF16, true};
  const Operand o = operand(side, side, false, false, 1);
  Problem p;
  describe(p, c, o, o, o);
  Device a(std::vector<uint8_t>(side * side * 2)), b(std::vector<uint8_t>(side * side * 2)),
      d(std::vector<uint8_t>(side * side * 2));
  cudaStream_t stream = nullptr;
  cudaEvent_t begin = nullptr, end = nullptr;
  cudaStreamCreate(&stream);
  cudaEventCreate(&begin);
  cudaEventCreate(&end);
  const float one = 1, zero = 0;
  cudaEventRecord(begin, stream);
  library->matmul(p.handle, p.desc, &one, a.data, p.a, b.data, p.b, &zero, d.data, p.d, d.data, p.d, nullptr, nullptr,
                  0, stream);
  cudaEventRecord(end, stream);
  cudaStreamSynchronize(stream);
  float milliseconds = 0;
  cudaEventElapsedTime(&milliseconds, begin, end);
  std::printf("%.1f GFLOP/s\n", 2e-6 * side * side * side / static_cast<double>(milliseconds));
  cudaEventDestroy(begin);
  cudaEventDestroy(end);
  cudaStreamDestroy(stream);
}

}  // namespace

int main() {
  const lt::Found found = lt::find();
  library = found.library;
  counts.check(library != nullptr, found.reason);
  if (library == nullptr) return counts.finish();
  for (const bool lazy : {false, true}) {
    emulation::Settings settings;
    settings.lazy = lazy;
    emulation::reset(settings);
    test_products();
  }
  emulation::reset(emulation::Settings{});
  test_refusals();
  test_calls();
  test_speed();
  counts.check(emulation::live_objects().total() == 0 && emulation::damage().empty(), "nothing left, nothing damaged");
  return counts.finish();
}
