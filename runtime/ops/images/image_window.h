// SPDX-License-Identifier: Apache-2.0
// A window over an image, from the file's form to the kernels'.
#pragma once

#include "runtime/kernels/images/image_windows.h"

namespace graft::schema::fb {
struct ImageWindow;
}

namespace graft::runtime::ops {

/// Requires a verified window.
ImageWindow WindowOf(const schema::fb::ImageWindow& window, bool is_planar);

}  // namespace graft::runtime::ops
