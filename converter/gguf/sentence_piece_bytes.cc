// SPDX-License-Identifier: Apache-2.0
// Fields of protobuf: a number and a kind in one byte or two, then a varint, four bytes, or a length
// and as many bytes.
#include "converter/gguf/sentence_piece_bytes.h"

#include <algorithm>
#include <bit>
#include <vector>

namespace graft::converter {
namespace {

void AddVarint(uint64_t value, std::string* out) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>(value | 0x80));
  out->push_back(static_cast<char>(value));
}
void AddNumber(uint32_t field, uint64_t value, std::string* out) {
  AddVarint(field << 3, out);
  AddVarint(value, out);
}
void AddFloat(uint32_t field, float value, std::string* out) {
  AddVarint(field << 3 | 5, out);
  const auto bits = std::bit_cast<uint32_t>(value);
  for (int shift = 0; shift < 32; shift += 8) out->push_back(static_cast<char>(bits >> shift));
}
void AddBytes(uint32_t field, std::string_view bytes, std::string* out) {
  AddVarint(field << 3 | 2, out);
  AddVarint(bytes.size(), out);
  out->append(bytes);
}

// Spaces of pieces that are found whole have been written as spaces; pieces have a sign for them.
std::string PieceText(const GgufTokenizer& tokenizer, size_t i) {
  const std::string_view token = tokenizer.tokens[i];
  // An empty piece is none that a text has.
  if (token.empty()) return "[EMPTY_" + std::to_string(i) + "]";
  if (tokenizer.kinds[i] != GgufTokenKind::kUserDefined) return std::string(token);
  std::string text;
  for (const char c : token) {
    if (c == ' ') {
      text += "\xE2\x96\x81";  // U+2581
    } else {
      text += c;
    }
  }
  return text;
}

Result<bool> GetFlag(const GgufHeader& header, const char* key, bool usual) {
  return header.Has(key) ? header.GetBool(key) : Result<bool>(usual);
}

}  // namespace

Result<std::string> GgufSentencePieceBytes(const GgufHeader& header,
                                           const GgufTokenizer& tokenizer) {
  constexpr const char* kScores = "tokenizer.ggml.scores";
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> scores, header.GetNumbers(kScores));
  if (scores.size() != tokenizer.tokens.size()) {
    return header.Fail(kScores, "lists " + std::to_string(scores.size()) + " scores for " +
                                    std::to_string(tokenizer.tokens.size()) + " tokens");
  }
  const bool is_pairs = tokenizer.model == "llama";
  std::string model;
  std::string piece;
  for (size_t i = 0; i < scores.size(); ++i) {
    piece.clear();
    AddBytes(1, PieceText(tokenizer, i), &piece);
    // Their scores have been put below all others; in their own model they come before them.
    const bool is_whole = tokenizer.kinds[i] == GgufTokenKind::kUserDefined;
    AddFloat(2, is_whole ? 0.0f : static_cast<float>(scores[i]), &piece);
    AddNumber(3, static_cast<uint64_t>(tokenizer.kinds[i]), &piece);
    AddBytes(1, piece, &model);
  }
  std::string trainer;
  AddNumber(3, is_pairs ? 2 : 1, &trainer);
  const bool has_bytes =
      std::any_of(tokenizer.kinds.begin(), tokenizer.kinds.end(),
                  [](GgufTokenKind kind) { return kind == GgufTokenKind::kByte; });
  AddNumber(35, has_bytes ? 1 : 0, &trainer);
  AddBytes(2, trainer, &model);
  std::string normalizer;
  if (header.Has("tokenizer.ggml.precompiled_charsmap")) {
    GRAFT_ASSIGN_OR_RETURN(const std::string_view charsmap,
                           header.GetBytes("tokenizer.ggml.precompiled_charsmap"));
    AddBytes(2, charsmap, &normalizer);
  }
  GRAFT_ASSIGN_OR_RETURN(const bool adds_prefix,
                         GetFlag(header, "tokenizer.ggml.add_space_prefix", true));
  GRAFT_ASSIGN_OR_RETURN(const bool removes_spaces,
                         GetFlag(header, "tokenizer.ggml.remove_extra_whitespaces", false));
  AddNumber(3, adds_prefix ? 1 : 0, &normalizer);
  AddNumber(4, removes_spaces ? 1 : 0, &normalizer);
  AddBytes(3, normalizer, &model);
  return model;
}

}  // namespace graft::converter
