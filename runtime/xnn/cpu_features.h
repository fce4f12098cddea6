// SPDX-License-Identifier: Apache-2.0
// What this CPU can do that kernels are chosen by.
#pragma once

#include <string>

namespace graft::runtime {

/// Such as "neon dotprod i8mm", for what was found when XNNPACK was set up.
/// Requires InitializeKernels.
std::string CpuFeatures();

}  // namespace graft::runtime
