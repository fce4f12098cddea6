// SPDX-License-Identifier: Apache-2.0
// The part of graft.h that appends tokens to a session and generates more.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <graft/graft.h>
#include "runtime/c_api/c_api_support.h"
#include "runtime/session/session.h"
#include "runtime/tasks/generate.h"
#include "runtime/tools/tool_set.h"

using graft::Error;
using graft::OkStatus;
using graft::Result;
using graft::Status;
using graft::StatusCode;
namespace runtime = graft::runtime;
using namespace graft::capi;  // NOLINT(google-build-using-namespace): this file is its other half

namespace {

static_assert(GRAFT_STOP_END_TOKEN == static_cast<int>(runtime::StopReason::kEndToken));
static_assert(GRAFT_STOP_STRING == static_cast<int>(runtime::StopReason::kStopString));
static_assert(GRAFT_STOP_MAX_TOKENS == static_cast<int>(runtime::StopReason::kMaxTokens));
static_assert(GRAFT_STOP_CONTEXT == static_cast<int>(runtime::StopReason::kContext));
static_assert(GRAFT_STOP_COMPLETE == static_cast<int>(runtime::StopReason::kComplete));
static_assert(GRAFT_STOP_CALLBACK == static_cast<int>(runtime::StopReason::kCallback));

Status ReadConstraint(const graft_generate_options& given, runtime::ConstraintOptions* to) {
  using Kind = runtime::ConstraintOptions::Kind;
  size_t count = 0;
  const auto read = [&](const char* text, Kind kind) {
    if (text == nullptr) return;
    ++count;
    to->kind = kind;
    to->text = text;
  };
  read(given.json_schema, Kind::kJsonSchema);
  read(given.regex, Kind::kRegex);
  read(given.grammar, Kind::kGbnf);
  if (given.choices == nullptr && given.choice_count > 0) return NullArgument("options.choices");
  if (given.choices != nullptr) {
    ++count;
    to->kind = Kind::kChoices;
    for (size_t i = 0; i < given.choice_count; ++i) {
      if (given.choices[i] == nullptr) return NullArgument("a string in options.choices");
      to->choices.emplace_back(given.choices[i]);
    }
  }
  if (count > 1) {
    return Error(StatusCode::kInvalidArgument,
                 "%zu of json_schema, regex, grammar and choices are given, and only one can hold",
                 count);
  }
  to->in_order = given.json_in_order != 0;
  if (given.constraint_trigger == nullptr) return OkStatus();
  to->trigger = given.constraint_trigger;
  if (count == 1) return OkStatus();
  return Status(StatusCode::kInvalidArgument, "a constraint_trigger is given, and no constraint");
}

/// What options.tools and options.reply_format ask for. *tools receives the tools.
Status ReadTools(const graft_generate_options& given, const graft_session& session,
                 std::span<const int32_t> prompt, runtime::GenerateOptions* to,
                 runtime::ConstraintOptions* constraint, runtime::ToolSet* tools) {
  using Kind = runtime::ConstraintOptions::Kind;
  if (given.tools == nullptr && given.tool_choice != nullptr) {
    return Status(StatusCode::kInvalidArgument, "a tool_choice is given, and no tools");
  }
  if (given.tools == nullptr && given.reply_format == nullptr) return OkStatus();
  to->shows_marks = true;
  const std::shared_ptr<const ModelState> state = session.slot->state();
  GRAFT_ASSIGN_OR_RETURN(constraint->format, FormatNamed(given.reply_format, state.get(), nullptr));
  if (given.tools == nullptr) return OkStatus();
  if (constraint->kind != Kind::kNone && constraint->kind != Kind::kJsonSchema) {
    return Status(StatusCode::kInvalidArgument,
                  "with tools, of json_schema, regex, grammar and choices only the first can hold");
  }
  Result<runtime::ToolSet> parsed = runtime::ToolSet::Parse(given.tools);
  if (!parsed.ok()) return parsed.status().WithContext("tools");
  *tools = *std::move(parsed);
  if (given.tool_choice != nullptr && std::string_view(given.tool_choice) != "auto") {
    if (constraint->kind != Kind::kNone) {
      return Status(StatusCode::kInvalidArgument,
                    "with a tool_choice the answer is calls, so no json_schema can hold");
    }
    if (std::string_view(given.tool_choice) != "required" && !tools->Keep(given.tool_choice)) {
      return Error(StatusCode::kInvalidArgument, "options.tool_choice is no function: \"%.100s\"",
                   given.tool_choice);
    }
    constraint->text = "false";  // no JSON is the answer: calls are
  }
  constraint->kind = Kind::kTools;
  constraint->tools = tools;
  // Whether the prompt ends within the model's thinking.
  constexpr size_t kEndTokens = 16;
  const auto end = prompt.subspan(prompt.size() - std::min(prompt.size(), kEndTokens));
  GRAFT_ASSIGN_OR_RETURN(const std::string text,
                         session.model->Decode(end, /*skip_special=*/false));
  constraint->is_thinking = runtime::OpensThinking(*constraint->format, text);
  return OkStatus();
}

void ReadLogProbabilities(const graft_generate_options& given, void* user,
                          runtime::GenerateOptions* to) {
  to->likeliest = given.logprob_count;
  to->on_log_probabilities = [callback = given.on_logprobs,
                              user](const runtime::TokenLogProbabilities& found) {
    graft_token_logprobs told{};
    told.struct_size = sizeof(told);
    told.id = found.id;
    told.logprob = found.own;
    told.ids = found.ids.data();
    told.logprobs = found.values.data();
    told.count = found.ids.size();
    callback(user, &told);
  };
}

Status ReadGenerateOptions(const graft_generate_options& given, void* user,
                           runtime::GenerateOptions* to, runtime::ConstraintOptions* constraint) {
  constexpr uint32_t kMaxLikeliest = 1000;
  if (given.biases == nullptr && given.bias_count > 0) return NullArgument("options.biases");
  for (size_t i = 0; i < given.bias_count; ++i) {
    to->sampling.biases.push_back({given.biases[i].id, given.biases[i].bias});
  }
  to->sampling.presence_penalty = given.presence_penalty;
  to->sampling.frequency_penalty = given.frequency_penalty;
  if (given.logprob_count > kMaxLikeliest) {
    return Error(StatusCode::kInvalidArgument, "logprob_count is %u, not up to %u",
                 given.logprob_count, kMaxLikeliest);
  }
  if (given.on_logprobs != nullptr) ReadLogProbabilities(given, user, to);
  to->max_tokens = given.max_tokens;
  to->sampling.repeat_penalty = given.repeat_penalty;
  to->sampling.repeat_window = given.repeat_window;
  to->sampling.temperature = given.temperature;
  to->sampling.top_k = given.top_k;
  to->sampling.top_p = given.top_p;
  to->sampling.min_p = given.min_p;
  to->sampling.seed = given.seed;
  to->ignore_end = given.ignore_end != 0;
  to->whole_prompt = given.whole_prompt != 0;
  if (given.speculate > 2) {
    return Error(StatusCode::kInvalidArgument, "options.speculate is %u, not 0, 1 or 2",
                 given.speculate);
  }
  to->draft.from_text = given.speculate != 0;
  to->draft.always = given.speculate == 2;
  if (given.stop == nullptr && given.stop_count > 0) return NullArgument("options.stop");
  for (size_t i = 0; i < given.stop_count; ++i) {
    if (given.stop[i] == nullptr) return NullArgument("a string in options.stop");
    to->stop.emplace_back(given.stop[i]);
  }
  return ReadConstraint(given, constraint);
}

// A session that a call uses beside its own.
class OtherSession {
 public:
  OtherSession() = default;
  ~OtherSession() {
    if (session_ != nullptr) session_->slot->Leave();
  }
  OtherSession(const OtherSession&) = delete;
  OtherSession& operator=(const OtherSession&) = delete;

  Status Enter(graft_session* session) {
    GRAFT_RETURN_IF_ERROR(session->slot->Enter(*session));
    session_ = session;
    session->session->ClearCancel();
    return OkStatus();
  }

 private:
  graft_session* session_ = nullptr;
};

Status EnterDraft(graft_session* draft, const graft_session* session, OtherSession* other,
                  runtime::DraftOptions* to) {
  if (draft == nullptr) return OkStatus();
  if (draft == session) {
    return Status(StatusCode::kInvalidArgument, "options.draft_session is the session itself");
  }
  GRAFT_RETURN_IF_ERROR(other->Enter(draft));
  GRAFT_RETURN_IF_ERROR(runtime::CheckSameTokens(*session->model, *draft->model));
  to->model = draft->session.get();
  return OkStatus();
}

Status Generate(graft_session* session, std::span<const int32_t> prompt,
                const graft_generate_options* options, graft_token_callback callback, void* user,
                graft_generate_result* result) {
  if (session == nullptr) return NullArgument("session");
  if (prompt.data() == nullptr && !prompt.empty()) return NullArgument("prompt");
  if (result != nullptr) GRAFT_RETURN_IF_ERROR(CheckOutStruct(result, "result"));
  runtime::GenerateOptions generate_options;
  runtime::ConstraintOptions constraint_options;
  runtime::ToolSet tools;
  graft_generate_options given;
  GRAFT_RETURN_IF_ERROR(ReadStruct(options, "options", &given));
  GRAFT_RETURN_IF_ERROR(ReadGenerateOptions(given, user, &generate_options, &constraint_options));
  GRAFT_RETURN_IF_ERROR(
      ReadTools(given, *session, prompt, &generate_options, &constraint_options, &tools));
  OtherSession draft;
  GRAFT_RETURN_IF_ERROR(EnterDraft(given.draft_session, session, &draft, &generate_options.draft));
  std::unique_ptr<runtime::ConstrainedText> constraint;
  if (constraint_options.kind != runtime::ConstraintOptions::Kind::kNone) {
    GRAFT_ASSIGN_OR_RETURN(constraint,
                           runtime::ConstrainedText::Create(*session->model, constraint_options));
    generate_options.constraint = constraint.get();
  }
  runtime::TokenCallback on_token;
  if (callback != nullptr) {
    on_token = [callback, user](int32_t id, std::string_view text) {
      return callback(user, id, text.data(), text.size()) == 0;
    };
  }
  session->session->ClearCancel();
  GRAFT_ASSIGN_OR_RETURN(const runtime::GenerateResult outcome,
                         runtime::Generate(*session->session, session->model->tokenizer(), prompt,
                                           generate_options, on_token));
  if (result == nullptr) return OkStatus();
  graft_generate_result filled{};
  filled.prompt_tokens = outcome.prompt_tokens;
  filled.generated_tokens = outcome.generated_tokens;
  filled.prefill_ns = outcome.prefill_ns;
  filled.decode_ns = outcome.decode_ns;
  filled.stop_reason = static_cast<int32_t>(outcome.stop_reason);
  filled.reused_tokens = outcome.reused_tokens;
  filled.drafted_tokens = outcome.drafted_tokens;
  filled.accepted_tokens = outcome.accepted_tokens;
  WriteStruct(filled, result);
  return OkStatus();
}

Status Append(graft_session* session, const int32_t* ids, size_t count, const float** logits) {
  if (session == nullptr) return NullArgument("session");
  if (ids == nullptr && count > 0) return NullArgument("ids");
  session->session->ClearCancel();
  const float* last = nullptr;
  GRAFT_RETURN_IF_ERROR(
      session->session->Append({ids, count}, logits == nullptr ? nullptr : &last));
  if (logits != nullptr) *logits = last;
  return OkStatus();
}

}  // namespace

GRAFT_API graft_status graft_session_generate(graft_session* session, const int32_t* prompt,
                                              size_t prompt_count,
                                              const graft_generate_options* options,
                                              graft_token_callback callback, void* user,
                                              graft_generate_result* result, graft_error* error) {
  return CallIn(
      session,
      [&] {
        return Generate(session, {prompt, prompt_count}, options, callback, user, result);
      },
      error);
}

GRAFT_API graft_status graft_session_append(graft_session* session, const int32_t* ids,
                                            size_t count, const float** logits,
                                            graft_error* error) {
  return CallIn(
      session, [&] { return Append(session, ids, count, logits); }, error);
}
