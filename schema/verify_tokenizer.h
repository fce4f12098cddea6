// SPDX-License-Identifier: Apache-2.0
// Checks that a tokenizer's tables mean something: whoever reads a tokenizer that passed may follow
// every id and offset in it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "schema/status.h"

namespace graft::schema {

namespace fb {
struct Tokenizer;
}  // namespace fb

/// Limits on what a file may ask of the device.
inline constexpr uint32_t kMaxTokens = uint32_t{1} << 24;
inline constexpr uint32_t kMaxTokenBytes = 1u << 14;
inline constexpr uint32_t kMaxTokenizerSteps = 64;    ///< of each kind of step
inline constexpr size_t kMaxPatternBytes = 16384;     ///< of a regular expression
inline constexpr size_t kMaxStepContentBytes = 1024;  ///< and of a literal pattern
inline constexpr size_t kMaxAddedTokenBytes = 4096;
inline constexpr uint32_t kMaxSpecialIds = 256;  ///< put before or after a text
inline constexpr uint32_t kMaxStrip = 1024;
inline constexpr uint32_t kMaxOrderedTokenBytes = 512;  ///< of WordPiece and Unigram
inline constexpr uint32_t kMaxWordCharacters = 1u << 16;
inline constexpr uint32_t kMaxTypeId = 255;
inline constexpr size_t kMaxCharsmapBytes = size_t{16} << 20;

/// Checks what the FlatBuffers verifier cannot: `tokenizer` has passed that one. vocabulary: ids
/// the model can look up; 0 if it looks up none.
/// Errors   kCorrupt: a table contradicts itself or exceeds a limit above.
///          kMismatch: more tokens than the vocabulary.
///          kUnsupported: a step this build does not know.
/// Cost     linear in the tables; allocates nothing unless it fails.
Status VerifyTokenizer(const fb::Tokenizer& tokenizer, uint64_t vocabulary);

}  // namespace graft::schema
