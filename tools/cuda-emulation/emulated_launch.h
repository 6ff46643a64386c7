// cudaLaunchKernelEx: a kernel and a copy of its arguments become one object that the executor runs once per thread.
#pragma once

#include <cstring>
#include <memory>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "emulated_api.h"

namespace ba_sam::emulation {

// Arguments are captured here, by value, when the launch is made or recorded.
class KernelCall {
 public:
  virtual ~KernelCall() = default;
  virtual void run_thread() const = 0;
  virtual const void* function() const = 0;
  // Arguments that are pointers themselves, and all bytes of the arguments, for checks before the kernel runs.
  virtual std::vector<const void*> pointers() const = 0;
  virtual std::vector<unsigned char> bytes() const = 0;
};

template <typename... Params>
class KernelCallOf final : public KernelCall {
  static_assert((std::is_trivially_copyable_v<Params> && ...), "kernel arguments are copied as bytes");
  static_assert((sizeof(Params) + ... + 0) <= 4096, "kernel arguments take at most 4 KB");

 public:
  KernelCallOf(void (*kernel)(Params...), const Params&... params) : kernel_(kernel), params_(params...) {}
  void run_thread() const override { std::apply(kernel_, params_); }
  const void* function() const override { return reinterpret_cast<const void*>(kernel_); }
  std::vector<const void*> pointers() const override {
    std::vector<const void*> found;
    std::apply([&found](const Params&... params) { (add(found, params), ...); }, params_);
    return found;
  }
  std::vector<unsigned char> bytes() const override {
    std::vector<unsigned char> all;
    std::apply([&all](const Params&... params) { (append(all, params), ...); }, params_);
    return all;
  }

 private:
  template <typename T>
  static void add(std::vector<const void*>& found, const T& param) {
    if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) found.push_back(param);
    (void)found, (void)param;
  }

  // Each argument on a word of its own. Padding is cleared: what lay there before may look like a pointer.
  template <typename T>
  static void append(std::vector<unsigned char>& all, T param) {
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&param);
#endif
#endif
    const size_t at = all.size(), words = (sizeof(T) + sizeof(void*) - 1) / sizeof(void*);
    all.resize(at + words * sizeof(void*));
    std::memcpy(&all[at], &param, sizeof(T));
  }

  void (*kernel_)(Params...);
  std::tuple<Params...> params_;
};

cudaError_t launch(const cudaLaunchConfig_t& config, std::shared_ptr<const KernelCall> call);

}  // namespace ba_sam::emulation

template <typename... Params, typename... Args>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Params...), Args&&... args) {
  return ba_sam::emulation::launch(*config, std::make_shared<const ba_sam::emulation::KernelCallOf<Params...>>(
                                                kernel, static_cast<Params>(std::forward<Args>(args))...));
}
