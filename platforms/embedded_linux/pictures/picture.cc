// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/pictures/picture.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/pictures/picture_decoder.h"
#include "platforms/embedded_linux/pictures/picture_header.h"

namespace graft_run {
namespace {

// What decoding takes at most: of a PNG the scan lines of up to 4 channels of 16 bits, the same
// without filters, and its 8 bits; of a JPEG the planes, padded to 32 pixels, and twice as much for
// their coefficients if it is progressive. The compressed bytes are gathered in doubling steps.
size_t BudgetFor(const PictureHeader& header, size_t file_bytes) {
  constexpr size_t kBytesPerPixel = 32;
  constexpr size_t kFixedBytes = size_t{1} << 20;
  return (size_t{header.width} + 64) * (size_t{header.height} + 64) * kBytesPerPixel +
         4 * file_bytes + kFixedBytes;
}

}  // namespace

void PictureDeleter::operator()(uint8_t* pixels) const { FreeColours(pixels); }

std::string DecodePicture(std::span<const uint8_t> bytes, Picture* picture) {
  if (bytes.size() > kMaxPictureBytes) {
    return Format("has more than %llu MiB",
                  static_cast<unsigned long long>(kMaxPictureBytes >> 20));
  }
  PictureHeader header;
  if (std::string problem = ReadPictureHeader(bytes, &header); !problem.empty()) return problem;
  const uint64_t pixels = uint64_t{header.width} * header.height;
  if (pixels == 0 || header.width > kMaxPictureSide || header.height > kMaxPictureSide) {
    return Format("is %u x %u pixels; it must have 1 to %u a side", header.width, header.height,
                  kMaxPictureSide);
  }
  if (pixels > kMaxPicturePixels) {
    return Format("has %u x %u pixels; at most %llu in all are decoded", header.width,
                  header.height, static_cast<unsigned long long>(kMaxPicturePixels));
  }
  const char* reason = nullptr;
  picture->pixels.reset(
      DecodeColours(bytes, header.width, header.height, BudgetFor(header, bytes.size()), &reason));
  if (picture->pixels == nullptr) return std::string("cannot be decoded: ") + reason;
  picture->width = header.width;
  picture->height = header.height;
  return {};
}

bool ReadPicture(const std::string& file, Picture* picture) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> input(
      std::fopen(file.c_str(), "rbe"),
      [](std::FILE* f) { return f == nullptr ? 0 : std::fclose(f); });
  std::string bytes;
  char block[65536];
  size_t count = 0;
  while (input != nullptr && bytes.size() <= kMaxPictureBytes &&
         (count = std::fread(block, 1, sizeof(block), input.get())) > 0) {
    bytes.append(block, count);
  }
  if (input == nullptr || std::ferror(input.get()) != 0) {
    Fail(file, std::strerror(errno));
    return false;
  }
  const std::string problem =
      DecodePicture({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, picture);
  if (!problem.empty()) Fail(file, problem);
  return problem.empty();
}

}  // namespace graft_run
