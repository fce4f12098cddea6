// SPDX-License-Identifier: Apache-2.0
// ConstrainedText: chooses tokens so that the text they spell is what it must be.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/constrain/matcher.h"
#include "runtime/constrain/vocabulary.h"
#include "runtime/tasks/sampler.h"
#include "runtime/tasks/text_model.h"
#include "runtime/tools/reply_format.h"
#include "runtime/tools/tool_set.h"
#include "schema/result.h"

namespace graft::runtime {

/// What a text must be.
struct ConstraintOptions {
  enum class Kind : uint8_t { kNone, kJsonSchema, kRegex, kGbnf, kChoices, kTools };
  Kind kind = Kind::kNone;
  /// The schema, regular expression or grammar. kTools: the schema of an answer, or empty: any text.
  std::string_view text;
  std::vector<std::string_view> choices;  ///< kChoices
  bool in_order = false;                  ///< kJsonSchema: properties stand in the schema's order
  std::string trigger;  ///< the constraint holds from where this has come; empty: from the start
  // kTools: calls are what these tools take, wherever they come in the text.
  const ToolSet* tools = nullptr;
  const ReplyFormat* format = nullptr;
  bool is_thinking = false;  ///< the prompt ends with what opens the model's thinking
};

/// One text. One thread at a time.
class ConstrainedText {
 public:
  /// `model` must outlive this.
  /// Errors   kFailedPrecondition: the model has no tokenizer;
  ///          those of CompileJsonSchema, CompileRegex, CompileGbnf, CompileChoices,
  ///          with the name of the field of graft_generate_options before them.
  static Result<std::unique_ptr<ConstrainedText>> Create(const TextModel& model,
                                                         const ConstraintOptions& options);

  /// Whether the text is whole, and nothing may follow.
  bool IsComplete() { return is_active_ && matcher_.MustEnd(); }  // never of calls among text
  /// Whether the text may end.
  bool MayEnd() const { return is_active_ && matcher_.MayEnd(); }
  /// The next token, which Append has not seen yet. One of end_tokens only where the text may end.
  /// most: of all tokens from it on. The text ends within them where its shortest end does.
  /// Errors   those of Sampler::Choose and Matcher::Mask;
  ///          kFailedPrecondition: no token of the vocabulary spells what must follow.
  Result<int32_t> Choose(std::span<const float> logits, std::span<const int32_t> history,
                         std::span<const uint32_t> end_tokens, size_t most, Sampler* sampler);
  /// Goes on by a token that Choose or Forced gave.
  Status Append(int32_t id);
  /// Tokens that must follow, as the model's tokenizer cuts their text. The last of what must follow
  /// is left to Choose: it may be one with what comes behind it. most: as of Choose.
  Result<std::vector<int32_t>> Forced(size_t most);
  /// How many of the tokens `ids` may follow, one after the other, as far as that is known.
  size_t CountAllowed(std::span<const int32_t> ids) const;

 private:
  ConstrainedText(const TextModel& model, std::shared_ptr<const Vocabulary> vocabulary,
                  Grammar grammar, const ConstraintOptions& options);
  size_t FindStart(std::string_view text, bool* is_thinking, size_t* seen) const;
  void WaitAgain();
  Result<int32_t> ChooseBefore(std::span<const float> logits, std::span<const int32_t> history,
                               Sampler* sampler);
  Result<bool> MayFollow(int32_t id) const;
  Result<int32_t> ChooseWithin(std::span<const float> logits, std::span<const int32_t> history,
                               std::span<const uint32_t> end_tokens, size_t most, Sampler* sampler);

  const Tokenizer& tokenizer_;
  std::shared_ptr<const Vocabulary> vocabulary_;
  mutable Matcher matcher_;
  std::string trigger_;
  std::string_view think_open_;  // empty: thinking is as any text
  std::string_view think_close_;
  std::string_view first_;  // a trigger at the start of the text, part of what is constrained
  bool repeats_ = false;    // what is constrained may come again
  bool is_thinking_ = false;
  bool is_active_ = false;
  std::string tail_;       // of the text before the trigger
  size_t tail_bytes_ = 0;  // that are kept
  bool is_whole_ = true;   // tail_ is all the text
  TokenMask allowed_;      // of these a token is chosen
  std::vector<int32_t>
      plan_;                 // the tokens of an end that fits, the first last; empty: none was made
  size_t unfit_ = SIZE_MAX;  // with more tokens than these left no end is looked for: none fitted
};

}  // namespace graft::runtime
