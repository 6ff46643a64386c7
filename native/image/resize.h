// From an RGB photograph to the encoder's input: Pillow's bilinear resize.
//
// Pure functions for a worker thread. `threads` is the size of the OpenMP team (1 without OpenMP); results do
// not depend on it. `cancel` may be null; once it reads true the functions return early and leave `out`
// unspecified. Bad arguments throw SamError ERR_INVALID_ARGUMENT, a failed allocation throws
// ERR_OUT_OF_MEMORY.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace ba_sam {

// Memory that resize_bilinear_rgb8 takes for itself: coefficients and a few rows per thread, never an image.
size_t resize_workspace_bytes(int64_t out_w, int64_t out_h, int64_t w, int64_t h, int threads);

// in: [h, w, 3] u8, rows without gaps. out: [out_h, out_w, 3] u8, its rows out_stride bytes apart. They must not overlap.
// Bit-exact with Pillow's Image.resize((out_w, out_h), BILINEAR) of an RGB image (libImaging/Resample.c): a
// triangle filter whose support grows when shrinking (antialias), columns first, 8-bit values in between,
// 22-bit fixed-point coefficients; a side that keeps its length is not filtered.
void resize_bilinear_rgb8(uint8_t* out, int64_t out_stride, int64_t out_w, int64_t out_h, const uint8_t* in, int64_t w,
                          int64_t h, int threads, const std::atomic<bool>* cancel);

}  // namespace ba_sam
