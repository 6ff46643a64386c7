// Packs one tile of a unit's keys and values into panels that the tile kernels read front to back.
//
//   keys    [blocks of kRows keys][chunks][kRows][16 words]   word w of key r at a fixed offset, no pointer per row
//   values  [d_blocks][steps][kRows words]                    a step is one key, or two keys interleaved as pairs
//
// Why not read k and v in place: in [N, 3·H·D] tokens of ViT-B are 9 KB apart, so that their rows share a quarter of
// the L1 sets and each lies on a page of its own; and bf16 values must be interleaved anyhow. A pack costs N·D per
// unit against N²·D of work: not measurable where N = 4096; where N = 196 it was a sixth of the bf16 time, nearly all of
// it waiting for memory, and the prefetches below took 5 to 10 % off the whole call (D = 64; 0 to 4 % at D = 80).
// Pad tokens of windows become ordinary rows here; rows past the last key are zero and never enter the softmax.
//
// Every kernel_*.h expects `Simd` (native/backends/cpu/simd) and its processor's target pragma to be in force already.
#pragma once

namespace ba_sam::cpu {
namespace {

struct ElemF32 {
  typedef float In;
  typedef Simd S;
  static constexpr bool kBf16Pairs = false;
};
struct ElemBf16 {
  typedef Bf16 In;
  typedef Simd S;
  static constexpr bool kBf16Pairs = Simd::kBf16Pairs;
};

constexpr int kRows = Simd::kRows;
constexpr int kLanes = Simd::kLanes;
constexpr int kStripLanes = Simd::kLanes * Simd::kVecs;
static_assert(kRows % 2 == 0, "tiles of whole blocks hold whole pairs");
static_assert(kStripLanes <= kMaxStripLanes && Simd::kVecs <= kMaxVecs, "strips fit the arrays on the stack");

inline int64_t lesser(int64_t a, int64_t b) {
  return a < b ? a : b;
}

template <class In>
inline const In* token_row(const TokenView& view, int64_t batch, int64_t token, int64_t head, int64_t head_dim) {
  return static_cast<const In*>(view.data) + batch * view.batch_stride + token * view.token_stride + head * head_dim;
}

struct KeyPosition {
  int64_t y, x;
};

// Of a unit's key in the unit's key grid.
inline KeyPosition key_position(const Tiling& tiling, int64_t key) {
  if (!tiling.column_order) return {key / tiling.key_w, key % tiling.key_w};
  const int64_t block = key / kRows;
  return {block % tiling.key_h, block / tiling.key_h * kRows + key % kRows};
}

// Walks a unit's keys in order without a division per key.
template <class In>
struct KeyWalk {
  const Tiling& tiling;
  const Unit& unit;
  int64_t y, x;  // in the unit's key grid

  KeyWalk(const Tiling& p, const Unit& u, int64_t key) : tiling(p), unit(u) {
    const KeyPosition at = key_position(p, key);
    y = at.y;
    x = at.x;
  }

  void next(const In** k, const In** v) {
    const AttentionParams& p = tiling.params;
    const int64_t grid_y = unit.origin_y + y, grid_x = unit.origin_x + x;
    if (p.window > 0 && (grid_y >= tiling.grid_h || grid_x >= tiling.grid_w)) {
      *k = static_cast<const In*>(p.pad_k) + unit.head * p.head_dim;
      *v = static_cast<const In*>(p.pad_v) + unit.head * p.head_dim;
    } else {
      // Without a grid y is 0: the keys are one row.
      const int64_t token = grid_y * tiling.grid_w + grid_x;
      *k = token_row<In>(p.k, unit.batch, token, unit.head, p.head_dim);
      *v = token_row<In>(p.v, unit.batch, token, unit.head, p.head_dim);
    }
    x++;
    if (tiling.column_order) {
      if (x % kRows != 0) return;
      if (++y == tiling.key_h) {
        y = 0;
      } else {
        x -= kRows;
      }
    } else if (x == tiling.key_w) {
      x = 0;
      y++;
    }
  }
};

// Rows lie thousands of bytes apart, which no hardware prefetcher follows.
template <class In>
inline void prefetch_row(const In* row, int head_dim) {
  const char* at = reinterpret_cast<const char*>(row);
  const char* last = reinterpret_cast<const char*>(row + head_dim - 1);
  for (; at < last; at += 64) __builtin_prefetch(at);
  __builtin_prefetch(last);
}

inline float widen(float x) {
  return x;
}
inline float widen(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float y;
  __builtin_memcpy(&y, &bits, sizeof y);
  return y;
}

// One row of a key panel: words [chunks][kRows apart][16].
template <class T>
inline void pack_key(float* dst, const typename T::In* src, int head_dim) {
  constexpr int kPerWord = T::kBf16Pairs ? 2 : 1;
  constexpr int kPerChunk = kChunkWords * kPerWord;
  for (int d = 0; d < head_dim; d += kPerChunk, dst += kRows * kChunkWords) {
    if (head_dim - d >= kPerChunk) {
      if constexpr (sizeof(typename T::In) * kPerChunk == kChunkWords * sizeof(float)) {
        __builtin_memcpy(dst, src + d, kChunkWords * sizeof(float));
      } else {
        for (int i = 0; i < kChunkWords; i++) dst[i] = widen(src[d + i]);
      }
    } else {
      const int n = head_dim - d;
      __builtin_memset(dst, 0, kChunkWords * sizeof(float));
      if constexpr (sizeof(typename T::In) * kPerChunk == kChunkWords * sizeof(float)) {
        __builtin_memcpy(dst, src + d, n * sizeof(typename T::In));
      } else {
        for (int i = 0; i < n; i++) dst[i] = widen(src[d + i]);
      }
    }
  }
}

template <class T>
void pack_tile(const Tiling& tiling, const Unit& unit, int64_t tile) {
  typedef typename T::In In;
  const int head_dim = static_cast<int>(tiling.params.head_dim);
  const int64_t first = tile * tiling.tile_keys;
  const int count = static_cast<int>(lesser(tiling.tile_keys, tiling.unit_keys - first));
  const int64_t block_floats = static_cast<int64_t>(tiling.chunks) * kRows * kChunkWords;
  const In* k_rows[kMaxTileKeys];
  const In* v_rows[kMaxTileKeys];
  float* keys = unit.keys + first / kRows * block_floats;
  KeyWalk<In> walk(tiling, unit, first);
  for (int j = 0; j < count; j++) {
    walk.next(&k_rows[j], &v_rows[j]);
    prefetch_row(k_rows[j], head_dim);
  }
  for (int j = 0; j < count; j++) {
    prefetch_row(v_rows[j], head_dim);
    pack_key<T>(keys + j / kRows * block_floats + j % kRows * kChunkWords, k_rows[j], head_dim);
  }
  for (int j = count; j % kRows != 0; j++)
    for (int c = 0; c < tiling.chunks; c++)
      __builtin_memset(keys + j / kRows * block_floats + (c * kRows + j % kRows) * kChunkWords, 0,
                       kChunkWords * sizeof(float));

  const int steps = T::kBf16Pairs ? (count + 1) / 2 : count;
  const int64_t value_width = static_cast<int64_t>(tiling.d_blocks) * kRows;
  float* values = unit.values + (T::kBf16Pairs ? first / 2 : first) * value_width;
  for (int s = 0; s < steps; s++) {
    for (int b = 0; b < tiling.d_blocks; b++) {
      float* dst = values + (static_cast<int64_t>(b) * steps + s) * kRows;
      const int n = static_cast<int>(lesser(kRows, head_dim - b * kRows));
      if constexpr (T::kBf16Pairs) {
        const In* lo = v_rows[2 * s] + b * kRows;
        const In* hi = 2 * s + 1 < count ? v_rows[2 * s + 1] + b * kRows : nullptr;
        uint32_t words[kRows] = {};
        if (n == kRows && hi != nullptr) {
          for (int i = 0; i < kRows; i++) words[i] = lo[i].bits | static_cast<uint32_t>(hi[i].bits) << 16;
        } else {
          for (int i = 0; i < n; i++)
            words[i] = lo[i].bits | (hi != nullptr ? static_cast<uint32_t>(hi[i].bits) << 16 : 0u);
        }
        __builtin_memcpy(dst, words, sizeof words);
      } else {
        const In* src = v_rows[s] + b * kRows;
        if (n == kRows) {
          for (int i = 0; i < kRows; i++) dst[i] = widen(src[i]);
        } else {
          for (int i = 0; i < kRows; i++) dst[i] = i < n ? widen(src[i]) : 0.0f;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ba_sam::cpu
