// SPDX-License-Identifier: Apache-2.0
// Runs a list of independent tasks on a few threads, while a model loads.
#pragma once

#include <cstddef>
#include <functional>

#include "schema/status.h"

namespace graft::runtime {

/// Runs task(index, worker) for index 0 .. count-1 on `threads` threads, worker being below that
/// number. After a failure no further task starts. Returns the first failure; kOutOfMemory if an
/// allocation failed in a task, or if the system gives no threads.
Status RunTasks(unsigned threads, size_t count,
                const std::function<Status(size_t index, unsigned worker)>& task);

}  // namespace graft::runtime
