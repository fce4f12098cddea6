// SPDX-License-Identifier: Apache-2.0
// UTF-8: reading characters, and putting U+FFFD where bytes are none.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace graft::runtime {

inline constexpr std::string_view kReplacementCharacter = "\xEF\xBF\xBD";

struct Utf8Char {
  uint32_t code = 0;
  uint32_t length = 0;  ///< in bytes
};

/// The character at text[at].
/// Requires valid UTF-8 and at < text.size().
inline Utf8Char ReadUtf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[at + i]); };
  const uint32_t lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xE0) return {(lead & 0x1F) << 6 | (byte(1) & 0x3Fu), 2};
  if (lead < 0xF0) {
    return {(lead & 0x0F) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
  }
  return {
      (lead & 0x07) << 18 | (byte(1) & 0x3Fu) << 12 | (byte(2) & 0x3Fu) << 6 | (byte(3) & 0x3Fu),
      4};
}

/// The bytes of the character that starts with `lead`.
/// Requires valid UTF-8.
inline size_t Utf8Length(char lead) {
  const auto byte = static_cast<uint8_t>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}

/// The character that ends right before text[end].
/// Requires valid UTF-8 and 0 < end <= text.size().
inline Utf8Char ReadUtf8Before(std::string_view text, size_t end) {
  size_t at = end - 1;
  while (at > 0 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
  return ReadUtf8(text, at);
}

/// Appends `code` as UTF-8.
void AppendUtf8(uint32_t code, std::string* out);

bool IsAscii(std::string_view text);
bool IsValidUtf8(std::string_view text);

/// Unicode's White_Space property.
bool IsWhiteSpace(uint32_t code);
/// What \w means over Unicode: letters, marks, decimal digits, connector punctuation, joiners.
bool IsWordCharacter(uint32_t code);

/// Passes a stream of bytes on as valid UTF-8: what is not part of a character becomes U+FFFD, one
/// for each longest piece that starts as a character does (Unicode 15, section 3.9, "maximal
/// subparts").
class Utf8Repair {
 public:
  /// Appends to *out what is certain; holds back at most 3 bytes of a character's start.
  void Append(std::string_view bytes, std::string* out);
  /// Ends the stream.
  void Finish(std::string* out);

 private:
  char pending_[4] = {};
  uint32_t pending_bytes_ = 0;
  uint32_t missing_bytes_ = 0;
};

std::string RepairUtf8(std::string_view bytes);

}  // namespace graft::runtime
