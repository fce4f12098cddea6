// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/token_ids.h"

#include <algorithm>
#include <limits>

namespace graft::converter {

int64_t CountTokenIds(const JsonValue& model, const JsonValue& added) {
  const JsonValue vocabulary = model.Find("vocab");
  // A list of pieces (Unigram) is in the order of its ids; an object says them.
  int64_t ids = vocabulary.IsArray() ? static_cast<int64_t>(vocabulary.size()) : 0;
  const auto count = [&ids](JsonValue id) {
    const auto number = id.AsInt();
    if (number.ok() && *number < std::numeric_limits<int32_t>::max())
      ids = std::max(ids, *number + 1);
  };
  if (vocabulary.IsObject()) {
    for (size_t i = 0; i < vocabulary.size(); ++i) count(vocabulary.at(i));
  }
  for (size_t i = 0; i < added.size(); ++i) count(added.at(i).Find("id"));
  return ids;
}

std::optional<int64_t> FindTokenId(const JsonValue& model, const JsonValue& added,
                                   std::string_view text) {
  const auto reads = [text](const JsonValue& value) {
    return value.IsString() && *value.AsString() == text;
  };
  for (size_t i = 0; i < added.size() && added.IsArray(); ++i) {
    if (!reads(added.at(i).Find("content"))) continue;
    if (const auto id = added.at(i).Find("id").AsInt(); id.ok()) return *id;
  }
  const JsonValue vocabulary = model.Find("vocab");
  if (vocabulary.IsObject()) {
    const auto id = vocabulary.Find(text).AsInt();
    return id.ok() ? std::optional<int64_t>(*id) : std::nullopt;
  }
  for (size_t i = 0; i < vocabulary.size() && vocabulary.IsArray(); ++i) {
    const JsonValue piece = vocabulary.at(i);
    if (piece.IsArray() && piece.size() > 0 && reads(piece.at(0))) return static_cast<int64_t>(i);
  }
  return std::nullopt;
}

}  // namespace graft::converter
