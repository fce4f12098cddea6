// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/thread_options.h"

namespace graft_run {

void ThreadOptions::AddTo(Options* options) {
  constexpr uint64_t kMostThreads = 256;
  options->Integer("threads", 't', &count, 1, kMostThreads);
  options->String("cpus", 0, &cpus, nullptr);
}

}  // namespace graft_run
