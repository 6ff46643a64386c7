// Which instruction sets may run here. __builtin_cpu_supports also asks whether the operating system saves the
// registers.
#include <cstdlib>
#include <string>

#include "attention.h"

namespace ba_sam::cpu {

namespace {

constexpr Isa kAll[] = {Isa::scalar, Isa::avx2, Isa::avx512, Isa::avx512_bf16};

Isa detect() {
  Isa best = Isa::scalar;
  for (Isa isa : kAll)
    if (isa_supported(isa)) best = isa;
  const char* wanted = std::getenv("BA_SAM_ISA");
  if (wanted == nullptr || *wanted == '\0') return best;
  for (Isa isa : kAll)
    if (std::string(wanted) == isa_name(isa)) return isa < best ? isa : best;
  throw SamError(
      "ERR_INVALID_ARGUMENT",
      std::string("Expected one of: scalar, avx2, avx512, avx512_bf16 for BA_SAM_ISA but received ") + wanted);
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::scalar:
      return "scalar";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
    case Isa::avx512_bf16:
      return "avx512_bf16";
  }
  return "?";
}

bool isa_supported(Isa isa) {
#if defined(__x86_64__)
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case Isa::scalar:
      return true;
    case Isa::avx2:
      return avx2;
    case Isa::avx512:
      return avx512;
    case Isa::avx512_bf16:
      return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return false;
#else
  return isa == Isa::scalar;
#endif
}

Isa best_isa() {
  static const Isa best = detect();  // a throwing initialisation is tried again by the next call
  return best;
}

}  // namespace ba_sam::cpu
