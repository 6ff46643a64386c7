// See attention_call.h.
#include "attention_call.h"

#include <algorithm>
#include <cstring>

namespace ba_sam::node {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 32;
constexpr double kMaxElements = 1ull << 40;  // of one operand: products of sizes stay far from overflowing

Buffer copy_of(const ArrayView& view, const char* what) {
  Buffer buffer(view.bytes, what);
  if (view.bytes) std::memcpy(buffer.data(), view.data, view.bytes);
  return buffer;
}

}  // namespace

std::shared_ptr<AttentionCall> read_attention_call(const Napi::CallbackInfo& info) {
  if (!info[4].IsObject()) bad_argument("options", "an object");
  const auto o = info[4].As<Napi::Object>();
  auto call = std::make_shared<AttentionCall>();
  auto& p = call->params;
  p.dtype = to_dtype(o.Get("dtype"), "dtype");
  if (p.dtype == DType::u8 || p.dtype == DType::i32) bad_argument("dtype", "f32, bf16 or f16");
  p.batch = to_integer(o.Get("batch"), 1, 65536, "batch");
  p.heads = to_integer(o.Get("heads"), 1, 4096, "heads");
  p.head_dim = to_integer(o.Get("headDim"), 1, 256, "headDim");
  p.q_tokens = to_integer(o.Get("qTokens"), 1, kMaxTokens, "qTokens");
  p.k_tokens = to_integer(o.Get("kTokens"), 1, kMaxTokens, "kTokens");
  p.scale = static_cast<float>(to_number(o.Get("scale"), "scale"));
  p.grid_h = to_integer(o.Get("gridH"), 0, 65536, "gridH");
  p.grid_w = to_integer(o.Get("gridW"), 0, 65536, "gridW");
  p.window = to_integer(o.Get("window"), 0, 1024, "window");
  p.metric = static_cast<DistanceMetric>(to_integer(o.Get("metric"), 0, 3, "metric"));
  p.start = static_cast<float>(to_number(o.Get("start"), "start"));
  const bool grid = p.grid_h > 0;
  if (grid != (p.grid_w > 0) || (grid && (p.grid_h * p.grid_w != p.q_tokens || p.q_tokens != p.k_tokens))) {
    bad_argument("grid", "gridH × gridW equal to the tokens of q and k");
  }
  const bool rel = !o.Get("relH").IsUndefined();
  if (!grid && (p.window || rel || p.metric != DistanceMetric::none)) bad_argument("grid", "a token grid");
  if (p.window && p.metric != DistanceMetric::none) bad_argument("metric", "no metric in windows");

  const size_t bytes = dtype_bytes(p.dtype);
  const auto channels = static_cast<size_t>(p.heads * p.head_dim);
  const double tokens = static_cast<double>(p.batch) * static_cast<double>(std::max(p.q_tokens, p.k_tokens));
  if (!(tokens * static_cast<double>(channels) <= kMaxElements)) bad_argument("batch", "at most 2^40 elements");
  const size_t q_bytes = static_cast<size_t>(p.batch * p.q_tokens) * channels * bytes;
  const size_t k_bytes = static_cast<size_t>(p.batch * p.k_tokens) * channels * bytes;
  call->q = copy_of(to_array(info[0], p.dtype, q_bytes, "q"), "q");
  call->k = copy_of(to_array(info[1], p.dtype, k_bytes, "k"), "k");
  call->v = copy_of(to_array(info[2], p.dtype, k_bytes, "v"), "v");
  call->out = to_array(info[3], p.dtype, q_bytes, "out");
  if (rel) {
    const auto row = static_cast<size_t>(p.head_dim) * 4;
    const int64_t side_h = p.window ? p.window : p.grid_h, side_w = p.window ? p.window : p.grid_w;
    call->rel_h = copy_of(to_array(o.Get("relH"), DType::f32, (2 * side_h - 1) * row, "relPosH"), "relPosH");
    call->rel_w = copy_of(to_array(o.Get("relW"), DType::f32, (2 * side_w - 1) * row, "relPosW"), "relPosW");
    p.rel_h = reinterpret_cast<const float*>(call->rel_h.data());
    p.rel_w = reinterpret_cast<const float*>(call->rel_w.data());
  }
  if (p.metric != DistanceMetric::none) {
    call->slopes = copy_of(to_array(o.Get("slopes"), DType::f32, static_cast<size_t>(p.heads) * 4, "slopes"), "slopes");
    p.slopes = reinterpret_cast<const float*>(call->slopes.data());
  }
  if (p.window) {
    call->pad_k = copy_of(to_array(o.Get("padK"), p.dtype, channels * bytes, "padK"), "padK");
    call->pad_v = copy_of(to_array(o.Get("padV"), p.dtype, channels * bytes, "padV"), "padV");
    p.pad_k = call->pad_k.data();
    p.pad_v = call->pad_v.data();
  }
  return call;
}

}  // namespace ba_sam::node
