// Stream capture and graphs in the emulated runtime.
#include <thread>

#include "runtime_fixture.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

void test_graphs(bool lazy) {
  emulation::Settings settings;
  settings.lazy = lazy;
  emulation::reset(settings);
  float *x = nullptr, found = 0;
  cudaMalloc(&x, 400);
  cudaMemset(x, 0, 400);
  cudaStream_t stream = nullptr, side = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&side, cudaStreamNonBlocking);
  const auto value = [&] {
    cudaStreamSynchronize(stream);
    cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost);
    return found;
  };
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  cudaStreamCaptureStatus status;

  expect(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported,
         "default stream");
  expect(cudaStreamEndCapture(stream, &graph), cudaErrorIllegalState, "no capture to end");
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess, "begin");
  expect(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorIllegalState, "begin twice");
  float step = 1;
  expect(start_add(stream, x, 1, step), cudaSuccess, "record");
  step = 100;  // arguments were copied
  // A fork and a join.
  cudaEvent_t fork = nullptr, join = nullptr;
  cudaEventCreateWithFlags(&fork, cudaEventDisableTiming);
  cudaEventCreateWithFlags(&join, cudaEventDisableTiming);
  expect(cudaEventRecord(fork, stream), cudaSuccess, "record an event");
  expect(cudaStreamWaitEvent(side, fork, 0), cudaSuccess, "fork");
  expect(start_add(side, x, 1, 2), cudaSuccess, "record in the fork");
  expect(cudaEventRecord(join, side), cudaSuccess, "record the fork's event");
  expect(cudaEventSynchronize(join), cudaErrorCapturedEvent, "waiting for a captured event");
  expect(cudaStreamWaitEvent(stream, join, 0), cudaSuccess, "join");
  expect(cudaStreamIsCapturing(side, &status), cudaSuccess, "status");
  counts.check(status == cudaStreamCaptureStatusActive, "the fork is captured");
  expect(cudaStreamEndCapture(stream, &graph), cudaSuccess, "end");
  counts.check(value() == 0, "nothing has run");
  size_t nodes = 0;
  expect(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess, "nodes");
  counts.check(nodes == 2, "two nodes");
  expect(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess, "instantiate");
  expect(cudaGraphDestroy(graph), cudaSuccess, "destroy the graph");
  expect(cudaGraphUpload(exec, stream), cudaSuccess, "upload");
  expect(cudaGraphLaunch(exec, stream), cudaSuccess, "launch");
  counts.check(value() == 3, "ran once");
  expect(cudaGraphLaunch(exec, stream), cudaSuccess, "launch");
  expect(cudaGraphLaunch(exec, stream), cudaSuccess, "launch");
  counts.check(value() == 9, "ran three times");

  // What a capture forbids, and what becomes of it.
  const auto forbidden = [&](const char* what, cudaError_t expected, auto call) {
    cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
    expect(call(), expected, what);
    expect(cudaStreamIsCapturing(stream, &status), cudaSuccess, "status");
    counts.check(status == cudaStreamCaptureStatusInvalidated, std::string(what) + " ends the capture");
    expect(start_add(stream, x, 1, 1), cudaErrorStreamCaptureInvalidated, "recording after it");
    expect(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated, "ending after it");
    counts.check(graph == nullptr, "no graph");
    cudaGetLastError();
  };
  void* memory = nullptr;
  forbidden("cudaMalloc", cudaErrorStreamCaptureUnsupported, [&] { return cudaMalloc(&memory, 4); });
  forbidden("cudaFree", cudaErrorStreamCaptureUnsupported, [&] { return cudaFree(x); });
  forbidden("cudaStreamSynchronize", cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamSynchronize(stream); });
  forbidden("cudaDeviceSynchronize", cudaErrorStreamCaptureUnsupported, [&] { return cudaDeviceSynchronize(); });
  forbidden("cudaStreamQuery", cudaErrorStreamCaptureUnsupported, [&] { return cudaStreamQuery(stream); });
  forbidden("cudaMemcpy", cudaErrorStreamCaptureImplicit,
            [&] { return cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost); });
  cudaEvent_t unrelated = nullptr;
  cudaEventCreate(&unrelated);
  forbidden("cudaEventQuery of another thread", cudaErrorStreamCaptureUnsupported, [&] {
    cudaError_t error = cudaSuccess;
    std::thread([&] { error = cudaEventQuery(unrelated); }).join();
    return error;
  });
  // Other threads are free in thread-local mode.
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  std::thread([&] { expect(cudaMalloc(&memory, 4), cudaSuccess, "cudaMalloc of another thread"); }).join();
  cudaError_t other_thread = cudaSuccess;
  std::thread([&] { other_thread = cudaStreamEndCapture(stream, &graph); }).join();
  expect(other_thread, cudaErrorStreamCaptureWrongThread, "ending on another thread");
  expect(cudaStreamEndCapture(stream, &graph), cudaSuccess, "ending on the thread that began");
  cudaGraphDestroy(graph);
  cudaFree(memory);
  // A fork that nobody joined.
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  cudaEventRecord(fork, stream);
  cudaStreamWaitEvent(side, fork, 0);
  start_add(side, x, 1, 1);
  expect(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnjoined, "an open fork");

  // Memory that is gone when the graph runs.
  cudaMemset(x, 0, 4);
  cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal);
  start_add(stream, x, 1, 1);
  cudaStreamEndCapture(stream, &graph);
  cudaGraphExec_t stale = nullptr;
  cudaGraphInstantiateWithFlags(&stale, graph, 0);
  cudaFree(x);
  cudaGraphLaunch(stale, stream);
  expect(cudaStreamSynchronize(stream), cudaErrorIllegalAddress, "a graph whose memory has been freed");
  emulation::reset(emulation::Settings{});

  cudaGraphDestroy(graph);
  expect(cudaGraphExecDestroy(stale), cudaSuccess, "destroy");
  expect(cudaGraphExecDestroy(exec), cudaSuccess, "destroy");
  expect(cudaGraphExecDestroy(exec), cudaErrorInvalidValue, "destroying twice");
  for (cudaEvent_t event : {fork, join, unrelated}) cudaEventDestroy(event);
  cudaStreamDestroy(stream);
  cudaStreamDestroy(side);
  counts.check(emulation::live_objects().total() == 0, "nothing left of graphs");
}

}  // namespace

int main() {
  test_graphs(false);
  test_graphs(true);
  counts.check(emulation::live_objects().total() == 0, "nothing left");
  return counts.finish();
}
