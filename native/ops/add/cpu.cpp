// add on the CPU.
#include "../../backends/cpu/elements.h"

namespace ba_sam::cpu {
namespace {

// One output row of `add`; a step of 0 repeats a single element.
template <typename T>
void add_row(typename T::type* out, const typename T::type* a, const typename T::type* b, int64_t count, int64_t a_step,
             int64_t b_step) {
  if (a_step && b_step) {
    for (int64_t i = 0; i < count; ++i) out[i] = T::store(T::load(a[i]) + T::load(b[i]));
  } else {
    for (int64_t i = 0; i < count; ++i) out[i] = T::store(T::load(a[i * a_step]) + T::load(b[i * b_step]));
  }
}

// Element offset of output row `row` (all axes but the last) in an operand whose axes of size 1 are repeated.
int64_t broadcast_offset(int64_t row, const Shape& out, const Shape& operand) {
  int64_t offset = 0, stride = operand.back();
  for (size_t d = out.size() - 1; d-- > 0;) {
    const int64_t index = row % out[d];
    row /= out[d];
    if (operand[d] != 1) offset += index * stride;
    stride *= operand[d];
  }
  return offset;
}

}  // namespace

// out = a + b, numpy broadcasting over equal ranks.
KernelPtr make_kernel(const KernelContext& c, const AddOp&) {
  const Shape a = c.in(0).shape, b = c.in(1).shape, out = c.out().shape;
  const DType dtype = c.out().dtype;
  const int threads = c.threads;
  return kernel([=](const KernelIo& io) {
    const int64_t rows = rows_of(out), count = out.back();
    dispatch(dtype, dtype, [&](auto type, auto) {
      using T = decltype(type);
      auto* target = static_cast<typename T::type*>(io.out[0]);
      const auto* left = static_cast<const typename T::type*>(io.in[0]);
      const auto* right = static_cast<const typename T::type*>(io.in[1]);
#pragma omp parallel for num_threads(threads) schedule(static)
      for (int64_t r = 0; r < rows; ++r) {
        add_row<T>(target + r * count, left + broadcast_offset(r, out, a), right + broadcast_offset(r, out, b), count,
                   a.back() == 1 ? 0 : 1, b.back() == 1 ? 0 : 1);
      }
    });
  });
}

}  // namespace ba_sam::cpu
