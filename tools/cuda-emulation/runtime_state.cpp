// Running, queueing and recording of work, and the settings.
#include "runtime_state.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace ba_sam::emulation {

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

namespace {
thread_local cudaStreamCaptureMode interaction_mode = cudaStreamCaptureModeGlobal;

// Returns false for a name or value that is none.
bool apply_setting(Settings& settings, const std::string& name, const std::string& value) {
  const auto number = [&value] { return std::strtoull(value.c_str(), nullptr, 10); };
  if (name == "devices") {
    settings.devices = static_cast<int>(number());
  } else if (name == "sm") {
    settings.sm = static_cast<int>(number());
  } else if (name == "memory") {
    settings.memory = number();
  } else if (name == "driver") {
    settings.driver = value == "none" ? 0 : static_cast<int>(number());
  } else if (name == "threads") {
    settings.threads = static_cast<int>(number());
  } else if (name == "lose_at") {
    settings.lose_at = number();
  } else if (name == "protect" && (value == "0" || value == "1")) {
    settings.protect = value == "1";
  } else if (name == "streams" && (value == "lazy" || value == "eager")) {
    settings.lazy = value == "lazy";
  } else if (name == "order" && value == "forward") {
    settings.order = Order::forward;
  } else if (name == "order" && value == "reverse") {
    settings.order = Order::reverse;
  } else if (name == "order" && value.compare(0, 6, "random") == 0) {
    settings.order = Order::random;
    if (value.size() > 7) settings.seed = std::strtoull(value.c_str() + 7, nullptr, 10);
  } else {
    return false;
  }
  return true;
}
}  // namespace

Settings environment_settings() {
  static const Settings settings = [] {
    Settings found;
    for (const char* name :
         {"devices", "sm", "memory", "driver", "threads", "order", "lose_at", "streams", "protect"}) {
      std::string variable = "BA_SAM_EMULATION_";
      for (const char* c = name; *c; ++c) variable += static_cast<char>(*c >= 'a' && *c <= 'z' ? *c - 32 : *c);
      const char* value = std::getenv(variable.c_str());
      if (value && *value && !apply_setting(found, name, value)) {
        std::fprintf(stderr, "%s=%s means nothing to the CUDA emulation\n", variable.c_str(), value);
        std::abort();  // a test would run with other settings than it believes
      }
    }
    return found;
  }();
  return settings;
}

Runtime& Runtime::get() {
  static auto* runtime = [] {
    auto* made = new Runtime;  // outlives every static of its users
    made->apply(environment_settings());
    return made;
  }();
  return *runtime;
}

void Runtime::apply(const Settings& wanted) {
  settings = wanted;
  MemoryRegistry::get().protect_from_now_on(wanted.protect);
  devices.resize(static_cast<size_t>(wanted.devices));
  for (size_t i = 0; i < devices.size(); ++i) {
    devices[i].lost = cudaSuccess;
    if (devices[i].default_stream) continue;
    devices[i].default_stream = std::make_shared<CUstream_st>();
    devices[i].default_stream->device = static_cast<int>(i);
    devices[i].default_stream->is_default = true;
  }
  for (const auto& capture : captures) capture->invalid = true;
  failure.clear();
  damage.clear();
  launches = 0;
}

cudaError_t Runtime::availability() const {
  if (settings.driver / 1000 < CUDART_VERSION / 1000) return cudaErrorInsufficientDriver;
  if (devices.empty()) return cudaErrorNoDevice;
  return cudaSuccess;
}

Device& Runtime::current() {
  return devices[static_cast<size_t>(current_device) < devices.size() ? static_cast<size_t>(current_device) : 0];
}

std::shared_ptr<CUstream_st> Runtime::stream_of(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
    return current().default_stream;
  }
  const auto at = streams.find(handle);
  return at == streams.end() ? nullptr : at->second;
}

cudaError_t Runtime::submit(const std::shared_ptr<CUstream_st>& stream, WorkPointer work) {
  if (const auto capture = stream->capture) {
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    capture->nodes.push_back(std::move(work));
    const auto forked = capture->forked.find(stream.get());
    if (forked != capture->forked.end()) forked->second = true;
    return cudaSuccess;
  }
  if (stream->is_default) {
    for (const auto& capture : captures) {
      if (capture->origin->blocking && capture->origin->device == stream->device) {
        capture->invalid = true;
        return cudaErrorStreamCaptureImplicit;
      }
    }
  }
  ++stream->submitted;
  if (!settings.lazy) {
    ++stream->executed;
    return execute(work);
  }
  // The legacy default stream and blocking streams wait for each other.
  std::vector<std::pair<std::shared_ptr<CUstream_st>, uint64_t>> before;
  if (stream->is_default) {
    for (const auto& entry : streams) {
      if (entry.second->blocking && entry.second->device == stream->device) {
        before.emplace_back(entry.second, entry.second->submitted);
      }
    }
  } else if (stream->blocking) {
    const auto& other = devices[static_cast<size_t>(stream->device)].default_stream;
    before.emplace_back(other, other->submitted);
  }
  auto queued = std::make_shared<Work>(*work);
  queued->run = [this, before, work](std::string& text) {
    for (const auto& [other, position] : before) drain(*other, position);
    return work->run(text);
  };
  stream->queue.push_back(std::move(queued));
  return cudaSuccess;
}

cudaError_t Runtime::execute(const WorkPointer& work) {
  Device& device = devices[static_cast<size_t>(work->device)];
  if (device.lost != cudaSuccess) return device.lost;
  if (work->launch && ++launches == settings.lose_at) {
    failure = "the test asked for launch " + std::to_string(launches) + " to fail";
    return device.lost = cudaErrorIllegalAddress;
  }
  std::string text;
  MemoryRegistry::get().open(work->device);
  const cudaError_t error = work->run(text);
  MemoryRegistry::get().close(work->device);
  if (error != cudaSuccess) {
    device.lost = error;
    failure = text;
  }
  return error;
}

void Runtime::drain(CUstream_st& stream, uint64_t position) {
  while (stream.executed < position && !stream.queue.empty()) {
    const WorkPointer work = stream.queue.front();
    stream.queue.pop_front();
    ++stream.executed;
    execute(work);
  }
}

void Runtime::drain_device(int device) {
  for (const auto& entry : std::map<CUstream_st*, std::shared_ptr<CUstream_st>>(streams)) {
    if (entry.second->device == device) drain(*entry.second);
  }
  drain(*devices[static_cast<size_t>(device)].default_stream);
}

cudaError_t Runtime::forbid_during_capture() {
  if (interaction_mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  cudaError_t error = cudaSuccess;
  for (const auto& capture : captures) {
    if (capture->mode == cudaStreamCaptureModeRelaxed) continue;
    const bool own = capture->thread == std::this_thread::get_id();
    const bool others_too =
        interaction_mode == cudaStreamCaptureModeGlobal && capture->mode == cudaStreamCaptureModeGlobal;
    if (own || others_too) {
      capture->invalid = true;
      error = cudaErrorStreamCaptureUnsupported;
    }
  }
  return error;
}

void reset(const Settings& settings) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  runtime.apply(settings);
  current_device = 0;
  last_error = cudaSuccess;
}

std::string last_failure() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  return runtime.failure;
}

Leaks live_objects() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  const MemoryRegistry& memory = MemoryRegistry::get();
  return {memory.count(MemoryKind::device),
          memory.count(MemoryKind::pinned) + memory.count(MemoryKind::registered),
          runtime.streams.size(),
          runtime.events.size(),
          runtime.graphs.size(),
          runtime.graph_execs.size()};
}

std::string damage() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  return runtime.damage.empty() ? MemoryRegistry::get().damage() : runtime.damage;
}

uint64_t launches() {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  return runtime.launches;
}

}  // namespace ba_sam::emulation

using namespace ba_sam::emulation;

extern "C" {

const char* ba_sam_emulation_report(const char* what) {
  static thread_local std::string text;
  const std::string name = what;
  if (name == "failure") {
    text = last_failure();
  } else if (name == "damage") {
    text = damage();
  } else if (name == "launches") {
    text = std::to_string(launches());
  } else if (name == "leaks") {
    const Leaks leaks = live_objects();
    text.clear();
    for (size_t n :
         {leaks.device_blocks, leaks.host_blocks, leaks.streams, leaks.events, leaks.graphs, leaks.graph_execs}) {
      text += (text.empty() ? "" : " ") + std::to_string(n);
    }
  } else {
    return nullptr;
  }
  return text.c_str();
}

int ba_sam_emulation_set(const char* name_and_value) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  const std::string given = name_and_value;
  const size_t equals = given.find('=');
  if (equals == std::string::npos) return 0;
  Settings settings = runtime.settings;
  if (!apply_setting(settings, given.substr(0, equals), given.substr(equals + 1))) return 0;
  runtime.apply(settings);
  return 1;
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return api(Needs::driver, [&](Runtime&) {
    if (!mode) return cudaErrorInvalidValue;
    std::swap(*mode, interaction_mode);
    return cudaSuccess;
  });
}

}  // extern "C"
