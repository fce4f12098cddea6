// SPDX-License-Identifier: Apache-2.0
// Pictures: PNG and JPEG files as pixels, read and decoded within limits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace graft_run {

inline constexpr uint64_t kMaxPictureBytes = uint64_t{64} << 20;  ///< Of a file.
inline constexpr uint32_t kMaxPictureSide = 16384;
inline constexpr uint64_t kMaxPicturePixels = uint64_t{1} << 26;

struct PictureDeleter {
  void operator()(uint8_t* pixels) const;
};

/// Red, green and blue bytes, row by row. Alpha is left out, 16 bits are cut to their upper 8, and
/// an orientation that EXIF notes is not applied.
struct Picture {
  std::unique_ptr<uint8_t, PictureDeleter> pixels;
  uint32_t width = 0;
  uint32_t height = 0;
};

/// Decodes a file's bytes. While it does, it holds no more memory than the size in the file's
/// header asks for, whatever the data say. One call at a time. Returns an empty string, or what is
/// wrong.
std::string DecodePicture(std::span<const uint8_t> bytes, Picture* picture);

/// Reads and decodes `file`. False after a failure, which has been printed.
bool ReadPicture(const std::string& file, Picture* picture);

}  // namespace graft_run
