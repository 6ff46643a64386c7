// The emulated runtime: memory, streams, events, devices, and the errors that a GPU's runtime would give.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <thread>
#include <vector>

#include "runtime_fixture.h"

namespace {

using namespace ba_sam;

using namespace ba_sam::test;

__global__ void nothing() {}
struct Pointers {
  int count;
  const float* from;
  float* to;
};
__global__ void copy_struct(Pointers p) {
  if (static_cast<int>(threadIdx.x) < p.count) p.to[threadIdx.x] = p.from[threadIdx.x];
}

__global__ void indirect(float** x) {
  **x = 1;
}

void test_memory() {
  emulation::reset(emulation::Settings{});
  float* device = nullptr;
  expect(cudaMalloc(&device, 100 * sizeof(float)), cudaSuccess, "cudaMalloc");
  std::vector<float> host(100, 1.0f);
  expect(cudaMemcpy(host.data(), device, 400, cudaMemcpyDeviceToHost), cudaSuccess, "read unwritten memory");
  bool all_nan = true;
  for (const float x : host) all_nan = all_nan && x != x;
  counts.check(all_nan, "unwritten memory is NaN");
  counts.check(reinterpret_cast<uintptr_t>(device) % 256 == 0, "alignment of cudaMalloc");

  std::vector<float> values(100);
  for (size_t i = 0; i < 100; ++i) values[i] = static_cast<float>(i);
  expect(cudaMemcpy(device, values.data(), 400, cudaMemcpyHostToDevice), cudaSuccess, "upload");
  expect(cudaMemcpy(host.data(), device, 400, cudaMemcpyDefault), cudaSuccess, "download");
  counts.check(host == values, "round trip");
  // Rows of 3 floats, 5 apart on the device.
  expect(cudaMemcpy2D(host.data(), 12, device, 20, 12, 4, cudaMemcpyDeviceToHost), cudaSuccess, "2D");
  counts.check(host[3] == 5 && host[11] == 17, "2D pitches");
  expect(cudaMemset(device, 0, 8), cudaSuccess, "cudaMemset");
  expect(cudaMemcpy(host.data(), device, 12, cudaMemcpyDeviceToHost), cudaSuccess, "download");
  counts.check(host[1] == 0 && host[2] == 2, "cudaMemset sets its bytes and no more");

  expect(cudaMemcpy(device, values.data(), 401, cudaMemcpyHostToDevice), cudaErrorInvalidValue, "a copy too long");
  expect(cudaMemcpy(device + 1, values.data(), 400, cudaMemcpyHostToDevice), cudaErrorInvalidValue, "a copy too far");
  expect(cudaMemcpy(device, values.data(), 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue, "a wrong direction");
  expect(cudaMemcpy(host.data(), values.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue, "host as device");
  expect(cudaMemcpy2D(device, 40, values.data(), 40, 40, 11, cudaMemcpyHostToDevice), cudaErrorInvalidValue,
         "2D too long");
  expect(cudaMemset(device, 0, 404), cudaErrorInvalidValue, "a set too long");
  expect(cudaGetLastError(), cudaErrorInvalidValue, "the last error");
  expect(cudaGetLastError(), cudaSuccess, "is forgotten once told");
  expect(cudaFree(device + 1), cudaErrorInvalidValue, "freeing the middle");
  expect(cudaFreeHost(device), cudaErrorInvalidValue, "freeing as host memory");
  expect(cudaFree(device), cudaSuccess, "cudaFree");
  expect(cudaFree(device), cudaErrorInvalidValue, "freeing twice");
  expect(cudaFree(nullptr), cudaSuccess, "freeing null");
  expect(cudaMemcpy(device, values.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue, "a copy to freed memory");
  void* none = &host;
  expect(cudaMalloc(&none, 0), cudaSuccess, "no bytes");
  counts.check(none == nullptr, "no bytes: null");

  void *pinned = nullptr, *other = nullptr;
  expect(cudaMallocHost(&pinned, 1000), cudaSuccess, "cudaMallocHost");
  cudaPointerAttributes attributes;
  expect(cudaPointerGetAttributes(&attributes, static_cast<char*>(pinned) + 5), cudaSuccess, "attributes");
  counts.check(attributes.type == cudaMemoryTypeHost, "pinned memory is host memory");
  expect(cudaPointerGetAttributes(&attributes, host.data()), cudaSuccess, "attributes");
  counts.check(attributes.type == cudaMemoryTypeUnregistered, "pageable memory is not registered");
  expect(cudaHostRegister(host.data(), 400, 0), cudaSuccess, "cudaHostRegister");
  expect(cudaHostRegister(host.data() + 10, 400, 0), cudaErrorHostMemoryAlreadyRegistered, "registering twice");
  expect(cudaHostUnregister(host.data()), cudaSuccess, "cudaHostUnregister");
  expect(cudaHostUnregister(host.data()), cudaErrorHostMemoryNotRegistered, "unregistering twice");
  expect(cudaFreeHost(pinned), cudaSuccess, "cudaFreeHost");

  emulation::Settings small;
  small.memory = 1000;
  emulation::reset(small);
  size_t free = 0, total = 0;
  expect(cudaMalloc(&none, 600), cudaSuccess, "600 of 1000 bytes");
  expect(cudaMalloc(&other, 401), cudaErrorMemoryAllocation, "401 of 400 bytes");
  expect(cudaMemGetInfo(&free, &total), cudaSuccess, "cudaMemGetInfo");
  counts.check(free == 400 && total == 1000, "free memory");
  expect(cudaSetDevice(1), cudaSuccess, "the other device");
  expect(cudaMalloc(&other, 1000), cudaSuccess, "has memory of its own");
  expect(cudaMemcpy(none, other, 4, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue, "a copy between devices");
  cudaFree(other);
  cudaFree(none);
#if !defined(__SANITIZE_ADDRESS__)
  expect(cudaMalloc(&device, 40), cudaSuccess, "cudaMalloc");
  expect(start_add(nullptr, device, 11, 1e30f), cudaSuccess, "a kernel that writes too far");
  counts.check(emulation::damage().find("behind the end") != std::string::npos, "damage is seen while the block lives");
  cudaFree(device);
  counts.check(emulation::damage().find("40 bytes") != std::string::npos, "damage is seen when the block is freed");
#endif
  emulation::reset(emulation::Settings{});
}

void test_launches() {
  emulation::reset(emulation::Settings{});
  const auto bad = [](dim3 grid, dim3 block, size_t shared, cudaError_t expected, const char* what) {
    expect(start(nullptr, nothing, grid, block, shared), expected, what);
  };
  bad(1, 1024, 0, cudaSuccess, "1024 threads");
  bad(1, 1025, 0, cudaErrorInvalidConfiguration, "1025 threads");
  bad(1, dim3(32, 33), 0, cudaErrorInvalidConfiguration, "32 × 33 threads");
  bad(1, dim3(1, 1, 65), 0, cudaErrorInvalidConfiguration, "z of a block");
  bad(0, 32, 0, cudaErrorInvalidConfiguration, "an empty grid");
  bad(1, 0, 0, cudaErrorInvalidConfiguration, "an empty block");
  bad(dim3(1, 65536), 32, 0, cudaErrorInvalidConfiguration, "y of a grid");
  bad(dim3(1, 1, 65536), 32, 0, cudaErrorInvalidConfiguration, "z of a grid");
  bad(1, 32, 48 * 1024, cudaSuccess, "48 KB of shared memory");
  bad(1, 32, 48 * 1024 + 1, cudaErrorInvalidValue, "more without asking");
  const auto function = reinterpret_cast<const void*>(nothing);
  const auto allow = [&](int bytes) {
    return cudaFuncSetAttribute(function, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  };
  expect(allow(163 * 1024), cudaSuccess, "all that sm_80 has");
  bad(1, 32, 163 * 1024, cudaSuccess, "used");
  bad(1, 32, 163 * 1024 + 1, cudaErrorInvalidValue, "and one byte more");
  expect(allow(163 * 1024 + 1), cudaErrorInvalidValue, "more than sm_80 has");
  int blocks = 0;
  expect(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, nothing, 128, 50 * 1024), cudaSuccess, "occupancy");
  counts.check(blocks == 3, "three blocks of 50 KB on sm_80: " + std::to_string(blocks));
  emulation::Settings other;
  other.sm = 89;
  emulation::reset(other);
  expect(allow(100 * 1024), cudaErrorInvalidValue, "sm_89 has less");
  other.sm = 75;
  emulation::reset(other);
  bad(1, 32, 0, cudaErrorNoKernelImageForDevice, "no kernel for sm_75");
  emulation::reset(emulation::Settings{});

  // Pointers that are none of this device's.
  float host = 0;
  expect(start_add(nullptr, &host, 1, 1.0f), cudaErrorIllegalAddress, "a host pointer");
  counts.check(emulation::last_failure().find("argument 1 is no memory") != std::string::npos, "names the argument");
  expect(cudaDeviceSynchronize(), cudaErrorIllegalAddress, "sticks");
  expect(cudaGetLastError(), cudaErrorIllegalAddress, "sticks");
  expect(cudaGetLastError(), cudaErrorIllegalAddress, "and sticks");
  emulation::reset(emulation::Settings{});
  float *near = nullptr, *far = nullptr;
  cudaMalloc(&near, 16);
  cudaSetDevice(1);
  cudaMalloc(&far, 16);
  cudaSetDevice(0);
  expect(start(nullptr, copy_struct, 1, 32, 0, Pointers{4, far, near}), cudaErrorIllegalAddress,
         "another device's memory");
  expect(cudaFree(near), cudaErrorIllegalAddress, "a lost device frees, and says that it is lost");
  cudaSetDevice(1);
  expect(cudaFree(far), cudaSuccess, "the other device goes on");
  emulation::reset(emulation::Settings{});
}

void test_devices() {
  emulation::reset(emulation::Settings{});
  int count = 0, value = 0;
  cudaDeviceProp properties;
  expect(cudaGetDeviceCount(&count), cudaSuccess, "cudaGetDeviceCount");
  expect(cudaGetDeviceProperties(&properties, 1), cudaSuccess, "properties");
  counts.check(count == 2 && std::strcmp(properties.name, "Emulated GPU 1") == 0 && properties.major == 8,
               "two devices");
  expect(cudaDeviceGetAttribute(&value, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0), cudaSuccess, "an attribute");
  counts.check(value == 163 * 1024 && properties.sharedMemPerBlockOptin == 163 * 1024, "opt-in limit");
  expect(cudaSetDevice(2), cudaErrorInvalidDevice, "no third device");
  expect(cudaGetDeviceProperties(&properties, -1), cudaErrorInvalidDevice, "no device −1");
  // The current device belongs to the thread.
  cudaSetDevice(1);
  int elsewhere = -1;
  std::thread([&] { cudaGetDevice(&elsewhere); }).join();
  cudaGetDevice(&value);
  counts.check(value == 1 && elsewhere == 0, "the current device is a thread's own");

  emulation::Settings none;
  none.devices = 0;
  emulation::reset(none);
  void* memory = nullptr;
  expect(cudaGetDeviceCount(&count), cudaErrorNoDevice, "no device");
  expect(cudaMalloc(&memory, 4), cudaErrorNoDevice, "no device");
  counts.check(count == 0, "no device");
  emulation::Settings no_driver;
  no_driver.driver = 0;
  emulation::reset(no_driver);
  expect(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver, "no driver");
  expect(cudaDriverGetVersion(&value), cudaSuccess, "no driver");
  counts.check(value == 0, "driver version 0");
  emulation::reset(emulation::Settings{});
}

void test_loss() {
  emulation::Settings settings;
  settings.lose_at = 3;
  emulation::reset(settings);
  float *x = nullptr, host = 0;
  cudaStream_t stream = nullptr;
  cudaMalloc(&x, 4);
  cudaMemset(x, 0, 4);
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  expect(start_add(stream, x, 1, 1), cudaSuccess, "launch 1");
  expect(start_add(stream, x, 1, 1), cudaSuccess, "launch 2");
  expect(start_add(stream, x, 1, 1), cudaErrorIllegalAddress, "launch 3");
  expect(start_add(stream, x, 1, 1), cudaErrorIllegalAddress, "launch 4");
  expect(cudaStreamSynchronize(stream), cudaErrorIllegalAddress, "synchronize");
  expect(cudaMemcpy(&host, x, 4, cudaMemcpyDeviceToHost), cudaErrorIllegalAddress, "copy");
  void* more = nullptr;
  expect(cudaMalloc(&more, 4), cudaErrorIllegalAddress, "allocation");
  expect(cudaSetDevice(1), cudaSuccess, "the other device");
  float* y = nullptr;
  expect(cudaMalloc(&y, 4), cudaSuccess, "allocates");
  expect(start_add(nullptr, y, 1, 1), cudaSuccess, "runs");
  cudaFree(y);
  expect(cudaSetDevice(0), cudaErrorIllegalAddress, "the lost one stays lost");
  expect(cudaStreamDestroy(stream), cudaErrorIllegalAddress, "its streams go");
  expect(cudaFree(x), cudaErrorIllegalAddress, "its memory goes");
  counts.check(emulation::live_objects().total() == 0, "nothing left of a lost device");
  emulation::reset(emulation::Settings{});
}

// Work that was queued before the device was lost does not run after it.
void test_loss_in_a_queue() {
  emulation::Settings settings = lazy_settings();
  settings.lose_at = 2;
  emulation::reset(settings);
  cudaStream_t stream = nullptr;
  cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
  for (int i = 0; i < 5; ++i) expect(start(stream, nothing, 1, 1, 0), cudaSuccess, "queued");
  expect(cudaStreamSynchronize(stream), cudaErrorIllegalAddress, "the second one fails");
  counts.check(emulation::launches() == 2, "and the others did not start");
  expect(cudaStreamDestroy(stream), cudaErrorIllegalAddress, "destroy");
  emulation::reset(emulation::Settings{});
}

// In lazy streams nothing happens before it must.
void test_lazy_streams() {
  emulation::reset(lazy_settings());
  float *x = nullptr, *pinned = nullptr;
  cudaMalloc(&x, 4);
  cudaMallocHost(&pinned, 4);
  cudaStream_t a = nullptr, b = nullptr;
  cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);

  // Pinned memory is read late, pageable memory before the call returns.
  *pinned = 1;
  cudaMemcpyAsync(x, pinned, 4, cudaMemcpyHostToDevice, a);
  *pinned = 2;
  cudaStreamSynchronize(a);
  float found = 0;
  cudaMemcpyAsync(&found, x, 4, cudaMemcpyDeviceToHost, a);
  counts.check(found == 2, "pinned memory is read late; a copy to pageable memory waits");
  float pageable = 3;
  cudaMemcpyAsync(x, &pageable, 4, cudaMemcpyHostToDevice, a);
  pageable = 4;
  *pinned = 0;
  cudaMemcpyAsync(pinned, x, 4, cudaMemcpyDeviceToHost, a);
  counts.check(*pinned == 0, "a copy to pinned memory does not wait");
  cudaStreamSynchronize(a);
  counts.check(*pinned == 3, "pageable memory was read in time");

  // b waits for a's event, and polling makes progress.
  cudaEvent_t done = nullptr, timed = nullptr;
  cudaEventCreateWithFlags(&done, cudaEventDisableTiming);
  cudaEventCreate(&timed);
  start_add(a, x, 1, 10);
  cudaEventRecord(done, a);
  start_add(a, x, 1, 100);
  cudaStreamWaitEvent(b, done, 0);
  cudaMemcpyAsync(pinned, x, 4, cudaMemcpyDeviceToHost, b);
  expect(cudaStreamSynchronize(b), cudaSuccess, "b");
  counts.check(*pinned == 13, "b waited for a's event and not for more");
  expect(cudaStreamQuery(a), cudaErrorNotReady, "a has work left");
  expect(cudaStreamQuery(a), cudaSuccess, "and then has none");
  cudaGetLastError();
  expect(cudaEventElapsedTime(&found, done, timed), cudaErrorInvalidResourceHandle, "time of an event without times");
  cudaGetLastError();
  cudaEventRecord(timed, a);
  expect(cudaEventQuery(timed), cudaErrorNotReady, "an event not reached");
  expect(cudaEventSynchronize(timed), cudaSuccess, "reached");
  expect(cudaEventQuery(timed), cudaSuccess, "reached");
  expect(cudaEventElapsedTime(&found, timed, timed), cudaSuccess, "elapsed");
  cudaGetLastError();

  // Freeing waits. A kernel's failure shows at the next wait.
  start_add(a, x, 1, 1000);
  expect(cudaFree(x), cudaSuccess, "cudaFree waits for the kernel");
  expect(cudaDeviceSynchronize(), cudaSuccess, "which found its memory");
  expect(start_add(a, &pageable, 1, 1), cudaSuccess, "a launch that will fail");
  expect(cudaStreamSynchronize(a), cudaErrorIllegalAddress, "fails when waited for");
  emulation::reset(lazy_settings());

  // The legacy default stream and blocking streams order each other; non-blocking ones do not care.
  cudaMalloc(&x, 4);
  cudaStream_t blocking = nullptr;
  cudaStreamCreate(&blocking);
  cudaMemsetAsync(x, 0, 4, a);
  cudaStreamSynchronize(a);
  start_add(blocking, x, 1, 1);
  cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost);
  counts.check(found == 1, "cudaMemcpy waits for blocking streams");
  start_add(a, x, 1, 1);
  cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost);
  counts.check(found == 1, "and not for others");
  cudaDeviceSynchronize();
  cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost);
  counts.check(found == 2, "cudaDeviceSynchronize waits for all");

  cudaEventDestroy(done);
  cudaEventDestroy(timed);
  expect(cudaEventDestroy(timed), cudaErrorInvalidResourceHandle, "destroying an event twice");
  for (cudaStream_t stream : {a, b, blocking}) cudaStreamDestroy(stream);
  expect(cudaStreamSynchronize(a), cudaErrorInvalidResourceHandle, "a stream that is gone");
  expect(cudaStreamDestroy(a), cudaErrorInvalidResourceHandle, "destroying a stream twice");
  cudaFree(x);
  cudaFreeHost(pinned);
  emulation::reset(emulation::Settings{});
}

// Runs `body` in a child process; true if it ended by SIGSEGV.
template <typename Body>
bool dies(Body body) {
  std::fflush(stdout);
  const pid_t child = fork();
  if (child == 0) {
    close(2);
    signal(SIGSEGV, SIG_DFL);
    emulation::Settings settings;
    settings.protect = true;
    emulation::reset(settings);
    body();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

void test_protection() {
  emulation::reset(emulation::Settings{});
  const auto device_memory = [](size_t floats) {
    float* x = nullptr;
    cudaMalloc(&x, floats * sizeof(float));
    cudaMemset(x, 0, floats * sizeof(float));
    return x;
  };
  const auto add_and_read = [&](size_t floats, int n) {
    float* x = device_memory(floats);
    float found = 0;
    start_add(nullptr, x, n, 1);
    cudaMemcpy(&found, x, 4, cudaMemcpyDeviceToHost);
    if (found != 1) _exit(1);
    cudaFree(x);
  };
  counts.check(!dies([&] { add_and_read(100, 100); }), "kernels and copies may");
#if !defined(__SANITIZE_ADDRESS__)  // which handles the signal itself
  counts.check(dies([&] { device_memory(100)[5] = 1; }), "host code may not");
  counts.check(dies([&] { add_and_read(64 * 16, 64 * 16 + 1); }), "nor may kernels write behind a block's end");
  counts.check(dies([&] {
                 cudaSetDevice(1);
                 float* far = device_memory(4);
                 float** hidden = nullptr;
                 cudaSetDevice(0);
                 cudaMalloc(&hidden, sizeof(float*));
                 cudaMemcpy(hidden, &far, sizeof far, cudaMemcpyHostToDevice);
                 start(nullptr, indirect, 1, 1, 0, hidden);
               }),
               "nor another device's kernels");
#endif
}

void test_leaks() {
  emulation::reset(emulation::Settings{});
  void *memory = nullptr, *pinned = nullptr;
  cudaStream_t stream = nullptr;
  cudaEvent_t event = nullptr;
  cudaMalloc(&memory, 1);
  cudaMallocHost(&pinned, 1);
  cudaStreamCreate(&stream);
  cudaEventCreate(&event);
  const auto leaks = emulation::live_objects();
  counts.check(leaks.device_blocks == 1 && leaks.host_blocks == 1 && leaks.streams == 1 && leaks.events == 1, "leaks");
  counts.check(std::strcmp(ba_sam_emulation_report("leaks"), "1 1 1 1 0 0") == 0, "leaks as text");
  cudaFree(memory);
  cudaFreeHost(pinned);
  cudaStreamDestroy(stream);
  cudaEventDestroy(event);
  counts.check(ba_sam_emulation_set("lose_at=1") == 1 && ba_sam_emulation_set("nonsense=1") == 0, "settings as text");
  expect(start(nullptr, nothing, 1, 1, 0), cudaErrorIllegalAddress, "took effect");
  counts.check(std::strstr(cudaGetErrorString(cudaErrorIllegalAddress), "emulation") != nullptr, "the text says why");
  emulation::reset(emulation::Settings{});
}

}  // namespace

int main() {
  test_memory();
  test_launches();
  test_devices();
  test_loss();
  test_loss_in_a_queue();
  test_lazy_streams();
  test_protection();
  test_leaks();
  counts.check(emulation::live_objects().total() == 0, "nothing left");
  return counts.finish();
}
