// libFuzzer target for graphs: `npm run fuzz` builds it with clang and AddressSanitizer where clang is installed.
#include "graph_target.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ba_sam::fuzz::run_input(data, size);
  return 0;
}

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t max_size);

// Half of the mutants keep the format's structure, half are libFuzzer's own.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned int seed) {
  if (seed % 2) return LLVMFuzzerMutate(data, size, max_size);
  ba_sam::test::Random random(seed);
  const auto bytes = ba_sam::fuzz::mutant(data, size, random);
  if (bytes.size() > max_size) return LLVMFuzzerMutate(data, size, max_size);
  if (!bytes.empty()) std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}
