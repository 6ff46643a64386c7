// Stands in for CUDA's <cuda_runtime.h> where g++ compiles the CUDA sources for the host emulation. README.md says what is
// emulated and what is not.
#pragma once

#include "emulated_api.h"
#include "emulated_device.h"
#include "emulated_launch.h"
