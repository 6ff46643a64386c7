// What the CPU addon has of its own: its backend, resizing images, and what the machine can do.
#include <cstring>
#include <dnnl.hpp>

#include "../../backends/cpu/backend.h"
#include "../../image/mask_runs.h"
#include "../../image/resize.h"
#include "../async_task.h"
#include "../backend_entry.h"
#include "../js_value.h"
#include "../objects.h"
#include "file_lock.h"

namespace ba_sam::node {
namespace {

constexpr int64_t kMaxSide = int64_t{1} << 20;

// resizeImage(rgb: Uint8Array [height, width, 3], width, height, scaledWidth, scaledHeight, inputWidth, inputHeight,
//             out: Uint8Array [inputHeight, inputWidth, 3], token?): Promise<void>
// Fills the top left of `out` and leaves the rest as it is. Neither array may be touched until the promise is settled.
Napi::Value resize_image(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int64_t width = to_integer(info[1], 1, kMaxSide, "width"),
                  height = to_integer(info[2], 1, kMaxSide, "height");
    const int64_t input_w = to_integer(info[5], 1, kMaxSide, "inputWidth");
    const int64_t input_h = to_integer(info[6], 1, kMaxSide, "inputHeight");
    const int64_t scaled_w = to_integer(info[3], 1, input_w, "scaledWidth");
    const int64_t scaled_h = to_integer(info[4], 1, input_h, "scaledHeight");
    const ArrayView rgb = to_array(info[0], DType::u8, static_cast<size_t>(width * height * 3), "image");
    const ArrayView out = to_array(info[7], DType::u8, static_cast<size_t>(input_w * input_h * 3), "out");

    AsyncTaskOptions options;
    options.name = "ba-sam resize";
    options.token = to_token(info[8]);
    if (!options.token) options.token = std::make_shared<CancelToken>();
    for (const int i : {0, 7}) options.keep_alive.push_back(info[i].As<Napi::Object>());
    options.work = [=, token = options.token](const std::function<void(double)>&) {
      resize_bilinear_rgb8(static_cast<uint8_t*>(out.data), 3 * input_w, scaled_w, scaled_h,
                           static_cast<const uint8_t*>(rgb.data), width, height, Executor::instance().threads(),
                           &token->cancelled);
      if (token->cancelled) throw SamError("ERR_ABORTED", "The run was aborted");
    };
    return start_task(info.Env(), std::move(options));
  });
}

// encodeMasks(low: Float32Array [masks, lowHeight, lowWidth], masks, lowWidth, lowHeight, inputWidth, inputHeight, contentWidth,
//             contentHeight, width, height, token?): Promise<{counts, area, bbox: [x, y, width, height]}[]>
// `low` must not be touched until the promise is settled.
Napi::Value encode_masks_of(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    UpsampleParams p;
    p.masks = to_integer(info[1], 1, kMaxSide, "masks");
    p.low_w = to_integer(info[2], 1, kMaxSide, "lowWidth");
    p.low_h = to_integer(info[3], 1, kMaxSide, "lowHeight");
    p.input_w = to_integer(info[4], 1, kMaxSide, "inputWidth");
    p.input_h = to_integer(info[5], 1, kMaxSide, "inputHeight");
    p.content_w = to_integer(info[6], 1, p.input_w, "contentWidth");
    p.content_h = to_integer(info[7], 1, p.input_h, "contentHeight");
    p.out_w = to_integer(info[8], 1, kMaxSide, "width");
    p.out_h = to_integer(info[9], 1, kMaxSide, "height");
    const size_t bytes = static_cast<size_t>(p.masks * p.low_h * p.low_w) * sizeof(float);
    const ArrayView low = to_array(info[0], DType::f32, bytes, "low");

    AsyncTaskOptions options;
    options.name = "ba-sam masks";
    options.token = to_token(info[10]);
    if (!options.token) options.token = std::make_shared<CancelToken>();
    options.keep_alive.push_back(info[0].As<Napi::Object>());
    auto masks = std::make_shared<std::vector<MaskRuns>>();
    options.work = [=, token = options.token](const std::function<void(double)>&) {
      *masks =
          encode_masks(static_cast<const float*>(low.data), p, 0.0f, Executor::instance().threads(), &token->cancelled);
      if (token->cancelled) throw SamError("ERR_ABORTED", "The run was aborted");
    };
    options.result = [masks](Napi::Env env, const auto&) -> Napi::Value {
      auto list = Napi::Array::New(env, masks->size());
      for (uint32_t i = 0; i < masks->size(); ++i) {
        const auto& [counts, stats] = (*masks)[i];
        auto box = Napi::Array::New(env, 4);
        uint32_t at = 0;
        for (const int64_t value : {stats.x, stats.y, stats.w, stats.h}) box.Set(at++, static_cast<double>(value));
        auto mask = Napi::Object::New(env);
        mask.Set("counts", Napi::String::New(env, counts));
        mask.Set("area", static_cast<double>(stats.area));
        mask.Set("bbox", box);
        list.Set(i, mask);
      }
      return list;
    };
    return start_task(info.Env(), std::move(options));
  });
}

cpu::Isa to_isa(const Napi::Value& value) {
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
    result.Set("threadsRefused", Executor::instance().threads_refused());
    result.Set("oneDNN", std::to_string(version->major) + "." + std::to_string(version->minor) + "." +
                             std::to_string(version->patch));
    result.Set("bf16UnavailableReason", cpu::unavailable_reason(DType::bf16));
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

}  // namespace

// options: {threads?: number, isa?: string}. Without threads the team is asked for its size when a plan is prepared: until
// then setThreads may change it.
std::shared_ptr<Backend> make_backend(const Napi::Value& options) {
  cpu::BackendOptions out;
  if (options.IsUndefined()) return cpu::make_cpu_backend(out);
  if (!options.IsObject()) bad_argument("options", "an object");
  const auto o = options.As<Napi::Object>();
  const Napi::Value threads = o.Get("threads"), isa = o.Get("isa");
  if (!threads.IsUndefined()) out.threads = static_cast<int>(to_integer(threads, 1, 1024, "threads"));
  if (!isa.IsUndefined()) out.isa = to_isa(isa);
  return cpu::make_cpu_backend(out);
}

void define_backend_functions(Napi::Env env, Napi::Object exports) {
  exports.Set("resizeImage", Napi::Function::New<resize_image>(env, "resizeImage"));
  exports.Set("encodeMasks", Napi::Function::New<encode_masks_of>(env, "encodeMasks"));
  exports.Set("info", Napi::Function::New<machine_info>(env, "info"));
  exports.Set("setThreads", Napi::Function::New<set_threads>(env, "setThreads"));
  exports.Set("lockFile", Napi::Function::New<lock_file>(env, "lockFile"));
}

}  // namespace ba_sam::node
