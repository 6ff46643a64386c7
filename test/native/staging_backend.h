// A backend with memory of its own, as a device has, on top of the CPU's kernels. Work is queued and done only when it is
// waited for; every address that a kernel gets must lie in a live block of this memory.
#pragma once

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../../native/backends/cpu/backend.h"

namespace ba_sam::test {

// What a staging backend saw; `problem` is the first thing that must not happen.
struct StagingLog {
  std::string problem;
  int recorded = 0, replayed = 0, entered = 0;
  size_t uploaded_bytes = 0, live_bytes = 0;

  void fail(const std::string& what) {
    if (problem.empty()) problem = what;
  }
};

class StagingBackend final : public Backend {
 public:
  explicit StagingBackend(std::shared_ptr<StagingLog> log) : log_(std::move(log)) {}

  bool stages_inputs() const override { return true; }
  void enter() override { ++log_->entered; }

  std::unique_ptr<Kernel> make_kernel(const Graph& graph, const Node& node, WeightStore& weights) override {
    return std::make_unique<QueuedKernel>(*this, cpu_->make_kernel(graph, node, weights), graph, node);
  }

  std::shared_ptr<Memory> allocate(size_t bytes, const char* what) override {
    if (bytes == 0) log_->fail(std::string("no bytes for ") + what);
    if (bytes > kMaxBytes) throw SamError("ERR_OUT_OF_MEMORY", std::string("No memory for ") + what);
    return std::make_shared<Block>(shared_, log_, bytes, what);
  }

  std::shared_ptr<const Memory> weight(WeightStore& weights, const std::string& name) override {
    const auto plain = weights.plain(name);
    auto block = std::make_shared<Block>(shared_, log_, std::max<size_t>(1, plain->data.size()), "a weight");
    if (plain->data.size()) std::memcpy(block->data(), plain->data.data(), plain->data.size());
    return block;
  }

  void run(Execution& execution, const RunControl& control) override {
    if (!shared_->queue.empty()) log_->fail("work is queued before a run");
    const std::vector<const void*> now = addresses(execution);
    if (!execution.recording) {
      execution.recording = std::make_unique<Addresses>(now);
      ++log_->recorded;
    } else {
      if (static_cast<Addresses&>(*execution.recording).list != now) log_->fail("a recording of other addresses");
      ++log_->replayed;
    }
    for (const auto& u : execution.uploads) {
      check(u.memory, u.bytes, "an upload");
      std::memcpy(u.memory, u.host, u.bytes);
      log_->uploaded_bytes += u.bytes;
    }
    for (const auto& step : execution.steps) step.kernel->run(step.io);
    finish();
    check_cancel(control.cancel);
    for (const auto& d : execution.downloads) {
      check(d.memory, d.bytes, "a download");
      std::memcpy(d.host, d.memory, d.bytes);
    }
  }

  void write(void* memory, const void* host, size_t bytes) override {
    check(memory, bytes, "what is written");
    if (!shared_->queue.empty()) log_->fail("a write while work is queued");
    std::memcpy(memory, host, bytes);
  }
  void read(void* host, const void* memory, size_t bytes) override {
    check(memory, bytes, "what is read");
    if (!shared_->queue.empty()) log_->fail("a read while work is queued");
    std::memcpy(host, memory, bytes);
  }

  void finish() override {
    for (const auto& work : shared_->queue) work();
    shared_->queue.clear();
  }

 private:
  static constexpr size_t kMaxBytes = size_t{1} << 30;  // of one block

  // Freed blocks are kept, overwritten: no address is ever used twice, and what is read too late is seen.
  struct Shared {
    std::map<const uint8_t*, size_t> live;
    std::vector<std::vector<uint8_t>> blocks;
    std::vector<std::function<void()>> queue;
  };

  class Block final : public Memory {
   public:
    Block(std::shared_ptr<Shared> shared, std::shared_ptr<StagingLog> log, size_t bytes, const char* what)
        : shared_(std::move(shared)), log_(std::move(log)), what_(what) {
      std::vector<uint8_t> block(bytes + kAlignment, 0xcd);
      const auto address = reinterpret_cast<uintptr_t>(block.data());
      data_ = block.data() + (kAlignment - address % kAlignment) % kAlignment;
      size_ = bytes;
      shared_->blocks.push_back(std::move(block));
      shared_->live[data_] = size_;
      log_->live_bytes += size_;
    }
    ~Block() override {
      if (!shared_->queue.empty()) log_->fail(what_ + " freed while work is queued");
      std::memset(data_, 0xee, size_);
      shared_->live.erase(data_);
      log_->live_bytes -= size_;
    }

   private:
    std::shared_ptr<Shared> shared_;
    std::shared_ptr<StagingLog> log_;
    std::string what_;
  };

  struct Addresses final : Execution::Recording {
    explicit Addresses(std::vector<const void*> l) : list(std::move(l)) {}
    std::vector<const void*> list;
  };

  class QueuedKernel final : public Kernel {
   public:
    QueuedKernel(StagingBackend& backend, std::unique_ptr<Kernel> inner, const Graph& graph, const Node& node)
        : backend_(backend), inner_(std::move(inner)) {
      for (size_t i = 0; i < node.outputs.size(); ++i) {
        out_bytes_.push_back(node.has_output(i) ? graph.output(node, i).bytes() : 0);
      }
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        in_bytes_.push_back(node.has_input(i) && !inner_->owns_weight(i) ? graph.input(node, i).bytes() : 0);
      }
    }
    size_t scratch_bytes() const override { return inner_->scratch_bytes(); }
    bool owns_weight(size_t input) const override { return inner_->owns_weight(input); }

    void run(const KernelIo& io) override {
      std::vector<const void*> in(io.in, io.in + kMaxInputs);
      std::vector<void*> out(io.out, io.out + kMaxOutputs);
      for (size_t i = 0; i < in_bytes_.size(); ++i) {
        if (in_bytes_[i]) backend_.check(in[i], in_bytes_[i], "an operand");
      }
      for (size_t i = 0; i < kMaxOutputs; ++i) {
        const size_t bytes = i < out_bytes_.size() ? out_bytes_[i] : 0;
        if (bytes) backend_.check(out[i], bytes, "an output");
        if (!bytes && out[i]) backend_.log_->fail("an address for an output that nobody asks for");
      }
      if (scratch_bytes()) backend_.check(io.scratch, scratch_bytes(), "scratch");
      backend_.shared_->queue.push_back([this, queued = KernelIo(io), in, out]() mutable {
        queued.in = in.data();
        queued.out = out.data();
        inner_->run(queued);
      });
    }

   private:
    StagingBackend& backend_;
    std::unique_ptr<Kernel> inner_;
    std::vector<size_t> in_bytes_, out_bytes_;
  };

  void check(const void* address, size_t bytes, const char* what) {
    const auto* p = static_cast<const uint8_t*>(address);
    auto block = shared_->live.upper_bound(p);
    if (block == shared_->live.begin() || (--block, p + bytes > block->first + block->second)) {
      log_->fail(std::string(what) + " outside of the backend's memory");
      throw SamError("ERR_INTERNAL", log_->problem);
    }
  }

  static std::vector<const void*> addresses(const Execution& execution) {
    std::vector<const void*> list;
    for (const auto& u : execution.uploads) list.push_back(u.memory);
    for (const auto& step : execution.steps) {
      list.insert(list.end(), {step.kernel, step.io.scratch});
      list.insert(list.end(), step.in.begin(), step.in.end());
      list.insert(list.end(), step.out.begin(), step.out.end());
    }
    for (const auto& d : execution.downloads) list.push_back(d.memory);
    return list;
  }

  std::shared_ptr<StagingLog> log_;
  std::shared_ptr<Shared> shared_ = std::make_shared<Shared>();
  std::shared_ptr<Backend> cpu_ = cpu::make_cpu_backend(1);
};

}  // namespace ba_sam::test
