// SPDX-License-Identifier: Apache-2.0
// Charsmap: SentencePiece's compiled table of replacements, such as its NFKC.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::runtime {

/// Immutable: any number of threads may use it. Borrows its bytes.
/// Source   SentencePiece's normalizer.cc for the bytes, Darts for the double array, and Hugging
///          Face's tokenizers for how they are applied: to whole grapheme clusters first.
class Charsmap {
 public:
  /// Errors   kCorrupt: not a table, or texts in it that are not valid UTF-8.
  static Result<Charsmap> Create(std::span<const uint8_t> bytes);

  /// Rewrites *text, which is valid UTF-8 and stays so.
  /// Errors   kCorrupt: the text grows beyond `max_bytes`.
  Status Apply(size_t max_bytes, std::string* text) const;

 private:
  Charsmap() = default;
  uint32_t Unit(size_t place) const;
  /// The place in texts_ that the shortest match at the start of `part` stands for, or npos.
  size_t Find(std::string_view part) const;
  /// Appends what `part` becomes; returns whether it becomes anything else.
  bool Replace(std::string_view part, std::string* out) const;

  const uint8_t* trie_ = nullptr;
  size_t units_ = 0;
  std::string_view texts_;
};

}  // namespace graft::runtime
