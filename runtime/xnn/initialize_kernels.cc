// SPDX-License-Identifier: Apache-2.0
// Setting up XNNPACK, so that memory that runs out meanwhile is no verdict on the CPU.
#include <cerrno>
#include <mutex>

#include <cpuinfo.h>
#include <xnnpack.h>

#include "runtime/xnn/linear_operator.h"

// XNNPACK asks cpuinfo what the CPU is, and cpuinfo looks once: where an allocation fails while it
// does, nothing runs in this process any more. So this takes the place of its cpuinfo_initialize,
// and looks until it has seen. What it calls is cpuinfo's own.
#if defined(__linux__) && (CPUINFO_ARCH_X86 || CPUINFO_ARCH_X86_64)
#define GRAFT_LOOK_AT_CPU cpuinfo_x86_linux_init
#elif defined(__linux__) && (CPUINFO_ARCH_ARM || CPUINFO_ARCH_ARM64)
#define GRAFT_LOOK_AT_CPU cpuinfo_arm_linux_init
#endif
#ifdef GRAFT_LOOK_AT_CPU
extern "C" {
extern bool cpuinfo_is_initialized;
void GRAFT_LOOK_AT_CPU(void);

/// Requires that InitializeKernels is what calls it first.
bool cpuinfo_initialize(void) {
  if (!cpuinfo_is_initialized) GRAFT_LOOK_AT_CPU();
  return cpuinfo_is_initialized;
}
}
#endif

namespace graft::runtime {

Status InitializeKernels() {
  static std::mutex mutex;
  const std::lock_guard<std::mutex> lock(mutex);
  errno = 0;
  if (!cpuinfo_initialize()) {
    if (errno == ENOMEM) return Status(StatusCode::kOutOfMemory, "no memory to look at the CPU");
    return Status(StatusCode::kUnsupported, "cpuinfo does not know this CPU");
  }
  const xnn_status status = xnn_initialize(nullptr);
  if (status == xnn_status_success) return OkStatus();
  return Error(StatusCode::kUnsupported, "XNNPACK does not support this CPU (status %d)",
               static_cast<int>(status));
}

}  // namespace graft::runtime
