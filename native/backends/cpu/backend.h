// The CPU backend: one factory per op.
#pragma once

#include <memory>
#include <optional>

#include "../../core/node_view.h"
#include "../../ops/attention/cpu/attention.h"

namespace ba_sam::cpu {

// What a factory gets to work with.
struct KernelContext : NodeView {
  int threads;
  Isa isa;
};

// Per op, in native/ops/<op>/: what runs the node. A view needs nothing to be run.
#define OP(name, wire, Struct) KernelPtr make_kernel(const KernelContext& c, const Struct& op);
#define VIEW_OP(name, wire, Struct) \
  inline KernelPtr make_kernel(const KernelContext&, const Struct&) { return nullptr; }
#include "../../ops/ops.def"

struct BackendOptions {
  int threads = 0;         // of the OpenMP team; 0 = as many as the thread which prepares plans has
  std::optional<Isa> isa;  // of the attention kernels; default: the best one
};

// Kernels throw SamError ERR_DEVICE_UNAVAILABLE when a graph uses f16, or bf16 on a processor without AVX-512 (oneDNN 2.6
// has no bf16 products there).
std::shared_ptr<Backend> make_cpu_backend(const BackendOptions& options);
// With the best instruction set.
std::shared_ptr<Backend> make_cpu_backend(int threads = 0);

// Empty when graphs and attention may use the dtype, otherwise the reason.
std::string unavailable_reason(DType dtype);

}  // namespace ba_sam::cpu
