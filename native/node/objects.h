// The addon's classes: CancelToken, Weights, Plan and Held. Every instance carries a type tag, so that a call on a foreign
// object is an error and not a crash.
#pragma once

#include <napi.h>

#include <memory>

#include "../core/executor.h"
#include "../core/plan.h"
#include "../core/weights.h"

namespace ba_sam::node {

void define_classes(Napi::Env env, Napi::Object exports);

// Throws SamError when the value is not a CancelToken; null for undefined.
std::shared_ptr<CancelToken> to_token(const Napi::Value& value);

// functions.cpp: shutDown and graph inspection
void define_functions(Napi::Env env, Napi::Object exports);

}  // namespace ba_sam::node
