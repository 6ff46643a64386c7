// patchEmbed of u8 pixels: normalised as PyTorch does, zero outside of the content, the same bits as with f32 pixels.
// Prints "N passed, N failed".
#include <cmath>

#include "../../native/backends/cpu/backend.h"
#include "bytes.h"
#include "graph_fixture.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

struct NormalizeCase {
  uint32_t seed;
  int64_t w, h, padded_w, padded_h;
  uint32_t crc;
};

#include "../image/fixtures/normalize_cases.inc"

constexpr float kMean[3] = {123.675f, 116.28f, 103.53f}, kStd[3] = {58.395f, 57.12f, 57.375f};

PatchEmbedOp normalising() {
  return {{123.675, 116.28, 103.53}, {58.395, 57.12, 57.375}};
}

// pixels, content → f32
std::vector<float> run(Plan& plan, const std::vector<const void*>& inputs) {
  const Value& out = plan.graph().values[plan.graph().outputs[0]];
  std::vector<float> result(static_cast<size_t>(out.elements()));
  const std::atomic<bool> cancel{false};
  plan.run(inputs, {result.data()}, cancel, {}, nullptr);
  return result;
}

// With patches of one pixel and the identity as weight, tokens are the normalised pixels.
void test_values() {
  for (const NormalizeCase& c : kNormalize) {
    for (int threads : {1, 4}) {
      auto weights = std::make_shared<WeightStore>(cpu::make_cpu_backend(threads));
      const float identity[9] = {1, 0, 0, 0, 1, 0, 0, 0, 1};
      GraphSpec s;
      const auto x = s.input({1, c.padded_h, c.padded_w, 3}, DType::u8), content = s.input({1, 2}, DType::i32);
      const auto w = s.value(ValueKind::weight, {3, 3, 1, 1}, DType::f32, "w");
      s.outputs = {s.node(normalising(), {x, w, kAbsent, kAbsent, content}, {1, c.padded_h, c.padded_w, 3})};
      weights->set("w", DType::f32, DType::f32, {3, 3, 1, 1}, reinterpret_cast<const uint8_t*>(identity), 36);
      Plan plan(weights, decode(s));

      const std::vector<uint8_t> image = lcg(c.seed, c.w * c.h * 3);
      std::vector<uint8_t> canvas(c.padded_w * c.padded_h * 3, 200);  // what lies outside of the content is ignored
      for (int64_t y = 0; y < c.h; ++y) {
        std::copy_n(image.begin() + y * c.w * 3, c.w * 3, canvas.begin() + y * c.padded_w * 3);
      }
      const int32_t size[2] = {static_cast<int32_t>(c.h), static_cast<int32_t>(c.w)};
      const std::vector<float> tokens = run(plan, {canvas.data(), size});
      const int64_t plane = c.padded_w * c.padded_h;
      std::vector<float> channels_first(tokens.size());
      for (int64_t i = 0; i < plane; ++i) {
        for (int64_t ch = 0; ch < 3; ++ch) channels_first[ch * plane + i] = tokens[i * 3 + ch];
      }
      g_counts.check(crc32(channels_first.data(), channels_first.size() * sizeof(float)) == c.crc,
                     std::to_string(c.w) + "x" + std::to_string(c.h) + " in " + std::to_string(c.padded_w) + "x" +
                         std::to_string(c.padded_h));
    }
  }
}

// The graph of an encoder's first op on both kinds of pixels.
GraphSpec embedding(bool bytes, DType dtype, int64_t batch, int64_t gh, int64_t gw, int64_t patch) {
  GraphSpec s;
  const int64_t h = gh * patch, w = gw * patch;
  const auto x = bytes ? s.input({batch, h, w, 3}, DType::u8) : s.input({batch, 3, h, w});
  const auto content = bytes ? s.input({batch, 2}, DType::i32) : kAbsent;
  const auto weight = s.value(ValueKind::weight, {24, 3, patch, patch}, dtype, "w");
  const auto bias = s.value(ValueKind::weight, {24}, DType::f32, "bias");
  const auto positions = s.value(ValueKind::weight, {1, gh, gw, 24}, DType::f32, "positions");
  std::vector<uint32_t> inputs = {x, weight, bias, positions};
  if (bytes) inputs.push_back(content);
  s.outputs = {s.node(bytes ? normalising() : PatchEmbedOp{}, inputs, {batch, gh, gw, 24})};
  return s;
}

void test_bits(Random& random, DType dtype) {
  const int64_t batch = 2, gh = 3, gw = 5, patch = 8, h = gh * patch, w = gw * patch;
  const Fixture f(embedding(false, dtype, batch, gh, gw, patch), random, cpu::make_cpu_backend(2));
  Plan floats(f.weights, f.graph), photographs(f.weights, decode(embedding(true, dtype, batch, gh, gw, patch)));
  // Whole, cut within a patch, a single pixel, nothing; and numbers that are no sizes at all.
  const int32_t sizes[][2] = {
      {24, 40}, {13, 37}, {1, 1}, {0, 40}, {24, 0}, {-7, 12}, {1 << 30, 39}, {17, INT32_MAX}, {INT32_MIN, INT32_MIN}};
  for (const auto& size : sizes) {
    const std::vector<uint8_t> canvas = lcg(static_cast<uint32_t>(size[0] + 77), batch * h * w * 3);
    const int32_t content[4] = {size[0], size[1], 24, 40};
    std::vector<float> normalised(batch * 3 * h * w, 0.0f);
    for (int64_t b = 0; b < batch; ++b) {
      for (int64_t y = 0; y < std::min<int64_t>(h, content[2 * b]); ++y) {
        for (int64_t x = 0; x < std::min<int64_t>(w, content[2 * b + 1]); ++x) {
          for (int64_t c = 0; c < 3; ++c) {
            normalised[((b * 3 + c) * h + y) * w + x] =
                (static_cast<float>(canvas[((b * h + y) * w + x) * 3 + c]) - kMean[c]) / kStd[c];
          }
        }
      }
    }
    g_counts.check(run(photographs, {canvas.data(), content}) == run(floats, {normalised.data()}),
                   std::string(dtype_name(dtype)) + ", content " + std::to_string(size[0]) + " " +
                       std::to_string(size[1]) + ": the bits of f32 pixels");
  }
}

}  // namespace

int main() {
  Random random(1);
  test_values();
  test_bits(random, DType::f32);
  if (cpu::unavailable_reason(DType::bf16).empty()) test_bits(random, DType::bf16);
  return g_counts.finish();
}
