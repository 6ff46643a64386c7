// See op.h.
#include "op.h"

namespace ba_sam {
namespace {

// Operands fit the arrays that a step of a plan has for them.
#define INPUTS(list) static_assert(0 list <= kMaxInputs);
#define INPUT(name) +1
#define OPTIONAL_INPUT(name) +1
#define ACCUMULATED_INPUT(name) +1
#define REPEATED_INPUT(name) +1
#define OUTPUTS(list) static_assert(0 list <= kMaxOutputs);
#define OUTPUT(name) +1
#define OPTIONAL_OUTPUT(name) +1
#include "ops.def"

const std::vector<OpInfo>& op_table() {
  static const std::vector<OpInfo> table = {
#define OP(name, wire, Struct) {wire, false,
#define VIEW_OP(name, wire, Struct) {wire, true,
#define INPUTS(list) {list},
#define INPUT(name) OperandInfo{#name, Presence::required},
#define OPTIONAL_INPUT(name) OperandInfo{#name, Presence::optional},
#define ACCUMULATED_INPUT(name) OperandInfo{#name, Presence::accumulated},
#define REPEATED_INPUT(name) OperandInfo{#name, Presence::repeated},
#define OUTPUTS(list) {list},
#define OUTPUT(name) OperandInfo{#name, Presence::required},
#define OPTIONAL_OUTPUT(name) OperandInfo{#name, Presence::optional},
#define END_OP \
  }            \
  ,
#include "ops.def"
  };
  return table;
}

}  // namespace

size_t OpInfo::required_inputs() const {
  size_t count = 0;
  for (const OperandInfo& input : inputs)
    count += input.presence == Presence::required || input.presence == Presence::repeated;
  return count;
}

size_t OpInfo::max_inputs() const {
  return inputs.back().presence == Presence::repeated ? kMaxInputs : inputs.size();
}

const OpInfo& op_info(Op op) {
  return op_table()[static_cast<size_t>(op)];
}

AnyOp make_op(Op op) {
  switch (op) {
#define OP(name, wire, Struct) \
  case Op::name:               \
    return Struct{};
#include "ops.def"
  }
  throw SamError("ERR_INTERNAL", "An op that is not in the list");
}

AnyOp make_op(const std::string& name) {
  for (int i = 0; i < kOpCount; ++i) {
    if (name == op_info(static_cast<Op>(i)).name) return make_op(static_cast<Op>(i));
  }
  throw SamError("ERR_GRAPH", "Expected the name of an op but received \"" + name + "\"");
}

}  // namespace ba_sam
