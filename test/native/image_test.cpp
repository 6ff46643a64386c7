// Tests of native/image without Node. Prints "N passed, N failed"; exits non-zero on failure.
//   g++ -std=c++17 -O2 -fopenmp test/native/image_test.cpp native/image/*.cpp -o image_test && ./image_test
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <new>
#include <set>
#include <string>
#include <vector>

#include "../../native/core/tensor.h"
#include "../../native/image/mask_runs.h"
#include "../../native/image/resize.h"
#include "../../native/image/upsample_masks.h"
#include "bytes.h"

// Bytes asked of operator new: the tests hold the code to its promise not to allocate images.
static std::atomic<size_t> g_allocated_bytes{0};

__attribute__((noinline)) void* operator new(size_t bytes) {
  g_allocated_bytes += bytes;
  if (void* p = std::malloc(bytes > 0 ? bytes : 1)) return p;
  throw std::bad_alloc();
}
__attribute__((noinline)) void operator delete(void* p) noexcept {
  std::free(p);
}
__attribute__((noinline)) void operator delete(void* p, size_t) noexcept {
  std::free(p);
}

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

struct ResizeCase {
  uint32_t seed;
  int two_valued;
  int64_t w, h, out_w, out_h;
  uint32_t crc;
};
struct MaskCase {
  uint32_t seed;
  int64_t masks, grid_h, grid_w, content_h, content_w, out_h, out_w;
  uint32_t crc;
  MaskStats stats;
  double sum, abs_sum;
};

#include "../image/fixtures/native_cases.inc"

int g_passed = 0, g_failed = 0;

void expect(bool ok, const std::string& what) {
  ++(ok ? g_passed : g_failed);
  if (!ok) std::printf("FAILED: %s\n", what.c_str());
}

template <class Body>
void expect_error(const char* code, const char* text, Body body) {
  try {
    body();
    expect(false, std::string("nothing thrown, expected: ") + text);
  } catch (const SamError& e) {
    expect(e.code() == code && std::strstr(e.what(), text) != nullptr, std::string("threw: ") + e.what());
  }
}

std::string name(const char* what, int64_t a, int64_t b, int64_t c, int64_t d, int threads) {
  return std::string(what) + " " + std::to_string(a) + "x" + std::to_string(b) + " to " + std::to_string(c) + "x" +
         std::to_string(d) + " with " + std::to_string(threads) + " threads";
}

void test_resize() {
  for (const ResizeCase& c : kResize) {
    std::vector<uint8_t> in = lcg(c.seed, c.w * c.h * 3);
    if (c.two_valued) {
      for (uint8_t& v : in) v = v > 127 ? 255 : 0;
    }
    for (int threads : {1, 3}) {
      std::vector<uint8_t> out(c.out_w * c.out_h * 3, 77);
      resize_bilinear_rgb8(out.data(), 3 * c.out_w, c.out_w, c.out_h, in.data(), c.w, c.h, threads, nullptr);
      expect(crc32(out.data(), out.size()) == c.crc, name("resize", c.w, c.h, c.out_w, c.out_h, threads));
      // Into a wider canvas: the same pixels, and nothing beside them.
      const int64_t stride = 3 * c.out_w + 7;
      std::vector<uint8_t> canvas(stride * c.out_h + 5, 99), expected = canvas;
      for (int64_t y = 0; y < c.out_h; ++y) {
        std::copy_n(out.begin() + y * 3 * c.out_w, 3 * c.out_w, expected.begin() + y * stride);
      }
      resize_bilinear_rgb8(canvas.data(), stride, c.out_w, c.out_h, in.data(), c.w, c.h, threads, nullptr);
      expect(canvas == expected, name("resize in a canvas", c.w, c.h, c.out_w, c.out_h, threads));
    }
  }
}

void test_resize_memory() {
  const std::vector<uint8_t> in = lcg(1, 900 * 700 * 3);
  std::vector<uint8_t> out(512 * 398 * 3);
  const size_t before = g_allocated_bytes;
  resize_bilinear_rgb8(out.data(), 3 * 512, 512, 398, in.data(), 900, 700, 2, nullptr);
  const size_t used = g_allocated_bytes - before;
  const size_t promised = resize_workspace_bytes(512, 398, 900, 700, 2);
  expect(used <= promised + 4096, "resize allocates " + std::to_string(used) + " of " + std::to_string(promised));
  expect(used < 900 * 700, "resize allocates no image");
  const size_t same = g_allocated_bytes;
  resize_bilinear_rgb8(out.data(), 3 * 512, 512, 398, in.data(), 512, 398, 2, nullptr);
  expect(g_allocated_bytes - same < 4096, "a copy allocates nothing to speak of");
  expect(std::equal(out.begin(), out.end(), in.begin()), "an unchanged size is a copy");
}

void test_resize_arguments() {
  uint8_t px[3] = {1, 2, 3};
  expect_error("ERR_INVALID_ARGUMENT", "for width but received 0",
               [&] { resize_bilinear_rgb8(px, 3, 1, 1, px, 0, 1, 1, nullptr); });
  expect_error("ERR_INVALID_ARGUMENT", "for output height but received -4",
               [&] { resize_bilinear_rgb8(px, 3, 1, -4, px, 1, 1, 1, nullptr); });
  expect_error("ERR_INVALID_ARGUMENT", "at least 6 bytes for the output's rows but received 5",
               [&] { resize_bilinear_rgb8(px, 5, 2, 1, px, 1, 1, 1, nullptr); });
}

std::vector<float> low_logits(uint32_t seed, size_t n) {
  const std::vector<uint8_t> bytes = lcg(seed, n);
  std::vector<float> low(n);
  for (size_t i = 0; i < n; ++i) low[i] = (static_cast<float>(bytes[i]) - 128.0f) / 8.0f + 19.0f / 512.0f;
  return low;
}

UpsampleParams params_of(const MaskCase& c) {
  UpsampleParams p;
  p.masks = c.masks;
  p.low_h = 4 * c.grid_h;
  p.low_w = 4 * c.grid_w;
  p.input_h = 16 * c.grid_h;
  p.input_w = 16 * c.grid_w;
  p.content_h = c.content_h;
  p.content_w = c.content_w;
  p.out_h = c.out_h;
  p.out_w = c.out_w;
  return p;
}

bool same(const MaskStats& a, const MaskStats& b) {
  return a.area == b.area && a.x == b.x && a.y == b.y && a.w == b.w && a.h == b.h;
}

void test_masks() {
  for (const MaskCase& c : kMasks) {
    const UpsampleParams p = params_of(c);
    const std::vector<float> low = low_logits(c.seed, p.masks * p.low_h * p.low_w);
    const size_t n = p.masks * p.out_h * p.out_w;
    std::vector<float> first;
    for (int threads : {1, 3}) {
      const std::string what = name("masks", c.content_w, c.content_h, c.out_w, c.out_h, threads);
      std::vector<uint8_t> out(n, 9);
      std::vector<MaskStats> stats(p.masks);
      upsample_masks(out.data(), stats.data(), low.data(), p, 0.0f, threads, nullptr);
      expect(crc32(out.data(), n) == c.crc, what + ": bytes");
      expect(same(stats[0], c.stats), what + ": area and box");
      std::vector<float> logits(n, NAN);
      upsample_logits(logits.data(), low.data(), p, threads, nullptr);
      double sum = 0, abs_sum = 0;
      size_t different = 0;
      for (size_t i = 0; i < n; ++i) {
        sum += logits[i];
        abs_sum += std::fabs(logits[i]);
        different += (logits[i] > 0.0f) != (out[i] != 0);
      }
      expect(std::fabs(sum - c.sum) <= 1e-6 * c.abs_sum, what + ": sum of logits");
      expect(std::fabs(abs_sum - c.abs_sum) <= 1e-6 * c.abs_sum, what + ": absolute sum of logits");
      expect(different == 0, what + ": the masks are the logits above 0");
      if (threads == 1) first = logits;
      expect(first == logits, what + ": the same bits for any number of threads");
      std::vector<uint8_t> without(n, 9);
      upsample_masks(without.data(), nullptr, low.data(), p, 0.0f, threads, nullptr);
      expect(without == out, what + ": without stats");
    }
  }
}

void test_mask_edges() {
  UpsampleParams p;
  p.masks = 1;
  p.low_h = p.low_w = 8;
  p.input_h = p.input_w = p.content_h = p.content_w = 32;
  p.out_h = p.out_w = 300;
  std::vector<uint8_t> out(p.out_h * p.out_w, 5);
  MaskStats stats{1, 2, 3, 4, 5};

  std::vector<float> low(64, -1.0f);
  upsample_masks(out.data(), &stats, low.data(), p, 0.0f, 2, nullptr);
  expect(same(stats, MaskStats{}) && std::count(out.begin(), out.end(), 0) == 300 * 300, "an empty mask");
  upsample_masks(out.data(), &stats, low.data(), p, -1.5f, 2, nullptr);
  expect(same(stats, MaskStats{300 * 300, 0, 0, 300, 300}), "a threshold below the logits");
  upsample_masks(out.data(), &stats, low.data(), p, -1.0f, 2, nullptr);
  expect(stats.area == 0, "the threshold itself is not above it");

  std::fill(low.begin(), low.end(), NAN);
  upsample_masks(out.data(), &stats, low.data(), p, 0.0f, 2, nullptr);
  expect(stats.area == 0, "NaN is no mask");

  const std::vector<float> values = low_logits(3, 64);
  p.input_h = p.input_w = p.content_h = p.content_w = p.out_h = p.out_w = 8;
  std::vector<float> logits(64);
  upsample_logits(logits.data(), values.data(), p, 1, nullptr);
  expect(logits == values, "equal sizes change nothing");
  p.input_h = p.input_w = p.content_h = p.content_w = p.out_h = p.out_w = 32;

  p.masks = 0;
  upsample_masks(nullptr, nullptr, nullptr, p, 0.0f, 2, nullptr);
  p.masks = 1;
  p.content_w = 33;
  expect_error("ERR_INVALID_ARGUMENT", "content size between 1x1 and 32x32 but received 33x32",
               [&] { upsample_masks(out.data(), nullptr, low.data(), p, 0.0f, 1, nullptr); });
  p.content_w = 32;
  p.out_h = 0;
  expect_error("ERR_INVALID_ARGUMENT", "for out_h but received 0",
               [&] { upsample_masks(out.data(), nullptr, low.data(), p, 0.0f, 1, nullptr); });
}

void test_mask_memory() {
  UpsampleParams p;
  p.masks = 2;
  p.low_h = p.low_w = 64;
  p.input_h = p.input_w = p.content_h = p.content_w = 256;
  p.out_h = p.out_w = 512;
  const std::vector<float> low = low_logits(1, 2 * 64 * 64);
  std::vector<uint8_t> out(2 * 512 * 512);
  const size_t before = g_allocated_bytes;
  upsample_masks(out.data(), nullptr, low.data(), p, 0.0f, 2, nullptr);
  expect(g_allocated_bytes - before < 256 * 256 * sizeof(float) / 4, "no intermediate image in memory");
}

void test_cancel() {
  const std::atomic<bool> cancel{true};
  const std::vector<uint8_t> in = lcg(1, 60 * 40 * 3);
  std::vector<uint8_t> out(30 * 20 * 3, 77);
  resize_bilinear_rgb8(out.data(), 90, 30, 20, in.data(), 60, 40, 2, &cancel);
  expect(std::count(out.begin(), out.end(), 77) == 30 * 20 * 3, "a cancelled resize writes nothing");
  UpsampleParams p{1, 8, 8, 32, 32, 32, 32, 20, 30};
  const std::vector<float> low(64, 1.0f);
  std::vector<uint8_t> mask(600, 9);
  upsample_masks(mask.data(), nullptr, low.data(), p, 0.0f, 2, &cancel);
  expect(std::count(mask.begin(), mask.end(), 9) == 600, "a cancelled upsampling writes nothing");
}

#ifdef _OPENMP
// Ids of this process's threads.
std::set<std::string> threads_now() {
  std::set<std::string> ids;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) ids.insert(task.path().filename());
  return ids;
}

// A region that is smaller than the team ends the threads that it leaves out; where the system gives no new ones, the next region
// ends the process.
void test_team() {
  constexpr int kTeam = 6;
  std::atomic<int> started{0};
#pragma omp parallel num_threads(kTeam)
  ++started;
  const std::set<std::string> before = threads_now();
  expect(before.size() >= kTeam, "the team has its threads");
  const std::vector<float> low(2 * 64, 1.0f);
  for (const int64_t masks : {1, 2}) {
    const UpsampleParams p{masks, 8, 8, 32, 32, 32, 32, 200, 30};
    std::vector<uint8_t> out(masks * 200 * 30);
    upsample_masks(out.data(), nullptr, low.data(), p, 0.0f, kTeam, nullptr);
    expect(threads_now() == before, "upsample_masks leaves the team as it is");
    encode_masks(low.data(), p, 0.0f, kTeam, nullptr);
    expect(threads_now() == before, "encode_masks leaves the team as it is");
  }
  std::vector<uint8_t> small(3 * 3 * 2);
  resize_bilinear_rgb8(small.data(), 9, 3, 2, std::vector<uint8_t>(60 * 40 * 3).data(), 60, 40, kTeam, nullptr);
  expect(threads_now() == before, "resize leaves the team as it is");
}
#endif

}  // namespace

int main() {
  test_resize();
  test_resize_memory();
  test_resize_arguments();
  test_masks();
  test_mask_edges();
  test_mask_memory();
  test_cancel();
#ifdef _OPENMP
  test_team();
#endif
  std::printf("%d passed, %d failed\n", g_passed, g_failed);
  return g_failed == 0 ? 0 : 1;
}
