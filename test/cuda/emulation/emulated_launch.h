// cudaLaunchKernelEx: a kernel and a copy of its arguments become one object that the executor runs once per thread.
#pragma once

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
  virtual std::pair<const void*, size_t> bytes() const = 0;
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
  std::pair<const void*, size_t> bytes() const override { return {&params_, sizeof params_}; }

 private:
  template <typename T>
  static void add(std::vector<const void*>& found, const T& param) {
    if constexpr (std::is_pointer_v<T> && !std::is_function_v<std::remove_pointer_t<T>>) found.push_back(param);
    (void)found, (void)param;
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
