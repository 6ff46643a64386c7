// The C interface under hostile arguments: every refusal has a code and a text, nothing is thrown, and what is accepted
// computes. Runs on a GPU, or on the host emulation; prints "N passed, N failed".
#include "../../native/backends/cuda/c_api.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "../../native/backends/cuda/runtime.h"
#include "../native/support.h"

using namespace ba_sam;
using namespace ba_sam::test;

namespace {

Counts counts;
constexpr ptrdiff_t kHeads = 2, kDim = 16, kRows = 3, kColumns = 5, kTokens = kRows * kColumns;
constexpr ptrdiff_t kWidth = kHeads * kDim;

// Device memory filled with ones of the dtype's bits or with floats.
class Block {
 public:
  explicit Block(size_t bytes, float value = 0.0f) {
    cuda::check(cudaMalloc(&data_, bytes), "cudaMalloc");
    const std::vector<float> host(bytes / 4, value);
    cuda::check(cudaMemcpy(data_, host.data(), host.size() * 4, cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  ~Block() { cudaFree(data_); }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  uint8_t* at(ptrdiff_t offset = 0) const { return static_cast<uint8_t*>(data_) + offset; }

 private:
  void* data_ = nullptr;
};

// A call that is right in every respect, for tests to break in one.
struct Call {
  Call()
      : out_block(8192),
        q_block(8192, 0.5f),
        kv_block(16384, 0.25f),
        tables(8192, 0.1f),
        slope_block(256, 0.5f),
        workspace_block(65536) {
    a.struct_bytes = sizeof a;
    a.dtype = BA_SAM_F32;
    a.metric = BA_SAM_METRIC_EUCLIDEAN;
    a.batch = 1;
    a.heads = kHeads;
    a.head_dim = kDim;
    a.q_tokens = a.k_tokens = kTokens;
    a.out_token_stride = a.q_token_stride = a.k_token_stride = a.v_token_stride = kWidth;
    a.out_batch_stride = a.q_batch_stride = a.k_batch_stride = a.v_batch_stride = kTokens * kWidth;
    a.grid_h = kRows;
    a.grid_w = kColumns;
    a.rel_h = reinterpret_cast<const float*>(tables.at());
    a.rel_w = reinterpret_cast<const float*>(tables.at(4096));
    a.slopes = reinterpret_cast<const float*>(slope_block.at());
    a.scale = 0.25f;
    out = out_block.at();
    q = q_block.at();
    k = kv_block.at();
    v = kv_block.at(8192);
    workspace = workspace_block.at();
  }

  void windows() {
    a.metric = BA_SAM_METRIC_NONE;
    a.slopes = nullptr;
    a.window = 2;
    a.pad_k = a.pad_v = tables.at();
  }
  void without_grid() {
    a.grid_h = a.grid_w = 0;
    a.rel_h = a.rel_w = a.slopes = nullptr;
    a.metric = BA_SAM_METRIC_NONE;
  }
  int forward() const { return ba_sam_attention_forward(out, q, k, v, params, workspace, workspace_bytes, nullptr); }

  Block out_block, q_block, kv_block, tables, slope_block, workspace_block;
  BaSamAttention a = {};
  const BaSamAttention* params = &a;
  void *out, *workspace;
  const void *q, *k, *v;
  size_t workspace_bytes = 65536;
};

using Change = std::function<void(Call&)>;

// `in_params`: the workspace's size is refused, too, not only the call.
void refused(const std::string& what, const std::string& text, const Change& change, bool in_params = true) {
  Call call;
  change(call);
  const int result = call.forward();
  const std::string error = ba_sam_last_error();
  counts.check(result == BA_SAM_INVALID_ARGUMENT, what + ": result " + std::to_string(result));
  counts.check(error.find("Expected ") == 0 && error.find(text) != std::string::npos, what + ": " + error);
  const size_t bytes = ba_sam_attention_workspace_bytes(call.params);
  counts.check((bytes == BA_SAM_INVALID) == in_params, what + ": workspace of " + std::to_string(bytes));
}

void accepted(const std::string& what, const Change& change) {
  Call call;
  change(call);
  const size_t bytes = ba_sam_attention_workspace_bytes(call.params);
  counts.check(bytes != BA_SAM_INVALID && bytes <= call.workspace_bytes, what + ": workspace");
  const int result = call.forward();
  counts.check(result == BA_SAM_OK, what + ": " + ba_sam_last_error());
  counts.check(cudaDeviceSynchronize() == cudaSuccess, what + ": the device");
}

// A field of type ptrdiff_t or int and values that it must not have.
template <typename Field>
void out_of_range(const char* name, Field BaSamAttention::*field, std::vector<int64_t> values) {
  values.push_back(std::numeric_limits<Field>::min());
  values.push_back(std::numeric_limits<Field>::max());
  for (const int64_t value : values) {
    refused(std::string(name) + " = " + std::to_string(value), std::to_string(value),
            [&](Call& c) { c.a.*field = static_cast<Field>(value); });
  }
}

void check_ranges() {
  out_of_range("dtype", &BaSamAttention::dtype, {-1, 3, 4});
  out_of_range("metric", &BaSamAttention::metric, {-1, 4});
  out_of_range("batch", &BaSamAttention::batch, {-1, 0, (1 << 20) + 1});
  out_of_range("heads", &BaSamAttention::heads, {-1, 0, 4097});
  out_of_range("head_dim", &BaSamAttention::head_dim, {-1, 0, 257});
  out_of_range("q_tokens", &BaSamAttention::q_tokens, {-1, 0});
  out_of_range("k_tokens", &BaSamAttention::k_tokens, {-1, 0});
  out_of_range("grid_h", &BaSamAttention::grid_h, {-1, 0, (1 << 20) + 1});
  out_of_range("grid_w", &BaSamAttention::grid_w, {-1, 0, (1 << 20) + 1});
  out_of_range("window", &BaSamAttention::window, {-1, 1025});
  out_of_range("out_token_stride", &BaSamAttention::out_token_stride, {-1, 0, kWidth - 1});
  out_of_range("q_token_stride", &BaSamAttention::q_token_stride, {-1, -kWidth});
  out_of_range("k_token_stride", &BaSamAttention::k_token_stride, {-1});
  out_of_range("v_batch_stride", &BaSamAttention::v_batch_stride, {-1});
}

void check_numbers() {
  const std::string other = "as many queries and keys as the grid has tokens";
  refused("a grid of more rows", other, [](Call& c) { c.a.grid_h = kRows + 1; });
  refused("a grid of more columns", other, [](Call& c) { c.a.grid_w = kColumns + 1; });
  for (const ptrdiff_t tokens : {kTokens - 1, kTokens + 1}) {
    refused("queries of another grid", other, [&](Call& c) { c.a.q_tokens = tokens; });
    refused("keys of another grid", other, [&](Call& c) { c.a.k_tokens = tokens; });
  }
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    refused("scale", "a finite scale", [&](Call& c) { c.a.scale = bad; });
    refused("start", "start of at least 0", [&](Call& c) { c.a.start = bad; });
  }
  refused("start below 0", "start of at least 0", [](Call& c) { c.a.start = -1.0f; });
  refused("too many elements", "2^40", [](Call& c) {
    c.without_grid();
    c.a.k_tokens = ptrdiff_t{1} << 39;
  });
  refused("batches that overlap", "out_batch_stride", [](Call& c) {
    c.a.batch = 2;
    c.a.out_batch_stride = kWidth;
  });
  refused("strides whose product overflows", "2^40", [](Call& c) { c.a.q_token_stride = ptrdiff_t{1} << 40; });
  refused("odd strides", "multiples of 8", [](Call& c) {
    c.a.dtype = BA_SAM_BF16;
    c.a.q_token_stride = kWidth + 4;
  });
}

void check_pointers() {
  refused("no parameters", "null", [](Call& c) { c.params = nullptr; });
  refused("parameters at an odd address", "aligned",
          [](Call& c) { c.params = reinterpret_cast<const BaSamAttention*>(reinterpret_cast<const char*>(&c.a) + 1); });
  for (const size_t bytes : {size_t{0}, size_t{1}, sizeof(BaSamAttention) - 1, sizeof(BaSamAttention) + 8, SIZE_MAX}) {
    refused("struct_bytes of " + std::to_string(bytes), "struct_bytes", [&](Call& c) { c.a.struct_bytes = bytes; });
  }
  refused(
      "no out", "for out", [](Call& c) { c.out = nullptr; }, false);
  refused(
      "no q", "for q", [](Call& c) { c.q = nullptr; }, false);
  refused(
      "no k", "for k", [](Call& c) { c.k = nullptr; }, false);
  refused(
      "no v", "for v", [](Call& c) { c.v = nullptr; }, false);
  refused(
      "odd q", "aligned", [](Call& c) { c.q = c.q_block.at(2); }, false);
  refused(
      "odd 16-bit k", "aligned to 16",
      [](Call& c) {
        c.a.dtype = BA_SAM_F16;
        c.k = c.kv_block.at(8);
      },
      false);
  refused("rel_h alone", "rel_h", [](Call& c) { c.a.rel_w = nullptr; });
  refused("rel_w alone", "rel_w", [](Call& c) { c.a.rel_h = nullptr; });
  refused("rel_h at an odd address", "rel_h",
          [](Call& c) { c.a.rel_h = reinterpret_cast<const float*>(c.tables.at(4)); });
  refused("a metric without slopes", "slopes", [](Call& c) { c.a.slopes = nullptr; });
  refused("slopes without a metric", "slopes", [](Call& c) { c.a.metric = BA_SAM_METRIC_NONE; });
  refused("a window with a metric", "global attention only", [](Call& c) {
    c.windows();
    c.a.metric = BA_SAM_METRIC_CHEBYSHEV;
  });
  refused("a window without pad_k", "pad_k", [](Call& c) {
    c.windows();
    c.a.pad_k = nullptr;
  });
  refused("a window without pad_v", "pad_v", [](Call& c) {
    c.windows();
    c.a.pad_v = nullptr;
  });
  for (const Change& bias : {Change([](Call& c) { c.a.window = 2; }), Change([](Call& c) {
                               c.a.rel_h = c.a.rel_w = reinterpret_cast<const float*>(c.tables.at());
                             }),
                             Change([](Call& c) { c.a.metric = BA_SAM_METRIC_MANHATTAN; })}) {
    refused("a bias without a grid", "a token grid", [&](Call& c) {
      c.without_grid();
      bias(c);
    });
  }
}

// Few queries against many keys in f32: the only shape that needs a workspace.
void check_workspace() {
  Call call;
  call.without_grid();
  call.a.heads = 1;
  call.a.head_dim = 1;
  call.a.q_tokens = 1;
  call.a.k_tokens = 2048;
  call.a.k_token_stride = call.a.v_token_stride = 1;
  call.a.q_batch_stride = call.a.k_batch_stride = call.a.v_batch_stride = call.a.out_batch_stride = 0;
  const size_t bytes = ba_sam_attention_workspace_bytes(&call.a);
  counts.check(bytes > 0 && bytes <= call.workspace_bytes, "a workspace of " + std::to_string(bytes));
  call.workspace_bytes = bytes;
  counts.check(call.forward() == BA_SAM_OK, ba_sam_last_error());
  float out = 0;
  cuda::check(cudaMemcpy(&out, call.out, sizeof out, cudaMemcpyDeviceToHost), "cudaMemcpy");
  counts.check(out == 0.25f, "the mean of equal values is " + std::to_string(out));
  call.workspace_bytes = bytes - 1;
  counts.check(call.forward() == BA_SAM_INVALID_ARGUMENT, "a workspace one byte short");
  call.workspace_bytes = bytes;
  call.workspace = call.workspace_block.at(128);
  counts.check(call.forward() == BA_SAM_INVALID_ARGUMENT, "an unaligned workspace");
  call.workspace = nullptr;
  counts.check(call.forward() == BA_SAM_INVALID_ARGUMENT, "no workspace");
}

void check_accepted() {
  accepted("every bias", [](Call&) {});
  accepted("windows", [](Call& c) { c.windows(); });
  accepted("a plain list", [](Call& c) { c.without_grid(); });
  accepted("bf16", [](Call& c) { c.a.dtype = BA_SAM_BF16; });
  accepted("f16", [](Call& c) { c.a.dtype = BA_SAM_F16; });
  accepted("a key that repeats", [](Call& c) { c.a.k_token_stride = c.a.v_token_stride = 0; });
  // What only the kernels know is refused with their words.
  Call call;
  call.a.dtype = BA_SAM_F16;
  call.a.head_dim = 24;
  call.a.out_token_stride = call.a.q_token_stride = call.a.k_token_stride = call.a.v_token_stride = 48;
  counts.check(call.forward() == BA_SAM_INVALID_ARGUMENT, "a head size of 24 in f16");
  counts.check(std::string(ba_sam_last_error()).find("24") != std::string::npos, ba_sam_last_error());
}

void check_errors() {
  counts.check(std::strlen(ba_sam_version()) >= 5, ba_sam_version());
  ba_sam_attention_workspace_bytes(nullptr);
  const std::string mine = ba_sam_last_error();
  std::string fresh = "?", theirs;
  std::thread([&] {
    fresh = ba_sam_last_error();
    Call call;
    call.a.heads = 0;
    call.forward();
    theirs = ba_sam_last_error();
  }).join();
  counts.check(fresh.empty(), "a new thread has no error: " + fresh);
  counts.check(theirs.find("heads") != std::string::npos, "its own error: " + theirs);
  counts.check(mine == ba_sam_last_error(), "and this thread keeps its own");
}

// Whatever the bytes of the struct are, the answer is a refusal or a size. Addresses in it are never read.
void check_random_structs() {
  Random random(20261123);
  int refusals = 0;
  const Call call;
  for (int i = 0; i < 20000; ++i) {
    BaSamAttention a = call.a;
    auto* bytes = reinterpret_cast<unsigned char*>(&a);
    for (int64_t flips = random.integer(1, 12); flips > 0; --flips) {
      bytes[random.integer(8, sizeof a - 1)] = static_cast<unsigned char>(random.integer(0, 255));
    }
    if (ba_sam_attention_workspace_bytes(&a) == BA_SAM_INVALID) ++refusals;
  }
  counts.check(refusals > 10000, std::to_string(refusals) + " of 20000 random structs refused");
}

}  // namespace

int main() {
  check_ranges();
  check_numbers();
  check_pointers();
  check_workspace();
  check_accepted();
  check_errors();
  check_random_structs();
  return counts.finish();
}
