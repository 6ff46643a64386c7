// The size of a thread team where threads are limited. Prints "N passed, N failed".
#include "../../native/core/team.h"

#include <omp.h>

#include <filesystem>
#include <iterator>
#include <mutex>
#include <new>
#include <string>
#include <system_error>

#include "support.h"

namespace {

using namespace ba_sam;
using namespace ba_sam::test;

Counts g_counts;

// A system that has `limit` threads, all of them at once.
class Limited {
 public:
  explicit Limited(int limit) : left_(limit) {}

  StartThread factory() {
    return [this](std::function<void()> run) {
      ++asked;
      if (left_ == 0) throw std::system_error(EAGAIN, std::generic_category());
      --left_;
      return std::thread(std::move(run));
    };
  }

  int asked = 0;

 private:
  int left_;
};

void test_count() {
  for (const int limit : {0, 1, 5, 9}) {
    Limited system(limit);
    g_counts.check(count_threads(5, system.factory()) == std::min(limit, 5), "counted " + std::to_string(limit));
    g_counts.check(system.asked == std::min(limit + 1, 5), "asked no further than the first refusal");
  }
  g_counts.check(count_threads(0, [](std::function<void()>) -> std::thread { throw std::bad_alloc(); }) == 0, "none");
  g_counts.check(count_threads(3, [](std::function<void()>) -> std::thread { throw std::bad_alloc(); }) == 0,
                 "no memory for a stack is no thread");
}

void test_team() {
  const auto team = [](int wanted, int had, int limit) {
    return team_to_be_had(wanted, had, Limited(limit).factory());
  };
  g_counts.check(team(8, 1, 7) == 8, "all that are wanted");
  g_counts.check(team(8, 1, 100) == 8, "no more than wanted");
  g_counts.check(team(8, 1, 6) == 3, "four are left for others");
  g_counts.check(team(8, 1, 4) == 1 && team(8, 1, 0) == 1, "one thread is always there");
  g_counts.check(team(8, 5, 3) == 8 && team(8, 5, 2) == 5, "a larger team keeps what it had");
  Limited untouched(0);
  g_counts.check(team_to_be_had(4, 8, untouched.factory()) == 4 && untouched.asked == 0, "a smaller team needs none");
  g_counts.check(team_to_be_had(1, 1, untouched.factory()) == 1 && untouched.asked == 0, "a team of one needs none");
}

void test_here() {
  const int wanted = team_to_be_had(3);
  g_counts.check(wanted == 3, "three threads are to be had");
  const auto tasks = std::filesystem::directory_iterator("/proc/self/task");
  g_counts.check(std::distance(begin(tasks), end(tasks)) == 3, "and are there, before anybody needs them");
  g_counts.check(team_to_be_had(2) == 2 && team_to_be_had(3) == 3, "a smaller team afterwards");
  int met = 0;
#pragma omp parallel num_threads(3) reduction(+ : met)
  met += 1;
  g_counts.check(met == 3, "and OpenMP has them");
}

}  // namespace

int main() {
  test_count();
  test_team();
  test_here();
  return g_counts.finish();
}
