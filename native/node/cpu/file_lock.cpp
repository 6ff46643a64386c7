// flock(2), for which Node has no function.
#include "file_lock.h"

#include <sys/file.h>

#include <cerrno>

#include "../async_task.h"
#include "../js_value.h"

namespace ba_sam::node {

Napi::Value lock_file(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const int fd = static_cast<int>(to_integer(info[0], 0, INT32_MAX, "fd"));
    const int result = flock(fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno;
    return Napi::Number::New(info.Env(), result);
  });
}

}  // namespace ba_sam::node
