// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/unigram.h"

#include <algorithm>
#include <limits>

#include "runtime/base/utf8.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// How much worse than the worst token an unknown character is.
constexpr double kUnknownPenalty = 10.0;
constexpr size_t kMaxPieceBytes = size_t{16} << 20;

// Tokens of most texts are no longer; to follow longer ones costs as much as a search.
constexpr size_t kFewBytes = 32;

// What SentencePiece writes for a space, which half of the tokens start with.
constexpr std::string_view kSpaceMark = "\xE2\x96\x81";

}  // namespace

UnigramEncoder::UnigramEncoder(const fb::Tokenizer& tables)
    : tokens_(tables, kSpaceMark),
      scores_(tables.scores()->data()),
      unknown_id_(tables.unknown_id()),
      fuses_unknown_(tables.fuse_unknown()),
      falls_back_to_bytes_(tables.byte_fallback()) {
  double worst = std::numeric_limits<double>::infinity();
  for (const double score : *tables.scores()) worst = std::min(worst, score);
  unknown_score_ = worst - kUnknownPenalty;
  constexpr char kDigits[] = "0123456789ABCDEF";
  for (size_t byte = 0; byte < byte_ids_.size(); ++byte) {
    const char name[] = {'<', '0', 'x', kDigits[byte / 16], kDigits[byte % 16], '>'};
    byte_ids_[byte] = tokens_.Find({name, sizeof(name)});
  }
}

Status UnigramEncoder::FindWays(std::string_view piece, PatternScratch& budget,
                                UnigramScratch& scratch) const {
  std::vector<UnigramScratch::Way>& ways = scratch.ways_;
  ways.assign(piece.size() + 1, {0, kNotFound, 0});
  const auto offer = [&](size_t start, size_t end, uint32_t id, double score) {
    UnigramScratch::Way& way = ways[end];
    if (way.start != kNotFound && score <= way.score) return;
    way = {score, static_cast<uint32_t>(start), id};
  };
  for (size_t start = 0; start < piece.size();) {
    const double so_far = ways[start].score;
    const size_t character = Utf8Length(piece[start]);
    bool is_known = false;
    TokenOrder::Node node = tokens_.root();
    size_t at = start;
    for (; at < piece.size(); ++at) {
      node = tokens_.Next(node, static_cast<uint8_t>(piece[at]));
      if (node.empty()) break;
      const uint32_t id = tokens_.TokenAt(node);
      if (id == kNotFound) continue;
      is_known = is_known || at + 1 - start == character;
      offer(start, at + 1, id, scores_[id] + so_far);
    }
    if (!is_known) {
      if (unknown_id_ < 0) {
        return Status(StatusCode::kFailedPrecondition,
                      "the text has a character that is no token, and the tokenizer has no token "
                      "for the unknown");
      }
      offer(start, start + character, static_cast<uint32_t>(unknown_id_), unknown_score_ + so_far);
    }
    if (at - start > kFewBytes && !budget.PaySearch(at - start)) return budget.why();
    start += character;
  }
  return OkStatus();
}

Status UnigramEncoder::AppendToken(std::string_view text, std::vector<int32_t>* ids) const {
  if (const uint32_t id = tokens_.Find(text); id != kNotFound) {
    ids->push_back(static_cast<int32_t>(id));
    return OkStatus();
  }
  if (falls_back_to_bytes_ && std::all_of(text.begin(), text.end(), [&](char c) {
        return byte_ids_[static_cast<uint8_t>(c)] != kNotFound;
      })) {
    for (const char c : text) {
      ids->push_back(static_cast<int32_t>(byte_ids_[static_cast<uint8_t>(c)]));
    }
    return OkStatus();
  }
  ids->push_back(unknown_id_);
  return OkStatus();
}

Status UnigramEncoder::Encode(std::string_view piece, PatternScratch& budget,
                              UnigramScratch& scratch, std::vector<int32_t>* ids) const {
  if (piece.size() > kMaxPieceBytes) {
    return Error(StatusCode::kOutOfRange,
                 "a piece of text of %zu bytes without a place to cut it; at most %zu fit",
                 piece.size(), kMaxPieceBytes);
  }
  GRAFT_RETURN_IF_ERROR(FindWays(piece, budget, scratch));
  std::vector<uint32_t>& cut = scratch.cut_;
  cut.clear();
  bool after_unknown = false;
  for (size_t end = piece.size(); end > 0;) {
    const UnigramScratch::Way& way = scratch.ways_[end];
    const bool is_unknown = fuses_unknown_ && way.id == static_cast<uint32_t>(unknown_id_);
    // Neighbours that are unknown are one token: only the first of them starts one.
    if (is_unknown && after_unknown) cut.pop_back();
    cut.push_back(way.start);
    after_unknown = is_unknown;
    end = way.start;
  }
  for (size_t i = cut.size(); i-- > 0;) {
    const size_t end = i == 0 ? piece.size() : cut[i - 1];
    GRAFT_RETURN_IF_ERROR(AppendToken(piece.substr(cut[i], end - cut[i]), ids));
  }
  return OkStatus();
}

}  // namespace graft::runtime
