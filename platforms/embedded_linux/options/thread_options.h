// SPDX-License-Identifier: Apache-2.0
// The options of every command that computes: how many threads, and where they run.
#pragma once

#include <cstdint>
#include <string>

#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

struct ThreadOptions {
  void AddTo(Options* options);

  uint64_t count = 0;  ///< 0: the default
  std::string cpus;    ///< "": anywhere
};

}  // namespace graft_run
