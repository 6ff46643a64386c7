// A kernel's way from cudaLaunchKernelEx to the executor.
#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "executor.h"
#include "runtime_state.h"

namespace ba_sam::emulation {

namespace {

// Its symbol without its parameters, where the symbol is visible.
std::string name_of(const void* function) {
  Dl_info info;
  if (dladdr(function, &info) != 0 && info.dli_sname && info.dli_saddr == function) {
    int status = 0;
    char* demangled = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status);
    std::string name = demangled ? demangled : info.dli_sname;
    std::free(demangled);
    return name;
  }
  char text[32];
  std::snprintf(text, sizeof text, "at %p", function);
  return text;
}

cudaError_t check_shape(const dim3& grid, const dim3& block) {
  const auto zero = [](const dim3& d) { return d.x == 0 || d.y == 0 || d.z == 0; };
  if (zero(grid) || zero(block)) return cudaErrorInvalidConfiguration;
  if (grid.x > 2147483647u || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  if (block.x > 1024 || block.y > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  return block.x * block.y * block.z > 1024 ? cudaErrorInvalidConfiguration : cudaSuccess;
}

// Of blocks in a cluster, at most 8 without a kernel's opting in.
cudaError_t cluster_of(const cudaLaunchConfig_t& config, int sm, dim3& cluster) {
  for (unsigned i = 0; i < config.numAttrs; ++i) {
    const cudaLaunchAttribute& attribute = config.attrs[i];
    if (attribute.id == cudaLaunchAttributeIgnore) continue;
    if (attribute.id != cudaLaunchAttributeClusterDimension) return cudaErrorNotSupported;
    cluster = dim3(attribute.val.clusterDim.x, attribute.val.clusterDim.y, attribute.val.clusterDim.z);
    const auto divides = [](unsigned side, unsigned grid) { return side != 0 && grid % side == 0; };
    if (!divides(cluster.x, config.gridDim.x) || !divides(cluster.y, config.gridDim.y) ||
        !divides(cluster.z, config.gridDim.z)) {
      return cudaErrorInvalidClusterSize;
    }
    if (sm < 90 || uint64_t{cluster.x} * cluster.y * cluster.z > 8) return cudaErrorInvalidClusterSize;
  }
  return cudaSuccess;
}

// What a device would fault on, or would not and should: arguments that are no memory of this device.
std::string check_arguments(const KernelCall& call, int device) {
  const MemoryRegistry& memory = MemoryRegistry::get();
  MemoryBlock block;
  int index = 0;
  for (const void* pointer : call.pointers()) {
    ++index;
    if (!pointer) continue;
    const std::string which = "its pointer argument " + std::to_string(index);
    if (!memory.find(pointer, block, true)) return which + " is no memory of a device (freed, or the host's)";
    if (block.kind == MemoryKind::device && block.device != device) {
      return which + " belongs to device " + std::to_string(block.device) + ", the launch to device " +
             std::to_string(device);
    }
  }
  // Pointers inside of structs are known by their values only.
  const std::vector<unsigned char> bytes = call.bytes();
  for (size_t at = 0; at < bytes.size(); at += sizeof(void*)) {
    const void* word;
    std::memcpy(&word, &bytes[at], sizeof word);
    if (memory.find(word, block) && block.kind == MemoryKind::device && block.device != device) {
      return "an argument points to memory of device " + std::to_string(block.device) + ", the launch is on device " +
             std::to_string(device);
    }
  }
  return "";
}

}  // namespace

cudaError_t launch(const cudaLaunchConfig_t& config, std::shared_ptr<const KernelCall> call) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!call->function()) return cudaErrorInvalidDeviceFunction;
    if (runtime.settings.sm < 80) return cudaErrorNoKernelImageForDevice;
    const auto stream = runtime.stream_of(config.stream);
    if (!stream || stream->device != current_device) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = check_shape(config.gridDim, config.blockDim)) return error;
    dim3 cluster;
    if (const cudaError_t error = cluster_of(config, runtime.settings.sm, cluster)) return error;
    const auto limit = runtime.shared_limits.find(call->function());
    const size_t shared_limit =
        limit == runtime.shared_limits.end() ? kDefaultSharedLimit : static_cast<size_t>(limit->second);
    if (config.dynamicSmemBytes > shared_limit && config.dynamicSmemBytes > kDefaultSharedLimit) {
      return cudaErrorInvalidValue;
    }
    auto work = std::make_shared<Work>();
    work->device = stream->device;
    work->launch = true;
    const dim3 grid = config.gridDim, block = config.blockDim;
    const size_t shared_bytes = config.dynamicSmemBytes;
    work->run = [&runtime, call, grid, block, cluster, shared_bytes, device = stream->device](std::string& failure) {
      failure = check_arguments(*call, device);
      if (!failure.empty()) {
        failure = "kernel " + name_of(call->function()) + ": " + failure;
        return cudaErrorIllegalAddress;
      }
      const Settings& settings = runtime.settings;
      failure = run_grid({*call, name_of(call->function()), grid, block, cluster, shared_bytes, settings.order,
                          settings.seed, settings.threads, settings.sm});
      return failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
    };
    return runtime.submit(stream, work);
  });
}

}  // namespace ba_sam::emulation
