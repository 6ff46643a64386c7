// Stream capture and graphs: recorded work runs when the graph is launched, with the arguments of the recording.
#include <algorithm>

#include "runtime_state.h"

using namespace ba_sam::emulation;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return api(Needs::device, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (static_cast<unsigned>(mode) > cudaStreamCaptureModeRelaxed) return cudaErrorInvalidValue;
    if (stream->is_default) return cudaErrorStreamCaptureUnsupported;
    if (stream->capture) return cudaErrorIllegalState;
    stream->capture = std::make_shared<Capture>();
    stream->capture->mode = mode;
    stream->capture->thread = std::this_thread::get_id();
    stream->capture->origin = stream.get();
    runtime.captures.push_back(stream->capture);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return api(Needs::driver, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!graph) return cudaErrorInvalidValue;
    *graph = nullptr;
    const auto capture = stream->capture;
    if (!capture) return cudaErrorIllegalState;
    if (capture->origin != stream.get()) return cudaErrorStreamCaptureUnmatched;
    if (capture->mode != cudaStreamCaptureModeRelaxed && capture->thread != std::this_thread::get_id()) {
      return cudaErrorStreamCaptureWrongThread;
    }
    bool joined = true;
    for (const auto& [forked, pending] : capture->forked) {
      joined = joined && !pending;
      const auto at = runtime.streams.find(forked);
      if (at != runtime.streams.end()) at->second->capture = nullptr;
    }
    stream->capture = nullptr;
    auto& captures = runtime.captures;
    captures.erase(std::remove(captures.begin(), captures.end(), capture), captures.end());
    const cudaError_t lost = runtime.devices[static_cast<size_t>(stream->device)].lost;
    if (lost != cudaSuccess) return lost;
    if (capture->invalid) return cudaErrorStreamCaptureInvalidated;
    if (!joined) return cudaErrorStreamCaptureUnjoined;
    *graph = new CUgraph_st{capture->nodes};
    runtime.graphs.insert(*graph);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return api(Needs::driver, [&](Runtime& runtime) {
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    if (!status) return cudaErrorInvalidValue;
    *status = !stream->capture           ? cudaStreamCaptureStatusNone
              : stream->capture->invalid ? cudaStreamCaptureStatusInvalidated
                                         : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

// Nodes have no handles of their own here: only their number is known.
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, size_t* count) {
  return api(Needs::driver, [&](Runtime& runtime) {
    if (runtime.graphs.count(graph) == 0 || !count) return cudaErrorInvalidValue;
    if (nodes) return cudaErrorNotSupported;
    *count = graph->nodes.size();
    return cudaSuccess;
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return releasing_api([&](Runtime& runtime) {
    if (runtime.graphs.erase(graph) == 0) return cudaErrorInvalidValue;
    delete graph;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (!exec || runtime.graphs.count(graph) == 0) return cudaErrorInvalidValue;
    *exec = new CUgraphExec_st{std::make_shared<const std::vector<WorkPointer>>(graph->nodes)};
    runtime.graph_execs.insert(*exec);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long flags) {
  return cudaGraphInstantiate(exec, graph, flags);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  return releasing_api([&](Runtime& runtime) {
    if (runtime.graph_execs.erase(exec) == 0) return cudaErrorInvalidValue;
    delete exec;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (runtime.graph_execs.count(exec) == 0) return cudaErrorInvalidValue;
    return runtime.stream_of(handle) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return api(Needs::device, [&](Runtime& runtime) {
    if (runtime.graph_execs.count(exec) == 0) return cudaErrorInvalidValue;
    const auto stream = runtime.stream_of(handle);
    if (!stream) return cudaErrorInvalidResourceHandle;
    for (const WorkPointer& node : *exec->nodes) {
      if (const cudaError_t error = runtime.submit(stream, node)) return error;
    }
    return cudaSuccess;
  });
}

}  // extern "C"
