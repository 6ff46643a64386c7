// See mask_runs.h. Rows come one after the other, runs go down the columns: a band notes at which columns each of its rows differs
// from the row above, and a counting sort by column puts the notes of all bands in order.
// Source of the format: rleEncode and rleToString of cocoapi's maskApi.c.
#include "mask_runs.h"

#include <new>

#include "team_items.h"
#include "upsample_band.h"

namespace ba_sam {
namespace {

using namespace upsampling;

struct Band {
  std::vector<uint32_t> columns;  // where a row differs from the one above, row after row
  std::vector<size_t> row_ends;   // in columns; of the rows after the band's first
  std::vector<uint8_t> first, last;
  MaskStats stats;
};

template <class Visit>
void each_difference(const uint8_t* a, const uint8_t* b, int64_t n, Visit visit) {
  int64_t x = 0;
  for (; x + 8 <= n; x += 8) {
    uint64_t left, right;  // almost everywhere nothing changes
    std::memcpy(&left, a + x, 8);
    std::memcpy(&right, b + x, 8);
    if (left == right) continue;
    for (int64_t i = x; i < x + 8; ++i) {
      if (a[i] != b[i]) visit(i);
    }
  }
  for (; x < n; ++x) {
    if (a[x] != b[x]) visit(x);
  }
}

void make_band(Band& band, const float* low, const UpsampleParams& p, const Axes& axes, float threshold, int64_t begin,
               int64_t end, float* scratch, const std::atomic<bool>* cancel) {
  std::vector<uint8_t> rows[2];
  for (auto& row : rows) row.resize(p.out_w);
  const auto done = [&](int64_t y) {
    const std::vector<uint8_t>& row = rows[y & 1];
    if (y == begin) {
      band.first = row;
    } else {
      each_difference(rows[~y & 1].data(), row.data(), p.out_w,
                      [&](int64_t x) { band.columns.push_back(static_cast<uint32_t>(x)); });
      band.row_ends.push_back(band.columns.size());
    }
    if (y == end - 1) band.last = row;
  };
  upsample_band<uint8_t>([&](int64_t y) { return rows[y & 1].data(); }, done, &band.stats, low, p, axes, threshold,
                         begin, end, scratch, cancel);
}

// visit(x, y) for every pixel that differs from the one above it, y ascending.
template <class Visit>
void each_change(const Band* bands, int64_t count, int64_t width, Visit visit) {
  for (int64_t b = 0; b < count; ++b) {
    const int64_t begin = b * kBandRows;
    if (b > 0) {
      each_difference(bands[b - 1].last.data(), bands[b].first.data(), width, [&](int64_t x) { visit(x, begin); });
    }
    size_t at = 0;
    for (size_t row = 0; row < bands[b].row_ends.size(); ++row) {
      for (; at < bands[b].row_ends[row]; ++at) {
        visit(static_cast<int64_t>(bands[b].columns[at]), begin + 1 + static_cast<int64_t>(row));
      }
    }
  }
}

class CountsWriter {
 public:
  void push(int64_t run) {
    int64_t x = count_ > 2 ? run - before_last_ : run;
    ++count_;
    before_last_ = last_;
    last_ = run;
    for (bool more = true; more;) {
      const int64_t group = x & 0x1f;
      x >>= 5;
      more = (group & 0x10) != 0 ? x != -1 : x != 0;
      text.push_back(static_cast<char>((more ? group | 0x20 : group) + 48));
    }
  }
  std::string text;

 private:
  int64_t count_ = 0, before_last_ = 0, last_ = 0;
};

MaskRuns join_bands(const Band* bands, int64_t count, const UpsampleParams& p) {
  std::vector<size_t> ends(static_cast<size_t>(p.out_w) + 1, 0);
  each_change(bands, count, p.out_w, [&](int64_t x, int64_t) { ++ends[x + 1]; });
  for (int64_t x = 0; x < p.out_w; ++x) ends[x + 1] += ends[x];
  std::vector<uint32_t> rows(ends[p.out_w]);
  std::vector<size_t> next(ends.begin(), ends.end() - 1);
  each_change(bands, count, p.out_w, [&](int64_t x, int64_t y) { rows[next[x]++] = static_cast<uint32_t>(y); });

  MaskRuns result;
  CountsWriter writer;
  bool inside = false;
  int64_t last = 0;  // column-major index at which the current run began
  const auto turn = [&](int64_t index) {
    writer.push(index - last);
    last = index;
    inside = !inside;
  };
  for (int64_t x = 0; x < p.out_w; ++x) {
    // The pixel above a column's first is the last one of the column to the left.
    if ((bands[0].first[x] != 0) != inside) turn(x * p.out_h);
    for (size_t i = ends[x]; i < ends[x + 1]; ++i) turn(x * p.out_h + rows[i]);
  }
  writer.push(p.out_w * p.out_h - last);
  result.counts = std::move(writer.text);
  for (int64_t b = 0; b < count; ++b) merge(result.stats, bands[b].stats);
  return result;
}

bool cancelled(const std::atomic<bool>* cancel) {
  return cancel != nullptr && cancel->load(std::memory_order_relaxed);
}

}  // namespace

std::vector<MaskRuns> encode_masks(const float* low, const UpsampleParams& p, float threshold, int threads,
                                   const std::atomic<bool>* cancel) {
  check(p);
  const int64_t bands = (p.out_h + kBandRows - 1) / kBandRows;
  const int64_t items = p.masks * bands;
  std::atomic<bool> no_memory{false};  // an exception must not leave the team
  const auto guarded = [&](auto work) {
    if (cancelled(cancel) || no_memory) return;
    try {
      work();
    } catch (const std::bad_alloc&) {
      no_memory = true;
    }
  };
  std::vector<MaskRuns> results(p.masks);
  const Axes axes(p);
  std::vector<float> scratch(scratch_floats(p) * team_slots(items, threads));
  std::vector<Band> parts(items);
  for_each_item(items, threads, [&](int64_t item, int slot) {
    guarded([&] {
      const int64_t m = item / bands, begin = item % bands * kBandRows;
      make_band(parts[item], low + m * p.low_h * p.low_w, p, axes, threshold, begin,
                std::min(begin + kBandRows, p.out_h), scratch.data() + slot * scratch_floats(p), cancel);
    });
  });
  for_each_item(p.masks, threads,
                [&](int64_t m, int) { guarded([&] { results[m] = join_bands(parts.data() + m * bands, bands, p); }); });
  if (no_memory) throw std::bad_alloc();
  return results;
}

}  // namespace ba_sam
