// See weights.h.
#include "weights.h"

#include <cstring>

#include "backend.h"
#include "bf16.h"
#include "f16.h"
#include "graph.h"

namespace ba_sam {
void convert_elements(void* out, DType out_dtype, const void* in, DType in_dtype, size_t count) {
  if (out_dtype == in_dtype) {
    if (count) std::memcpy(out, in, count * dtype_bytes(in_dtype));
    return;
  }
  // Sources come from a file buffer and may be unaligned: read through memcpy.
  const auto* source = static_cast<const uint8_t*>(in);
  auto load = [&](size_t i) -> float {
    if (in_dtype == DType::f32) {
      float v;
      std::memcpy(&v, source + 4 * i, 4);
      return v;
    }
    uint16_t v;
    std::memcpy(&v, source + 2 * i, 2);
    return in_dtype == DType::bf16 ? bf16_to_f32(v) : f16_to_f32(v);
  };
  if (out_dtype == DType::f32) {
    auto* target = static_cast<float*>(out);
    for (size_t i = 0; i < count; ++i) target[i] = load(i);
  } else if (out_dtype == DType::bf16) {
    auto* target = static_cast<uint16_t*>(out);
    for (size_t i = 0; i < count; ++i) target[i] = f32_to_bf16(load(i));
  } else if (out_dtype == DType::f16) {
    auto* target = static_cast<uint16_t*>(out);
    for (size_t i = 0; i < count; ++i) target[i] = f32_to_f16(load(i));
  } else {
    throw SamError("ERR_INVALID_ARGUMENT",
                   std::string("Expected f32, bf16 or f16 for a weight's dtype but received ") + dtype_name(out_dtype));
  }
}

namespace {

// Elements of a tensor whose length must fit its shape.
size_t checked_elements(const std::string& name, DType dtype, const Shape& shape, size_t size) {
  size_t count = 1;
  for (int64_t dim : shape) {
    if (dim < 0 || (dim > 0 && count > (size_t{1} << 40) / static_cast<size_t>(dim))) {
      throw SamError("ERR_INVALID_ARGUMENT",
                     "Expected at most 2^40 elements for " + name + " but received " + shape_text(shape));
    }
    count *= static_cast<size_t>(dim);
  }
  if (count * dtype_bytes(dtype) != size) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected " + std::to_string(count * dtype_bytes(dtype)) + " bytes for " +
                                               name + " of shape " + shape_text(shape) + " but received " +
                                               std::to_string(size));
  }
  return count;
}

std::string tensor_text(DType dtype, const Shape& shape) {
  return std::string(dtype_name(dtype)) + " " + shape_text(shape);
}

}  // namespace

WeightStore::WeightStore(std::shared_ptr<Backend> backend) : backend_(std::move(backend)) {}

void WeightStore::set(const std::string& name, DType source, DType dtype, const Shape& shape, const uint8_t* bytes,
                      size_t size) {
  if (!is_float(source)) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected f32, f16 or bf16 for " + name + " but received " + std::string(dtype_name(source)));
  }
  const size_t count = checked_elements(name, source, shape, size);
  auto tensor = std::make_shared<Tensor>();
  tensor->dtype = dtype;
  tensor->shape = shape;
  tensor->data = Buffer(count * dtype_bytes(dtype), "a weight");
  convert_elements(tensor->data.data(), dtype, bytes, source, count);

  std::lock_guard<std::mutex> lock(mutex_);
  if (parameters_.count(name)) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected a name of its own for a weight but " + name + " is a parameter");
  }
  if (!entries_.emplace(name, Entry{dtype, shape, std::move(tensor), nullptr}).second) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected every weight once but received " + name + " again");
  }
}

WeightStore::Entry& WeightStore::find(const std::string& name) {
  const auto it = entries_.find(name);
  if (it == entries_.end()) throw SamError("ERR_GRAPH", "Expected a weight named " + name + " but there is none");
  return it->second;
}

void WeightStore::check(const std::string& name, DType dtype, const Shape& shape) {
  std::lock_guard<std::mutex> lock(mutex_);
  const Entry& entry = find(name);
  if (entry.dtype != dtype || entry.shape != shape) {
    throw SamError("ERR_GRAPH", "Expected weight " + name + " as " + dtype_name(dtype) + " " + shape_text(shape) +
                                    " but it is " + dtype_name(entry.dtype) + " " + shape_text(entry.shape));
  }
}

std::shared_ptr<const Tensor> WeightStore::plain_of(Entry& entry) {
  if (!entry.plain) entry.plain = entry.packed->unpack();
  return entry.plain;
}

std::shared_ptr<const Tensor> WeightStore::plain(const std::string& name) {
  std::lock_guard<std::mutex> lock(mutex_);
  return plain_of(find(name));
}

std::shared_ptr<const PackedTensor> WeightStore::packed(
    const std::string& name, const std::function<bool(const PackedTensor&)>& accepts,
    const std::function<std::shared_ptr<const PackedTensor>(std::shared_ptr<const Tensor>)>& pack) {
  std::lock_guard<std::mutex> lock(mutex_);
  Entry& entry = find(name);
  if (!entry.packed || !accepts(*entry.packed)) entry.packed = pack(plain_of(entry));
  entry.plain.reset();
  return entry.packed;
}

size_t WeightStore::set_parameter(const std::string& name, DType dtype, const Shape& shape, const uint8_t* bytes,
                                  size_t size) {
  if (!is_float(dtype)) {
    throw SamError("ERR_INVALID_ARGUMENT",
                   "Expected f32, f16 or bf16 for " + name + " but received " + std::string(dtype_name(dtype)));
  }
  checked_elements(name, dtype, shape, size);
  std::lock_guard<std::mutex> lock(mutex_);
  if (entries_.count(name)) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected a name of its own for a parameter but " + name + " is a weight");
  }
  const auto found = parameters_.find(name);
  if (found == parameters_.end()) {
    const auto memory = size ? backend_->allocate(size, "a parameter") : nullptr;
    if (size) backend_->write(memory->data(), bytes, size);
    parameters_.emplace(name, Parameter{dtype, shape, memory});
    return size;
  }
  const Parameter& known = found->second;
  if (known.dtype != dtype || known.shape != shape) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected parameter " + name + " as " +
                                               tensor_text(known.dtype, known.shape) + " again but received " +
                                               tensor_text(dtype, shape));
  }
  if (size) backend_->write(known.memory->data(), bytes, size);
  return 0;
}

void WeightStore::read_parameter(const std::string& name, uint8_t* out, size_t size) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = parameters_.find(name);
  if (found == parameters_.end()) {
    throw SamError("ERR_INVALID_ARGUMENT", "Expected a parameter named " + name + " but there is none");
  }
  checked_elements(name, found->second.dtype, found->second.shape, size);
  if (size) backend_->read(out, found->second.memory->data(), size);
}

std::shared_ptr<Memory> WeightStore::parameter(const std::string& name, DType dtype, const Shape& shape) {
  std::lock_guard<std::mutex> lock(mutex_);
  const auto found = parameters_.find(name);
  if (found == parameters_.end()) {
    throw SamError("ERR_GRAPH", "Expected a parameter named " + name + " but there is none");
  }
  const Parameter& known = found->second;
  if (known.dtype != dtype || known.shape != shape) {
    throw SamError("ERR_GRAPH", "Expected parameter " + name + " as " + tensor_text(dtype, shape) + " but it is " +
                                    tensor_text(known.dtype, known.shape));
  }
  return known.memory;
}

size_t WeightStore::bytes() const {
  std::lock_guard<std::mutex> lock(mutex_);
  size_t total = 0;
  for (const auto& [name, parameter] : parameters_) total += parameter.memory ? parameter.memory->size() : 0;
  for (const auto& [name, entry] : entries_) {
    if (entry.plain) total += entry.plain->data.size();
    if (entry.packed) total += entry.packed->bytes();
  }
  return total;
}

uint8_t* WeightStore::arena(size_t bytes) {
  if (bytes == 0) return nullptr;
  if (!arena_ || arena_->size() < bytes) {
    arena_.reset();  // free first: the peak is the larger of the two, not their sum
    arena_ = backend_->allocate(bytes, "the arena of a plan");
  }
  return arena_->data();
}

}  // namespace ba_sam
