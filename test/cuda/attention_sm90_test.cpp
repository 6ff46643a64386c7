// Compares the attention kernel for sm_90a with a float64 loop, as attention_test.cpp does the others: every strip, queries
// that wrap, chunks of key rows, several work tiles a block, every bias, every schedule. Prints "N passed, N failed"; on another
// device it says that and passes one check, that the kernel is not chosen there.
#include "../../native/ops/attention/cuda/hopper_attention.h"
#include "attention_check.h"

using namespace ba_sam;
using namespace ba_sam::test;

namespace {

// Heads such that, with two images, a block that every multiprocessor has takes three work tiles or more.
int64_t heads_for_three_work_tiles(int64_t work_tiles_of_a_head) {
  int device = 0, count = 0;
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  cuda::check(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "multiprocessors");
  return count / work_tiles_of_a_head + 1;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  const auto global = [&](int64_t h, int64_t w, int64_t d, bool rel, DistanceMetric m, float start = 0.0f) -> Case& {
    Case c = grid_case(h, w, d, rel, m, start);
    c.heads = 1;
    c.sample = h * w > 300 ? h * w / 60 + 1 : 0;
    cases.push_back(c);
    return cases.back();
  };
  for (int64_t d : {64, 80}) {
    for (bool rel : {false, true}) {
      for (DistanceMetric m : {DistanceMetric::manhattan, DistanceMetric::euclidean, DistanceMetric::chebyshev}) {
        global(5, 64, d, rel, m, d == 64 ? 0.0f : 2.5f);
        global(3, 128, d, rel, m);  // two strips, an odd row
      }
    }
    global(67, 64, d, true, DistanceMetric::euclidean, 3.0f);  // two chunks of rows
    global(66, 40, d, true, DistanceMetric::none);             // strip of 40; 64 queries over three rows
    global(9, 43, d, true, DistanceMetric::manhattan, 1.0f);   // strip of 48, masked columns
    global(4, 100, d, true, DistanceMetric::none);             // two strips of 56; queries that wrap
    global(3, 112, d, true, DistanceMetric::manhattan);        // two strips of 56, none masked, wraps
    global(2, 63, d, true, DistanceMetric::none);
    global(3, 65, d, true, DistanceMetric::none);  // a run of one query
    global(1, 1, d, true, DistanceMetric::none);
    global(70, 1, d, true, DistanceMetric::none);  // 64 queries in 64 rows, two chunks
    global(41, 7, d, true, DistanceMetric::manhattan, 2.0f);
    // Distances where queries wrap: every strip, one query in a row, rows that end with a tile of queries.
    global(4, 65, d, true, DistanceMetric::euclidean);
    global(5, 72, d, false, DistanceMetric::chebyshev, 1.5f);
    global(5, 86, d, true, DistanceMetric::euclidean, 2.0f);
    global(3, 100, d, true, DistanceMetric::chebyshev);
    global(67, 96, d, true, DistanceMetric::euclidean);
    global(3, 127, d, false, DistanceMetric::euclidean);
    global(1, 200, d, true, DistanceMetric::none);
  }
  {
    Case& c = global(6, 64, 64, true, DistanceMetric::euclidean);
    c.batch = 3;
    c.heads = 3;
    c.fused = true;
    c.sample = 37;
  }
  {
    Case& c = global(5, 50, 80, true, DistanceMetric::none);
    c.batch = 2;
    c.heads = 2;
    c.fused = true;
    c.sample = 13;
  }
  global(4, 64, 64, true, DistanceMetric::manhattan).scale = 0.31f;
  global(4, 64, 64, true, DistanceMetric::euclidean).scale = 1e-20f;
  for (float spread : {40.0f, 100.0f}) {  // logits of ±1e4
    Case& c = global(5, 64, 64, true, DistanceMetric::manhattan);
    c.spread = spread;
    c.name += " extreme";
  }
  const auto windows = [&](int64_t h, int64_t w, int64_t d, bool rel) -> Case& {
    Case c = window_case(h, w, 14, d, rel);
    c.heads = 2;
    c.batch = 1;
    c.sample = h * w > 300 ? 7 : 0;
    cases.push_back(c);
    return cases.back();
  };
  for (int64_t d : {64, 80}) {
    for (bool rel : {false, true}) {
      windows(14, 14, d, rel);
      windows(15, 29, d, rel);  // pads on the right and below
    }
    windows(1, 1, d, true);
    windows(5, 9, d, true).fused = true;
    windows(28, 42, d, true);  // six windows, none padded
  }
  windows(20, 16, 64, true).batch = 3;
  windows(17, 14, 80, true).scale = 1e-20f;
  // Barriers whose phases change once a piece of work: their parity shows in the third.
  for (int64_t d : {64, 80}) {
    Case& persistent = global(2, 64, d, true, DistanceMetric::euclidean);
    persistent.heads = heads_for_three_work_tiles(1);
    persistent.batch = 2;
    persistent.sample = 31;
    Case& window = windows(15, 12, d, true);
    window.heads = heads_for_three_work_tiles(2);
    window.batch = 2;
    window.sample = 31;
  }
  {
    // The same for clusters: two pieces of work a head. Blocks of a cluster need different numbers of tables, and the second
    // piece has queries for one block only.
    Case& c = global(3, 100, 64, true, DistanceMetric::manhattan, 1.5f);
    c.heads = heads_for_three_work_tiles(4);
    c.batch = 2;
    c.sample = 97;
  }
  cases.push_back(token_case(130, 256, 64, 2, 2));
  cases.push_back(token_case(7, 128, 80, 1, 1));
  return cases;
}

void check_choice() {
  AttentionParams p;
  p.dtype = DType::bf16;
  p.grid_h = p.grid_w = 64;
  p.q_tokens = p.k_tokens = 4096;
  p.has_rel_pos = true;
  const auto with = [&](auto change) {
    AttentionParams changed = p;
    change(changed);
    return cuda::hopper_takes(changed) && cuda::hopper_pays(changed);
  };
  counts.check(with([](auto&) {}), "64x64 tokens are taken");
  counts.check(!with([](auto& c) { c.dtype = DType::f32; }), "f32 is not");
  counts.check(!with([](auto& c) { c.head_dim = 32; }), "D = 32 is not");
  counts.check(with([](auto& c) { c.window = 14; }), "windows of 14 are taken");
  counts.check(!with([](auto& c) { c.window = 16; }), "windows of 16 are not");
  counts.check(!with([](auto& c) { c.scale = -1; }), "a negative scale is not");
  float log_sum_exp = 0;
  counts.check(!with([&](auto& c) { c.log_sum_exp = &log_sum_exp; }), "log_sum_exp is not");
  counts.check(with([](auto& c) {
                 c.grid_w = 86;
                 c.q_tokens = c.k_tokens = 64 * 86;
                 c.metric = DistanceMetric::euclidean;
               }),
               "distances on a grid 86 wide are");
  counts.check(!with([](auto& c) {
    c.grid_w = 60;
    c.q_tokens = c.k_tokens = 64 * 60;
    c.metric = DistanceMetric::euclidean;
  }),
               "distances on a grid 60 wide are not");
  counts.check(!with([](auto& c) {
    c.grid_h = 16;
    c.q_tokens = c.k_tokens = 16 * 64 - 64;
  }),
               "few tokens do not pay");
  counts.check(!with([](auto& c) {
    c.grid_w = 20;
    c.q_tokens = c.k_tokens = 64 * 20;
  }),
               "strips half empty do not pay");
}

// Which schedules a case is computed with: all cases with those that have kernels of their own for most of them.
bool in_bf16(cuda::HopperSchedule schedule, const Case& c, uint32_t seed) {
  switch (schedule) {
    case cuda::HopperSchedule::pingpong_and_intra_warpgroup:
      return true;
    case cuda::HopperSchedule::cluster:
      return c.window == 0;
    case cuda::HopperSchedule::three_consumers:
      return c.window == 0 && c.head_dim == 64;
    case cuda::HopperSchedule::intra_warpgroup:
    case cuda::HopperSchedule::pingpong:
      return c.window == 0 && seed % 4 == 1;
  }
  return false;
}
bool in_f16(cuda::HopperSchedule schedule, const Case& c, uint32_t seed) {
  if (schedule == cuda::HopperSchedule::cluster) return seed % 8 == 3;  // falls back: there are no clusters in f16
  return schedule == cuda::HopperSchedule::pingpong_and_intra_warpgroup && c.spread == 1.0f && seed % 3 == 0;
}

}  // namespace

int main() {
  check_choice();
  if (!cuda::have_hopper_attention()) {
    std::printf("This device is not of compute capability 9.0: the kernel was not run\n");
    return counts.finish();
  }
  uint32_t seed = 1;
  const char* filter = std::getenv("CASE");
  for (const Case& c : all_cases()) {
    ++seed;
    if (filter != nullptr && c.name.find(filter) == std::string::npos) continue;
    counts.check(cuda::hopper_takes(params_of(c, DType::bf16, make_operands(c, DType::bf16, seed, 8))),
                 c.name + " is computed by this kernel");
    for (const cuda::HopperScheduleRow& row : cuda::kHopperSchedules) {
      if (in_bf16(row.schedule, c, seed)) check_case(c, DType::bf16, seed, row.name);
      if (in_f16(row.schedule, c, seed)) check_case(c, DType::f16, seed, row.name);
    }
  }
  return counts.finish();
}
