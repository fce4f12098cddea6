// SPDX-License-Identifier: Apache-2.0
#include "runtime/tasks/constrained_text.h"

#include <set>

#include <doctest/doctest.h>

#include "runtime/tasks/generate.h"
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

using runtime::ConstraintOptions;
using Kind = runtime::ConstraintOptions::Kind;

/// A model that always likes token 0 best, and a session.
struct Bed {
  AlignedBytes file;
  std::shared_ptr<const runtime::TextModel> model;
  std::unique_ptr<runtime::Session> session;
  std::vector<int32_t> ids;
  std::string text;

  explicit Bed(const std::map<int32_t, int32_t>& next = {}, bool with_tokenizer = true,
               uint32_t context = 256)
      : file(ScriptedModel(next, context, {2}, with_tokenizer)) {
    auto opened = runtime::TextModel::Open(std::make_unique<runtime::MemorySource>(file.span()),
                                           runtime::ModelOptions{1, false}, "test.graft");
    REQUIRE(opened.ok());
    model = std::move(opened).value();
    runtime::SessionOptions options;
    options.threads = 1;
    auto created = runtime::Session::Create(model->model(), options);
    REQUIRE(created.ok());
    session = std::move(created).value();
  }

  Result<runtime::GenerateResult> Run(const ConstraintOptions& constraint, float temperature,
                                      uint64_t seed = 1, uint32_t max_tokens = 200) {
    ids.clear();
    text.clear();
    auto created = runtime::ConstrainedText::Create(*model, constraint);
    if (!created.ok()) return created.status();
    runtime::GenerateOptions options;
    options.constraint = created->get();
    options.max_tokens = max_tokens;
    options.sampling.temperature = temperature;
    options.sampling.seed = seed;
    options.whole_prompt = true;
    const int32_t prompt[] = {403};
    return runtime::Generate(*session, model->tokenizer(), prompt, options,
                             [&](int32_t id, std::string_view part) {
                               if (id >= 0) ids.push_back(id);
                               text += part;
                               return true;
                             });
  }
};

ConstraintOptions Of(Kind kind, std::string_view text) {
  ConstraintOptions options;
  options.kind = kind;
  options.text = text;
  return options;
}

TEST_SUITE("text/constrained_text") {
  TEST_CASE("the text has the form, whatever the model likes") {
    Bed bed;
    std::set<std::string> texts;
    for (uint64_t seed = 1; seed <= 20; ++seed) {
      const auto result = bed.Run(Of(Kind::kRegex, "[a-c]{2}x|yes"), 1.5f, seed);
      REQUIRE(result.ok());
      CHECK(result->stop_reason == runtime::StopReason::kComplete);
      const bool is_word = bed.text.size() == 3 && bed.text[2] == 'x';
      CHECK_MESSAGE((is_word || bed.text == "yes"), bed.text);
      texts.insert(bed.text);
    }
    CHECK(texts.size() > 3);
  }

  TEST_CASE("calls among text are held to their tools, one after the other") {
    const Bed any;
    const auto id_of = [&](char c) {
      const runtime::Tokenizer& tokenizer = *any.model->tokenizer();
      for (uint32_t id = 3; id < tokenizer.size(); ++id) {
        if (tokenizer.decoder().InnerText(id).value() == std::string(1, c)) {
          return static_cast<int32_t>(id);
        }
      }
      return -1;
    };
    // What the model likes to write: x{"name"name"name" ...
    std::map<int32_t, int32_t> next;
    const auto likes = [&](int32_t before, char c) {
      REQUIRE(id_of(c) >= 0);
      next[before] = id_of(c);
    };
    likes(403, '{');
    likes(id_of('{'), '"');
    likes(id_of('"'), 'n');
    likes(id_of('n'), 'a');
    likes(id_of('a'), 'm');
    likes(id_of('m'), 'e');
    likes(id_of('e'), '"');
    likes(id_of('}'), 'z');
    const auto tools = runtime::ToolSet::Parse(
        R"([{"name": "f", "parameters": {"properties": {"b": {"enum": ["xy"]}}, "required": ["b"], "additionalProperties": false}}])");
    ConstraintOptions options = Of(Kind::kTools, "");
    options.tools = &*tools;
    options.format = runtime::FindReplyFormat("llama");
    options.in_order = true;
    Bed bed(next);
    const auto result = bed.Run(options, 0, 1, 230);
    REQUIRE(result.ok());
    CHECK_MESSAGE(bed.text.starts_with("{\"name\":"), bed.text);
    std::string packed;
    for (const char c : bed.text) {
      if (c != ' ' && c != '\n' && c != '\t') packed += c;
    }
    // Behind the call the text is free, and ends as any other.
    CHECK_MESSAGE(packed.starts_with("{\"name\":\"f\",\"parameters\":{\"b\":\"xy\"}}z"), bed.text);
    CHECK(result->stop_reason == runtime::StopReason::kMaxTokens);
    // Within thinking nothing is held to anything.
    options.is_thinking = true;
    REQUIRE(bed.Run(options, 0, 1, 30).ok());
    CHECK_MESSAGE(bed.text.starts_with("{\"name\"name\"name"), bed.text);
    // Nor is an object that is not the first of the text.
    options.is_thinking = false;
    next[403] = id_of('z');
    next[id_of('z')] = id_of('{');
    Bed later(next);
    REQUIRE(later.Run(options, 0, 1, 30).ok());
    CHECK_MESSAGE(later.text.starts_with("z{\"name\"name"), later.text);
  }

  TEST_CASE("JSON, with its end where it may be") {
    Bed bed;
    for (const bool in_order : {false, true}) {
      ConstraintOptions options = Of(
          Kind::kJsonSchema,
          R"({"type": "object", "properties": {"who": {"enum": ["me", "you"]}, "n": {"type": "integer", "minimum": 7, "maximum": 9}}, "required": ["who", "n"], "additionalProperties": false})");
      options.in_order = in_order;
      for (uint64_t seed = 1; seed <= 10; ++seed) {
        const auto result = bed.Run(options, 1.5f, seed);
        REQUIRE(result.ok());
        CHECK(result->stop_reason == runtime::StopReason::kComplete);
        CHECK(result->generated_tokens == bed.ids.size());
        std::string plain;
        for (const char c : bed.text) {
          if (c != ' ' && c != '\n' && c != '\t') plain.push_back(c);
        }
        std::set<std::string> whole;
        for (const char* who : {"me", "you"}) {
          for (const char* n : {"7", "8", "9"}) {
            const std::string a = std::string("\"who\":\"") + who + "\"";
            const std::string b = std::string("\"n\":") + n;
            whole.insert("{" + a + "," + b + "}");
            if (!in_order) whole.insert("{" + b + "," + a + "}");
          }
        }
        CHECK_MESSAGE(whole.contains(plain), bed.text);
        // All but the last token is held, also of those that were appended together.
        CHECK(bed.session->position() == bed.ids.size());
      }
    }
  }

  TEST_CASE("the model may end where the text may, and nowhere else") {
    // Token 2 is the end, and what the model says after anything.
    std::map<int32_t, int32_t> next;
    for (int32_t id = 0; id < 512; ++id) next[id] = 2;
    Bed bed(next);
    const auto result = bed.Run(Of(Kind::kRegex, "[0-9]{3}[a-z]*"), 0);
    REQUIRE(result.ok());
    CHECK(result->stop_reason == runtime::StopReason::kEndToken);
    CHECK(bed.text.size() == 3);
  }

  TEST_CASE("a constraint may begin after a trigger") {
    // Of stories260k: 403 "▁Once", 407 "▁upon", 261 "▁a", 378 "▁time".
    Bed bed({{403, 407}, {407, 261}, {261, 378}});
    ConstraintOptions options = Of(Kind::kRegex, "[0-9]{2}");
    options.trigger = " upon a";
    const auto result = bed.Run(options, 0);
    REQUIRE(result.ok());
    CHECK(result->stop_reason == runtime::StopReason::kComplete);
    CHECK(bed.text.starts_with(" upon a"));
    CHECK(bed.text.size() == 9);
    // What comes in one token with the trigger's end must go on as the constraint says.
    options = Of(Kind::kRegex, "[0-9]{2}");
    options.trigger = " up";
    const auto other = bed.Run(options, 0, 1, 20);
    REQUIRE(other.ok());
    CHECK(bed.text.find(" upon") == std::string::npos);
  }

  TEST_CASE("what is wrong is told before anything is generated") {
    Bed bed;
    const auto status = [&](const ConstraintOptions& options) {
      return bed.Run(options, 0).status().code();
    };
    CHECK(status(Of(Kind::kJsonSchema, "{")) == StatusCode::kInvalidArgument);
    CHECK(status(Of(Kind::kJsonSchema, R"({"type": "array", "uniqueItems": true})")) ==
          StatusCode::kUnsupported);
    CHECK(status(Of(Kind::kRegex, "(")) == StatusCode::kInvalidArgument);
    CHECK(status(Of(Kind::kGbnf, "root ::=")) == StatusCode::kOk);
    CHECK(bed.text.empty());
    CHECK(status(Of(Kind::kChoices, "")) == StatusCode::kInvalidArgument);
    Bed without({}, /*with_tokenizer=*/false);
    CHECK(without.Run(Of(Kind::kRegex, "a"), 0).status().code() == StatusCode::kFailedPrecondition);
    runtime::GenerateOptions options;
    auto created = runtime::ConstrainedText::Create(*bed.model, Of(Kind::kRegex, "a"));
    REQUIRE(created.ok());
    options.constraint = created->get();
    options.ignore_end = true;
    const int32_t prompt[] = {403};
    CHECK(runtime::Generate(*bed.session, bed.model->tokenizer(), prompt, options, {})
              .status()
              .code() == StatusCode::kInvalidArgument);
  }

  TEST_CASE("a text is whole where its shortest end fits into the tokens that are left") {
    constexpr std::string_view kSchema =
        R"({"type": "object", "properties": {"who": {"type": "string", "minLength": 2}, "tags": {"type": "array", "items": {"type": "string"}},
            "n": {"type": "number"}, "in": {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"]}}, "required": ["who", "n", "in"]})";
    Bed bed;
    const auto ends_whole = [&](const ConstraintOptions& options, float temperature,
                                uint32_t most) {
      for (uint64_t seed = 1; seed <= 6; ++seed) {
        const auto result = bed.Run(options, temperature, seed, most);
        REQUIRE(result.ok());
        CHECK(result->generated_tokens <= most);
        CHECK(result->stop_reason != runtime::StopReason::kMaxTokens);
        auto grammar = runtime::CompileJsonSchema(options.text, options.in_order);
        REQUIRE(grammar.ok());
        runtime::Recognizer recognizer(std::move(*grammar));
        runtime::StateId state = recognizer.start();
        for (const char c : bed.text) state = recognizer.Next(state, static_cast<uint8_t>(c));
        CHECK_MESSAGE(recognizer.IsAccepting(state), bed.text);
      }
    };
    for (const bool in_order : {false, true}) {
      ConstraintOptions options = Of(Kind::kJsonSchema, kSchema);
      options.in_order = in_order;
      for (const uint32_t most : {30, 33, 50}) ends_whole(options, 1.5f, most);
      ends_whole(options, 0, 31);
    }
    for (const uint32_t most : {1, 2, 4, 9})
      ends_whole(Of(Kind::kJsonSchema, "{\"type\": \"number\"}"), 1.5f, most);
    for (const uint32_t most : {2, 5, 12}) ends_whole(Of(Kind::kJsonSchema, "true"), 1.5f, most);
    // What does not fit is cut off.
    const auto result = bed.Run(Of(Kind::kJsonSchema, kSchema), 0, 1, 10);
    REQUIRE(result.ok());
    CHECK(result->stop_reason == runtime::StopReason::kMaxTokens);
    CHECK(bed.ids.size() == 10);
    // Nor is there room behind a full context.
    Bed small({}, true, /*context=*/32);
    const auto within = small.Run(Of(Kind::kJsonSchema, kSchema), 1.5f);
    REQUIRE(within.ok());
    CHECK_MESSAGE(within->stop_reason != runtime::StopReason::kContext, small.text);
  }

  TEST_CASE("token limits and a full context cut the text off") {
    Bed bed({}, true, /*context=*/8);
    const auto result = bed.Run(Of(Kind::kRegex, "[0-9]{100}"), 0);
    REQUIRE(result.ok());
    CHECK(result->stop_reason == runtime::StopReason::kContext);
    CHECK(bed.session->position() == 8);
    Bed limited;
    const auto short_text = limited.Run(Of(Kind::kRegex, "[0-9]{100}"), 0, 1, 5);
    REQUIRE(short_text.ok());
    CHECK(short_text->stop_reason == runtime::StopReason::kMaxTokens);
    CHECK(limited.ids.size() == 5);
    const std::string_view choices[] = {"a rather long choice of words"};
    ConstraintOptions options;
    options.kind = Kind::kChoices;
    options.choices.assign(std::begin(choices), std::end(choices));
    const auto forced = limited.Run(options, 0, 1, 3);
    REQUIRE(forced.ok());
    CHECK(limited.ids.size() == 3);
    CHECK(choices[0].starts_with(limited.text));
  }
}

}  // namespace
}  // namespace graft::test
