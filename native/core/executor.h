// The compute threads: one per lane, shared by every model, environment and worker thread of the process. The CPU is
// lane 0 of the CPU addon; in another backend's addon each device has a lane of its own.
//
// Why one for the CPU: OpenMP runtimes keep a team of threads per calling thread. Work that hopped between libuv's pool
// threads would grow one team each, and two teams would fight for the same cores. Here oneDNN and our kernels always meet
// the same team, and run after run reuses it. Why one per device: work for different devices runs at the same time, work
// for one device in order.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>

namespace ba_sam {

// Shared between the run, whoever may cancel it, and the environment that waits for it.
struct CancelToken {
  std::atomic<bool> cancelled{false};
};

class Executor {
 public:
  static Executor& instance();

  // Queues `work`; it runs on the lane's thread, which starts at the lane's first work, in order of submission. `owner`
  // names a group (an environment) for drain(). Work must catch its own errors, and report ERR_ABORTED without computing
  // once its token is cancelled: drain() runs cancelled work on the draining thread. Throws SamError ERR_OUT_OF_MEMORY
  // when no thread can be had; `work` has not run then.
  void submit(int lane, const void* owner, std::shared_ptr<CancelToken> token, std::function<void()> work);

  // Cancels every task of this owner (all owners when null) in every lane and waits until none is queued or running.
  void drain(const void* owner);

  // drain(nullptr), and from now on submitted work is cancelled at once: the process is about to exit. Must come before
  // static objects are destroyed: oneDNN's lazily made ones (its primitive cache) are gone before any atexit handler that was
  // registered earlier runs, and a run that meets them then crashes or waits for ever.
  void shut_down();

  // What frees models, whatever environment they belonged to.
  static const void* release_owner();

  // Call on every thread that uses the executor. When the process's first thread calls exit(), or returns from main, everything
  // is shut down before the first atexit handler and the first destructor of a static object (also where a library calls exit()
  // on a compute thread, as libgomp does when it gets no thread); when another thread ends, what it gave to
  // release_owner() is done before.
  void drain_with_thread();

  // Size of lane 0's OpenMP team.
  int threads() const;
  // The size that was asked for, where the system did not give as many threads (core/team.h); 0 otherwise.
  int threads_refused() const;
  // Throws SamError once work has run in lane 0: plans are partitioned for a fixed number.
  void set_threads(int threads);

 private:
  struct State;
  struct Lane;
  Executor();
  void loop(Lane& lane);
  void start_team(Lane& lane, std::unique_lock<std::mutex>& lock);
  State* state_;  // leaked on purpose: the threads may outlive static destructors
};

}  // namespace ba_sam
