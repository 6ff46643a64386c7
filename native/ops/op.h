// The op vocabulary as types, made from ops.def: what each op is called, what it takes and gives, and its attributes as a
// struct with named fields. Everything that depends on the op is an overload on that struct, which std::visit chooses.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "../core/tensor.h"

namespace ba_sam {

// ---- types that attributes have, besides bool, int64_t, double and std::vector<double> ----

enum class Activation : uint8_t { none, relu, gelu };
enum class DistanceMetric : uint8_t { none, manhattan, euclidean, chebyshev };
// Of transpose: [B, …, C] or [B, C, …].
enum class ChannelOrder : uint8_t { channels_last, channels_first };
struct Size {
  int64_t width = 0, height = 0;
};

// What the members of an enum are called on the wire, in their order.
template <typename Enum>
struct EnumNames;
template <>
struct EnumNames<Activation> {
  static constexpr const char* values[] = {"none", "relu", "gelu"};
};
template <>
struct EnumNames<DistanceMetric> {
  static constexpr const char* values[] = {"none", "manhattan", "euclidean", "chebyshev"};
};
template <>
struct EnumNames<ChannelOrder> {
  static constexpr const char* values[] = {"channelsLast", "channelsFirst"};
};

// ---- the list ----

// Numbers mean nothing outside of the process: on the wire an op has its name.
enum class Op : uint8_t {
#define OP(name, wire, Struct) name,
#include "ops.def"
};

constexpr int kOpCount = 0
#define OP(name, wire, Struct) +1
#include "ops.def"
    ;

// One struct an op. Its operands are enumerators, to be used as indices: node.inputs[LinearOp::bias].
#define OP(name, wire, Struct) \
  struct Struct {              \
    static constexpr Op kOp = Op::name;
#define INPUTS(list) enum Input : uint8_t { list };
#define INPUT(name) name,
#define OPTIONAL_INPUT(name) name,
#define ACCUMULATED_INPUT(name) name,
#define REPEATED_INPUT(name) name,
#define OUTPUTS(list) enum Output : uint8_t { list };
#define OUTPUT(name) name,
#define OPTIONAL_OUTPUT(name) name,
#define ATTRIBUTES(list) list
#define ATTRIBUTE(type, name) type name{};
#define OPTIONAL_ATTRIBUTE(type, name, value) type name = value;
#define END_OP \
  }            \
  ;
#include "ops.def"

// visit(name, field, required) for every attribute of a struct.
#define OP(name, wire, Struct)                                                                                         \
  template <typename O, typename Visit, std::enable_if_t<std::is_same_v<std::remove_const_t<O>, Struct>, bool> = true> \
  void visit_attributes([[maybe_unused]] O& op, [[maybe_unused]] Visit&& visit) {
#define ATTRIBUTES(list) list
#define ATTRIBUTE(type, name) visit(#name, op.name, true);
#define OPTIONAL_ATTRIBUTE(type, name, value) visit(#name, op.name, false);
#define END_OP }
#include "ops.def"

// Which op a node is, with its attributes: a variant of all structs, in the order of the enum.
template <typename, typename... Structs>
using VariantOf = std::variant<Structs...>;
using AnyOp = VariantOf<void
#define OP(name, wire, Struct) , Struct
#include "ops.def"
                        >;

enum class Presence : uint8_t { required, optional, accumulated, repeated };

struct OperandInfo {
  const char* name;
  Presence presence;
};

struct OpInfo {
  const char* name;  // on the wire and in TypeScript
  bool is_view;      // the output is the first input under another shape
  std::vector<OperandInfo> inputs, outputs;

  size_t required_inputs() const;  // the first ones
  size_t max_inputs() const;
};

constexpr size_t kMaxInputs = 12;
constexpr size_t kMaxOutputs = 4;
constexpr uint32_t kAbsent = 0xffffffffu;  // an optional operand that is not there

const OpInfo& op_info(Op op);
// With default attributes. Throws SamError ERR_GRAPH on an unknown name.
AnyOp make_op(const std::string& name);
// The same for a member of the enum.
AnyOp make_op(Op op);

}  // namespace ba_sam
