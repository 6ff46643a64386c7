// Low-resolution logits to run-length encoded masks of the photograph's size: the bitmap never exists as a whole.
#pragma once

#include <string>
#include <vector>

#include "upsample_masks.h"

namespace ba_sam {

struct MaskRuns {
  std::string counts;  // of COCO's RLE
  MaskStats stats;
};

// One for each of params.masks: the runs of what upsample_masks gives, as encodeRle of lib/image/rle.ts writes them. `threads`
// is the OpenMP team; results do not depend on it. Memory: per thread a few rows, per mask 4 bytes for each pixel that differs
// from the one above it. cancel may be null; once it reads true the function returns early with an unspecified result. Throws
// SamError ERR_INVALID_ARGUMENT or ERR_OUT_OF_MEMORY.
std::vector<MaskRuns> encode_masks(const float* low, const UpsampleParams& params, float threshold, int threads,
                                   const std::atomic<bool>* cancel);

}  // namespace ba_sam
