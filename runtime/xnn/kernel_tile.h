// SPDX-License-Identifier: Apache-2.0
// Which kernel XNNPACK has chosen for a weight format, as far as its packed weights show it.
#pragma once

#include <cstddef>

#include "runtime/kernels/embedding.h"
#include "schema/result.h"

namespace graft::runtime {

/// What a kernel reads of a weight in one go.
struct KernelTile {
  size_t rows = 0;     ///< output features that are computed side by side
  size_t columns = 0;  ///< neighbouring inputs that one instruction multiplies and adds
};

/// Packs small matrices on this CPU, and looks where their numbers go.
/// Errors   kUnsupported (no kernel for this format), kOutOfMemory.
Result<KernelTile> FindKernelTile(WeightFormat format);

}  // namespace graft::runtime
