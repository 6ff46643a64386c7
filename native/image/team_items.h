// Work items of different length on an OpenMP team, each thread with memory of its own.
#pragma once

#include <atomic>
#include <cstdint>

namespace ba_sam {

// How many threads get an item: so many slots there are.
inline int team_slots(int64_t items, int threads) {
#ifdef _OPENMP
  return static_cast<int>(items < 1 ? 1 : items < threads ? items : threads);
#else
  (void)items, (void)threads;
  return 1;
#endif
}

// work(item, slot) for every item below `items`; no two threads have a slot at the same time. `work` must not throw.
//
// The whole team is started, though some of its threads may get no item: a smaller region would end those that it leaves out, and
// the next one would have to get them anew.
template <class Work>
void for_each_item(int64_t items, int threads, Work work) {
  const int slots = team_slots(items, threads);
  std::atomic<int> taken{0};
#ifdef _OPENMP
#pragma omp parallel num_threads(slots == 1 ? 1 : threads)
#endif
  {
    int slot = -1;
#ifdef _OPENMP
#pragma omp for schedule(dynamic, 1)
#endif
    for (int64_t item = 0; item < items; ++item) {
      if (slot < 0) slot = taken++;
      work(item, slot);
    }
  }
}

}  // namespace ba_sam
