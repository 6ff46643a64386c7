// Fused attention with SAM's decomposed relative positions and BA-SAM's scale and distance penalty, on the CPU.
// ../params.h has the formula.
//
// An online softmax over key tiles; the biases are added inside the tile. No [N, N] buffer exists: the workspace
// is O(N · (Gh + Gw)) at most.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "../params.h"

namespace ba_sam::cpu {

enum class Isa : uint8_t { scalar = 0, avx2 = 1, avx512 = 2, avx512_bf16 = 3 };

// The best instruction set that processor, operating system and BA_SAM_ISA (scalar|avx2|avx512|avx512_bf16, read
// once) allow. An unknown name in BA_SAM_ISA throws SamError.
Isa best_isa();
const char* isa_name(Isa isa);
bool isa_supported(Isa isa);

// Bytes that attention_forward needs at params.workspace (64-byte aligned) with this many threads.
size_t attention_workspace_bytes(const AttentionParams& params, int threads, Isa isa);

// Everything but threads and isa is in the struct. Runs on an OpenMP team of `threads`; never allocates. Deterministic: a
// query's result does not depend on the number of threads. When *cancel becomes true it returns early and leaves its
// outputs unspecified. cancel may be null.
void attention_forward(const AttentionParams& params, int threads, Isa isa, const std::atomic<bool>* cancel);

}  // namespace ba_sam::cpu
