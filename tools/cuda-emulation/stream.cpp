// Streams and events.
#include <cstdio>
#include <cstring>

#include "runtime_state.h"

using namespace ba_sam::emulation;

namespace {

int enqueue_foreign(void* handle, int (*run)(void* context, char* failure, size_t failure_bytes), void (*drop)(void*),
                    void* context) {
  const std::shared_ptr<void> owner(context, drop);
  return api(Needs::driver, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(static_cast<cudaStream_t>(handle));
    if (!stream) return cudaErrorInvalidResourceHandle;
    auto work = std::make_shared<Work>();
    work->device = stream->device;
    work->launch = true;
    work->run = [run, owner](std::string& failure) {
      char text[512] = "";
      const auto error = static_cast<cudaError_t>(run(owner.get(), text, sizeof text));
      failure = text;
      return error;
    };
    return runtime.submit(stream, work);
  });
}

int device_of(void* handle) {
  return static_cast<CUstream_st*>(handle)->device;
}

int is_device_memory(int device, const void* address, size_t bytes) {
  MemoryBlock block;
  if (!MemoryRegistry::get().find(address, block) || block.kind != MemoryKind::device) return 0;
  return block.device == device && MemoryRegistry::get().covers(block, address, bytes);
}

constexpr ba_sam_emulation_stream_interface kInterface = {BA_SAM_EMULATION_STREAM_MAGIC, enqueue_foreign, device_of,
                                                          is_device_memory};

cudaError_t create_stream(cudaStream_t* stream, bool blocking) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!stream) return cudaErrorInvalidValue;
    auto made = std::make_shared<CUstream_st>();
    made->interface = &kInterface;
    made->device = current_device;
    made->blocking = blocking;
    *stream = made.get();
    runtime.streams[made.get()] = made;
    return cudaSuccess;
  });
}

// Waiting for a stream that is being captured ends its capture.
cudaError_t refuse_captured(Runtime& runtime, CUstream_st& stream) {
  if (stream.capture) {
    stream.capture->invalid = true;
    return cudaErrorStreamCaptureUnsupported;
  }
  return runtime.forbid_during_capture();
}

bool reached(const CUevent_st& event) {
  return !event.record || event.record->done || event.record->stream->executed >= event.record->position;
}

cudaError_t lost_of(Runtime& runtime, int device) {
  return runtime.devices[static_cast<size_t>(device)].lost;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return create_stream(stream, true);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned int flags) {
  if (flags > cudaStreamNonBlocking) return noted(cudaErrorInvalidValue);
  return create_stream(stream, flags == cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned int flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return releasing_api([&](Runtime& runtime) {
    const auto at = runtime.streams.find(handle);
    if (at == runtime.streams.end()) return cudaErrorInvalidResourceHandle;
    const auto stream = at->second;
    if (stream->capture) {
      stream->capture->invalid = true;
      return cudaErrorStreamCaptureUnsupported;
    }
    runtime.drain(*stream);
    runtime.streams.erase(handle);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = refuse_captured(runtime, *stream)) return error;
    runtime.drain(*stream);
    return lost_of(runtime, stream->device);
  });
}

// A query that finds work left lets one piece of it run, so that polling ends.
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t error = refuse_captured(runtime, *stream)) return error;
    const bool idle = stream->queue.empty();
    runtime.drain(*stream, stream->executed + 1);
    const cudaError_t lost = lost_of(runtime, stream->device);
    return lost != cudaSuccess ? lost : idle ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned int) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream || runtime.events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    const auto record = event->record;
    if (!record) return cudaSuccess;
    if (const auto capture = record->capture) {
      if (stream->capture && stream->capture != capture) return cudaErrorStreamCaptureMerge;
      if (!stream->capture) {
        stream->capture = capture;
        capture->forked[stream.get()] = true;
      }
      // The origin has waited for all that the event's stream had recorded by then.
      const auto forked = capture->forked.find(record->stream.get());
      if (stream.get() == capture->origin && forked != capture->forked.end() &&
          record->captured_nodes == capture->nodes.size()) {
        forked->second = false;
      }
      return cudaSuccess;
    }
    if (stream->capture) return cudaErrorStreamCaptureIsolation;
    if (record->stream == stream || reached(*event)) return cudaSuccess;
    auto work = std::make_shared<Work>();
    work->device = stream->device;
    work->run = [&runtime, record](std::string&) {
      runtime.drain(*record->stream, record->position);
      return cudaSuccess;
    };
    return runtime.submit(stream, work);
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!function) return cudaErrorInvalidValue;
    auto work = std::make_shared<Work>();
    work->device = stream->device;
    work->run = [function, data](std::string&) {
      function(data);
      return cudaSuccess;
    };
    return runtime.submit(stream, work);
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned int flags) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!event || flags > 3) return cudaErrorInvalidValue;
    *event = new CUevent_st{current_device, (flags & cudaEventDisableTiming) == 0, nullptr};
    runtime.events.insert(*event);
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return releasing_api([&](Runtime& runtime) {
    if (runtime.events.erase(event) == 0) return cudaErrorInvalidResourceHandle;
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream || runtime.events.count(event) == 0 || event->device != stream->device) {
      return cudaErrorInvalidResourceHandle;
    }
    auto record = std::make_shared<CUevent_st::Record>();
    record->stream = stream;
    event->record = record;
    if (stream->capture) {
      if (stream->capture->invalid) return cudaErrorStreamCaptureInvalidated;
      record->capture = stream->capture;
      record->captured_nodes = stream->capture->nodes.size();
      return cudaSuccess;
    }
    auto work = std::make_shared<Work>();
    work->device = stream->device;
    work->run = [record](std::string&) {
      record->done = true;
      record->time = std::chrono::steady_clock::now();
      return cudaSuccess;
    };
    const cudaError_t error = runtime.submit(stream, work);
    record->position = stream->submitted;
    return error;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (runtime.events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    if (event->record && event->record->capture) return cudaErrorCapturedEvent;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    const bool done = reached(*event);
    if (!done) runtime.drain(*event->record->stream, event->record->stream->executed + 1);
    const cudaError_t lost = lost_of(runtime, event->device);
    return lost != cudaSuccess ? lost : done ? cudaSuccess : cudaErrorNotReady;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (runtime.events.count(event) == 0) return cudaErrorInvalidResourceHandle;
    if (!event->record) return cudaSuccess;
    if (event->record->capture) return cudaErrorCapturedEvent;
    if (const cudaError_t error = runtime.forbid_during_capture()) return error;
    runtime.drain(*event->record->stream, event->record->position);
    return lost_of(runtime, event->device);
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!milliseconds) return cudaErrorInvalidValue;
    if (runtime.events.count(start) == 0 || runtime.events.count(end) == 0 || !start->timing || !end->timing ||
        start->device != end->device || !start->record || !end->record) {
      return cudaErrorInvalidResourceHandle;
    }
    if (start->record->capture || end->record->capture) return cudaErrorCapturedEvent;
    if (!start->record->done || !end->record->done) return cudaErrorNotReady;
    *milliseconds = std::chrono::duration<float, std::milli>(end->record->time - start->record->time).count();
    return cudaSuccess;
  });
}

}  // extern "C"
