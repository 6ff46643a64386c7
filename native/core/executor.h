// The compute thread: one per process, shared by every model, environment and worker thread.
//
// Why one: OpenMP runtimes keep a team of threads per calling thread. Work that hopped between libuv's pool threads
// would grow one team each, and two teams would fight for the same cores. Here oneDNN and our kernels always meet
// the same team, and run after run reuses it.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

namespace ba_sam {

// Shared between the run, whoever may cancel it, and the environment that waits for it.
struct CancelToken {
  std::atomic<bool> cancelled{false};
};

class Executor {
 public:
  static Executor& instance();

  // Queues `work`; it runs on the compute thread in order of submission. `owner` names a group (an environment)
  // for drain(). Work must catch its own errors, and report ERR_ABORTED without computing once its token is
  // cancelled: drain() runs cancelled work on the draining thread.
  void submit(const void* owner, std::shared_ptr<CancelToken> token, std::function<void()> work);

  // Cancels every task of this owner (all owners when null) and waits until none is queued or running.
  void drain(const void* owner);

  // drain(nullptr), and from now on submitted work is cancelled at once: the process is about to exit. Must come before
  // exit(): oneDNN's lazily made statics (its primitive cache) are destroyed before any atexit handler that was
  // registered earlier, and a run that meets them then crashes or waits for ever.
  void shut_down();

  int threads() const;
  // Throws SamError once work has run: plans are partitioned for a fixed number.
  void set_threads(int threads);

 private:
  Executor();
  void loop();
  struct State;
  State* state_;  // leaked on purpose: the thread may outlive static destructors
};

}  // namespace ba_sam
