// SPDX-License-Identifier: Apache-2.0
// How byte-level vocabularies spell bytes by characters.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace graft::schema {

/// Printable Latin-1 stands for itself; the other 68 bytes, in order, are U+0100 and on.
class ByteLevelSpelling {
 public:
  ByteLevelSpelling() {
    byte_of_.fill(-1);
    int next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) ||
                          (byte >= 0xAE && byte <= 0xFF);
      byte_of_[prints ? byte : next++] = static_cast<int16_t>(byte);
    }
  }

  /// Whether every character of `text`, which is UTF-8, spells a byte.
  bool Spells(std::string_view text) const {
    for (size_t i = 0; i < text.size();) {
      if (ByteAt(text, &i) < 0) return false;
    }
    return true;
  }

  /// The bytes that `text`, which is UTF-8, spells; its own if a character of it spells none.
  std::string Bytes(std::string_view text) const {
    std::string bytes;
    for (size_t i = 0; i < text.size();) {
      const int byte = ByteAt(text, &i);
      if (byte < 0) return std::string(text);
      bytes += static_cast<char>(byte);
    }
    return bytes;
  }

 private:
  /// What the character at *at spells, -1 if no byte; *at goes on behind it.
  int ByteAt(std::string_view text, size_t* at) const {
    unsigned code = static_cast<unsigned char>(text[(*at)++]);
    if (code >= 0x80) {
      // All the characters in question take two bytes at most.
      if (code >= 0xE0 || *at == text.size()) return -1;
      code = (code & 0x1F) << 6 | (static_cast<unsigned char>(text[(*at)++]) & 0x3F);
    }
    return code < byte_of_.size() ? byte_of_[code] : -1;
  }

  std::array<int16_t, 256 + 68> byte_of_;
};

}  // namespace graft::schema
