// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace graft::runtime {

/// Highway's name of the vector instructions that our own kernels use on this CPU: "NEON", "AVX3".
const char* VectorLevel();

}  // namespace graft::runtime
