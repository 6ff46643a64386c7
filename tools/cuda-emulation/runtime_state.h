// The emulated runtime's state: devices, streams, events, captures. One mutex guards all of it, running work included.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "emulated_api.h"
#include "emulation.h"
#include "memory_registry.h"
#include "stream_interface.h"

namespace ba_sam::emulation {

// Something that runs in stream order, once or, from a graph, many times.
struct Work {
  int device = 0;
  bool launch = false;  // counts as a launch
  std::function<cudaError_t(std::string& failure)> run;
};
using WorkPointer = std::shared_ptr<const Work>;

struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  CUstream_st* origin;
  bool invalid = false;
  std::vector<WorkPointer> nodes;
  std::map<CUstream_st*, bool> forked;  // streams that joined; true while origin does not wait for all their work
};

}  // namespace ba_sam::emulation

struct CUstream_st {
  const ba_sam_emulation_stream_interface* interface = nullptr;  // first: the emulated cuBLASLt looks for it here
  int device = 0;
  bool blocking = true;  // synchronizes with the legacy default stream
  bool is_default = false;
  std::deque<ba_sam::emulation::WorkPointer> queue;  // lazy streams only
  uint64_t submitted = 0, executed = 0;
  std::shared_ptr<ba_sam::emulation::Capture> capture;
};

struct CUevent_st {
  struct Record {
    std::shared_ptr<CUstream_st> stream;
    uint64_t position = 0;  // of stream->submitted when recorded
    bool done = false;
    std::chrono::steady_clock::time_point time;
    std::shared_ptr<ba_sam::emulation::Capture> capture;
    size_t captured_nodes = 0;
  };
  int device = 0;
  bool timing = true;
  std::shared_ptr<Record> record;
};

struct CUgraph_st {
  std::vector<ba_sam::emulation::WorkPointer> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<ba_sam::emulation::WorkPointer>> nodes;
};

namespace ba_sam::emulation {

struct Device {
  cudaError_t lost = cudaSuccess;  // a sticky error
  std::shared_ptr<CUstream_st> default_stream;
};

struct Runtime {
  static Runtime& get();

  std::recursive_mutex mutex;
  Settings settings;
  std::vector<Device> devices;
  std::map<CUstream_st*, std::shared_ptr<CUstream_st>> streams;
  std::set<CUevent_st*> events;
  std::set<CUgraph_st*> graphs;
  std::set<CUgraphExec_st*> graph_execs;
  std::vector<std::shared_ptr<Capture>> captures;      // that have begun and not ended
  std::unordered_map<const void*, int> shared_limits;  // of kernels, set by cudaFuncSetAttribute
  std::string failure, damage;
  uint64_t launches = 0;

  void apply(const Settings& settings);
  // Why nothing can be done at all: no driver, no device.
  cudaError_t availability() const;
  Device& current();
  // Null for a handle that is none.
  std::shared_ptr<CUstream_st> stream_of(cudaStream_t handle);

  // Puts work into a stream: runs, queues or records it.
  cudaError_t submit(const std::shared_ptr<CUstream_st>& stream, WorkPointer work);
  cudaError_t execute(const WorkPointer& work);
  // Runs what the stream has queued, up to a position.
  void drain(CUstream_st& stream, uint64_t position);
  void drain(CUstream_st& stream) { drain(stream, stream.submitted); }
  void drain_device(int device);
  // Of a call that a capture forbids: ends captures that it concerns and says so.
  cudaError_t forbid_during_capture();
};

extern thread_local int current_device;
extern thread_local cudaError_t last_error;

inline cudaError_t noted(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// The frame of an API function. A lost device answers every call that needs it with its error.
enum class Needs { driver, device };
template <typename Body>
cudaError_t api(Needs needs, Body body) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  cudaError_t error = runtime.availability();
  if (error == cudaSuccess && needs == Needs::device) error = runtime.current().lost;
  if (error == cudaSuccess) error = body(runtime);
  return noted(error);
}
// As api(), for calls that free: a lost device still answers with its error, but what it held is let go.
template <typename Body>
cudaError_t releasing_api(Body body) {
  Runtime& runtime = Runtime::get();
  const std::lock_guard<std::recursive_mutex> lock(runtime.mutex);
  cudaError_t error = runtime.availability();
  if (error == cudaSuccess) {
    error = body(runtime);
    if (error == cudaSuccess) error = runtime.current().lost;
  }
  return noted(error);
}

int opt_in_shared_limit(int sm);
constexpr size_t kDefaultSharedLimit = 48 * 1024;

}  // namespace ba_sam::emulation
