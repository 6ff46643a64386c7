// The addon's free functions: image preprocessing, bare attention, and what the machine can do.
#include <chrono>
#include <cstring>
#include <dnnl.hpp>

#include "../cpu/attention/attention.h"
#include "../cpu/backend.h"
#include "../image/resize.h"
#include "async_task.h"
#include "js_value.h"
#include "objects.h"

namespace ba_sam::node {
namespace {

constexpr int64_t kMaxSide = int64_t{1} << 20;
constexpr int64_t kMaxTokens = int64_t{1} << 32;

void read_triple(const Napi::Value& value, float out[3], const char* name) {
  if (!value.IsArray() || value.As<Napi::Array>().Length() != 3) bad_argument(name, "an array of three numbers");
  for (uint32_t i = 0; i < 3; ++i) out[i] = static_cast<float>(to_number(value.As<Napi::Array>().Get(i), name));
}

// preprocess(rgb: Uint8Array [h, w, 3], width, height, scaledW, scaledH, inputW, inputH, mean, std,
//            out: Float32Array [3, inputH, inputW], token?): Promise<void>
Napi::Value preprocess(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t width = to_integer(info[1], 1, kMaxSide, "width"),
                  height = to_integer(info[2], 1, kMaxSide, "height");
    const int64_t input_w = to_integer(info[5], 1, kMaxSide, "inputWidth");
    const int64_t input_h = to_integer(info[6], 1, kMaxSide, "inputHeight");
    const int64_t scaled_w = to_integer(info[3], 1, input_w, "scaledWidth");
    const int64_t scaled_h = to_integer(info[4], 1, input_h, "scaledHeight");
    struct Normalisation {
      float mean[3], std[3];
    } n;
    read_triple(info[7], n.mean, "pixelMean");
    read_triple(info[8], n.std, "pixelStd");
    const ArrayView rgb = to_array(info[0], DType::u8, static_cast<size_t>(width * height * 3), "image");
    const ArrayView out = to_array(info[9], DType::f32, static_cast<size_t>(input_w * input_h * 3) * 4, "out");
    auto copy = std::make_shared<Buffer>(rgb.bytes, "an image");
    std::memcpy(copy->data(), rgb.data, rgb.bytes);

    AsyncTaskOptions options;
    options.name = "ba-sam preprocess";
    options.token = to_token(info[10]);
    if (!options.token) options.token = std::make_shared<CancelToken>();
    options.keep_alive.push_back(info[9].As<Napi::Object>());
    options.work = [=, token = options.token](const std::function<void(double)>&) {
      const int threads = Executor::instance().threads();
      Buffer scaled(static_cast<size_t>(scaled_w * scaled_h * 3), "a resized image");
      resize_bilinear_rgb8(scaled.data(), scaled_w, scaled_h, copy->data(), width, height, threads, &token->cancelled);
      normalize_pad(static_cast<float*>(out.data), scaled.data(), scaled_w, scaled_h, input_w, input_h, n.mean, n.std,
                    threads, &token->cancelled);
      if (token->cancelled) throw SamError("ERR_ABORTED", "The run was aborted");
    };
    return start_task(info.Env(), std::move(options));
  });
}

// Owns everything that AttentionParams points to.
struct AttentionCall {
  AttentionParams params;
  cpu::Isa isa = cpu::Isa::scalar;
  int threads = 1;
  Buffer q, k, v, rel_h, rel_w, slopes, pad_k, pad_v;
};

Buffer copy_of(const ArrayView& view, const char* what) {
  Buffer buffer(view.bytes, what);
  if (view.bytes) std::memcpy(buffer.data(), view.data, view.bytes);
  return buffer;
}

cpu::Isa to_isa(const Napi::Value& value) {
  if (value.IsUndefined()) return cpu::best_isa();
  const std::string text = to_text(value, "isa");
  for (int i = 0; i <= static_cast<int>(cpu::Isa::avx512_bf16); ++i) {
    const auto isa = static_cast<cpu::Isa>(i);
    if (text == cpu::isa_name(isa)) {
      if (!cpu::isa_supported(isa)) bad_argument("isa", "an instruction set that this processor has");
      return isa;
    }
  }
  bad_argument("isa", "one of scalar, avx2, avx512, avx512_bf16");
}

// attention(q, k, v, out, {dtype, batch, heads, headDim, qTokens, kTokens, scale, gridH, gridW, window, metric,
//           start, relH?, relW?, slopes?, padK?, padV?, isa?, threads?}, token?): Promise<number>, milliseconds
Napi::Value attention(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    if (!info[4].IsObject()) bad_argument("options", "an object");
    const auto o = info[4].As<Napi::Object>();
    auto call = std::make_shared<AttentionCall>();
    auto& p = call->params;
    p.dtype = to_dtype(o.Get("dtype"), "dtype");
    if (p.dtype != DType::f32 && p.dtype != DType::bf16) bad_argument("dtype", "f32 or bf16");
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
    const size_t q_bytes = static_cast<size_t>(p.batch * p.q_tokens) * channels * bytes;
    const size_t k_bytes = static_cast<size_t>(p.batch * p.k_tokens) * channels * bytes;
    call->q = copy_of(to_array(info[0], p.dtype, q_bytes, "q"), "q");
    call->k = copy_of(to_array(info[1], p.dtype, k_bytes, "k"), "k");
    call->v = copy_of(to_array(info[2], p.dtype, k_bytes, "v"), "v");
    const ArrayView out = to_array(info[3], p.dtype, q_bytes, "out");
    if (rel) {
      const auto row = static_cast<size_t>(p.head_dim) * 4;
      const int64_t side_h = p.window ? p.window : p.grid_h, side_w = p.window ? p.window : p.grid_w;
      call->rel_h = copy_of(to_array(o.Get("relH"), DType::f32, (2 * side_h - 1) * row, "relPosH"), "relPosH");
      call->rel_w = copy_of(to_array(o.Get("relW"), DType::f32, (2 * side_w - 1) * row, "relPosW"), "relPosW");
      p.rel_h = reinterpret_cast<const float*>(call->rel_h.data());
      p.rel_w = reinterpret_cast<const float*>(call->rel_w.data());
    }
    if (p.metric != DistanceMetric::none) {
      call->slopes =
          copy_of(to_array(o.Get("slopes"), DType::f32, static_cast<size_t>(p.heads) * 4, "slopes"), "slopes");
      p.slopes = reinterpret_cast<const float*>(call->slopes.data());
    }
    if (p.window) {
      call->pad_k = copy_of(to_array(o.Get("padK"), p.dtype, channels * bytes, "padK"), "padK");
      call->pad_v = copy_of(to_array(o.Get("padV"), p.dtype, channels * bytes, "padV"), "padV");
      p.pad_k = call->pad_k.data();
      p.pad_v = call->pad_v.data();
    }
    call->isa = to_isa(o.Get("isa"));
    call->threads = o.Get("threads").IsUndefined() ? Executor::instance().threads()
                                                   : static_cast<int>(to_integer(o.Get("threads"), 1, 1024, "threads"));

    AsyncTaskOptions options;
    options.name = "ba-sam attention";
    options.token = to_token(info[5]);
    if (!options.token) options.token = std::make_shared<CancelToken>();
    options.keep_alive.push_back(info[3].As<Napi::Object>());
    auto milliseconds = std::make_shared<double>(0);
    options.work = [call, out, milliseconds, token = options.token](const std::function<void(double)>&) {
      const auto& p = call->params;
      const int64_t c = p.heads * p.head_dim, q_batch = p.q_tokens * c, k_batch = p.k_tokens * c;
      Buffer workspace(cpu::attention_workspace_bytes(p, call->threads, call->isa), "the attention's workspace");
      const auto start = std::chrono::steady_clock::now();
      cpu::attention_forward(out.data, q_batch, c, {call->q.data(), q_batch, c}, {call->k.data(), k_batch, c},
                             {call->v.data(), k_batch, c}, p, workspace.data(), call->threads, call->isa,
                             &token->cancelled);
      *milliseconds = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
      if (token->cancelled) throw SamError("ERR_ABORTED", "The run was aborted");
    };
    options.result = [milliseconds](Napi::Env env) -> Napi::Value { return Napi::Number::New(env, *milliseconds); };
    return start_task(info.Env(), std::move(options));
  });
}

// info(): what this build and this machine can do
Napi::Value machine_info(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    auto result = Napi::Object::New(info.Env());
    auto isas = Napi::Array::New(info.Env());
    for (int i = 0; i <= static_cast<int>(cpu::Isa::avx512_bf16); ++i) {
      const auto isa = static_cast<cpu::Isa>(i);
      if (cpu::isa_supported(isa)) isas.Set(isas.Length(), cpu::isa_name(isa));
    }
    const dnnl_version_t* version = dnnl_version();
    result.Set("backend", "cpu");
    result.Set("isa", cpu::isa_name(cpu::best_isa()));
    result.Set("supportedIsas", isas);
    result.Set("threads", Executor::instance().threads());
    result.Set("oneDNN", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                             std::to_string(version->patch));
    result.Set("bf16UnavailableReason", cpu::bf16_unavailable_reason());
    return result;
  });
}

// setThreads(n): before the first run
Napi::Value set_threads(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    Executor::instance().set_threads(static_cast<int>(to_integer(info[0], 1, 1024, "threads")));
    return info.Env().Undefined();
  });
}

// shutDown(): cancels everything and waits; nothing runs afterwards. For the exit hook of the main thread.
Napi::Value shut_down(const Napi::CallbackInfo& info) {
  Executor::instance().shut_down();
  return info.Env().Undefined();
}

// opTable(): the vocabulary as native code knows it, for the test that compares its homes
Napi::Value op_table(const Napi::CallbackInfo& info) {
  auto table = Napi::Array::New(info.Env());
  for (uint8_t op = 0; op < kOpCount; ++op) {
    const OpInfo& row = op_info(op);
    auto entry = Napi::Object::New(info.Env());
    entry.Set("name", row.name);
    entry.Set("requiredInputs", row.required_inputs);
    entry.Set("maxInputs", row.max_inputs);
    entry.Set("requiredAttributes", row.required_attributes);
    table.Set(op, entry);
  }
  return table;
}

// checkGraph(bytes): number of nodes; throws ERR_GRAPH
Napi::Value check_graph(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const ArrayView bytes = to_array(info[0], "graph");
    const Graph graph = decode_graph(static_cast<const uint8_t*>(bytes.data), bytes.bytes);
    return Napi::Number::New(info.Env(), static_cast<double>(graph.nodes.size()));
  });
}

}  // namespace

void define_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("preprocess", Napi::Function::New<preprocess>(env, "preprocess"));
  exports.Set("attention", Napi::Function::New<attention>(env, "attention"));
  exports.Set("info", Napi::Function::New<machine_info>(env, "info"));
  exports.Set("setThreads", Napi::Function::New<set_threads>(env, "setThreads"));
  exports.Set("shutDown", Napi::Function::New<shut_down>(env, "shutDown"));
  exports.Set("opTable", Napi::Function::New<op_table>(env, "opTable"));
  exports.Set("checkGraph", Napi::Function::New<check_graph>(env, "checkGraph"));
}

}  // namespace ba_sam::node
