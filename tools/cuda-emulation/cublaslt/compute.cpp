// D = epilogue(alpha · op(A) · op(B) + beta · C + bias) in f32, by panels that fit the cache.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "cublaslt.h"

namespace ba_sam::emulation::lt {

namespace {

constexpr uint64_t kDepth = 256;  // of K at a time
constexpr int kPanelRows = 16;    // of D: two vectors of eight
constexpr int kPanelColumns = 6;

typedef float Floats __attribute__((vector_size(32)));

float float_of(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

float f16_to_float(uint16_t h) {
  const uint32_t exponent = h >> 10 & 31u, mantissa = h & 1023u;
  float magnitude;
  if (exponent == 31) {
    magnitude = float_of(0x7f800000u | mantissa << 13);
  } else if (exponent == 0) {
    magnitude = static_cast<float>(mantissa) * 0x1p-24f;
  } else {
    magnitude = float_of((exponent + 112) << 23 | mantissa << 13);
  }
  return h & 0x8000u ? -magnitude : magnitude;
}
uint16_t float_to_f16(float x) {
  const uint32_t bits = bits_of(x), sign = bits >> 16 & 0x8000u;
  const double magnitude = std::fabs(static_cast<double>(x));
  if (x != x) return 0x7fff;
  if (magnitude >= 65520) return static_cast<uint16_t>(sign | 0x7c00u);
  // Multiples of the spacing at this magnitude; nearbyint rounds ties to even.
  const int exponent = magnitude < 0x1p-14 ? -14 : std::ilogb(magnitude);
  const double steps = std::nearbyint(std::ldexp(magnitude, 10 - exponent));
  const uint32_t normal = magnitude < 0x1p-14 ? 0u : static_cast<uint32_t>(exponent + 14) << 10;
  return static_cast<uint16_t>(sign | (normal + static_cast<uint32_t>(steps)));
}
uint16_t float_to_bf16(float x) {
  const uint32_t bits = bits_of(x);
  if (x != x) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}
float e4m3_to_float(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return float_of(0x7fc00000u);
  const auto magnitude =
      static_cast<float>(std::ldexp(exponent == 0 ? mantissa : 8 + mantissa, std::max(exponent, 1) - 10));
  return bits & 0x80 ? -magnitude : magnitude;
}
// 10 bits of mantissa, to nearest, ties away from zero.
float to_tf32(float x) {
  const uint32_t bits = bits_of(x);
  return (bits & 0x7f800000u) == 0x7f800000u ? x : float_of((bits + 0x1000u) & ~0x1fffu);
}

float read(const void* data, uint32_t type, uint64_t index) {
  if (type == kF32) return static_cast<const float*>(data)[index];
  if (type == kE4M3) return e4m3_to_float(static_cast<const uint8_t*>(data)[index]);
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  return type == kBF16 ? float_of(static_cast<uint32_t>(bits) << 16) : f16_to_float(bits);
}
void write(void* data, uint32_t type, uint64_t index, float value) {
  if (type == kF32) {
    static_cast<float*>(data)[index] = value;
  } else {
    static_cast<uint16_t*>(data)[index] = type == kBF16 ? float_to_bf16(value) : float_to_f16(value);
  }
}

// A matrix after its transposition: element (i, j) is at i · down + j · right.
struct View {
  const void* data;
  uint32_t type;
  uint64_t down, right;
  bool tf32;

  View(const void* data_, const Layout& layout, bool transposed, int32_t batch, bool tf32_)
      : data(static_cast<const char*>(data_) +
             static_cast<uint64_t>(batch) * static_cast<uint64_t>(layout.batch_stride) * bytes_of(layout.type)),
        type(layout.type),
        tf32(tf32_) {
    const auto leading = static_cast<uint64_t>(layout.leading);
    const bool columns = (layout.order == kColumns) != transposed;
    down = columns ? 1 : leading;
    right = columns ? leading : 1;
  }
  float at(uint64_t i, uint64_t j) const {
    const float value = read(data, type, i * down + j * right);
    return tf32 ? to_tf32(value) : value;
  }
};

inline __attribute__((always_inline)) void micro_kernel(uint64_t depth, const float* a, const float* b,
                                                        Floats (&sum)[kPanelColumns][2]) {
  for (uint64_t k = 0; k < depth; ++k) {
    Floats low, high;
    std::memcpy(&low, a + k * kPanelRows, sizeof low);
    std::memcpy(&high, a + k * kPanelRows + 8, sizeof high);
#pragma GCC unroll 6  // or the sums would live in memory
    for (int j = 0; j < kPanelColumns; ++j) {
      const float factor = b[k * kPanelColumns + static_cast<uint64_t>(j)];
      sum[j][0] += low * factor;
      sum[j][1] += high * factor;
    }
  }
}

// Adds a panel's product to its place in `total`, columns `rows` apart.
inline __attribute__((always_inline)) void add_panel(uint64_t depth, const float* a, const float* b, float* total,
                                                     uint64_t pitch, int rows, int columns) {
  Floats sum[kPanelColumns][2] = {};
  micro_kernel(depth, a, b, sum);
  for (int j = 0; j < columns; ++j) {
    float values[kPanelRows];
    std::memcpy(values, sum[j], sizeof values);
    for (int i = 0; i < rows; ++i) total[static_cast<uint64_t>(j) * pitch + static_cast<uint64_t>(i)] += values[i];
  }
}

using AddPanel = void (*)(uint64_t, const float*, const float*, float*, uint64_t, int, int);
void add_panel_plain(uint64_t depth, const float* a, const float* b, float* total, uint64_t pitch, int rows,
                     int columns) {
  add_panel(depth, a, b, total, pitch, rows, columns);
}
#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) void add_panel_avx2(uint64_t depth, const float* a, const float* b, float* total,
                                                        uint64_t pitch, int rows, int columns) {
  add_panel(depth, a, b, total, pitch, rows, columns);
}
#endif
AddPanel best_add_panel() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return add_panel_avx2;
#endif
  return add_panel_plain;
}

float activated(float x, uint32_t epilogue) {
  if (epilogue & kRelu) return x > 0 || x != x ? x : 0;
  if (epilogue & kGelu) return 0.5f * x * (1 + std::tanh(0.79788456f * (x + 0.044715f * x * x * x)));
  return x;
}

// Columns first … last − 1 of one matrix of the batch.
void compute_columns(const Product& p, int32_t batch, uint64_t first, uint64_t last, bool backwards) {
  static const AddPanel add = best_add_panel();
  const uint64_t m = p.m(), k = p.k(), n = last - first;
  const bool tf32 = p.desc.compute == kCompute32FFastTf32;
  const View a(p.a_data, p.a, p.desc.transpose_a != 0, batch, tf32),
      b(p.b_data, p.b, p.desc.transpose_b != 0, batch, tf32);
  const uint64_t row_panels = (m + kPanelRows - 1) / kPanelRows,
                 column_panels = (n + kPanelColumns - 1) / kPanelColumns;
  std::vector<float> a_packed(row_panels * kPanelRows * kDepth), b_packed(column_panels * kPanelColumns * kDepth);
  std::vector<float> total(m * n);
  const uint64_t slices = (k + kDepth - 1) / kDepth;
  for (uint64_t s = 0; s < slices; ++s) {
    const uint64_t start = (backwards ? slices - 1 - s : s) * kDepth, depth = std::min(kDepth, k - start);
    for (uint64_t i = 0; i < row_panels * kPanelRows; ++i) {
      float* target = a_packed.data() + i / kPanelRows * kPanelRows * depth + i % kPanelRows;
      for (uint64_t d = 0; d < depth; ++d) target[d * kPanelRows] = i < m ? a.at(i, start + d) : 0;
    }
    for (uint64_t j = 0; j < column_panels * kPanelColumns; ++j) {
      float* target = b_packed.data() + j / kPanelColumns * kPanelColumns * depth + j % kPanelColumns;
      for (uint64_t d = 0; d < depth; ++d) target[d * kPanelColumns] = j < n ? b.at(start + d, first + j) : 0;
    }
    for (uint64_t j = 0; j < n; j += kPanelColumns) {
      for (uint64_t i = 0; i < m; i += kPanelRows) {
        add(depth, a_packed.data() + i * depth, b_packed.data() + j * depth, total.data() + j * m + i, m,
            static_cast<int>(std::min<uint64_t>(kPanelRows, m - i)),
            static_cast<int>(std::min<uint64_t>(kPanelColumns, n - j)));
      }
    }
  }

  const View c(p.beta != 0 ? p.c_data : p.d_data, p.beta != 0 ? p.c : p.d, false, batch, false);
  const View d(p.d_data, p.d, false, batch, false);
  const bool bias = (p.desc.epilogue & kBias) != 0;
  const uint64_t bias_start = static_cast<uint64_t>(batch) * static_cast<uint64_t>(p.desc.bias_batch_stride);
  for (uint64_t j = 0; j < n; ++j) {
    for (uint64_t i = 0; i < m; ++i) {
      float value = p.alpha * total[j * m + i];
      if (p.is_f8()) value *= p.desc.scales_a[i] * p.desc.scales_b[first + j];
      if (p.beta != 0) value += p.beta * c.at(i, first + j);
      if (bias) value += read(p.desc.bias, p.bias_type(), bias_start + i);
      write(const_cast<void*>(d.data), d.type, i * d.down + (first + j) * d.right, activated(value, p.desc.epilogue));
    }
  }
}

int host_threads() {
  const char* value = std::getenv("BA_SAM_EMULATION_THREADS");
  return value ? std::max(1, std::atoi(value)) : 1;
}

}  // namespace

void compute(const Product& p, unsigned turn) {
  const bool backwards = p.algorithm.scheme == kInPlace && turn % 2 == 1;
  const uint64_t n = p.n(), step = 768;  // columns at a time: a copy of B's panel stays small
  const auto threads = static_cast<uint64_t>(host_threads());
  const uint64_t pieces = static_cast<uint64_t>(p.d.batch_count) * ((n + step - 1) / step);
  const auto work = [&](uint64_t worker, uint64_t workers) {
    for (uint64_t piece = worker; piece < pieces; piece += workers) {
      const uint64_t per_matrix = (n + step - 1) / step, first = piece % per_matrix * step;
      compute_columns(p, static_cast<int32_t>(piece / per_matrix), first, std::min(n, first + step), backwards);
    }
  };
  if (threads <= 1 || pieces <= 1) return work(0, 1);
  std::vector<std::thread> helpers;
  const uint64_t workers = std::min(threads, pieces);
  for (uint64_t w = 1; w < workers; ++w) helpers.emplace_back(work, w, workers);
  work(0, workers);
  for (std::thread& helper : helpers) helper.join();
}

}  // namespace ba_sam::emulation::lt
