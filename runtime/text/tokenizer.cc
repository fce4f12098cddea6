// SPDX-License-Identifier: Apache-2.0
#include "runtime/text/tokenizer.h"

#include <algorithm>
#include <utility>

#include "runtime/text/utf8.h"
#include "schema/generated/tokenizer_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

constexpr size_t kMaxTextBytes = size_t{1} << 30;
// Shorter texts repeat too little for a cache to earn its memory.
constexpr size_t kCacheFromBytes = 4096;
constexpr size_t kMaxIdleScratch = 8;

}  // namespace

struct Tokenizer::Scratch {
  PatternScratch pattern;
  BpeScratch bpe;
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
    tokenizer_.encoder_->Encode(piece, scratch_.bpe, ids_);
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
        const AddedTokens::Found found = added.Next(text, &cursor);
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
  GRAFT_ASSIGN_OR_RETURN(BytePairEncoder encoder, BytePairEncoder::Create(tables_));
  encoder_ = std::make_unique<const BytePairEncoder>(std::move(encoder));
  GRAFT_ASSIGN_OR_RETURN(decoder_, DecoderSteps::Create(tables_));
  if (tables_.added_tokens() == nullptr) return OkStatus();
  PatternScratch scratch;
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
    scratch.Begin(content.size());
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

Result<std::vector<int32_t>> Tokenizer::Encode(std::string_view text, bool add_special) const {
  if (text.size() > kMaxTextBytes) {
    return Error(StatusCode::kOutOfRange, "a text of %zu bytes exceeds %zu", text.size(),
                 kMaxTextBytes);
  }
  std::string repaired;
  if (!IsValidUtf8(text)) {
    repaired = RepairUtf8(text);
    text = repaired;
  }
  std::vector<int32_t> ids;
  const auto append = [&](const flatbuffers::Vector<uint32_t>* special) {
    if (add_special && special != nullptr) ids.insert(ids.end(), special->begin(), special->end());
  };
  append(tables_.prefix_ids());
  std::unique_ptr<Scratch> scratch = TakeScratch();
  scratch->pattern.Begin(text.size());
  if (text.size() >= kCacheFromBytes) scratch->bpe.EnableCache();
  const Status status = Encoding(*this, *scratch, &ids).Run(text);
  ReturnScratch(std::move(scratch));
  GRAFT_RETURN_IF_ERROR(status);
  append(tables_.suffix_ids());
  return ids;
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
