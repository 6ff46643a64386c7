// What the native tests and the graph fuzzer share: counting, seeded random numbers, and graphs as plain data that
// encode to the wire format (see native/core/graph.h) without any check, so that broken ones can be made too.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "../../native/core/graph.h"

namespace ba_sam::test {

struct Counts {
  int passed = 0, failed = 0;

  void check(bool ok, const std::string& what) {
    if (ok) {
      ++passed;
    } else {
      ++failed;
      std::printf("FAILED %s\n", what.c_str());
    }
  }
  int finish() const {
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
  }
};

// splitmix64: the same numbers on every machine.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}
  uint64_t next() {
    uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  // low … high, both included.
  int64_t integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(next() % static_cast<uint64_t>(high - low + 1));
  }
  double uniform(double low, double high) {
    return low + (high - low) * (static_cast<double>(next() >> 11) / 9007199254740992.0);
  }
  bool chance(double p) { return uniform(0, 1) < p; }

 private:
  uint64_t state_;
};

// Attributes as they stand on the wire: numbers or text, by name.
struct Attribute {
  std::string name;
  std::variant<std::vector<double>, std::string> value;
};

// All attributes of an op's struct, the optional ones too.
inline std::vector<Attribute> attributes_of(const AnyOp& any) {
  std::vector<Attribute> out;
  const auto add = [&out](const char* name, const auto& field, bool) {
    using T = std::decay_t<decltype(field)>;
    if constexpr (std::is_same_v<T, std::vector<double>>) {
      out.push_back({name, field});
    } else if constexpr (std::is_same_v<T, Size>) {
      out.push_back({name, std::vector<double>{static_cast<double>(field.width), static_cast<double>(field.height)}});
    } else if constexpr (std::is_enum_v<T>) {
      out.push_back({name, std::string(EnumNames<T>::values[static_cast<size_t>(field)])});
    } else {
      out.push_back({name, std::vector<double>{static_cast<double>(field)}});
    }
  };
  std::visit([&](const auto& op) { visit_attributes(op, add); }, any);
  return out;
}

inline const OpInfo& info_of(const AnyOp& op) {
  return op_info(static_cast<Op>(op.index()));
}

struct GraphSpec {
  struct Item {
    uint8_t kind = 0, dtype = 0;
    Shape shape;
    std::string name;
    double low = 0, high = 0;  // what random data lies between; both 0: what Fixture takes
  };
  struct Step {
    std::string op;
    std::vector<uint32_t> inputs, outputs;
    std::vector<Attribute> attributes;
  };
  uint32_t magic = kGraphMagic, version = kGraphVersion;
  std::vector<Item> values;
  std::vector<Step> nodes;
  std::vector<uint32_t> outputs;

  uint32_t value(ValueKind kind, Shape shape, DType dtype = DType::f32, std::string name = "") {
    if (name.empty() && kind != ValueKind::computed) name = "v" + std::to_string(values.size());
    values.push_back({static_cast<uint8_t>(kind), static_cast<uint8_t>(dtype), std::move(shape), std::move(name)});
    return static_cast<uint32_t>(values.size() - 1);
  }
  uint32_t input(Shape shape, DType dtype = DType::f32) { return value(ValueKind::input, std::move(shape), dtype); }
  uint32_t weight(Shape shape, DType dtype = DType::f32) { return value(ValueKind::weight, std::move(shape), dtype); }
  uint32_t parameter(Shape shape, DType dtype = DType::f32) {
    return value(ValueKind::parameter, std::move(shape), dtype);
  }
  // Random data of a value lies between these.
  uint32_t within(uint32_t v, double low, double high) {
    values[v].low = low;
    values[v].high = high;
    return v;
  }
  // A node with its first output, which it returns: node(LinearOp{Activation::relu}, {x, weight, bias}, {2, 8}).
  uint32_t node(const AnyOp& op, std::vector<uint32_t> inputs, Shape shape, DType dtype = DType::f32) {
    const uint32_t output = value(ValueKind::computed, std::move(shape), dtype);
    nodes.push_back({info_of(op).name, std::move(inputs), {output}, attributes_of(op)});
    return output;
  }
  // An optional output of the last node; those before it that nobody asked for are absent.
  uint32_t optional_output(size_t index, Shape shape, DType dtype = DType::f32) {
    std::vector<uint32_t>& out = nodes.back().outputs;
    if (out.size() <= index) out.resize(index + 1, kAbsent);
    return out[index] = value(ValueKind::computed, std::move(shape), dtype);
  }

  std::vector<uint8_t> encode() const {
    std::vector<uint8_t> out;
    const auto put = [&](auto number) {
      const auto* bytes = reinterpret_cast<const uint8_t*>(&number);
      out.insert(out.end(), bytes, bytes + sizeof(number));
    };
    const auto put_text = [&](const std::string& text) {
      put(static_cast<uint16_t>(text.size()));
      out.insert(out.end(), text.begin(), text.end());
    };
    const auto put_operands = [&](const std::vector<uint32_t>& operands) {
      put(static_cast<uint8_t>(operands.size()));
      for (uint32_t v : operands) put(v);
    };
    put(magic);
    put(version);
    put(static_cast<uint32_t>(values.size()));
    for (const Item& item : values) {
      put(item.kind);
      put(item.dtype);
      put(static_cast<uint8_t>(item.shape.size()));
      put(uint8_t{0});
      for (int64_t dim : item.shape) put(dim);
      if (item.kind != static_cast<uint8_t>(ValueKind::computed)) put_text(item.name);
    }
    put(static_cast<uint32_t>(nodes.size()));
    for (const Step& step : nodes) {
      put_text(step.op);
      put_operands(step.inputs);
      put_operands(step.outputs);
      put(static_cast<uint8_t>(step.attributes.size()));
      for (const Attribute& attribute : step.attributes) {
        put_text(attribute.name);
        const auto* numbers = std::get_if<std::vector<double>>(&attribute.value);
        put(static_cast<uint8_t>(numbers ? 0 : 1));
        if (!numbers) {
          put_text(std::get<std::string>(attribute.value));
          continue;
        }
        put(static_cast<uint16_t>(numbers->size()));
        for (double number : *numbers) put(number);
      }
    }
    put(static_cast<uint32_t>(outputs.size()));
    for (uint32_t v : outputs) put(v);
    return out;
  }
};

inline Graph decode(const GraphSpec& spec) {
  const auto bytes = spec.encode();
  return decode_graph(bytes.data(), bytes.size());
}

// The inverse of encode() for a graph that decodes.
inline GraphSpec spec_of(const Graph& graph) {
  GraphSpec spec;
  for (const Value& v : graph.values) spec.value(v.kind, v.shape, v.dtype, v.name);
  for (const Node& n : graph.nodes) spec.nodes.push_back({n.info().name, n.inputs, n.outputs, attributes_of(n.op)});
  spec.outputs = graph.outputs;
  return spec;
}

// The message of the SamError that `f` throws with this code, "" when it returns, the problem otherwise.
inline std::string error_of(const std::function<void()>& f, const std::string& code = "ERR_GRAPH") {
  try {
    f();
    return "";
  } catch (const SamError& error) {
    return error.code() == code ? error.what() : "[code " + error.code() + "] " + error.what();
  } catch (const std::exception& error) {
    return std::string("[not a SamError] ") + error.what();
  }
}

}  // namespace ba_sam::test
