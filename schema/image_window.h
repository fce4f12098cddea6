// SPDX-License-Identifier: Apache-2.0
// Places of a window that moves over an image: how many there are, and whether its numbers are
// sound.
#pragma once

#include <cstdint>

#include "schema/result.h"

namespace graft::schema {

namespace fb {
struct ImageWindow;
}  // namespace fb

inline constexpr uint32_t kMaxImageSide = 1 << 14;
inline constexpr uint32_t kMaxImageChannels = 1 << 16;
/// Of what one op makes of an image: 1 GiB of floats.
inline constexpr uint64_t kMaxImageElements = uint64_t{1} << 28;

/// Places of a window along the height and the width of its image.
struct WindowPlaces {
  int64_t height = 0;
  int64_t width = 0;
};

/// Places of the window: (side + 2 pad + extra - dilation (kernel - 1) - 1) / stride + 1, along each
/// side; extra zeros lie below and right of the image.
/// Errors   kCorrupt: a number of 0 or beyond the limits above, padding as large as the kernel, or
///          a window larger than the padded image; the message begins with "has" and names it.
Result<WindowPlaces> PlacesOf(const fb::ImageWindow& window, uint32_t extra_height = 0,
                              uint32_t extra_width = 0);

}  // namespace graft::schema
