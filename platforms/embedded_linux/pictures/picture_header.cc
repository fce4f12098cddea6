// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/pictures/picture_header.h"

#include <array>
#include <cstring>

namespace graft_run {
namespace {

constexpr const char* kCutShort = "is cut short: the file ends before the image does";

uint32_t Big32(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}
uint32_t Big16(const uint8_t* bytes) { return uint32_t{bytes[0]} << 8 | bytes[1]; }

}  // namespace

uint32_t PngChecksum(std::span<const uint8_t> bytes) {
  std::array<uint32_t, 16> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t value = i;
    for (int bit = 0; bit < 4; ++bit) value = value >> 1 ^ ((value & 1) != 0 ? 0xEDB88320u : 0);
    table[i] = value;
  }
  uint32_t crc = 0xFFFFFFFFu;
  for (const uint8_t byte : bytes) {
    crc = crc >> 4 ^ table[(crc ^ byte) & 15];
    crc = crc >> 4 ^ table[(crc ^ byte >> 4) & 15];
  }
  return ~crc;
}

namespace {

constexpr std::array<uint8_t, 8> kPngSignature = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
constexpr size_t kChunkBytes = 12;  // length, type, checksum
constexpr size_t kIhdrBytes = 13;

std::string ReadPng(std::span<const uint8_t> bytes, PictureHeader* header) {
  bytes = bytes.subspan(kPngSignature.size());
  for (bool is_first = true;; is_first = false) {
    if (bytes.size() < kChunkBytes) return kCutShort;
    const uint32_t length = Big32(bytes.data());
    if (length > bytes.size() - kChunkBytes) return kCutShort;
    const uint8_t* type = bytes.data() + 4;
    if (PngChecksum(bytes.subspan(4, 4 + size_t{length})) != Big32(type + 4 + length))
      return "is damaged: the checksum of a chunk does not hold";
    if (is_first) {
      if (std::memcmp(type, "IHDR", 4) != 0 || length != kIhdrBytes)
        return "does not begin with a PNG's header (IHDR)";
      header->width = Big32(type + 4);
      header->height = Big32(type + 8);
    }
    if (std::memcmp(type, "IEND", 4) == 0) return {};
    bytes = bytes.subspan(kChunkBytes + length);
  }
}

constexpr uint8_t kStartOfImage = 0xD8;
constexpr uint8_t kEndOfImage = 0xD9;
constexpr uint8_t kApplication14 = 0xEE;

// What follows 0xFF. A segment follows all markers but these, and the end, which has none either.
bool HasSegment(uint8_t marker) {
  const bool is_restart = marker >= 0xD0 && marker <= 0xD7;
  return marker != 0 && marker != 1 && marker != 0xFF && marker != kStartOfImage && !is_restart;
}
// Frames of all kinds; the three others between them are tables.
bool IsFrame(uint8_t marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

std::string ReadJpeg(std::span<const uint8_t> bytes, PictureHeader* header) {
  bool has_frame = false;
  bool has_known_ink = false;  // Adobe's marker tells what four components are
  uint32_t components = 0;
  size_t at = 2;
  for (;;) {
    // Data of a scan, filling, and whatever else is no marker with a segment.
    while (at + 1 < bytes.size() && (bytes[at] != 0xFF || !HasSegment(bytes[at + 1]))) ++at;
    if (at + 2 > bytes.size()) return kCutShort;
    const uint8_t marker = bytes[at + 1];
    at += 2;
    if (marker == kEndOfImage) break;
    if (at + 2 > bytes.size()) return kCutShort;
    const uint32_t length = Big16(bytes.data() + at);
    if (length < 2) return "is damaged: a segment is shorter than its length";
    if (length > bytes.size() - at) return kCutShort;
    const uint8_t* data = bytes.data() + at + 2;
    const uint32_t size = length - 2;
    if (IsFrame(marker)) {
      if (size < 6) return "is damaged: its frame has no size";
      if (has_frame) return "has more than one frame";
      has_frame = true;
      header->height = Big16(data + 1);
      header->width = Big16(data + 3);
      components = data[5];
    } else if (marker == kApplication14 && size >= 12 && std::memcmp(data, "Adobe", 5) == 0) {
      has_known_ink = data[11] == 0 || data[11] == 2;
    }
    at += length;
  }
  if (!has_frame) return "holds no image";
  if (components == 4 && !has_known_ink)
    return "is a JPEG of four components without Adobe's marker, which would say what they are";
  return {};
}

}  // namespace

std::string ReadPictureHeader(std::span<const uint8_t> bytes, PictureHeader* header) {
  if (bytes.size() >= kPngSignature.size() &&
      std::memcmp(bytes.data(), kPngSignature.data(), kPngSignature.size()) == 0) {
    return ReadPng(bytes, header);
  }
  if (bytes.size() >= 3 && bytes[0] == 0xFF && bytes[1] == kStartOfImage && bytes[2] == 0xFF)
    return ReadJpeg(bytes, header);
  return bytes.empty() ? "is empty" : "is no image that is read here: neither PNG nor JPEG";
}

}  // namespace graft_run
