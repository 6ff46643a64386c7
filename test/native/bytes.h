// Reproducible bytes and their checksum, as test/image/make_fixtures.py has them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ba_sam::test {

inline std::vector<uint8_t> lcg(uint32_t seed, size_t n) {
  std::vector<uint8_t> bytes(n);
  for (uint8_t& b : bytes) {
    seed = seed * 1664525u + 1013904223u;
    b = static_cast<uint8_t>(seed >> 24);
  }
  return bytes;
}

inline uint32_t crc32(const void* data, size_t n) {
  uint32_t crc = ~0u;
  const uint8_t* p = static_cast<const uint8_t*>(data);
  for (size_t i = 0; i < n; ++i) {
    crc ^= p[i];
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1)));
  }
  return ~crc;
}

}  // namespace ba_sam::test
