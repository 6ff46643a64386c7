// Enumerates the index maps of the CUDA attention kernels: every query finds every key's relative position, pieces of a run
// of queries cover it, and tiles visit every key once. Prints "N passed, N failed".
#include "../../native/ops/attention/cuda/geometry.h"

#include <vector>

#include "../native/support.h"

using namespace ba_sam::cuda;
using ba_sam::test::Counts;

namespace {

Counts counts;

std::string at(const char* what, int a, int b, int c) {
  return std::string(what) + " " + std::to_string(a) + ", " + std::to_string(b) + ", " + std::to_string(c);
}

// One axis with `length` keys: q and k stand for every position; base: the first query's.
template <int kChunk>
void check_skew(int length) {
  for (int start = 0; start < length; start += kChunk) {
    bool ok = true;
    for (int base = 0; base < length; ++base) {
      const int first = skew_first_row(base, start, kChunk, length);
      for (int q = base; q < base + kFragmentRows && q < length; ++q) {
        for (int k = start; k < start + kChunk && k < length; ++k) {
          const int j = skew_index(q - base, k - start, kChunk);
          ok = ok && j >= 0 && j < kSkewSpan<kChunk>;         // inside the products
          ok = ok && first + j == q - k + length - 1;         // the table row of this pair
          ok = ok && skew_offset(first, j, length) == q - k;  // and its distance
        }
      }
    }
    counts.check(ok, at("skew: chunk, length, start", kChunk, length, start));
  }
}

void check_runs(int columns) {
  bool ok = true;
  for (int first = 0; first < 3 * columns + 40; ++first) {
    const QueryRun run(first, columns);
    ok = ok && run.first_piece >= 1 && run.first_piece <= kFragmentRows;
    for (int i = 0; i < kFragmentRows; ++i) {
      const int x = (first + i) % columns;
      const int base = i < run.first_piece ? run.base_x : 0;
      ok = ok && x >= base && x - base < kFragmentRows;
      // A warp's row terms: rows reach at most 15 below the first query's.
      ok = ok && (first + i) / columns - first / columns < kFragmentRows;
    }
  }
  counts.check(ok, at("runs of queries in rows of", columns, 0, 0));
}

void check_tiles(int rows, int columns, int groups) {
  const int width = kTileKeys / groups;
  std::vector<int> seen(static_cast<size_t>(rows) * columns, 0);
  int tiles = 0, strip = -1;
  bool ok = true;
  for (TileCursor c; c.column < columns; c.advance(rows, groups, width), ++tiles) {
    ok = ok && (c.column == strip || c.row == 0);  // a new strip begins at its top
    strip = c.column;
    ok = ok && c.row < rows;               // every tile holds a key
    ok = ok && c.row % 16 <= 16 - groups;  // and lies in one chunk of 16 rows, so in one of 32
    for (int key = 0; key < kTileKeys; ++key) {
      const int row = c.row + key / width, column = c.column + key % width;
      if (row < rows && column < columns) ++seen[static_cast<size_t>(row) * columns + column];
    }
  }
  for (int n : seen) ok = ok && n == 1;
  counts.check(ok && tiles == tile_count(rows, columns, groups, width), at("tiles of", rows, columns, groups));
}

}  // namespace

int main() {
  for (int length = 1; length <= 140; ++length) {
    check_skew<16>(length);
    check_skew<32>(length);
  }
  for (int columns = 1; columns <= 300; ++columns) check_runs(columns);
  for (int rows = 1; rows <= 70; ++rows) {
    for (int columns = 1; columns <= 140; columns += columns < 70 ? 1 : 7) {
      check_tiles(rows, columns, 1);
      check_tiles(rows, columns, 2);
      check_tiles(rows, columns, 4);
    }
  }
  counts.check(!narrow_tiles_pay(64, 64) && !narrow_tiles_pay(128, 128), "wide tiles on SAM's grids");
  counts.check(narrow_tiles_pay(16, 16) && narrow_tiles_pay(68, 70),
               "narrow tiles where 32 columns would be half empty");
  return counts.finish();
}
