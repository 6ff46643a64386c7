// What an addon's flavour provides: node/cpu or node/cuda, one of them is linked.
#pragma once

#include <napi.h>

#include <memory>

#include "../core/backend.h"

namespace ba_sam::node {

// The backend that `new Weights(options)` asks for. Throws SamError when it cannot be had.
std::shared_ptr<Backend> make_backend(const Napi::Value& options);

// The flavour's own functions: info and what else it has.
void define_backend_functions(Napi::Env env, Napi::Object exports);

}  // namespace ba_sam::node
