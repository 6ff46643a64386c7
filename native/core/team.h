// How large a team of threads may be here. OpenMP's runtime ends the process when it gets no thread (a limit on processes:
// docker --pids-limit, ulimit -u), so it is asked for no more than there are.
#pragma once

#include <functional>
#include <thread>

namespace ba_sam {

// Starts a thread that runs the function, or throws std::system_error.
using StartThread = std::function<std::thread(std::function<void()>)>;

// How many of `wanted` threads can be started besides those that run. All are started, counted and ended.
int count_threads(int wanted, const StartThread& start);

// The size, 1 to `wanted`, of the OpenMP team of the calling thread. Where fewer threads are to be had than wanted, some are left
// for others: libuv ends the process, too, when it gets none for its pool. Asks the system only for a larger team than
// ever before on this thread, and starts that team at once, before others take its threads.
int team_to_be_had(int wanted);
// Likewise, for a team that has `had` threads already; starts nothing.
int team_to_be_had(int wanted, int had, const StartThread& start);

}  // namespace ba_sam
