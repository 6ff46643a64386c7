// patchEmbed: pixels, f32 [B, I, H, W], normalised, or u8 [B, H, W, 3] as a photograph is decoded, with what normalises
// them; weight [C, I, P, P], bias [C], positions [1, Gh, Gw, C] → tokens [B, Gh, Gw, C] f32.
#include "../rule.h"

#include <cmath>

namespace ba_sam {

void check(const Rule& c, const PatchEmbedOp& op) {
  constexpr auto kPixels = PatchEmbedOp::pixels;
  constexpr auto kWeight = PatchEmbedOp::weight;
  const bool bytes = c.dtype(kPixels) == DType::u8;
  c.require(bytes || c.dtype(kPixels) == DType::f32, "pixels of dtype f32 or u8");
  c.expect_rank(kPixels, 4);
  c.expect_rank(kWeight, 4);
  c.expect_nonempty(kPixels);
  c.expect_nonempty(kWeight);
  c.expect_float(kWeight);
  const Shape &x = c.shape(kPixels), &w = c.shape(kWeight);
  const int64_t channels = bytes ? x[3] : x[1], height = bytes ? x[1] : x[2], width = bytes ? x[2] : x[3];
  c.require(w[1] == channels && w[2] == w[3],
            "a weight [C, " + std::to_string(channels) + ", P, P], not " + shape_text(w));
  c.require(height % w[2] == 0 && width % w[2] == 0, "image sides that are multiples of " + std::to_string(w[2]));
  const int64_t gh = height / w[2], gw = width / w[2];
  if (c.has(PatchEmbedOp::bias)) c.expect_vector(PatchEmbedOp::bias, w[0]);
  if (c.has(PatchEmbedOp::positions)) {
    c.expect_dtype(PatchEmbedOp::positions, DType::f32);
    c.expect_shape(PatchEmbedOp::positions, {1, gh, gw, w[0]});
  }
  if (bytes) {
    c.require(channels == 3, "u8 pixels [B, H, W, 3], not " + shape_text(x));
    c.require(c.has(PatchEmbedOp::content), "content with u8 pixels");
    c.expect_dtype(PatchEmbedOp::content, DType::i32);
    c.expect_shape(PatchEmbedOp::content, {x[0], 2});
    c.require(op.pixel_mean.size() == 3 && op.pixel_std.size() == 3, "three means and three deviations with u8 pixels");
    // As f32, like what is divided by them.
    for (double deviation : op.pixel_std) c.require(deviation >= 1e-30 && deviation <= 1e30, "deviations above 0");
    for (double mean : op.pixel_mean) c.require(std::fabs(mean) <= 1e30, "means of at most 1e30");
  } else {
    c.require(!c.has(PatchEmbedOp::content) && op.pixel_mean.empty() && op.pixel_std.empty(),
              "neither content nor means and deviations with f32 pixels");
  }
  c.expect_out({x[0], gh, gw, w[0]});
  c.expect_out_dtype(DType::f32);
}

double flops(const OpView& c, const PatchEmbedOp&) {
  const Shape& w = c.in(PatchEmbedOp::weight).shape;
  return 2.0 * static_cast<double>(c.out().elements()) * static_cast<double>(w[1] * w[2] * w[3]);
}

}  // namespace ba_sam
