// The same fuzzer with nothing but a C++ compiler: seeded, reproducible, in process.
//   graph_driver SECONDS SEED SEED_FOLDER     fuzzes; a finding's input is left in SEED_FOLDER/current.graph
//   graph_driver FILE                         repeats one input
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "graph_target.h"

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<uint8_t>;

Bytes read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(file), {});
}

// Written before the run: whatever ends the process, the input is there.
void keep(const fs::path& path, const Bytes& bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int argc, char** argv) {
  using Clock = std::chrono::steady_clock;
  if (argc == 2) {
    const Bytes bytes = read_file(argv[1]);
    ba_sam::fuzz::run_input(bytes.data(), bytes.size());
    return 0;
  }
  if (argc != 4) return std::fprintf(stderr, "usage: graph_driver SECONDS SEED SEED_FOLDER | graph_driver FILE\n"), 2;
  const double seconds = std::atof(argv[1]);
  ba_sam::test::Random random(static_cast<uint64_t>(std::atoll(argv[2])));
  std::vector<Bytes> pool;
  for (const auto& entry : fs::directory_iterator(argv[3])) {
    if (entry.path().extension() == ".bin") pool.push_back(read_file(entry.path()));
  }
  std::sort(pool.begin(), pool.end());
  const size_t seeds = pool.size();
  for (int i = 0; i < 64; ++i)
    pool.push_back(
        ba_sam::test::GraphMaker(random, {ba_sam::DType::bf16}).make(static_cast<int>(random.integer(1, 12))).encode());

  const auto end = Clock::now() + std::chrono::duration<double>(seconds);
  double slowest_ms = 0;
  auto& report = ba_sam::fuzz::report();
  while (Clock::now() < end) {
    const Bytes& from = pool[static_cast<size_t>(random.next() % pool.size())];
    const Bytes bytes = ba_sam::fuzz::mutant(from.data(), from.size(), random);
    keep(fs::path(argv[3]) / "current.graph", bytes);
    const uint64_t decoded = report.decoded;
    const auto start = Clock::now();
    ba_sam::fuzz::run_input(bytes.data(), bytes.size());
    slowest_ms = std::max(slowest_ms, std::chrono::duration<double, std::milli>(Clock::now() - start).count());
    // Mutants that decode replace others, so that changes add up; the seeds stay.
    if (report.decoded > decoded && bytes.size() < 20000) {
      if (pool.size() < 4096)
        pool.push_back(bytes);
      else
        pool[seeds + static_cast<size_t>(random.next() % (pool.size() - seeds))] = bytes;
    }
  }
  std::printf("graphs: %llu inputs, %llu decoded, %llu planned, %llu run; %zu seeds; slowest %.0f ms\n",
              static_cast<unsigned long long>(report.inputs), static_cast<unsigned long long>(report.decoded),
              static_cast<unsigned long long>(report.planned), static_cast<unsigned long long>(report.finished), seeds,
              slowest_ms);
  // A fuzzer whose inputs all die at the door tests only the door.
  return report.finished * 20 > report.inputs ? 0 : 1;
}
