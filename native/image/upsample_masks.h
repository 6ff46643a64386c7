// From the decoder's low-resolution logits to masks of the photograph's size, streamed row by row.
//
//   mid = bilinear(low [M, low_h, low_w] → [M, input_h, input_w])    torch F.interpolate, align_corners =
//   false mid = mid[:, :content_h, :content_w]                            without the padding out =
//   bilinear(mid → [M, out_h, out_w])                          then out > threshold
//
// Same operations and order as the reference (predict() of test/reference/make_predictions.py), f32 values;
// the coordinates are computed in f64, so that masks differ from the float64 reference only where |logit| <
// 1e-4. `mid` never exists as a whole: per thread 3 rows of content_w and 2 of out_w floats.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ba_sam {

struct UpsampleParams {
  int64_t masks = 0;                     // M
  int64_t low_h = 0, low_w = 0;          // 4 · Gh, 4 · Gw
  int64_t input_h = 0, input_w = 0;      // the encoder's input, padding included, px
  int64_t content_h = 0, content_w = 0;  // the part of it that shows the photograph, px
  int64_t out_h = 0, out_w = 0;          // the photograph, px
};

// Bounding box in pixels, x and y inclusive; all 0 when the mask is empty.
struct MaskStats {
  int64_t area = 0;
  int64_t x = 0, y = 0, w = 0, h = 0;
};

// out: [M, out_h, out_w], 1 where the logit is above `threshold`, else 0 (also where it is NaN). stats: [M]
// or null. `threads` is the OpenMP team; results do not depend on it. cancel may be null; once it reads true
// the function returns early and leaves out and stats unspecified. Throws SamError ERR_INVALID_ARGUMENT or
// ERR_OUT_OF_MEMORY.
void upsample_masks(uint8_t* out, MaskStats* stats, const float* low, const UpsampleParams& params, float threshold,
                    int threads, const std::atomic<bool>* cancel);

// The same without the threshold: out [M, out_h, out_w] f32 logits.
void upsample_logits(float* out, const float* low, const UpsampleParams& params, int threads,
                     const std::atomic<bool>* cancel);

}  // namespace ba_sam
