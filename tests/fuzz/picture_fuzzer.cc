// SPDX-License-Identifier: Apache-2.0
// Fuzzes what graft-run reads images with: any bytes are pixels of the size that the header gives,
// or a message. Checksums of PNG chunks are made right first, so that what lies in them is reached.
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "platforms/embedded_linux/pictures/picture.h"
#include "platforms/embedded_linux/pictures/picture_header.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> bytes(data, data + size);
  for (size_t at = 8; size > 20 && bytes[0] == 0x89 && at + 12 <= size;) {
    const size_t length = size_t{bytes[at]} << 24 | size_t{bytes[at + 1]} << 16 |
                          size_t{bytes[at + 2]} << 8 | bytes[at + 3];
    if (length > size - at - 12) break;
    const uint32_t checksum = graft_run::PngChecksum(std::span(bytes).subspan(at + 4, length + 4));
    for (size_t i = 0; i < 4; ++i)
      bytes[at + 8 + length + i] = static_cast<uint8_t>(checksum >> (24 - 8 * i));
    at += length + 12;
  }
  graft_run::Picture picture;
  const bool is_read = graft_run::DecodePicture(bytes, &picture).empty();
  if (is_read != (picture.pixels != nullptr)) std::abort();
  if (!is_read) return 0;
  // Reads the last of what there must be.
  const size_t count = size_t{picture.width} * picture.height * 3;
  volatile uint8_t last = picture.pixels.get()[count - 1];
  static_cast<void>(last);
  return 0;
}
