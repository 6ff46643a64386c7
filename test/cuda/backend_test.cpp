// The CUDA backend around its kernels: graphs of kernels captured and replayed, memory that moves and leaks, two devices,
// copies through pinned memory. Prints "N passed, N failed". What only an emulated device does is in failure_test.cpp.
#include <cstdlib>
#include <thread>

#include "../native/graph_fixture.h"
#include "cuda_support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

void test_replay(Random& random) {
  for (DType dtype : {DType::f32, DType::bf16, DType::f16}) {
    const std::string name = std::string(dtype_name(dtype)) + ": ";
    const auto backend = backend_on(0);
    Fixture f(layers(5, dtype), random, backend);
    Plan plan(f.weights, f.graph);
    const auto first = f.run(plan);
    g_counts.check(live_graphs() == 0, name + "the first run keeps no graph");
    g_counts.check(f.run(plan) == first, name + "the captured run gives the same bits");
    g_counts.check(live_graphs() == (kEmulated ? 1 : 0), name + "the second run keeps a graph");
    g_counts.check(f.run(plan) == first, name + "the replayed run gives the same bits");
    const auto input = f.data[0];
    f.fill(0, random, -1, 1);
    const auto other = f.run(plan);
    g_counts.check(other != first, name + "another input, another output");
    Plan fresh(f.store(backend_on(0)), f.graph);
    g_counts.check(f.run(fresh) == other, name + "that of a new plan");
    f.data[0] = input;
    g_counts.check(f.run(plan) == first, name + "and back");

    std::vector<double> node_ms, fractions;
    std::vector<std::vector<uint8_t>> out = {std::vector<uint8_t>(first[0].size())};
    const std::atomic<bool> never{false};
    plan.run(
        {f.data[0].data()}, {out[0].data()}, never, [&](double x) { fractions.push_back(x); }, &node_ms);
    g_counts.check(out == first, name + "a timed run gives the same bits");
    double sum = 0;
    bool sane = node_ms.size() == f.graph.nodes.size();
    for (double ms : node_ms) sane = sane && ms >= 0, sum += ms;
    g_counts.check(sane && sum > 0, name + "and times");
    g_counts.check(!fractions.empty() && fractions.back() == 1.0, name + "progress ends at 1");
    g_counts.check(f.run(plan) == first, name + "replay after a timed run");
  }
}

void test_arena_moves(Random& random) {
  const auto backend = backend_on(0);
  const Fixture small(layers(2), random, backend), large(layers(300), random, backend);
  Plan a(small.weights, small.graph), b(small.weights, large.graph);
  const auto expected = small.run(a);
  small.run(a);
  const auto from_large = large.run(b);
  g_counts.check(small.run(a) == expected, "a plan whose arena has moved");
  g_counts.check(small.run(a) == expected && large.run(b) == from_large && large.run(b) == from_large, "both go on");
}

void test_two_devices(Random& random) {
  if (cuda::list_devices(false).devices.size() < 2) return;
  std::vector<std::string> problems(2);
  std::vector<std::thread> threads;
  std::vector<std::vector<std::vector<uint8_t>>> results(2);
  const GraphSpec spec = layers(7);
  const Fixture original(spec, random, backend_on(0));
  for (int device = 0; device < 2; ++device) {
    threads.emplace_back([&, device] {
      try {
        const auto backend = backend_on(device);
        g_counts.check(backend->lane() == device, "a lane per device");
        Plan plan(original.store(backend), original.graph);
        for (int i = 0; i < 10; ++i) {
          const auto out = original.run(plan);
          if (i && out != results[device]) problems[device] = "run " + std::to_string(i) + " differs";
          results[device] = out;
        }
      } catch (const std::exception& error) {
        problems[device] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int device = 0; device < 2; ++device)
    g_counts.check(problems[device].empty(), "device " + std::to_string(device) + ": " + problems[device]);
  g_counts.check(results[0] == results[1], "two devices, one result");
}

// Objects may be dropped by a thread that has another device current, or none.
void test_foreign_thread(Random& random) {
  if (cuda::list_devices(false).devices.size() < 2) return;
  auto backend = backend_on(1);
  auto f = std::make_unique<Fixture>(layers(3), random, backend);
  auto plan = std::make_unique<Plan>(f->weights, f->graph);
  f->run(*plan), f->run(*plan);
  cuda::use_device(0);
  std::thread([&] {
    plan.reset();
    f.reset();
    backend.reset();
  }).join();
  int current = -1;
  cuda::check(cudaGetDevice(&current), "the current device");
  g_counts.check(current == 0, "dropping objects of another device changes nothing here");
}

void test_weights(Random& random) {
  // One matrix as a linear layer's, as a 3×3 convolution's, and as a transposed one's.
  GraphSpec s;
  const auto w = s.weight({8, 8, 3, 3}), picture = s.input({1, 5, 6, 8}), tokens = s.input({4, 72});
  const auto flat = s.node(ReshapeOp{}, {w}, {8, 72});
  s.outputs = {s.node(LinearOp{}, {tokens, flat, kAbsent}, {4, 8}),
               s.node(Conv2dOp{1, 1}, {picture, w, kAbsent}, {1, 5, 6, 8}),
               s.node(ConvTranspose2dOp{}, {picture, w, kAbsent}, {1, 15, 18, 8}),
               s.node(LinearOp{Activation::relu}, {tokens, flat, kAbsent}, {4, 8})};
  std::set<Op> seen;
  const std::string problem = problem_of(s, random, backend_on(0), &seen);
  g_counts.check(problem.empty(), "one weight in three forms: " + problem);

  for (const Op op : {Op::conv2d, Op::conv_transpose2d}) {
    GraphSpec one;
    const auto x = one.input({1, 5, 6, 4});
    const auto kernel = op == Op::conv2d ? one.weight({6, 4, 3, 3}) : one.weight({4, 6, 3, 3});
    if (op == Op::conv2d)
      one.outputs = {one.node(Conv2dOp{1, 1}, {x, kernel, kAbsent}, {1, 5, 6, 6})};
    else
      one.outputs = {one.node(ConvTranspose2dOp{}, {x, kernel, kAbsent}, {1, 15, 18, 6})};
    const Fixture f(one, random, backend_on(0));
    Plan plan(f.weights, f.graph);
    f.run(plan);
    g_counts.check(f.weights->bytes() == f.data[kernel].size(), "a packed weight is kept once");
    const auto plain = f.weights->plain(f.graph.values[kernel].name);
    g_counts.check(plain->data.size() == f.data[kernel].size() &&
                       !std::memcmp(plain->data.data(), f.data[kernel].data(), plain->data.size()),
                   "and can be unpacked");
  }
}

// A parameter is used as it lies: what is written into it is what the next run computes with, replays included.
void test_parameters(Random& random) {
  GraphSpec s;
  const auto w = s.parameter({8, 4, 3, 3}), matrix = s.parameter({8, 36}, DType::bf16);
  const auto picture = s.input({1, 5, 6, 4}), tokens = s.input({4, 36}, DType::bf16);
  s.outputs = {s.node(Conv2dOp{1, 1}, {picture, w}, {1, 5, 6, 8}),
               s.node(LinearOp{}, {tokens, matrix}, {4, 8}, DType::bf16)};
  Fixture f(s, random, backend_on(0));
  Plan plan(f.weights, f.graph);
  for (int i = 0; i < 4; ++i) {
    Plan fresh(f.store(backend_on(0)), f.graph);
    g_counts.check(f.run(plan) == f.run(fresh), "parameters in run " + std::to_string(i));
    for (const uint32_t v : {w, matrix}) {
      const Value& value = f.graph.values[v];
      std::vector<uint8_t> read(f.data[v].size());
      f.weights->read_parameter(value.name, read.data(), read.size());
      g_counts.check(read == f.data[v], "a parameter is read as it was written");
      f.fill(v, random, -1, 1);
      f.weights->set_parameter(value.name, value.dtype, value.shape, f.data[v].data(), f.data[v].size());
    }
  }
}

void test_cancel(Random& random) {
  const auto backend = backend_on(0);
  const Fixture f(layers(4), random, backend);
  Plan plan(f.weights, f.graph);
  std::atomic<bool> cancel{true};
  g_counts.check(!error_of([&] { f.run(plan, {}, &cancel); }, "ERR_ABORTED").empty(), "cancelled before the first run");
  cancel = false;
  const auto expected = f.run(plan);
  for (int i = 0; i < 2; ++i) {
    cancel = true;
    g_counts.check(!error_of([&] { f.run(plan, {}, &cancel); }, "ERR_ABORTED").empty(), "cancelled before a later run");
    cancel = false;
    g_counts.check(f.run(plan, {}, &cancel) == expected, "the same result afterwards");
  }
}

// A terabyte is more than any device has; what fits goes on.
void test_huge_plan(Random& random) {
  const auto backend = backend_on(0);
  const Fixture small(layers(4), random, backend);
  Plan a(small.weights, small.graph);
  const auto expected = small.run(a);
  GraphSpec s;
  const auto x = s.input({int64_t{1} << 19, int64_t{1} << 19});
  s.outputs = {s.node(AddOp{}, {x, x}, {int64_t{1} << 19, int64_t{1} << 19})};
  Plan b(small.weights, decode(s));
  const std::atomic<bool> never{false};
  const std::string message = error_of([&] { b.run({nullptr}, {nullptr}, never, {}, nullptr); }, "ERR_OUT_OF_MEMORY");
  g_counts.check(contains(message, " bytes for the arena of a plan on CUDA device 0: "), "a terabyte: " + message);
  g_counts.check(small.run(a) == expected && small.run(a) == expected, "smaller work goes on");
}

// Comes first: a cuBLASLt that was found stays.
void test_cublaslt_missing() {
  const char* before = std::getenv("BA_SAM_CUBLASLT");
  const std::string path = before ? before : "";
  setenv("BA_SAM_CUBLASLT", "/nowhere/libcublasLt.so.13", 1);
  const std::string message = error_of([] { backend_on(0); }, "ERR_DEVICE_UNAVAILABLE");
  g_counts.check(contains(message, "cuBLASLt was not found, tried /nowhere/libcublasLt.so.13; install"), message);
  setenv("BA_SAM_CUBLASLT", "libm.so.6", 1);
  const std::string other = error_of([] { backend_on(0); }, "ERR_DEVICE_UNAVAILABLE");
  g_counts.check(contains(other, "tried libm.so.6 (it has no cublasLtGetVersion)"), other);
  unsetenv("BA_SAM_CUBLASLT");
  const cuda::lt::Found found = cuda::lt::find();
  g_counts.check(found.library || contains(found.reason, "libcublasLt.so.13, libcublasLt.so.12"), found.reason);
  if (before) setenv("BA_SAM_CUBLASLT", path.c_str(), 1);
}

void test_staging(Random& random) {
  constexpr size_t kMegabyte = size_t{1} << 20;
  cuda::use_device(0);
  cudaStream_t stream = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  {
    cuda::Staging staging(stream);
    for (int round = 0; round < 3; ++round) {
      std::vector<std::vector<uint8_t>> sent;
      std::vector<std::unique_ptr<cuda::DeviceMemory>> memory;
      for (size_t bytes : {size_t{1}, size_t{255}, size_t{256}, size_t{257}, size_t{0}, kMegabyte / 4,
                           16 * kMegabyte + 1, 3 * kMegabyte, 40 * kMegabyte + 13, size_t{100}}) {
        std::vector<uint8_t> data(bytes);
        for (size_t i = 0; i < bytes; i += 61) data[i] = static_cast<uint8_t>(random.next());
        memory.push_back(std::make_unique<cuda::DeviceMemory>(0, bytes, "a test"));
        staging.upload(memory.back()->data(), data.data(), bytes);
        sent.push_back(std::move(data));
      }
      std::vector<std::vector<uint8_t>> received;
      for (const auto& data : sent) received.emplace_back(data.size());
      for (size_t i = 0; i < sent.size(); ++i) staging.download(received[i].data(), memory[i]->data(), sent[i].size());
      staging.flush();
      g_counts.check(received == sent, "what goes up comes down, round " + std::to_string(round));
      // After a failure nothing is written any more.
      std::vector<uint8_t> untouched(1000, 7);
      staging.download(untouched.data(), memory[6]->data(), untouched.size());
      staging.abandon();
      g_counts.check(untouched == std::vector<uint8_t>(1000, 7), "an abandoned download");
      const std::atomic<bool> cancelled{true};
      g_counts.check(
          !error_of([&] { staging.upload(memory[0]->data(), sent[0].data(), 1, &cancelled); }, "ERR_ABORTED").empty(),
          "a cancelled upload");
    }
  }
  cuda::check(cudaStreamDestroy(stream), "the end of a stream");
}

// A graph of many megabytes in and out, and one of nothing.
void test_sizes(Random& random) {
  GraphSpec s;
  const auto x = s.input({1, 5000, 1000}), byte = s.input({1, 3000, 1}, DType::f16);
  s.outputs = {s.node(SliceOp{1, 4999}, {x}, {1, 4999, 1000}), x, byte};
  const Fixture f(s, random, backend_on(0));
  Plan plan(f.weights, f.graph);
  for (int i = 0; i < 3; ++i) {
    const auto out = f.run(plan);
    g_counts.check(out[1] == f.data[x] && out[2] == f.data[byte] &&
                       !std::memcmp(out[0].data(), f.data[x].data() + 4000, out[0].size()),
                   "20 MB in, 40 MB out, run " + std::to_string(i));
  }
  constexpr int64_t kMany = int64_t{1} << 39;
  GraphSpec none;
  const auto nothing = none.input({kMany, 1, 0});
  none.outputs = {none.node(AddOp{}, {nothing, nothing}, {kMany, 1, 0})};
  const Fixture g(none, random, backend_on(0));
  Plan empty(g.weights, g.graph);
  g_counts.check(error_of([&] { g.run(empty), g.run(empty); }).empty(), "2^39 rows of nothing");
}

void test_broken_plan(Random& random) {
  GraphSpec s;
  const auto x = s.input({1, 3, 129});
  s.outputs = {s.node(AttentionOp{1, 0.5}, {x, x, x}, {1, 3, 129})};
  const Fixture f(s, random, backend_on(0));
  Plan plan(f.weights, f.graph);
  for (int i = 0; i < 2; ++i) {
    const std::string message = error_of([&] { f.run(plan); });
    g_counts.check(contains(message, "Expected a head size of at most 128 for attention on CUDA but received 129"),
                   message);
  }
}

}  // namespace

int main() {
  if (no_device()) return g_counts.finish();
  test_cublaslt_missing();
  if (!cuda::lt::find().library) cuda::lt::replace(&refusing_cublaslt());
  {
    Random random(1);
    test_replay(random);
    test_arena_moves(random);
    test_two_devices(random);
    test_foreign_thread(random);
    test_weights(random);
    test_parameters(random);
    test_cancel(random);
    test_staging(random);
    test_sizes(random);
    test_broken_plan(random);
    test_huge_plan(random);
  }
  check_emulation(g_counts);
  return g_counts.finish();
}
