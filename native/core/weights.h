// The tensors of one model on one device, by name. Weights are frozen: a backend may replace one by a packed form of its
// own; the plain form is then freed, so that memory stays at one copy, and rebuilt if somebody asks for it again.
// Parameters are mutable: nothing is derived from them that a change would leave behind.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "buffer.h"
#include "tensor.h"

namespace ba_sam {

struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  Buffer data;
};

class Backend;
class Memory;

// A backend's own form of one tensor: oneDNN's blocked formats, a copy on a device.
struct PackedTensor {
  virtual ~PackedTensor() = default;
  virtual size_t bytes() const = 0;
  virtual std::shared_ptr<const Tensor> unpack() const = 0;
};

class WeightStore {
 public:
  explicit WeightStore(std::shared_ptr<Backend> backend);

  const std::shared_ptr<Backend>& backend() const { return backend_; }

  // Converts `bytes` (row-major, little-endian, any float dtype) to `dtype` and keeps it. Throws SamError when the
  // length does not fit the shape or the name is taken.
  void set(const std::string& name, DType source, DType dtype, const Shape& shape, const uint8_t* bytes, size_t size);

  // Throws SamError ERR_GRAPH when the tensor is missing or not of this dtype and shape.
  void check(const std::string& name, DType dtype, const Shape& shape);

  std::shared_ptr<const Tensor> plain(const std::string& name);

  // The packed form that is there, if `accepts` takes it; otherwise the one that `pack` makes. Frees the plain form.
  std::shared_ptr<const PackedTensor> packed(
      const std::string& name, const std::function<bool(const PackedTensor&)>& accepts,
      const std::function<std::shared_ptr<const PackedTensor>(std::shared_ptr<const Tensor>)>& pack);

  // ---- parameters: mutable, in the backend's memory, plain; shared with whoever holds them ----

  // Makes the parameter, or overwrites its value where it lies. Returns the bytes it took anew: 0 of one that was there.
  // Throws SamError when the length does not fit the shape, the name is a weight's, or the parameter is there with another
  // dtype or shape. On the backend's lane.
  size_t set_parameter(const std::string& name, DType dtype, const Shape& shape, const uint8_t* bytes, size_t size);
  // Copies the parameter's value out; `size` is its bytes. On the backend's lane.
  void read_parameter(const std::string& name, uint8_t* out, size_t size);
  // Throws SamError ERR_GRAPH when it is missing or not of this dtype and shape.
  std::shared_ptr<Memory> parameter(const std::string& name, DType dtype, const Shape& shape);

  // Of weights and parameters.
  size_t bytes() const;

  // Memory of the plans of this model, in the backend. They run one at a time, on the backend's lane: one block serves them
  // all. It only grows, and moves when it does.
  uint8_t* arena(size_t bytes);

 private:
  struct Entry {
    DType dtype;
    Shape shape;
    std::shared_ptr<const Tensor> plain;
    std::shared_ptr<const PackedTensor> packed;
  };
  struct Parameter {
    DType dtype;
    Shape shape;
    std::shared_ptr<Memory> memory;  // null when there are no elements
  };
  std::shared_ptr<Backend> backend_;  // outlives what it made
  mutable std::mutex mutex_;          // loading runs on other threads than plans
  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<std::string, Parameter> parameters_;
  std::shared_ptr<Memory> arena_;

  Entry& find(const std::string& name);
  static std::shared_ptr<const Tensor> plain_of(Entry& entry);
};

// Row-major conversion between f32, bf16 and f16, rounding to nearest even.
void convert_elements(void* out, DType out_dtype, const void* in, DType in_dtype, size_t count);

}  // namespace ba_sam
