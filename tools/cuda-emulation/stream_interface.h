// How a library that is not linked with the emulated runtime (the emulated cuBLASLt) puts work into its streams: a
// cudaStream_t points to an object whose first member points to this table. That holds however either was loaded.
#pragma once

#include <stddef.h>
#include <stdint.h>

struct ba_sam_emulation_stream_interface {
  uint64_t magic;
  // Runs `run(context)` in stream order, each time if the stream is being captured; `drop(context)` when it will never be
  // run again. `run` returns 0, or a cudaError_t that loses the device, with a text in `failure`. Returns a cudaError_t.
  int (*enqueue)(void* stream, int (*run)(void* context, char* failure, size_t failure_bytes),
                 void (*drop)(void* context), void* context);
  int (*device_of)(void* stream);
  // 1 if the range lies inside one allocation of the device. Streams may be gone when recorded work runs.
  int (*is_device_memory)(int device, const void* address, size_t bytes);
};

#define BA_SAM_EMULATION_STREAM_MAGIC UINT64_C(0x6261536d53747265)
