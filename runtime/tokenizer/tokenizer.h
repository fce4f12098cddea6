// SPDX-License-Identifier: Apache-2.0
// Tokenizer: text to the ids a model was trained on, and ids to text, as Hugging Face's tokenizers
// does it, from the tables of a .graft file.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/tokenizer/added_tokens.h"
#include "runtime/tokenizer/bpe.h"
#include "runtime/tokenizer/normalizer.h"
#include "runtime/tokenizer/pre_tokenizer.h"
#include "runtime/tokenizer/token_decoder.h"
#include "runtime/tokenizer/unigram.h"
#include "runtime/tokenizer/word_piece.h"
#include "schema/result.h"

namespace graft::runtime {

/// Ids with what the model is told they belong to, 0 or 1 mostly: as many of these as of those.
struct TypedIds {
  std::vector<int32_t> ids;
  std::vector<int32_t> type_ids;
};

class Tokenizer {
 public:
  /// `tables` has passed schema::VerifyTokenizer and must outlive this.
  /// Errors   kCorrupt: a pattern that does not compile, tables made to collide.
  static Result<std::unique_ptr<const Tokenizer>> Create(const schema::fb::Tokenizer& tables);
  ~Tokenizer();

  /// Ids of `text`; bytes that are not valid UTF-8 count as U+FFFD. add_special: with the tokens
  /// that go before and after a text. Cut to the length that the tables say, if they say one. Any
  /// thread.
  /// Errors   kOutOfRange: more than 1 GiB of text.
  ///          kCorrupt: a pattern that backtracks beyond all bounds, or steps that make far more of
  ///          the text than it is.
  ///          kCancelled: *cancel, if it is not null, became true.
  Result<std::vector<int32_t>> Encode(std::string_view text, bool add_special,
                                      const std::atomic<bool>* cancel = nullptr) const;

  /// Ids and type ids of a text, or of two texts as one input. max_tokens: texts are cut at their
  /// ends to fit into so many with what goes around them, the longer one first; 0: as the tables
  /// say.
  /// Errors   as Encode;
  ///          kInvalidArgument: max_tokens has no room for what goes around the texts.
  Result<TypedIds> EncodeTyped(std::string_view first, std::optional<std::string_view> second,
                               bool add_special, size_t max_tokens,
                               const std::atomic<bool>* cancel = nullptr) const;

  /// Text of `ids`. Ids at and beyond size() stand for nothing. Any thread.
  /// Errors   kOutOfRange: a negative id.
  Result<std::string> Decode(std::span<const int32_t> ids, bool skip_special) const;

  /// Forgets what texts have left behind to make the next ones faster. Any thread.
  void Trim() const;

  uint32_t size() const { return size_; }  ///< ids are below this
  bool IsSpecial(uint32_t id) const;
  const DecoderSteps& decoder() const { return decoder_; }

 private:
  struct Scratch;
  class Encoding;

  explicit Tokenizer(const schema::fb::Tokenizer& tables);
  Status Prepare();
  Status PrepareModel();
  Status AppendIds(std::string_view text, const std::atomic<bool>* cancel,
                   std::vector<int32_t>* ids) const;
  std::unique_ptr<Scratch> TakeScratch() const;
  void ReturnScratch(std::unique_ptr<Scratch> scratch) const;

  const schema::fb::Tokenizer& tables_;
  uint32_t size_ = 0;
  AddedTokens raw_tokens_;         // looked for in the text as it comes
  AddedTokens normalized_tokens_;  // looked for in normalized text
  Normalizer normalizer_;
  PreTokenizer pre_tokenizer_;
  // One of these three, as the tables say.
  std::unique_ptr<const BytePairEncoder> byte_pairs_;
  std::unique_ptr<const WordPieceEncoder> word_pieces_;
  std::unique_ptr<const UnigramEncoder> unigram_;
  DecoderSteps decoder_;
  std::vector<uint32_t> special_ids_;  // in order

  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<Scratch>> idle_scratch_;
};

/// Text of a growing row of ids: what Decode gives for all of them, in parts.
class TextStream {
 public:
  /// `tokenizer` must outlive this.
  TextStream(const Tokenizer& tokenizer, bool skip_special)
      : tokenizer_(tokenizer), decoder_(tokenizer.decoder()), skip_special_(skip_special) {}

  /// Appends to *out the text that `id` makes certain, whole characters only.
  Status Append(int32_t id, std::string* out);
  Status Finish(std::string* out) { return decoder_.Finish(out); }

 private:
  const Tokenizer& tokenizer_;
  TokenDecoder decoder_;
  bool skip_special_;
};

}  // namespace graft::runtime
