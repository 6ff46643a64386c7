// Element types, shapes and errors that every part of the native code shares.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ba_sam {

// Values are part of the graph's wire format (lib/graph/graph.ts): append only.
enum class DType : uint8_t { f32 = 0, bf16 = 1, f16 = 2, u8 = 3, i32 = 4 };
constexpr uint8_t kDTypeCount = 5;

constexpr size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::bf16:
    case DType::f16:
      return 2;
    case DType::u8:
      return 1;
  }
  return 0;
}

constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "f32";
    case DType::bf16:
      return "bf16";
    case DType::f16:
      return "f16";
    case DType::u8:
      return "u8";
    case DType::i32:
      return "i32";
  }
  return "?";
}

// What nodes compute in.
constexpr bool is_float(DType dtype) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16;
}

using Shape = std::vector<int64_t>;

// The only exception that native code throws on purpose; `code` is a SamErrorCode of lib/errors.ts.
class SamError : public std::runtime_error {
 public:
  SamError(std::string code, const std::string& message) : std::runtime_error(message), code_(std::move(code)) {}
  const std::string& code() const noexcept { return code_; }

 private:
  std::string code_;
};

}  // namespace ba_sam
