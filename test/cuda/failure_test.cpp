// What the CUDA backend does when memory runs out, a device is lost or cannot be used: for the emulation, which can be told to
// fail. Prints "N passed, N failed".
#include "../native/graph_fixture.h"
#include "cuda_support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

void test_out_of_memory(Random& random) {
  emulation::Settings settings = emulation::environment_settings();
  settings.sm = 80;  // a later one's workspace would be larger
  settings.memory = size_t{24} << 20;
  emulation::reset(settings);
  {
    const auto backend = backend_on(0);
    const Fixture small(layers(4), random, backend);
    Plan a(small.weights, small.graph);
    const auto expected = small.run(a);
    const Fixture large(layers(60000), random, backend);
    Plan b(small.weights, large.graph);
    const std::string message = error_of([&] { large.run(b); }, "ERR_OUT_OF_MEMORY");
    g_counts.check(contains(message, "Could not allocate ") &&
                       contains(message, " bytes for the arena of a plan on CUDA device 0: ") &&
                       contains(message, " bytes are free"),
                   "an arena too large: " + message);
    g_counts.check(small.run(a) == expected && small.run(a) == expected, "smaller work goes on");

    GraphSpec s;
    const auto x = s.input({1, 1024});
    s.outputs = {s.node(LinearOp{}, {x, s.weight({8192, 1024}), kAbsent}, {1, 8192})};
    const Fixture heavy(s, random, backend);
    Plan c(heavy.weights, heavy.graph);
    for (int i = 0; i < 2; ++i) {
      const std::string refused = error_of([&] { heavy.run(c); }, "ERR_OUT_OF_MEMORY");
      g_counts.check(contains(refused, "33554432 bytes for a weight"), "a weight too large: " + refused);
    }
    g_counts.check(small.run(a) == expected, "smaller work still goes on");
    settings.memory = size_t{1} << 30;
    emulation::reset(settings);
    g_counts.check(error_of([&] { heavy.run(c); }).empty(), "with room, the same plan runs");
  }
  settings.memory = size_t{4} << 20;
  emulation::reset(settings);
  {
    const auto backend = backend_on(0);
    const Fixture f(layers(4), random, backend);
    Plan plan(f.weights, f.graph);
    const std::string message = error_of([&] { f.run(plan); }, "ERR_OUT_OF_MEMORY");
    g_counts.check(contains(message, "cuBLASLt's workspace"), "no room for a workspace: " + message);
    settings.memory = size_t{1} << 30;
    emulation::reset(settings);
    g_counts.check(error_of([&] { f.run(plan); }).empty(), "a backend that could not start starts later");
  }
  emulation::reset();
  g_counts.check(cuda::memory_counter(0).bytes == 0, "everything was given back");
  g_counts.check(cuda::memory_counter(0).peak_bytes > (size_t{32} << 20), "the peak is known");
  cuda::memory_counter(0).reset_peak();
  g_counts.check(cuda::memory_counter(0).peak_bytes == 0, "and can be reset");
}

// Whichever launch fails, the error is the same, nothing crashes, and the other device goes on.
void test_lost_device(Random& random) {
  for (uint64_t at : {1, 2, 4, 8, 9, 12}) {
    const std::string name = "lost at launch " + std::to_string(at) + ": ";
    emulation::Settings settings = emulation::environment_settings();
    settings.lose_at = at;
    emulation::reset(settings);
    {
      const auto backend = backend_on(0);
      const Fixture f(layers(4), random, backend);
      Plan plan(f.weights, f.graph);
      std::string message;
      for (int i = 0; i < 4 && message.empty(); ++i) message = error_of([&] { f.run(plan); }, "ERR_DEVICE_LOST");
      g_counts.check(contains(message, "cannot be used again"), name + message);
      for (int i = 0; i < 2; ++i) {
        const std::string again = error_of([&] { f.run(plan); }, "ERR_DEVICE_LOST");
        g_counts.check(contains(again, "cannot be used again"), name + "again: " + again);
      }
      g_counts.check(!error_of([&] { backend->allocate(100, "a test"); }, "ERR_DEVICE_LOST").empty(),
                     name + "no memory either");
      Plan other(f.store(backend_on(1)), f.graph);
      const std::string elsewhere = error_of([&] { f.run(other); });
      g_counts.check(elsewhere.empty(), name + "the other device works" + elsewhere);
    }
    emulation::reset();
  }
}

void test_unavailable() {
  const auto refusal = [](int device = 0) { return error_of([&] { backend_on(device); }, "ERR_DEVICE_UNAVAILABLE"); };
  g_counts.check(contains(refusal(2), "between 0 and 1 but received 2"), refusal(2));
  emulation::Settings settings = emulation::environment_settings();
  settings.sm = 75;
  emulation::reset(settings);
  g_counts.check(contains(refusal(), "compute capability 7.5; needs 8.0 or later"), refusal());
  g_counts.check(contains(cuda::list_devices(false).reason, "No CUDA device can be used: device 0"),
                 cuda::list_devices(false).reason);
  settings.sm = 80;
  settings.devices = 0;
  emulation::reset(settings);
  g_counts.check(contains(refusal(), "No CUDA device was found"), refusal());
  settings.devices = 2;
  settings.driver = 0;
  emulation::reset(settings);
  g_counts.check(contains(refusal(), "No NVIDIA driver was found"), refusal());
  settings.driver = 11080;
  emulation::reset(settings);
  g_counts.check(contains(refusal(), "supports CUDA up to 11.8; this build needs 13.0"), refusal());
  emulation::reset();
  const cuda::Devices found = cuda::list_devices(true);
  g_counts.check(found.reason.empty() && found.devices.size() == 2 && found.devices[1].index == 1 &&
                     !found.devices[1].name.empty() && found.devices[1].major >= 8 &&
                     found.devices[1].memory_bytes >= found.devices[1].free_bytes && found.devices[1].free_bytes > 0,
                 "devices are described");
}

}  // namespace

int main() {
  if (no_device()) return g_counts.finish();
  if (!cuda::lt::find().library) cuda::lt::replace(&refusing_cublaslt());
  {
    Random random(1);
    test_out_of_memory(random);
    test_lost_device(random);
    test_unavailable();
  }
  check_emulation(g_counts);
  return g_counts.finish();
}
