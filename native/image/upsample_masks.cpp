// Streams low-resolution logits to masks of the photograph's size. Contract: upsample_masks.h.
#include "upsample_masks.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <new>
#include <vector>

#include "team_items.h"
#include "upsample_band.h"

namespace ba_sam {
namespace {

using namespace upsampling;

template <class Out>
void upsample(Out* out, MaskStats* stats, const float* low, const UpsampleParams& p, float threshold, int threads,
              const std::atomic<bool>* cancel) {
  check(p);
  if (p.masks == 0) return;
  const int64_t bands = (p.out_h + kBandRows - 1) / kBandRows;
  const int64_t items = p.masks * bands;
  const int slots = team_slots(items, threads);
  std::unique_ptr<Axes> axes;
  std::vector<float> scratch;
  std::vector<MaskStats> partial;
  try {
    axes = std::make_unique<Axes>(p);
    scratch.resize(scratch_floats(p) * slots);
    if (stats != nullptr) partial.resize(items);
  } catch (const std::bad_alloc&) {
    throw SamError("ERR_OUT_OF_MEMORY", "Cannot allocate " + std::to_string(scratch_floats(p) * slots * sizeof(float)) +
                                            " bytes to upsample masks");
  }
  for_each_item(items, threads, [&](int64_t item, int slot) {
    const int64_t m = item / bands, begin = item % bands * kBandRows;
    Out* mask = out + m * p.out_h * p.out_w;
    upsample_band<Out>([&](int64_t y) { return mask + y * p.out_w; }, [](int64_t) {},
                       stats != nullptr ? &partial[item] : nullptr, low + m * p.low_h * p.low_w, p, *axes, threshold,
                       begin, std::min(begin + kBandRows, p.out_h), scratch.data() + slot * scratch_floats(p), cancel);
  });
  if (stats == nullptr) return;
  for (int64_t m = 0; m < p.masks; ++m) {
    stats[m] = {};
    for (int64_t b = 0; b < bands; ++b) merge(stats[m], partial[m * bands + b]);
  }
}

}  // namespace

void upsample_masks(uint8_t* out, MaskStats* stats, const float* low, const UpsampleParams& params, float threshold,
                    int threads, const std::atomic<bool>* cancel) {
  upsample(out, stats, low, params, threshold, threads, cancel);
}

void upsample_logits(float* out, const float* low, const UpsampleParams& params, int threads,
                     const std::atomic<bool>* cancel) {
  upsample<float>(out, nullptr, low, params, 0.0f, threads, cancel);
}

}  // namespace ba_sam
