// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/shapes.h"

#include "schema/generated/model_generated.h"

namespace graft::converter {

schema::fb::ImageWindow StoredWindow(const WindowShape& window) {
  const auto u32 = [](int64_t number) { return static_cast<uint32_t>(number); };
  return {u32(window.channels),        u32(window.height),        u32(window.width),
          u32(window.kernel_height),   u32(window.kernel_width),  u32(window.stride_height),
          u32(window.stride_width),    u32(window.pad_height),    u32(window.pad_width),
          u32(window.dilation_height), u32(window.dilation_width)};
}

}  // namespace graft::converter
