// SPDX-License-Identifier: Apache-2.0
// ParallelFor: independent pieces of work over a few threads, stopping at the first that fails.
#pragma once

#include <cstdint>
#include <functional>

#include "schema/status.h"

namespace graft::converter {

/// Number of threads to use when the user named none: the CPUs this process may run on.
int DefaultThreads();

/// Calls work(i) once for each i in [0, count), handing out i in ascending order to `threads`
/// threads (the caller is one). Work must write only to its own place, so that results do not
/// depend on the number of threads.
/// Errors   that of the smallest i that failed; kCancelled when g_cancelled is set. Later pieces
///          are then not started.
Status ParallelFor(int threads, int64_t count, const std::function<Status(int64_t)>& work);

}  // namespace graft::converter
