// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/generate.h"

#include <doctest/doctest.h>

#include "runtime/tasks/text_model.h"
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

using Ids = std::vector<int32_t>;

/// A scripted model, a session with it, and what generation handed out.
struct Bed {
  AlignedBytes file;
  std::shared_ptr<const runtime::TextModel> model;
  std::unique_ptr<runtime::Session> session;
  Ids ids;
  std::string text;
  std::vector<std::string> parts;

  explicit Bed(const std::map<int32_t, int32_t>& next, std::vector<uint32_t> end_tokens = {},
               uint32_t context = 64)
      : file(ScriptedModel(next, context, std::move(end_tokens))) {
    auto opened = runtime::TextModel::Open(std::make_unique<runtime::MemorySource>(file.span()),
                                           runtime::ModelOptions{1, false}, "test.graft");
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    model = std::move(opened).value();
    runtime::SessionOptions options;
    options.threads = 1;
    auto created = runtime::Session::Create(model->model(), options);
    REQUIRE_MESSAGE(created.ok(), created.status().message());
    session = std::move(created).value();
  }

  Result<runtime::GenerateResult> Run(const Ids& prompt, const runtime::GenerateOptions& options,
                                      size_t stop_after = SIZE_MAX) {
    ids.clear();
    text.clear();
    parts.clear();
    return runtime::Generate(*session, model->tokenizer(), prompt, options,
                             [&](int32_t id, std::string_view part) {
                               if (id >= 0) ids.push_back(id);
                               text += part;
                               parts.emplace_back(part);
                               CHECK(runtime::IsValidUtf8(part));
                               return ids.size() < stop_after;
                             });
  }

  Ids Encode(const char* words) const { return model->Encode(words, false).value(); }
};

/// Each token of `ids` is followed by the next.
std::map<int32_t, int32_t> Chain(const Ids& ids) {
  std::map<int32_t, int32_t> next;
  for (size_t i = 0; i + 1 < ids.size(); ++i) next[ids[i]] = ids[i + 1];
  return next;
}

TEST_SUITE("text/generate") {
  // Tokens of stories260k: 403 "▁Once", 407 "▁upon", 261 "▁a", 378 "▁time"; 3 + b is the byte b.
  const Ids kOnceUpon = {403, 407, 261, 378};

  TEST_CASE("continues the prompt's text, its first space included") {
    Bed bed(Chain(kOnceUpon));
    runtime::GenerateOptions options;
    options.max_tokens = 3;
    const auto result = bed.Run({403}, options);
    REQUIRE(result.ok());
    CHECK(bed.ids == Ids{407, 261, 378});
    CHECK(bed.text == " upon a time");
    CHECK(result->prompt_tokens == 1);
    CHECK(result->generated_tokens == 3);
    CHECK(result->stop_reason == runtime::StopReason::kMaxTokens);
    CHECK(bed.session->position() == 3);  // nothing was computed after the last token
  }

  TEST_CASE("stops at an end token, which it does not hand out, unless told to go on") {
    Bed bed(Chain(kOnceUpon), {261});
    runtime::GenerateOptions options;
    options.max_tokens = 3;
    auto result = bed.Run({403}, options);
    REQUIRE(result.ok());
    CHECK(bed.ids == Ids{407});
    CHECK(result->stop_reason == runtime::StopReason::kEndToken);
    REQUIRE(bed.session->Rewind(0).ok());
    options.ignore_end = true;
    result = bed.Run({403}, options);
    REQUIRE(result.ok());
    CHECK(bed.ids == Ids{407, 261, 378});
  }

  TEST_CASE("ends before a stop string that several tokens spell") {
    Bed bed(Chain(kOnceUpon));
    runtime::GenerateOptions options;
    options.max_tokens = 3;
    options.stop = {"on a ti"};
    const auto result = bed.Run({403}, options);
    REQUIRE(result.ok());
    CHECK(bed.text == " up");
    CHECK(result->stop_reason == runtime::StopReason::kStopString);
    for (const std::string& part : bed.parts) CHECK(part.find("on") == std::string::npos);
  }

  TEST_CASE("text held back for a stop string that never comes appears at the end") {
    Bed bed(Chain(kOnceUpon));
    runtime::GenerateOptions options;
    options.max_tokens = 3;
    options.stop = {" time flies"};
    const auto result = bed.Run({403}, options);
    REQUIRE(result.ok());
    CHECK(bed.text == " upon a time");
    CHECK(bed.parts.back() == " time");
    CHECK(bed.parts.size() == 4);  // three tokens and the rest
    CHECK(result->stop_reason == runtime::StopReason::kMaxTokens);
  }

  TEST_CASE("a character of several byte tokens comes out whole") {
    const int32_t e2 = 3 + 0xE2;
    const int32_t x82 = 3 + 0x82;
    const int32_t ac = 3 + 0xAC;
    Bed bed(Chain({403, e2, x82, ac, 407}));
    runtime::GenerateOptions options;
    options.max_tokens = 4;
    REQUIRE(bed.Run({403}, options).ok());
    CHECK(bed.ids == Ids{e2, x82, ac, 407});
    CHECK(bed.text == "€ upon");
    CHECK(bed.parts == std::vector<std::string>{"", "", "", "€ upon"});
    // Cut short, what is no character is said to be none.
    REQUIRE(bed.session->Rewind(0).ok());
    options.max_tokens = 2;
    REQUIRE(bed.Run({403}, options).ok());
    CHECK(bed.text == "\xEF\xBF\xBD\xEF\xBF\xBD");
  }

  TEST_CASE("the callback can end it") {
    Bed bed(Chain(kOnceUpon));
    runtime::GenerateOptions options;
    const auto result = bed.Run({403}, options, 2);
    REQUIRE(result.ok());
    CHECK(bed.ids == Ids{407, 261});
    CHECK(result->stop_reason == runtime::StopReason::kCallback);
  }

  TEST_CASE("ends when the context is full") {
    Bed bed(Chain({5, 6, 5}), {}, 10);
    runtime::GenerateOptions options;
    options.max_tokens = 100;
    const auto result = bed.Run({5, 6, 5}, options);
    REQUIRE(result.ok());
    CHECK(result->stop_reason == runtime::StopReason::kContext);
    CHECK(bed.session->position() == 10);
    CHECK(result->generated_tokens == 8);  // seven that fit and the one they lead to
  }

  TEST_CASE("a whole prompt is computed only from where it differs from what is held") {
    Bed bed(Chain(kOnceUpon));
    runtime::GenerateOptions options;
    options.max_tokens = 2;
    options.whole_prompt = true;
    auto result = bed.Run({5, 6, 403}, options);
    REQUIRE(result.ok());
    CHECK(bed.ids == Ids{407, 261});
    CHECK(result->reused_tokens == 0);
    CHECK(bed.session->position() == 4);  // 5 6 403 407; nothing was computed after 261
    result = bed.Run({5, 6, 403, 407, 261}, options);
    REQUIRE(result.ok());
    CHECK(result->prompt_tokens == 5);
    CHECK(result->reused_tokens == 4);
    CHECK(bed.ids == Ids{378, 0});
    result = bed.Run({5, 7, 403}, options);
    REQUIRE(result.ok());
    CHECK(result->reused_tokens == 1);
    CHECK(bed.ids == Ids{407, 261});
    CHECK(bed.session->position() == 4);
    options.whole_prompt = false;
    result = bed.Run({5, 7}, options);
    REQUIRE(result.ok());
    CHECK(result->reused_tokens == 0);
    CHECK(bed.session->position() == 7);
  }

  TEST_CASE("cancelling ends it with that status") {
    Bed bed(Chain({5, 6, 5}));
    int calls = 0;
    const auto result = runtime::Generate(*bed.session, bed.model->tokenizer(), Ids{5}, {},
                                          [&](int32_t, std::string_view) {
                                            if (++calls == 3) bed.session->Cancel();
                                            return true;
                                          });
    CHECK(result.status().code() == StatusCode::kCancelled);
    CHECK(calls == 3);
  }

  TEST_CASE("prompts and options that cannot be are refused") {
    Bed bed(Chain({5, 6}));
    const auto code = [&](const Ids& prompt, const runtime::GenerateOptions& options) {
      return bed.Run(prompt, options).status().code();
    };
    CHECK(code({}, {}) == StatusCode::kInvalidArgument);
    CHECK(code({512}, {}) == StatusCode::kOutOfRange);
    CHECK(code({-1}, {}) == StatusCode::kOutOfRange);
    CHECK(code(Ids(65, 5), {}) == StatusCode::kOutOfRange);
    runtime::GenerateOptions bad_stop;
    bad_stop.stop = {"\xFF"};
    CHECK(code({5}, bad_stop) == StatusCode::kInvalidArgument);
    runtime::GenerateOptions bad_sampling;
    bad_sampling.sampling.min_p = 2;
    CHECK(code({5}, bad_sampling) == StatusCode::kInvalidArgument);
    CHECK(bed.session->position() == 0);
  }

  TEST_CASE("equal seeds give equal texts") {
    Bed bed(Chain({}));
    runtime::GenerateOptions options;
    options.max_tokens = 30;
    options.sampling.temperature = 5;
    options.sampling.seed = 8;
    REQUIRE(bed.Run({5}, options).ok());
    const Ids first = bed.ids;
    REQUIRE(bed.session->Rewind(0).ok());
    REQUIRE(bed.Run({5}, options).ok());
    CHECK(bed.ids == first);
    REQUIRE(bed.session->Rewind(0).ok());
    options.sampling.seed = 9;
    REQUIRE(bed.Run({5}, options).ok());
    CHECK(bed.ids != first);
  }
}

}  // namespace
}  // namespace graft::test
