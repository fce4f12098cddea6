// SPDX-License-Identifier: Apache-2.0
// TokenDecoder: tokens back to text, one at a time, with the same outcome as all at once.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/base/utf8.h"
#include "runtime/tokenizer/pattern.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct DecoderStep;
struct Tokenizer;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// The decoder's steps, compiled once. Immutable. Borrows the tokenizer's tables.
class DecoderSteps {
 public:
  static Result<DecoderSteps> Create(const schema::fb::Tokenizer& tables);

  /// Decodes token `id` from `text` rather than from the bytes in the tables. Ids must come in
  /// order.
  void SetText(uint32_t id, std::string_view text);

  /// The bytes that token `id` adds to a text that has begun and goes on.
  /// Requires an id below the number of tokens.
  /// Errors   as TokenDecoder::Append.
  Result<std::string> InnerText(uint32_t id) const;

 private:
  friend class TokenDecoder;
  struct Step {
    const schema::fb::DecoderStep* table = nullptr;
    std::vector<Pattern> pattern;  // one for Replace, else none
    bool is_fused = false;         // what arrives here is one token, in parts
  };

  std::string_view BytesOf(uint32_t id) const;

  const schema::fb::Tokenizer* tables_ = nullptr;
  std::vector<Step> steps_;
  bool has_regex_ = false;
  std::vector<std::pair<uint32_t, std::string>> own_bytes_;  // by id
};

/// The state of one stream. Text comes out once nothing that follows can change it, always as whole
/// UTF-8 characters.
class TokenDecoder {
 public:
  /// `steps` must outlive this.
  explicit TokenDecoder(const DecoderSteps& steps);

  /// Appends to *out the text that token `id` makes certain.
  /// Requires an id below the number of tokens.
  /// Errors   kCorrupt: a pattern that backtracks beyond all bounds, or steps that make far more of
  ///          the tokens than they are.
  Status Append(uint32_t id, std::string* out);
  /// Appends the rest.
  Status Finish(std::string* out);

 private:
  struct State {
    std::string held;
    Utf8Repair repair;
    uint32_t left_to_strip = 0;
    bool has_begun = false;  // a token has passed
  };

  Status AppendToken(uint32_t id, std::string* out);
  Status Push(size_t step, std::string_view bytes, std::string* out);
  Status PushReplace(size_t step, std::string_view bytes, std::string* out);
  Status PushByteFallback(size_t step, std::string_view bytes, std::string* out);
  Status FlushByteFallback(size_t step, std::string* out);
  Status PushStrip(size_t step, std::string_view bytes, std::string* out);
  Status PushMetaspace(size_t step, std::string_view bytes, std::string* out);
  Status PushWordPiece(size_t step, std::string_view bytes, std::string* out);
  Status Flush(size_t step, std::string* out);

  const DecoderSteps& steps_;
  std::vector<State> states_;
  Utf8Repair repair_;
  PatternScratch scratch_;
  size_t given_bytes_ = 0;  // of all tokens so far
  bool has_begun_ = false;
};

}  // namespace graft::runtime
