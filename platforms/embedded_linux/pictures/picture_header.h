// SPDX-License-Identifier: Apache-2.0
// PictureHeader: what a PNG or JPEG file says of itself, looked at before anything of it is
// decoded.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace graft_run {

struct PictureHeader {
  uint32_t width = 0;
  uint32_t height = 0;
};

/// The checksum at the end of a PNG's chunk, of its type and data (ISO 3309).
uint32_t PngChecksum(std::span<const uint8_t> bytes);

/// Walks the whole file: a PNG's chunks with their checksums, up to the last; a JPEG's segments, up
/// to the marker that ends it. Allocates nothing but the message.
/// Returns  an empty string, or what is wrong.
std::string ReadPictureHeader(std::span<const uint8_t> bytes, PictureHeader* header);

}  // namespace graft_run
