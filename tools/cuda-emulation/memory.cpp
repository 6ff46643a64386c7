// Allocation and copies.
#include <cstring>

#include "runtime_state.h"

using namespace ba_sam::emulation;

namespace {

void note_damage(Runtime& runtime, const std::string& damage) {
  if (!damage.empty() && runtime.damage.empty()) runtime.damage = damage;
}

cudaError_t allocate_pinned(void** pointer, size_t bytes) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!pointer) return cudaErrorInvalidValue;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    *pointer = MemoryRegistry::get().allocate(bytes, MemoryKind::pinned, current_device);
    return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t release_memory(void* pointer, MemoryKind kind) {
  return releasing_api([&](Runtime& runtime) {
    if (!pointer) return cudaSuccess;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    MemoryBlock block;
    if (!MemoryRegistry::get().find(pointer, block)) return cudaErrorInvalidValue;
    // Freeing waits for everything that may use the memory.
    if (block.kind == MemoryKind::device) {
      runtime.drain_device(block.device);
    } else {
      for (size_t i = 0; i < runtime.devices.size(); ++i) runtime.drain_device(static_cast<int>(i));
    }
    std::string damage;
    const auto released = MemoryRegistry::get().release(pointer, kind, block, damage);
    note_damage(runtime, damage);
    return released == MemoryRegistry::Released::yes ? cudaSuccess : cudaErrorInvalidValue;
  });
}

// One side of a copy: rows of `width` bytes, `pitch` apart.
struct Side {
  bool known = false;  // device or pinned memory
  MemoryBlock block;
  bool on_device() const { return known && block.kind == MemoryKind::device; }
};

// False if the range leaves its block, or if device memory belongs to another device than the stream.
bool look_up(const void* address, size_t extent, int device, Side& side) {
  side.known = MemoryRegistry::get().find(address, side.block);
  if (!side.known) {
    // A range that begins outside and ends inside an allocation is wrong, too.
    MemoryBlock tail;
    return !(extent > 0 && MemoryRegistry::get().find(static_cast<const char*>(address) + extent - 1, tail));
  }
  if (side.on_device() && side.block.device != device) return false;
  return MemoryRegistry::get().covers(side.block, address, extent);
}

bool direction_fits(cudaMemcpyKind kind, bool from_device, bool to_device) {
  switch (kind) {
    case cudaMemcpyHostToHost:
      return !from_device && !to_device;
    case cudaMemcpyHostToDevice:
      return !from_device && to_device;
    case cudaMemcpyDeviceToHost:
      return from_device && !to_device;
    case cudaMemcpyDeviceToDevice:
      return from_device && to_device;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

size_t extent_of(size_t pitch, size_t width, size_t height) {
  return height == 0 || width == 0 ? 0 : pitch * (height - 1) + width;
}

void copy_rows(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height) {
  for (size_t row = 0; row < height; ++row) {
    std::memmove(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
  }
}

cudaError_t copy(Runtime& runtime, const std::shared_ptr<CUstream_st>& stream, void* to, size_t to_pitch,
                 const void* from, size_t from_pitch, size_t width, size_t height, cudaMemcpyKind kind) {
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (width == 0 || height == 0) return cudaSuccess;
  if (!to || !from) return cudaErrorInvalidValue;
  if (height > 1 && (to_pitch < width || from_pitch < width)) return cudaErrorInvalidPitchValue;
  const size_t to_extent = extent_of(to_pitch, width, height), from_extent = extent_of(from_pitch, width, height);
  Side target, source;
  if (!look_up(to, to_extent, stream->device, target) || !look_up(from, from_extent, stream->device, source)) {
    return cudaErrorInvalidValue;
  }
  if (static_cast<unsigned>(kind) > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
  if (!direction_fits(kind, source.on_device(), target.on_device())) return cudaErrorInvalidValue;

  // Pageable memory is read before the call returns, even if the copy itself runs later.
  std::shared_ptr<std::vector<char>> staged;
  if (runtime.settings.lazy && !stream->capture && !source.known) {
    staged = std::make_shared<std::vector<char>>(width * height);
    copy_rows(staged->data(), width, from, from_pitch, width, height);
  }
  auto work = std::make_shared<Work>();
  work->device = stream->device;
  work->run = [=](std::string& failure) {
    // A recorded copy may outlive its memory.
    const auto gone = [](const Side& side, const void* address, size_t extent) {
      MemoryBlock now;
      return side.known &&
             !(MemoryRegistry::get().find(address, now) && MemoryRegistry::get().covers(now, address, extent));
    };
    if (gone(target, to, to_extent) || (!staged && gone(source, from, from_extent))) {
      failure = "a copy of " + std::to_string(width * height) + " bytes whose memory has been freed";
      return cudaErrorIllegalAddress;
    }
    copy_rows(to, to_pitch, staged ? staged->data() : from, staged ? width : from_pitch, width, height);
    return cudaSuccess;
  };
  const cudaError_t error = runtime.submit(stream, work);
  // To pageable memory the call returns only when the data is there.
  if (error == cudaSuccess && !stream->capture && !target.known) {
    runtime.drain(*stream);
    return runtime.devices[static_cast<size_t>(stream->device)].lost;
  }
  return error;
}

// cudaMemcpy and cudaMemset wait, in the legacy default stream.
template <typename Body>
cudaError_t synchronous(Runtime& runtime, Body body) {
  const auto& stream = runtime.current().default_stream;
  for (const auto& capture : runtime.captures) {
    if (capture->mode != cudaStreamCaptureModeRelaxed) {
      capture->invalid = true;
      return cudaErrorStreamCaptureImplicit;
    }
  }
  if (const cudaError_t error = body(stream)) return error;
  runtime.drain(*stream);
  return runtime.current().lost;
}

cudaError_t set_bytes(Runtime& runtime, const std::shared_ptr<CUstream_st>& stream, void* to, int value, size_t bytes) {
  if (!stream) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  Side target;
  if (!to || !look_up(to, bytes, stream->device, target) || !target.known) return cudaErrorInvalidValue;
  auto work = std::make_shared<Work>();
  work->device = stream->device;
  work->run = [=](std::string& failure) {
    MemoryBlock now;
    if (!MemoryRegistry::get().find(to, now) || !MemoryRegistry::get().covers(now, to, bytes)) {
      failure = "a cudaMemset whose memory has been freed";
      return cudaErrorIllegalAddress;
    }
    std::memset(to, value, bytes);
    return cudaSuccess;
  };
  return runtime.submit(stream, work);
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!pointer) return cudaErrorInvalidValue;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    *pointer = nullptr;
    if (bytes == 0) return cudaSuccess;
    const size_t used = MemoryRegistry::get().device_bytes(current_device);
    if (bytes > runtime.settings.memory || used > runtime.settings.memory - bytes) return cudaErrorMemoryAllocation;
    *pointer = MemoryRegistry::get().allocate(bytes, MemoryKind::device, current_device);
    return *pointer ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t cudaFree(void* pointer) {
  return release_memory(pointer, MemoryKind::device);
}

cudaError_t cudaMallocHost(void** pointer, size_t bytes) {
  return allocate_pinned(pointer, bytes);
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned int) {
  return allocate_pinned(pointer, bytes);
}

cudaError_t cudaFreeHost(void* pointer) {
  return release_memory(pointer, MemoryKind::pinned);
}

cudaError_t cudaHostRegister(void* pointer, size_t bytes, unsigned int) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!pointer || bytes == 0) return cudaErrorInvalidValue;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    return MemoryRegistry::get().add_registered(pointer, bytes) ? cudaSuccess : cudaErrorHostMemoryAlreadyRegistered;
  });
}

cudaError_t cudaHostUnregister(void* pointer) {
  MemoryBlock block;
  if (pointer && !MemoryRegistry::get().find(pointer, block)) return noted(cudaErrorHostMemoryNotRegistered);
  return release_memory(pointer, MemoryKind::registered);
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!free || !total) return cudaErrorInvalidValue;
    const size_t used = MemoryRegistry::get().device_bytes(current_device);
    *total = runtime.settings.memory;
    *free = used < *total ? *total - used : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api(Needs::device, [&](Runtime&) {
    if (!attributes) return cudaErrorInvalidValue;
    *attributes = {cudaMemoryTypeUnregistered, -1, nullptr, const_cast<void*>(pointer)};
    MemoryBlock block;
    if (!MemoryRegistry::get().find(pointer, block)) return cudaSuccess;
    attributes->device = block.device;
    attributes->devicePointer = const_cast<void*>(pointer);
    attributes->type = block.kind == MemoryKind::device ? cudaMemoryTypeDevice : cudaMemoryTypeHost;
    if (block.kind == MemoryKind::device) attributes->hostPointer = nullptr;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return api(Needs::device, [&](Runtime& runtime) {
    return copy(runtime, runtime.stream_of(stream), to, bytes, from, bytes, bytes, 1, kind);
  });
}

cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return api(Needs::device, [&](Runtime& runtime) {
    return copy(runtime, runtime.stream_of(stream), to, to_pitch, from, from_pitch, width, height, kind);
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpy2D(to, bytes, from, bytes, bytes, 1, kind);
}

cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  return api(Needs::device, [&](Runtime& runtime) {
    return synchronous(runtime, [&](const std::shared_ptr<CUstream_st>& stream) {
      return copy(runtime, stream, to, to_pitch, from, from_pitch, width, height, kind);
    });
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return api(Needs::device,
             [&](Runtime& runtime) { return set_bytes(runtime, runtime.stream_of(stream), to, value, bytes); });
}

cudaError_t cudaMemset(void* to, int value, size_t bytes) {
  return api(Needs::device, [&](Runtime& runtime) {
    return synchronous(runtime, [&](const std::shared_ptr<CUstream_st>& stream) {
      return set_bytes(runtime, stream, to, value, bytes);
    });
  });
}

}  // extern "C"
