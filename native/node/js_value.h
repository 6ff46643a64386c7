// Reading arguments from JavaScript: every one is checked, whoever calls.
#pragma once

#include <napi.h>

#include <cmath>
#include <string>
#include <vector>

#include "../core/tensor.h"

namespace ba_sam::node {

[[noreturn]] inline void bad_argument(const std::string& name, const std::string& expected) {
  throw SamError("ERR_INVALID_ARGUMENT", "Expected " + expected + " for " + name);
}

inline std::string to_text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) bad_argument(name, "a string");
  return value.As<Napi::String>().Utf8Value();
}

inline double to_number(const Napi::Value& value, const char* name) {
  if (!value.IsNumber()) bad_argument(name, "a number");
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!std::isfinite(number)) bad_argument(name, "a finite number");
  return number;
}

inline int64_t to_integer(const Napi::Value& value, int64_t low, int64_t high, const char* name) {
  const double number = to_number(value, name);
  if (number != std::floor(number) || !(number >= static_cast<double>(low) && number <= static_cast<double>(high))) {
    bad_argument(name, "integer between " + std::to_string(low) + " and " + std::to_string(high));
  }
  return static_cast<int64_t>(number);
}

inline DType to_dtype(const Napi::Value& value, const char* name) {
  const std::string text = to_text(value, name);
  for (uint8_t i = 0; i < kDTypeCount; ++i) {
    if (text == dtype_name(static_cast<DType>(i))) return static_cast<DType>(i);
  }
  bad_argument(name, "one of f32, bf16, f16, u8, i32");
}

// A view of a typed array's memory. The view is only as alive as the array.
struct ArrayView {
  void* data = nullptr;
  size_t bytes = 0;
  napi_typedarray_type type = napi_uint8_array;
};

inline ArrayView to_array(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray()) bad_argument(name, "a typed array");
  const auto array = value.As<Napi::TypedArray>();
  ArrayView view;
  size_t length = 0;
  napi_typedarray_type type;
  napi_value buffer;
  size_t offset;
  if (napi_get_typedarray_info(value.Env(), array, &type, &length, &view.data, &buffer, &offset) != napi_ok) {
    bad_argument(name, "a typed array");
  }
  view.bytes = array.ByteLength();
  view.type = type;
  return view;
}

// Whether an array's elements are those of a dtype: bits for the 16-bit ones.
inline bool holds(const ArrayView& view, DType dtype) {
  return dtype == DType::f32   ? view.type == napi_float32_array
         : dtype == DType::i32 ? view.type == napi_int32_array
         : dtype == DType::u8  ? view.type == napi_uint8_array || view.type == napi_uint8_clamped_array
                               : view.type == napi_uint16_array;
}

inline ArrayView to_array(const Napi::Value& value, DType dtype, size_t bytes, const char* name) {
  const ArrayView view = to_array(value, name);
  if (!holds(view, dtype) || view.bytes != bytes) {
    bad_argument(
        name, "a typed array of dtype " + std::string(dtype_name(dtype)) + " with " + std::to_string(bytes) + " bytes");
  }
  return view;
}

inline Shape to_shape(const Napi::Value& value, const char* name) {
  if (!value.IsArray()) bad_argument(name, "an array of integers");
  const auto array = value.As<Napi::Array>();
  Shape shape;
  for (uint32_t i = 0; i < array.Length(); ++i) shape.push_back(to_integer(array.Get(i), 0, int64_t{1} << 40, name));
  return shape;
}

}  // namespace ba_sam::node
