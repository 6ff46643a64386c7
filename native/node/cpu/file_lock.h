// The lock of an evaluation's folder.
#pragma once

#include <napi.h>

namespace ba_sam::node {

// lockFile(fd): 0 when the file is locked for this descriptor alone, else errno (EWOULDBLOCK: another one has it). The
// kernel unlocks it with the descriptor, also when the process is killed.
Napi::Value lock_file(const Napi::CallbackInfo& info);

}  // namespace ba_sam::node
