// The separable bias of a strip: one vector per key row and one per key column.
//
//   rel[k][q] = log2(e) · ( q·R[pos(q) − k + len − 1] − slope·max(0, |pos(q) − k| − start) )     for both axes
//
// R's row depends on query and key, but only through pos(q) − k. So products of all queries with the rows that any
// of them needs, a small matrix product with the score kernel, hold every value; row k of lane q then lies pos(q)
// rows further. Each lane is shifted by its own distance in log2 steps: one blend per bit of the shift.
// The unscaled q, and sums in f32: the bias is no smaller than the logit it is added to. In pairs the tables are rounded to
// bf16 like every other weight of such a model, which halves these products: rel at 64x64 tokens, D = 64, costs 1 % of the
// layer instead of 4 %, in windows of 14 tokens 9 % instead of 19 %.
#pragma once

#include "kernel_tile.h"

namespace ba_sam::cpu {
namespace {

// out [len][kStripLanes]. panels: the table as key panels, or null. pos [kStripLanes]. work: the product rows.
template <class T, int kVecs>
void strip_bias_axis(float* out, float* work, const Tiling& tiling, const float* panels, const float* q,
                     const int32_t* pos, int64_t len, float slope) {
  int32_t low = pos[0], high = pos[0];
  for (int i = 1; i < kVecs * kLanes; i++) {
    low = pos[i] < low ? pos[i] : low;
    high = pos[i] > high ? pos[i] : high;
  }
  const int64_t first_row = low / kRows * kRows;
  const int64_t rows = high + len - first_row;
  if (panels != nullptr) {
    float unused_max[kStripLanes];
    const int64_t row_floats = int64_t{tiling.chunks} * kChunkWords;
    score_tile<T, Bias::none, kVecs>(work, unused_max, panels + first_row * row_floats, q, tiling.words,
                                     static_cast<int>(rows), {0, 0}, kLog2E, nullptr);
  }
  const F slope_v = Simd::set1(slope * kLog2E), start_v = Simd::set1(tiling.params.start);
  for (int v = 0; v < kVecs; v++) {
    const int32_t* lane_pos = pos + v * kLanes;
    float* column = work + v * kLanes;
    int32_t nearest = lane_pos[0];
    for (int i = 1; i < kLanes; i++) nearest = lane_pos[i] < nearest ? lane_pos[i] : nearest;
    alignas(64) int32_t shift[kLanes];
    alignas(64) float pos_f[kLanes];
    int32_t longest = 0;
    for (int i = 0; i < kLanes; i++) {
      shift[i] = lane_pos[i] - nearest;
      longest = shift[i] > longest ? shift[i] : longest;
      pos_f[i] = static_cast<float>(lane_pos[i]);
    }
    const int64_t base = nearest - first_row;
    if (panels != nullptr && longest > 0) {
      int32_t bit = 1;
      while (bit * 2 <= longest) bit *= 2;
      for (; bit > 0; bit /= 2) {
        const Simd::Mask moves = Simd::mask_bit(shift, bit);
        const int64_t end = lesser(base + len + bit - 1, rows);  // lower bits can still reach bit − 1 rows on
        for (int64_t r = base; r < end; r++) {
          float* at = column + r * kStripLanes;
          const F far = Simd::load(column + lesser(r + bit, rows - 1) * kStripLanes);
          Simd::store(at, Simd::select(moves, far, Simd::load(at)));
        }
      }
    }
    const F pos_v = Simd::load(pos_f);
    for (int64_t k = 0; k < len; k++) {
      F x = panels != nullptr ? Simd::load(column + (base + len - 1 - k) * kStripLanes) : Simd::zero();
      if (slope != 0.0f) {
        const F d = Simd::sub(Simd::abs(Simd::sub(pos_v, Simd::set1(static_cast<float>(k)))), start_v);
        x = Simd::neg_mul_add(slope_v, Simd::max(Simd::zero(), d), x);
      }
      Simd::store(out + k * kStripLanes + v * kLanes, x);
    }
  }
}

}  // namespace
}  // namespace ba_sam::cpu
