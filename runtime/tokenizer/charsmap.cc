// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/charsmap.h"

#include <cstring>
#include <utility>

#include <utf8proc.h>

#include "runtime/base/utf8.h"

namespace graft::runtime {
namespace {

constexpr size_t kSizeBytes = 4;
constexpr size_t kUnitBytes = 4;

// A cluster of more bytes is looked up character by character.
constexpr size_t kMaxClusterBytes = 5;

// The fields of a unit of the double array.
bool HasLeaf(uint32_t unit) { return (unit >> 8 & 1) != 0; }
uint32_t Value(uint32_t unit) { return unit & 0x7FFFFFFFu; }
uint32_t Label(uint32_t unit) { return unit & 0x800000FFu; }
uint32_t Offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200u) >> 6); }

uint32_t ReadLittleEndian(const uint8_t* bytes) {
  return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16 | uint32_t{bytes[3]} << 24;
}

}  // namespace

Result<Charsmap> Charsmap::Create(std::span<const uint8_t> bytes) {
  if (bytes.size() < kSizeBytes) {
    return Error(StatusCode::kCorrupt, "a charsmap of %zu bytes has no head", bytes.size());
  }
  const size_t trie_bytes = ReadLittleEndian(bytes.data());
  if (trie_bytes > bytes.size() - kSizeBytes || trie_bytes % kUnitBytes != 0) {
    return Error(StatusCode::kCorrupt, "a charsmap of %zu bytes says its trie takes %zu",
                 bytes.size(), trie_bytes);
  }
  Charsmap map;
  map.trie_ = bytes.data() + kSizeBytes;
  map.units_ = trie_bytes / kUnitBytes;
  map.texts_ = {reinterpret_cast<const char*>(bytes.data()) + kSizeBytes + trie_bytes,
                bytes.size() - kSizeBytes - trie_bytes};
  if (!IsValidUtf8(map.texts_)) {
    return Status(StatusCode::kCorrupt, "the texts of a charsmap are not UTF-8");
  }
  return map;
}

uint32_t Charsmap::Unit(size_t place) const {
  // Behind the end is a unit that matches nothing: no byte has this label.
  return place < units_ ? ReadLittleEndian(trie_ + place * kUnitBytes) : 0x80000000u;
}

size_t Charsmap::Find(std::string_view part) const {
  if (units_ == 0) return std::string_view::npos;
  size_t place = Offset(Unit(0));
  for (const char c : part) {
    const auto byte = static_cast<uint8_t>(c);
    if (byte == 0) break;
    place ^= byte;
    const uint32_t unit = Unit(place);
    if (Label(unit) != byte) break;
    place ^= Offset(unit);
    if (HasLeaf(unit)) return Value(Unit(place));
  }
  return std::string_view::npos;
}

bool Charsmap::Replace(std::string_view part, std::string* out) const {
  const size_t begin = Find(part);
  // A place inside a character is none: the text must stay UTF-8.
  if (begin >= texts_.size() || (static_cast<uint8_t>(texts_[begin]) & 0xC0) == 0x80) return false;
  const size_t end = texts_.find('\0', begin);
  out->append(texts_.substr(begin, end == std::string_view::npos ? end : end - begin));
  return true;
}

Status Charsmap::Apply(size_t max_bytes, std::string* text) const {
  std::string out;
  out.reserve(text->size());
  const std::string_view from = *text;
  for (size_t at = 0; at < from.size();) {
    // The grapheme cluster that starts here.
    Utf8Char c = ReadUtf8(from, at);
    size_t end = at + c.length;
    utf8proc_int32_t state = 0;
    while (end < from.size()) {
      const Utf8Char next = ReadUtf8(from, end);
      // Of ASCII only the end of a line is more than one character.
      if (c.code < 0x80 && next.code < 0x80 && c.code != '\r') break;
      if (utf8proc_grapheme_break_stateful(static_cast<utf8proc_int32_t>(c.code),
                                           static_cast<utf8proc_int32_t>(next.code), &state)) {
        break;
      }
      end += next.length;
      c = next;
    }
    if (end - at > kMaxClusterBytes || !Replace(from.substr(at, end - at), &out)) {
      for (size_t part = at; part < end;) {
        const size_t length = Utf8Length(from[part]);
        const std::string_view character = from.substr(part, length);
        if (!Replace(character, &out)) out.append(character);
        part += length;
        if (out.size() > max_bytes) break;
      }
    }
    if (out.size() > max_bytes) {
      return Error(StatusCode::kCorrupt, "normalizing %zu bytes gives more than %zu", from.size(),
                   max_bytes);
    }
    at = end;
  }
  *text = std::move(out);
  return OkStatus();
}

}  // namespace graft::runtime
