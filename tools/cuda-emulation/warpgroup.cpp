// wgmma (hopper_block.h). Every thread writes into a log of its warpgroup what it calls; waits execute it.
#include <algorithm>
#include <cstring>

#include "hopper_block.h"
#include "wide_floats.h"

namespace ba_sam::emulation {

namespace {

// What accumulators hold while a product is pending: a signalling NaN, which any arithmetic changes into a quiet one.
constexpr uint32_t kPendingProduct = 0x7fa77fa7u;

struct Tile {  // of 16-bit numbers in shared memory, from a descriptor
  uint32_t start, leading, stride, row_bytes;
};

uint32_t field(uint64_t descriptor, int bit) {
  return static_cast<uint32_t>(descriptor >> bit & 0x3fff) << 4;
}

Tile tile_of(uint64_t descriptor) {
  const uint64_t layout = descriptor >> 62;
  return {field(descriptor, 0), field(descriptor, 16), field(descriptor, 32),
          layout == 1   ? 128u
          : layout == 3 ? 32u
                        : 0u};
}

typedef uint16_t Halves __attribute__((vector_size(16)));

template <typename T>
BA_SAM_UNCHECKED inline __attribute__((always_inline)) Floats widened(const uint16_t* eight) {
  Halves halves;
  std::memcpy(&halves, eight, sizeof halves);
  return low_half(__builtin_convertvector(halves, Words), T{});
}

// Where numbers 8 · half … 8 · half + 7 of a row of a K-major tile are.
BA_SAM_UNCHECKED inline __attribute__((always_inline)) uint32_t row_piece(const Tile& tile, uint32_t row,
                                                                          uint32_t half) {
  return swizzled(tile.start + row / 8 * tile.stride + row % 8 * tile.row_bytes + 16 * half, tile.row_bytes);
}

// Where numbers 8n … 8n + 7 of row k of an MN-major tile are.
BA_SAM_UNCHECKED inline __attribute__((always_inline)) uint32_t column_piece(const Tile& tile, uint32_t k, uint32_t n) {
  const uint32_t per_row = tile.row_bytes / 16;
  const uint32_t row = tile.start + k / 8 * tile.stride + k % 8 * tile.row_bytes;
  return swizzled(row + n / per_row * tile.leading + n % per_row * 16, tile.row_bytes);
}

BA_SAM_UNCHECKED inline __attribute__((always_inline)) void read_row(const uint8_t* shared, const Tile& tile, int row,
                                                                     uint16_t (&to)[16]) {
  for (uint32_t half = 0; half < 2; ++half) {
    std::memcpy(to + 8 * half, shared + row_piece(tile, static_cast<uint32_t>(row), half), 16);
  }
}

// sum[64][8 · tiles] += a · b, in the order of K.
template <typename T>
BA_SAM_UNCHECKED inline __attribute__((always_inline)) void product(const uint8_t* shared, const WarpgroupCall& call,
                                                                    const uint32_t (*registers)[4], float* sum) {
  alignas(32) static thread_local float a[64][16];
  alignas(32) static thread_local float b[32][16][8];
  uint16_t raw[64][16];
  if (registers) {
    for (int thread = 0; thread < 128; ++thread) {
      const int g = thread / 32 * 16 + thread % 32 / 4, t = thread % 4;
      for (int r = 0; r < 4; ++r) std::memcpy(&raw[g + r % 2 * 8][2 * (t + r / 2 * 4)], &registers[thread][r], 4);
    }
  } else {
    const Tile tile = tile_of(call.a);
    for (int row = 0; row < 64; ++row) read_row(shared, tile, row, raw[row]);
  }
  for (int row = 0; row < 64; ++row) {
    for (int half = 0; half < 2; ++half) {
      const Floats floats = widened<T>(&raw[row][8 * half]);
      std::memcpy(&a[row][8 * half], &floats, sizeof floats);
    }
  }
  const Tile tile = tile_of(call.b);
  for (int n = 0; n < call.tiles; ++n) {
    uint16_t columns[16][8];
    if (registers) {
      for (uint32_t k = 0; k < 16; ++k)
        std::memcpy(columns[k], shared + column_piece(tile, k, static_cast<uint32_t>(n)), 16);
    } else {
      for (int row = 0; row < 8; ++row) {
        uint16_t of_row[16];
        read_row(shared, tile, 8 * n + row, of_row);
        for (int k = 0; k < 16; ++k) columns[k][row] = of_row[k];
      }
    }
    for (int k = 0; k < 16; ++k) {
      const Floats floats = widened<T>(columns[k]);
      std::memcpy(b[n][k], &floats, sizeof floats);
    }
  }
  const int width = 8 * call.tiles;
  constexpr int kRows = 8;
  for (int n = 0; n < call.tiles; ++n) {
    for (int row = 0; row < 64; row += kRows) {
      Floats total[kRows];
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) std::memcpy(&total[i], sum + (row + i) * width + 8 * n, sizeof total[i]);
      for (int k = 0; k < 16; ++k) {
        Floats b_row;
        std::memcpy(&b_row, b[n][k], sizeof b_row);
#pragma GCC unroll 8
        for (int i = 0; i < kRows; ++i) total[i] += a[row + i][k] * b_row;
      }
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) std::memcpy(sum + (row + i) * width + 8 * n, &total[i], sizeof total[i]);
    }
  }
}

#if defined(__x86_64__)
template <typename T>
BA_SAM_UNCHECKED __attribute__((target("avx2"))) void product_avx2(const uint8_t* shared, const WarpgroupCall& call,
                                                                   const uint32_t (*registers)[4], float* sum) {
  product<T>(shared, call, registers, sum);
}
const bool have_avx2 = __builtin_cpu_supports("avx2");
#endif

template <typename T>
BA_SAM_UNCHECKED void multiply(const uint8_t* shared, const WarpgroupCall& call, const uint32_t (*registers)[4],
                               float* sum) {
#if defined(__x86_64__)
  if (have_avx2) return product_avx2<T>(shared, call, registers, sum);
#endif
  product<T>(shared, call, registers, sum);
}

// A thread's four numbers of tile n in sum[64][8 · tiles]: two in each of two rows.
BA_SAM_UNCHECKED inline float* own_pair(Accumulator& accumulator, int thread, int n, int half) {
  const int row = thread / 32 * 16 + thread % 32 / 4 + 8 * half;
  return &accumulator.sum[static_cast<size_t>((row * accumulator.tiles + n) * 8 + thread % 4 * 2)];
}

// Registers may be out of the scope where the source declares them: AddressSanitizer must not look.
BA_SAM_UNCHECKED bool untouched(const float* accumulators, int count) {
  const auto* words = reinterpret_cast<const uint32_t __attribute__((may_alias))*>(accumulators);
  uint32_t different = 0;
  for (int i = 0; i < count; ++i) different |= words[i] ^ kPendingProduct;
  return different == 0;
}
BA_SAM_UNCHECKED bool same_registers(const uint32_t* a, const uint32_t (&snapshot)[4]) {
  return a[0] == snapshot[0] && a[1] == snapshot[1] && a[2] == snapshot[2] && a[3] == snapshot[3];
}

}  // namespace

WarpgroupOperation& HopperBlock::join(Thread& self, const WarpgroupCall& call) {
  const int group_index = self.index / 128;
  Warpgroup& group = groups_[group_index];
  HopperThread& own = threads_[self.index];
  if (128 * (group_index + 1) > runner_.thread_count()) {
    runner_.fail(self, call.site, std::string(call.name) + " in a warpgroup of fewer than 128 threads");
  }
  if (group.left >= 0 && own.issued >= group.left_after) {
    runner_.fail(self, call.site,
                 text_of(call.name, call.site) + " needs all threads of the warpgroup, but thread " +
                     text_of(runner_.thread(group.left).position) + " has left the kernel");
  }
  if (own.issued == group.first + group.log.size()) {
    group.log.emplace_back();
    group.log.back().call = call;
    group.log.back().first = self.index;
    group.log.back().group = own.groups;
  }
  WarpgroupOperation& operation = group.log[own.issued - group.first];
  const WarpgroupCall& first = operation.call;
  if (first.step != call.step || first.name != call.name || !same(first.site, call.site)) {
    runner_.fail(self, call.site,
                 "threads of one warpgroup are at different collectives: this one at " + text_of(call.name, call.site) +
                     ", thread " + text_of(runner_.thread(operation.first).position) + " at " +
                     text_of(first.name, first.site));
  }
  if (first.number != call.number || first.f16 != call.f16 || first.tiles != call.tiles || first.a != call.a ||
      first.b != call.b) {
    runner_.fail(self, call.site,
                 std::string(call.name) + ": other descriptors or another form than in thread " +
                     text_of(runner_.thread(operation.first).position) + " of this warpgroup");
  }
  ++operation.arrived;
  ++own.issued;
  return operation;
}

void HopperBlock::call(Thread& self, const WarpgroupCall& call) {
  HopperThread& own = threads_[self.index];
  switch (call.step) {
    case WarpgroupStep::fence:
      join(self, call);
      own.fenced = true;
      break;
    case WarpgroupStep::commit:
      commit(self, join(self, call));
      break;
    case WarpgroupStep::wait:
      join(self, call);
      wait_for_groups(self, call);
      break;
    case WarpgroupStep::product:
      if (!own.fenced) {
        runner_.fail(self, call.site,
                     std::string(call.name) + " without a wgmma_fence since the last wgmma_commit or wgmma_wait");
      }
      issue(self, join(self, call), call);
      break;
    case WarpgroupStep::registers: {
      join(self, call);
      groups_[self.index / 128].registers = call.number;
      int total = 0;
      for (const Warpgroup& group : groups_) total += 128 * group.registers;
      if (total > 65536) {
        runner_.fail(self, call.site,
                     std::string(call.name) + ": the block's warpgroups have " + std::to_string(total) +
                         " registers, more than 65536");
      }
      break;
    }
  }
}

void HopperBlock::check_descriptor(Thread& self, const WarpgroupCall& call, uint64_t descriptor, bool k_major,
                                   int extent) {
  const auto refuse = [&](const std::string& what) {
    runner_.fail(self, call.site,
                 std::string(call.name) + ": descriptor of " + (k_major ? "K" : "MN") + "-major tile " + what);
  };
  const Tile tile = tile_of(descriptor);
  constexpr uint64_t kKnown = 0xc0003fff3fff3fffu;
  if (tile.row_bytes == 0 || (descriptor & ~kKnown) != 0) refuse("that matrix_descriptor did not make");
  const uint32_t period = swizzle_period(tile.row_bytes), inside = tile.start % period;
  if (k_major && inside + 32 > tile.row_bytes) refuse("that does not start in the first row of 8 or leaves the row");
  if (!k_major && inside != 0) refuse("that does not start with 8 whole rows");
  if (tile.stride == 0 || tile.stride % period != 0) {
    refuse("with a stride of " + std::to_string(tile.stride) + " bytes, no multiple of " + std::to_string(period));
  }
  uint64_t end = uint64_t{tile.start} - inside + period;
  if (k_major) {
    end += static_cast<uint64_t>(extent / 8 - 1) * tile.stride;
  } else {
    const int per_row = static_cast<int>(tile.row_bytes) / 2, pieces = (extent + per_row - 1) / per_row;
    if (pieces > 1 && (tile.leading == 0 || tile.leading % period != 0)) {
      refuse("with a leading stride of " + std::to_string(tile.leading) + " bytes, no multiple of " +
             std::to_string(period));
    }
    end += tile.stride + static_cast<uint64_t>(pieces - 1) * tile.leading;
  }
  if (end > runner_.shared_bytes()) {
    refuse("that reaches to byte " + std::to_string(end) + " of " + std::to_string(runner_.shared_bytes()) +
           " of dynamic shared memory");
  }
}

void HopperBlock::issue(Thread& self, WarpgroupOperation& operation, const WarpgroupCall& call) {
  Warpgroup& group = groups_[self.index / 128];
  HopperThread& own = threads_[self.index];
  const int thread = self.index % 128, count = 4 * call.tiles;
  if (operation.arrived == 1) {
    if (!call.registers_a) check_descriptor(self, call, call.a, true, 64);
    check_descriptor(self, call, call.b, !call.registers_a, 8 * call.tiles);
  }
  const std::shared_ptr<Accumulator>* pending = nullptr;
  for (const auto& accumulator : group.accumulators) {
    const float* other = accumulator->of_thread[thread];
    if (!other || other + 4 * accumulator->tiles <= call.accumulators || call.accumulators + count <= other) continue;
    if (other != call.accumulators || accumulator->tiles != call.tiles) {
      runner_.fail(self, call.site, std::string(call.name) + ": its accumulators overlap those of a pending product");
    }
    pending = &accumulator;
  }
  const bool other_pending = pending && operation.arrived != 1 && *pending != operation.accumulator;
  if (operation.arrived == 1) {
    if (pending) {
      operation.accumulator = *pending;
    } else {
      auto made = std::make_shared<Accumulator>();
      made->tiles = call.tiles;
      made->sum.resize(static_cast<size_t>(64 * 8 * call.tiles));
      std::fill(made->of_thread, made->of_thread + 128, nullptr);
      std::fill(made->last_group, made->last_group + 128, 0);
      operation.accumulator = made;
      group.accumulators.push_back(made);
    }
  }
  Accumulator& accumulator = *operation.accumulator;
  const bool chained = accumulator.of_thread[thread] != nullptr;
  if (other_pending || (!pending && chained)) {
    runner_.fail(self, call.site,
                 std::string(call.name) + ": thread " + text_of(runner_.thread(operation.first).position) +
                     " of this warpgroup uses other accumulators");
  }
  if (chained) {
    if (!untouched(call.accumulators, count)) {
      runner_.fail(self, call.site,
                   std::string(call.name) + ": its accumulators were changed while a product was pending");
    }
  } else {
    accumulator.of_thread[thread] = call.accumulators;
    for (int n = 0; n < call.tiles; ++n) {
      for (int half = 0; half < 2; ++half) {
        std::memcpy(own_pair(accumulator, thread, n, half), call.accumulators + 4 * n + 2 * half, 8);
      }
    }
    fill_words(call.accumulators, static_cast<size_t>(count) * 4, kPendingProduct);
  }
  accumulator.last_group[thread] = own.groups;
  accumulator.last_site = call.site;
  if (call.registers_a) {
    if (!operation.a) operation.a = std::make_unique<WarpgroupOperation::Registers>();
    std::memcpy(operation.a->value[thread], call.registers_a, 16);
    operation.a->of_thread[thread] = call.registers_a;
  }
  ++own.uncommitted;
}

void HopperBlock::commit(Thread& self, const WarpgroupOperation& operation) {
  Warpgroup& group = groups_[self.index / 128];
  HopperThread& own = threads_[self.index];
  ++own.groups;
  own.uncommitted = 0;
  own.fenced = false;
  if (operation.arrived != 128) return;
  ++group.committed;
  for (const int thread : group.waiting) runner_.resume(thread);
  group.waiting.clear();
}

void HopperBlock::wait_for_groups(Thread& self, const WarpgroupCall& call) {
  Warpgroup& group = groups_[self.index / 128];
  HopperThread& own = threads_[self.index];
  own.fenced = false;
  const auto pending = static_cast<uint64_t>(call.number);
  const uint64_t wanted = own.groups > pending ? own.groups - pending : 0;
  while (group.committed < wanted) {
    group.waiting.push_back(self.index);
    runner_.suspend(self, call.name, call.site);
  }
  for (group.executed = std::max(group.executed, group.first); group.executed < group.first + group.log.size();
       ++group.executed) {
    const WarpgroupOperation& operation = group.log[group.executed - group.first];
    if (operation.call.step != WarpgroupStep::product) continue;
    if (operation.group >= wanted) break;
    execute(self, operation);
  }
  return_results(self, call.site, wanted);
}

void HopperBlock::check_piece(Thread& self, const WarpgroupCall& call, uint32_t offset) {
  const uint8_t* piece = runner_.shared() + offset;
  constexpr uint32_t kAllInFlight[4] = {kInFlight, kInFlight, kInFlight, kInFlight};
  if (std::memcmp(piece, kAllInFlight, 16) == 0) {
    runner_.fail(self, call.site,
                 std::string(call.name) + ": it reads byte " + std::to_string(offset) +
                     " of shared memory, where a copy has not arrived yet");
  }
  if (brought_after_[offset / 16] == fences_ && std::memcmp(piece, &brought_[offset], 16) != 0) {
    runner_.fail(self, call.site,
                 std::string(call.name) + ": it reads byte " + std::to_string(offset) +
                     " of shared memory, which threads have written without fence_proxy_async after it");
  }
  std::memcpy(&brought_[offset], piece, 16);
  brought_after_[offset / 16] = fences_;
}

void HopperBlock::execute(Thread& self, const WarpgroupOperation& operation) {
  const auto tiles = static_cast<uint32_t>(operation.call.tiles);
  const Tile b = tile_of(operation.call.b);
  for (uint32_t row = 0; row < 8 * tiles && !operation.a; ++row) {
    for (uint32_t half = 0; half < 2; ++half) check_piece(self, operation.call, row_piece(b, row, half));
  }
  for (uint32_t row = 0; row < 64 && !operation.a; ++row) {
    for (uint32_t half = 0; half < 2; ++half) {
      check_piece(self, operation.call, row_piece(tile_of(operation.call.a), row, half));
    }
  }
  for (uint32_t k = 0; k < 16 && operation.a; ++k) {
    for (uint32_t n = 0; n < tiles; ++n) check_piece(self, operation.call, column_piece(b, k, n));
  }
  const auto* registers = operation.a ? operation.a->value : nullptr;
  float* sum = operation.accumulator->sum.data();
  if (operation.call.first) std::fill_n(sum, operation.accumulator->sum.size(), 0.0f);
  if (operation.call.f16) {
    multiply<f16>(runner_.shared(), operation.call, registers, sum);
  } else {
    multiply<bf16>(runner_.shared(), operation.call, registers, sum);
  }
}

void HopperBlock::return_results(Thread& self, const Site& site, uint64_t groups) {
  Warpgroup& group = groups_[self.index / 128];
  HopperThread& own = threads_[self.index];
  const int thread = self.index % 128;
  for (; own.seen < own.issued; ++own.seen) {
    WarpgroupOperation& operation = group.log[own.seen - group.first];
    if (operation.call.step == WarpgroupStep::product && operation.group >= groups) break;
    if (operation.a && !same_registers(operation.a->of_thread[thread], operation.a->value[thread])) {
      runner_.fail(self, site,
                   "the A registers of " + text_of(operation.call.name, operation.call.site) +
                       " were changed before this wait for it");
    }
    --operation.remaining;
  }
  while (!group.log.empty() && group.log.front().remaining == 0) {
    group.log.pop_front();
    ++group.first;
  }
  for (size_t i = 0; i < group.accumulators.size();) {
    Accumulator& accumulator = *group.accumulators[i];
    float* to = accumulator.of_thread[thread];
    if (to && accumulator.last_group[thread] < groups) {
      if (!untouched(to, 4 * accumulator.tiles)) {
        runner_.fail(self, site,
                     "the accumulators of " + text_of("a product", accumulator.last_site) +
                         " were changed before this wait for it");
      }
      for (int n = 0; n < accumulator.tiles; ++n) {
        for (int half = 0; half < 2; ++half) {
          std::memcpy(to + 4 * n + 2 * half, own_pair(accumulator, thread, n, half), 8);
        }
      }
      accumulator.of_thread[thread] = nullptr;
      if (++accumulator.returned == 128) {
        group.accumulators.erase(group.accumulators.begin() + static_cast<ptrdiff_t>(i));
        continue;
      }
    }
    ++i;
  }
}

std::string HopperBlock::leave_warpgroup(const Thread& thread) {
  Warpgroup& group = groups_[thread.index / 128];
  const HopperThread& own = threads_[thread.index];
  for (const auto& accumulator : group.accumulators) {
    if (!accumulator->of_thread[thread.index % 128]) continue;
    return "it leaves the kernel while " + text_of("its product", accumulator->last_site) +
           " is pending: " + (own.uncommitted != 0 ? "no wgmma_commit after it" : "no wgmma_wait for its group");
  }
  if (own.issued < group.first + group.log.size()) {
    const WarpgroupOperation& next = group.log[own.issued - group.first];
    return "it leaves the kernel, but thread " + text_of(runner_.thread(next.first).position) +
           " of its warpgroup is at " + text_of(next.call.name, next.call.site);
  }
  if (group.left < 0) {
    group.left = thread.index;
    group.left_after = own.issued;
  }
  return "";
}

void call_warpgroup(const WarpgroupCall& call) {
  Thread& self = running();
  self.runner->hopper(self, call.name, call.site).call(self, call);
}

uint64_t describe_matrix(const Site& site, const void* shared, uint32_t leading, uint32_t stride,
                         cuda::Swizzle swizzle) {
  Thread& self = running();
  self.runner->hopper(self, "matrix_descriptor", site);
  if (self.runner->place_in_shared(shared, 16) != 0) {
    self.runner->fail(self, site, "matrix_descriptor: its address is not in the dynamic shared memory");
  }
  if (cuda::shared_address(shared) % 16 != 0) {
    self.runner->fail(self, site, "matrix_descriptor: its address is not a multiple of 16");
  }
  if (leading % 16 != 0 || stride % 16 != 0 || leading >= 1u << 18 || stride >= 1u << 18) {
    self.runner->fail(self, site,
                      "matrix_descriptor: strides of " + std::to_string(leading) + " and " + std::to_string(stride) +
                          " bytes, not multiples of 16 below 262144");
  }
  const uint64_t layout = swizzle == cuda::Swizzle::bytes_128 ? 1 : 3;
  return static_cast<uint64_t>(cuda::shared_address(shared) >> 4) | static_cast<uint64_t>(leading >> 4) << 16 |
         static_cast<uint64_t>(stride >> 4) << 32 | layout << 62;
}

}  // namespace ba_sam::emulation
