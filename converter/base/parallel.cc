// SPDX-License-Identifier: Apache-2.0
// A counter, a few threads, and the first failure.
#include "converter/base/parallel.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include "converter/base/cancellation.h"

namespace graft::converter {

namespace {

// Nothing may be thrown out of a thread.
Status Try(const std::function<Status(int64_t)>& work, int64_t i) {
  try {
    return work(i);
  } catch (const std::bad_alloc&) {
    return Status(StatusCode::kOutOfMemory, "out of memory");
  } catch (const std::length_error&) {  // more than a string or a vector can ever hold
    return Status(StatusCode::kOutOfMemory, "out of memory");
  }
}

}  // namespace

int DefaultThreads() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1u, std::thread::hardware_concurrency());
}

Status ParallelFor(int threads, int64_t count, const std::function<Status(int64_t)>& work) {
  std::atomic<int64_t> next{0};
  std::atomic<bool> failed{false};
  std::mutex mutex;
  int64_t failed_at = count;
  Status failure;

  const auto run = [&] {
    while (!failed.load(std::memory_order_relaxed)) {
      const int64_t i = next.fetch_add(1, std::memory_order_relaxed);
      if (i >= count) return;
      Status status = CheckCancelled();
      if (status.ok()) status = Try(work, i);
      if (status.ok()) continue;
      failed.store(true, std::memory_order_relaxed);
      const std::lock_guard<std::mutex> lock(mutex);
      if (i < failed_at) {
        failed_at = i;
        failure = std::move(status);
      }
    }
  };

  const int64_t useful = std::min<int64_t>(std::max(threads, 1), count);
  std::vector<std::thread> others;
  others.reserve(static_cast<size_t>(std::max<int64_t>(useful, 1)));
  for (int64_t i = 1; i < useful; ++i) {
    // A machine that gives no more threads still does the work, on fewer.
    try {
      others.emplace_back(run);
    } catch (const std::system_error&) {
      break;
    } catch (const std::bad_alloc&) {
      break;
    }
  }
  run();
  for (std::thread& thread : others) thread.join();
  return failure;
}

}  // namespace graft::converter
