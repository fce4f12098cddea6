// SPDX-License-Identifier: Apache-2.0
// The one flag that Ctrl-C sets and long work looks at between blocks.
#pragma once

#include <atomic>

#include "schema/status.h"

namespace graft::converter {

/// Set from a signal handler (lock-free); only tests clear it.
inline std::atomic<bool> g_cancelled{false};

/// kCancelled once the flag is set.
inline Status CheckCancelled() {
  if (!g_cancelled.load(std::memory_order_relaxed)) return OkStatus();
  return Status(StatusCode::kCancelled, "stopped on request; nothing was written");
}

}  // namespace graft::converter
