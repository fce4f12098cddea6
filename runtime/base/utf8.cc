// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/utf8.h"

#include <cstring>

#include <utf8proc.h>

namespace graft::runtime {
namespace {

/// What may follow a lead byte: how many bytes, and the range of the first of them.
struct Lead {
  uint32_t following = 0;
  uint8_t low = 0x80;
  uint8_t high = 0xBF;
};

/// The rule for a byte >= 0x80; following 0 if no character starts with it.
/// Source   Unicode 15, table 3-7.
Lead LeadOf(uint8_t byte) {
  if (byte < 0xC2 || byte > 0xF4) return {};
  if (byte < 0xE0) return {1};
  if (byte == 0xE0) return {2, 0xA0, 0xBF};
  if (byte == 0xED) return {2, 0x80, 0x9F};
  if (byte < 0xF0) return {2};
  if (byte == 0xF0) return {3, 0x90, 0xBF};
  if (byte == 0xF4) return {3, 0x80, 0x8F};
  return {3};
}

/// How many bytes of `text`, from `at`, are ASCII.
size_t AsciiRun(std::string_view text, size_t at) {
  const size_t start = at;
  while (at + 8 <= text.size()) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + at, sizeof(word));
    if ((word & 0x8080808080808080u) != 0) break;
    at += 8;
  }
  while (at < text.size() && static_cast<uint8_t>(text[at]) < 0x80) ++at;
  return at - start;
}

/// The length of the character at text[at], a byte >= 0x80; 0 if there is no whole one.
size_t MultibyteLength(std::string_view text, size_t at) {
  const Lead lead = LeadOf(static_cast<uint8_t>(text[at]));
  if (lead.following == 0 || text.size() - at <= lead.following) return 0;
  const auto second = static_cast<uint8_t>(text[at + 1]);
  if (second < lead.low || second > lead.high) return 0;
  for (uint32_t i = 2; i <= lead.following; ++i) {
    if ((static_cast<uint8_t>(text[at + i]) & 0xC0) != 0x80) return 0;
  }
  return lead.following + 1;
}

}  // namespace

void AppendUtf8(uint32_t code, std::string* out) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(code), bytes);
  out->append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(size));
}

bool IsAscii(std::string_view text) { return AsciiRun(text, 0) == text.size(); }

bool IsValidUtf8(std::string_view text) {
  for (size_t at = 0;;) {
    at += AsciiRun(text, at);
    if (at == text.size()) return true;
    const size_t length = MultibyteLength(text, at);
    if (length == 0) return false;
    at += length;
  }
}

bool IsWhiteSpace(uint32_t code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  switch (code) {
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return code >= 0x2000 && code <= 0x200A;
  }
}

bool IsWordCharacter(uint32_t code) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(code))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    default:
      // The joiners, and the circled letters, which are alphabetic though their category is So.
      return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
             (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
             (code >= 0x1F170 && code <= 0x1F189);
  }
}

void Utf8Repair::Append(std::string_view bytes, std::string* out) {
  for (size_t at = 0; at < bytes.size();) {
    if (missing_bytes_ == 0) {
      // Whole characters go through as they are.
      size_t end = at + AsciiRun(bytes, at);
      while (end < bytes.size()) {
        const size_t length =
            static_cast<uint8_t>(bytes[end]) < 0x80 ? 1 : MultibyteLength(bytes, end);
        if (length == 0) break;
        end += length;
      }
      out->append(bytes.substr(at, end - at));
      at = end;
      if (at == bytes.size()) return;
      const Lead lead = LeadOf(static_cast<uint8_t>(bytes[at]));
      if (lead.following == 0) {
        out->append(kReplacementCharacter);
      } else {
        pending_[0] = bytes[at];
        pending_bytes_ = 1;
        missing_bytes_ = lead.following;
      }
      ++at;
      continue;
    }
    const Lead lead = LeadOf(static_cast<uint8_t>(pending_[0]));
    const auto byte = static_cast<uint8_t>(bytes[at]);
    const bool continues =
        pending_bytes_ == 1 ? byte >= lead.low && byte <= lead.high : (byte & 0xC0) == 0x80;
    if (!continues) {  // the byte at hand may start another
      Finish(out);
      continue;
    }
    pending_[pending_bytes_++] = bytes[at++];
    if (--missing_bytes_ == 0) {
      out->append(pending_, pending_bytes_);
      pending_bytes_ = 0;
    }
  }
}

void Utf8Repair::Finish(std::string* out) {
  if (pending_bytes_ > 0) out->append(kReplacementCharacter);
  pending_bytes_ = 0;
  missing_bytes_ = 0;
}

std::string RepairUtf8(std::string_view bytes) {
  std::string out;
  Utf8Repair repair;
  repair.Append(bytes, &out);
  repair.Finish(&out);
  return out;
}

}  // namespace graft::runtime
