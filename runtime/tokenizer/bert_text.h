// SPDX-License-Identifier: Apache-2.0
// What BERT's tokenizer does to text before it looks words up: cleaning, ideographs, accents, and
// what counts as punctuation.
#pragma once

#include <cstdint>
#include <string>

namespace graft::runtime {

/// Removes control characters and U+FFFD, and turns white space into spaces. *lost_start is set if
/// the first character went.
void CleanText(std::string* text, bool* lost_start);

/// Puts a space on each side of every CJK ideograph.
void SpaceIdeographs(std::string* text);

/// Removes combining marks; nonspacing_only: those of category Mn. *lost_start as above.
void DropMarks(bool nonspacing_only, std::string* text, bool* lost_start);

/// ASCII's punctuation and symbols, and all that Unicode's categories P hold.
bool IsPunctuation(uint32_t code);

}  // namespace graft::runtime
