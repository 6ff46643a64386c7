// Entry point of the addons, whichever backend they are linked with: loaded once per environment (main thread and workers).
#include <napi.h>

#include "async_task.h"
#include "backend_entry.h"
#include "objects.h"

namespace {

// Compared by lib/native.ts: a library and an addon of different builds must not meet.
constexpr int kAddonVersion = 4;

Napi::Object init(Napi::Env env, Napi::Object exports) {
  ba_sam::node::install_cleanup(env);
  ba_sam::node::define_classes(env, exports);
  ba_sam::node::define_functions(env, exports);
  ba_sam::node::define_backend_functions(env, exports);
  exports.Set("version", kAddonVersion);
  return exports;
}

}  // namespace

NODE_API_MODULE(ba_sam, init)
