// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "runtime/base/utf8.h"
#include "runtime/tokenizer/piece_cache.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

constexpr size_t kMaxTextBytes = size_t{1} << 30;
// Shorter texts repeat too little for a cache to earn its memory.
constexpr size_t kCacheFromBytes = 4096;
constexpr size_t kMaxIdleScratch = 8;

// What a part of a template stands for if it is no token.
constexpr int32_t kFirstText = -1;
constexpr int32_t kSecondText = -2;

struct TemplatePart {
  int32_t id = 0;
  uint32_t type_id = 0;
};

size_t LengthOf(const flatbuffers::Vector<uint32_t>* ids) {
  return ids == nullptr ? 0 : ids->size();
}

/// What is made of one text or of two, with the tables' defaults written out.
std::vector<TemplatePart> Template(const fb::Tokenizer& tables, bool is_pair) {
  std::vector<TemplatePart> parts;
  const auto* given = is_pair ? tables.pair_template() : tables.single_template();
  if (given != nullptr && given->size() > 0) {
    for (const fb::TemplatePart* part : *given) parts.push_back({part->id(), part->type_id()});
    return parts;
  }
  if (is_pair) return {{kFirstText, 0}, {kSecondText, 1}};
  const auto append = [&](const flatbuffers::Vector<uint32_t>* ids) {
    if (ids == nullptr) return;
    for (const uint32_t id : *ids) parts.push_back({static_cast<int32_t>(id), 0});
  };
  append(tables.prefix_ids());
  parts.push_back({kFirstText, 0});
  append(tables.suffix_ids());
  return parts;
}

void Cut(size_t room, bool at_start, std::vector<int32_t>* ids) {
  if (ids->size() <= room) return;
  if (at_start) ids->erase(ids->begin(), ids->end() - static_cast<ptrdiff_t>(room));
  ids->resize(room);
}

/// Shortens two texts to `room` tokens together: the longer one down to the other's length, then
/// both alike, the longer one keeping the odd token.
void CutPair(size_t room, bool at_start, std::vector<int32_t>* first,
             std::vector<int32_t>* second) {
  if (first->size() + second->size() <= room) return;
  const bool first_is_longer = first->size() > second->size();
  std::vector<int32_t>* shorter = first_is_longer ? second : first;
  std::vector<int32_t>* longer = first_is_longer ? first : second;
  const size_t half = room / 2;
  const size_t kept = std::min(shorter->size(), half);
  Cut(kept, at_start, shorter);
  Cut(room - kept, at_start, longer);
}

}  // namespace

struct Tokenizer::Scratch {
  PatternScratch pattern;
  PieceCache cache;
  BpeScratch byte_pairs;
  UnigramScratch unigram;
};

/// One call of Encode: added tokens are cut out, the rest is normalized, cut and merged.
class Tokenizer::Encoding final : public PieceSink {
 public:
  Encoding(const Tokenizer& tokenizer, Scratch& scratch, std::vector<int32_t>* ids)
      : tokenizer_(tokenizer), scratch_(scratch), ids_(ids) {}

  Status Run(std::string_view text) {
    return Split(tokenizer_.raw_tokens_, text,
                 [&](std::string_view part, bool is_start) { return Normalized(part, is_start); });
  }

  Status Piece(std::string_view piece) override {
    if (scratch_.cache.Find(piece, ids_)) return OkStatus();
    const size_t first = ids_->size();
    if (tokenizer_.byte_pairs_ != nullptr) {
      GRAFT_RETURN_IF_ERROR(
          tokenizer_.byte_pairs_->Encode(piece, scratch_.pattern, scratch_.byte_pairs, ids_));
    } else if (tokenizer_.word_pieces_ != nullptr) {
      if (!tokenizer_.word_pieces_->Encode(piece, scratch_.pattern, ids_))
        return scratch_.pattern.why();
    } else {
      GRAFT_RETURN_IF_ERROR(
          tokenizer_.unigram_->Encode(piece, scratch_.pattern, scratch_.unigram, ids_));
    }
    scratch_.cache.Store(piece, ids_->data() + first, ids_->size() - first);
    return OkStatus();
  }

 private:
  /// Calls rest(part, is_start) for what lies between the added tokens of `text`.
  template <typename Rest>
  Status Split(const AddedTokens& added, std::string_view text, const Rest& rest) {
    size_t done = 0;
    if (!added.empty()) {
      AddedTokens::Cursor cursor;
      for (;;) {
        GRAFT_ASSIGN_OR_RETURN(const AddedTokens::Found found,
                               added.Next(text, scratch_.pattern, &cursor));
        if (!found.found) break;
        if (done < found.begin) {
          GRAFT_RETURN_IF_ERROR(rest(text.substr(done, found.begin - done), done == 0));
        }
        ids_->push_back(static_cast<int32_t>(found.id));
        done = found.end;
      }
    }
    return done < text.size() ? rest(text.substr(done), done == 0) : OkStatus();
  }

  Status Normalized(std::string_view text, bool is_start) {
    const auto cut = [&](std::string_view part, bool is_part_start) {
      return tokenizer_.pre_tokenizer_.Cut(part, is_start && is_part_start, scratch_.pattern,
                                           *this);
    };
    if (tokenizer_.normalizer_.empty()) return Split(tokenizer_.normalized_tokens_, text, cut);
    std::string normalized(text);
    bool lost_start = false;
    GRAFT_RETURN_IF_ERROR(tokenizer_.normalizer_.Apply(&normalized, scratch_.pattern, &lost_start));
    is_start = is_start && !lost_start;
    return Split(tokenizer_.normalized_tokens_, normalized, cut);
  }

  const Tokenizer& tokenizer_;
  Scratch& scratch_;
  std::vector<int32_t>* ids_;
};

Tokenizer::Tokenizer(const fb::Tokenizer& tables)
    : tables_(tables), size_(tables.token_offsets()->size() - 1) {}

Tokenizer::~Tokenizer() = default;

Result<std::unique_ptr<const Tokenizer>> Tokenizer::Create(const fb::Tokenizer& tables) {
  std::unique_ptr<Tokenizer> tokenizer(new Tokenizer(tables));
  GRAFT_RETURN_IF_ERROR(tokenizer->Prepare());
  return std::unique_ptr<const Tokenizer>(std::move(tokenizer));
}

Status Tokenizer::Prepare() {
  GRAFT_ASSIGN_OR_RETURN(normalizer_, Normalizer::Create(tables_));
  GRAFT_ASSIGN_OR_RETURN(pre_tokenizer_, PreTokenizer::Create(tables_));
  GRAFT_RETURN_IF_ERROR(PrepareModel());
  GRAFT_ASSIGN_OR_RETURN(decoder_, DecoderSteps::Create(tables_));
  if (tables_.added_tokens() == nullptr) return OkStatus();
  PatternScratch scratch;
  scratch.Begin(0);
  std::vector<std::pair<uint32_t, std::string>> renamed;
  for (const fb::AddedToken* added : *tables_.added_tokens()) {
    std::string content(added->content()->c_str(), added->content()->size());
    if (!IsValidUtf8(content)) {
      return Error(StatusCode::kCorrupt, "added token %u is not UTF-8", added->id());
    }
    if (added->special()) special_ids_.push_back(added->id());
    if (!added->normalized()) {
      raw_tokens_.Add(std::move(content), *added);
      continue;
    }
    bool lost_start = false;
    scratch.Extend(content.size());
    const std::string original = content;
    GRAFT_RETURN_IF_ERROR(normalizer_.Apply(&content, scratch, &lost_start));
    if (content != original) renamed.emplace_back(added->id(), content);
    normalized_tokens_.Add(std::move(content), *added);
  }
  // Such a token reads as what it was looked for as.
  std::sort(renamed.begin(), renamed.end());
  for (const auto& [id, text] : renamed) decoder_.SetText(id, text);
  raw_tokens_.Prepare();
  normalized_tokens_.Prepare();
  std::sort(special_ids_.begin(), special_ids_.end());
  return OkStatus();
}

Status Tokenizer::PrepareModel() {
  switch (tables_.kind()) {
    case fb::TokenizerKind::Bpe: {
      GRAFT_ASSIGN_OR_RETURN(BytePairEncoder encoder, BytePairEncoder::Create(tables_));
      byte_pairs_ = std::make_unique<const BytePairEncoder>(std::move(encoder));
      break;
    }
    case fb::TokenizerKind::WordPiece:
      word_pieces_ = std::make_unique<const WordPieceEncoder>(tables_);
      break;
    case fb::TokenizerKind::Unigram:
      unigram_ = std::make_unique<const UnigramEncoder>(tables_);
      break;
  }
  return OkStatus();
}

bool Tokenizer::IsSpecial(uint32_t id) const {
  return std::binary_search(special_ids_.begin(), special_ids_.end(), id);
}

std::unique_ptr<Tokenizer::Scratch> Tokenizer::TakeScratch() const {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_scratch_.empty()) {
      std::unique_ptr<Scratch> scratch = std::move(idle_scratch_.back());
      idle_scratch_.pop_back();
      return scratch;
    }
  }
  return std::make_unique<Scratch>();
}

void Tokenizer::ReturnScratch(std::unique_ptr<Scratch> scratch) const {
  const std::lock_guard lock(mutex_);
  if (idle_scratch_.size() < kMaxIdleScratch) idle_scratch_.push_back(std::move(scratch));
}

void Tokenizer::Trim() const {
  std::vector<std::unique_ptr<Scratch>> idle;  // freed after the lock
  const std::lock_guard lock(mutex_);
  idle.swap(idle_scratch_);
}

Status Tokenizer::AppendIds(std::string_view text, const std::atomic<bool>* cancel,
                            std::vector<int32_t>* ids) const {
  if (text.size() > kMaxTextBytes) {
    return Error(StatusCode::kOutOfRange, "a text of %zu bytes exceeds %zu", text.size(),
                 kMaxTextBytes);
  }
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  std::unique_ptr<Scratch> scratch = TakeScratch();
  scratch->pattern.Begin(text.size(), cancel);
  if (text.size() >= kCacheFromBytes) scratch->cache.Enable();
  Status status = Encoding(*this, *scratch, ids).Run(text);
  ReturnScratch(std::move(scratch));
  return status;
}

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_special,
                                               const std::atomic<bool>* cancel) const {
  std::vector<int32_t> ids;
  const auto append = [&](const flatbuffers::Vector<uint32_t>* special) {
    if (add_special && special != nullptr) ids.insert(ids.end(), special->begin(), special->end());
  };
  append(tables_.prefix_ids());
  if (tables_.max_tokens() == 0) {
    GRAFT_RETURN_IF_ERROR(AppendIds(text, cancel, &ids));
  } else {
    const size_t around =
        add_special ? LengthOf(tables_.prefix_ids()) + LengthOf(tables_.suffix_ids()) : 0;
    std::vector<int32_t> text_ids;
    GRAFT_RETURN_IF_ERROR(AppendIds(text, cancel, &text_ids));
    Cut(tables_.max_tokens() - std::min<size_t>(around, tables_.max_tokens()), tables_.cuts_start(),
        &text_ids);
    ids.insert(ids.end(), text_ids.begin(), text_ids.end());
  }
  append(tables_.suffix_ids());
  return ids;
}

Result<TypedIds> Tokenizer::EncodeTyped(std::string_view first,
                                        std::optional<std::string_view> second, bool add_special,
                                        size_t max_tokens, const std::atomic<bool>* cancel) const {
  const std::vector<TemplatePart> parts = Template(tables_, second.has_value());
  std::array<std::vector<int32_t>, 2> texts;
  GRAFT_RETURN_IF_ERROR(AppendIds(first, cancel, &texts[0]));
  if (second.has_value()) GRAFT_RETURN_IF_ERROR(AppendIds(*second, cancel, &texts[1]));
  if (max_tokens == 0) max_tokens = tables_.max_tokens();
  size_t around = 0;
  for (const TemplatePart& part : parts) around += add_special && part.id >= 0;
  if (max_tokens != 0 && around > max_tokens) {
    return Error(StatusCode::kInvalidArgument,
                 "%zu tokens go around the text, but at most %zu are to be", around, max_tokens);
  }
  if (max_tokens != 0) {
    CutPair(max_tokens - around, tables_.cuts_start(), &texts[0], &texts[1]);
  }
  TypedIds result;
  for (const TemplatePart& part : parts) {
    if (part.id < 0) {
      const std::vector<int32_t>& ids = texts[part.id == kFirstText ? 0 : 1];
      result.ids.insert(result.ids.end(), ids.begin(), ids.end());
    } else if (add_special) {
      result.ids.push_back(part.id);
    }
    result.type_ids.resize(result.ids.size(), static_cast<int32_t>(part.type_id));
  }
  return result;
}

Result<std::string> Tokenizer::Decode(std::span<const int32_t> ids, bool skip_special) const {
  TextStream stream(*this, skip_special);
  std::string text;
  for (const int32_t id : ids) GRAFT_RETURN_IF_ERROR(stream.Append(id, &text));
  GRAFT_RETURN_IF_ERROR(stream.Finish(&text));
  return text;
}

Status TextStream::Append(int32_t id, std::string* out) {
  if (id < 0) return Error(StatusCode::kOutOfRange, "%d is not a token id", id);
  const auto token = static_cast<uint32_t>(id);
  if (token >= tokenizer_.size()) return OkStatus();
  if (skip_special_ && tokenizer_.IsSpecial(token)) return OkStatus();
  return decoder_.Append(token, out);
}

}  // namespace graft::runtime
