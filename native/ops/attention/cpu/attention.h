// Fused attention with SAM's decomposed relative positions and BA-SAM's scale and distance penalty, on the CPU.
// core/attention_params.h has the formula.
//
// An online softmax over key tiles; the biases are added inside the tile. No [N, N] buffer exists: the workspace
// is O(N · (Gh + Gw)) at most.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../../../core/attention_params.h"

namespace ba_sam::cpu {

enum class Isa : uint8_t { scalar = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };

// The best instruction set that processor, operating system and BA_SAM_ISA (scalar|avx2|avx512|avx512_bf16, read
// once) allow. An unknown name in BA_SAM_ISA throws SamError.
Isa best_isa();
const char* isa_name(Isa isa);
bool isa_supported(Isa isa);

// Bytes that attention_forward needs at `workspace` (64-byte aligned) with this many threads.
size_t attention_workspace_bytes(const AttentionParams& params, int threads, Isa isa);

// out: element (b, token, head, d) at out[b·out_batch_stride + token·out_token_stride + head·D + d], dtype as q.
// Runs on an OpenMP team of `threads`; never allocates. Deterministic: a query's result does not depend on the
// number of threads. When *cancel becomes true it returns early and leaves `out` unspecified. cancel may be null.
void attention_forward(void* out, int64_t out_batch_stride, int64_t out_token_stride, const TokenView& q,
                       const TokenView& k, const TokenView& v, const AttentionParams& params, void* workspace,
                       int threads, Isa isa, const std::atomic<bool>* cancel);

}  // namespace ba_sam::cpu
