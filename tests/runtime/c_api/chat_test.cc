// SPDX-License-Identifier: Apache-2.0
// Through the C interface: messages to text, and two texts to ids with types.
#include <array>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "runtime/chat/chat_template.h"
#include "schema/verify.h"
#include "tests/runtime/c_api/opened_model.h"
#include "tests/support/model_builder.h"

namespace graft::test {
namespace {

/// A model whose file has `source` as its chat template.
AlignedBytes ModelWithTemplate(const std::string& source) {
  ModelBuilder model;
  const auto rows = Symbolic(model.Symbol("rows"));
  const int32_t x =
      model.Input("x", {rows, Fixed(4)}, fb::InputRole::Tensor, fb::ElementType::Float32);
  const int32_t y = model.Value("y", {rows, Fixed(4)});
  model.Op("add", {x, x}, {y}, fb::OpAttributes::Add, fb::CreateAdd(model.builder()).Union());
  model.Output(y);
  model.SetChatTemplate(source);
  return model.Finish();
}

TEST_SUITE("runtime/c_api_chat") {
  TEST_CASE("a model's own template is parsed once, also if many threads ask for it at once") {
    const AlignedBytes file = ModelWithTemplate("{{ messages[0].content }}!");
    const auto verified = schema::Verify(file.span());
    REQUIRE_MESSAGE(verified.ok(), verified.status().message());
    const runtime::ModelTemplate own(verified->model());
    CHECK(own.exists());
    std::array<const runtime::ChatTemplate*, 4> found{};
    std::array<std::thread, 4> threads;
    for (size_t i = 0; i < threads.size(); ++i) {
      threads[i] = std::thread([&own, &found, i] {
        if (const auto parsed = own.Get(); parsed.ok()) found[i] = *parsed;
      });
    }
    for (std::thread& thread : threads) thread.join();
    CHECK(found[0] != nullptr);
    for (const runtime::ChatTemplate* parsed : found) CHECK(parsed == found[0]);
  }

  TEST_CASE("a model's own template renders in every call, one that is damaged fails in each") {
    for (const bool is_sound : {true, false}) {
      const AlignedBytes file =
          ModelWithTemplate(is_sound ? "{{ messages[0].content }}!" : "{% for");
      graft_model* model = nullptr;
      REQUIRE(graft_model_open_memory(file.data(), file.size(), nullptr, &model, nullptr) ==
              GRAFT_OK);
      for (const char* content : {"one", "two"}) {
        const graft_chat_message message = {"user", content};
        char text[16] = {};
        size_t size = 0;
        const graft_status status = graft_model_render_chat(model, &message, 1, nullptr, text,
                                                            sizeof(text), &size, nullptr);
        CHECK(status == (is_sound ? GRAFT_OK : GRAFT_CORRUPT));
        CHECK(std::string(text, size) == (is_sound ? std::string(content) + "!" : std::string()));
      }
      graft_model_destroy(model);
    }
  }

  TEST_CASE("renders messages with a template of the caller's, with variables and a time") {
    const OpenedModel model;
    const graft_chat_message messages[] = {{"system", "be"}, {"user", "hi"}};
    const graft_chat_variable variables[] = {{"loud", "true"}, {"name", "x"}};
    graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
    options.template_text =
        "{% for m in messages %}[{{ m.role }}:{{ m.content }}]{% endfor %}"
        "{{ '!' if loud }}{{ name }}{{ strftime_now('%Y') }}{{ '>' if add_generation_prompt }}";
    options.variables = variables;
    options.variable_count = 2;
    options.now_seconds = 1'700'000'000;
    char text[64] = {};
    size_t size = 0;
    graft_error error{};
    REQUIRE_MESSAGE(graft_model_render_chat(model.handle, messages, 2, &options, text, sizeof(text),
                                            &size, &error) == GRAFT_OK,
                    error.message);
    CHECK(std::string(text, size) == "[system:be][user:hi]!x2023>");
    options.without_generation_prompt = 1;
    CHECK(graft_model_render_chat(model.handle, messages, 2, &options, text, 4, &size, &error) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(size == 26);
    CHECK(std::strncmp(text, "[sys", 4) == 0);
  }

  TEST_CASE("says that there is no template, what the template refuses, and what is missing") {
    const OpenedModel model;
    const graft_chat_message message = {"user", "hi"};
    graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
    graft_error error{};
    size_t size = 0;
    const auto render = [&] {
      return graft_model_render_chat(model.handle, &message, 1, &options, nullptr, 0, &size,
                                     &error);
    };
    CHECK(render() == GRAFT_FAILED_PRECONDITION);
    CHECK(std::strstr(error.message, "no chat template") != nullptr);
    options.template_text = "{{ raise_exception('only in verse') }}";
    CHECK(render() == GRAFT_INVALID_ARGUMENT);
    CHECK(std::strstr(error.message, "only in verse") != nullptr);
    options.template_text =
        "{% for x in range(1000000) %}{% for y in range(1000000) %}{% endfor %}";
    CHECK(render() == GRAFT_CORRUPT);
    options.template_text = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    CHECK(render() == GRAFT_OUT_OF_RANGE);
    CHECK(size == 0);
    options.template_text = "x";
    const graft_chat_message broken = {"user", nullptr};
    CHECK(graft_model_render_chat(model.handle, &broken, 1, &options, nullptr, 0, &size, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_model_render_chat(nullptr, &message, 1, &options, nullptr, 0, &size, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_model_render_chat(model.handle, nullptr, 1, &options, nullptr, 0, &size, &error) ==
          GRAFT_INVALID_ARGUMENT);
    graft_model_info info{};
    info.struct_size = sizeof(info);
    REQUIRE(graft_model_get_info(model.handle, &info, &error) == GRAFT_OK);
    CHECK(info.has_chat_template == 0);
  }

  TEST_CASE("two texts become one row of ids with types") {
    const OpenedModel model;
    size_t one = 0;
    size_t both = 0;
    int32_t ids[32] = {};
    int32_t types[32] = {7, 7, 7, 7, 7, 7, 7, 7};
    graft_error error{};
    graft_tokenize_options options = GRAFT_TOKENIZE_OPTIONS_INIT;
    options.without_special = 1;
    REQUIRE(graft_model_tokenize_pair(model.handle, "ab", 2, nullptr, 0, &options, ids, types, 32,
                                      &one, &error) == GRAFT_OK);
    REQUIRE(graft_model_tokenize_pair(model.handle, "ab", 2, "ab", 2, &options, ids, types, 32,
                                      &both, &error) == GRAFT_OK);
    CHECK(one > 0);
    CHECK(both == 2 * one);
    for (size_t i = 0; i < both; ++i) {
      CHECK(types[i] == 0);  // this tokenizer's template has one type only
      CHECK(ids[i] == ids[i % one]);
    }
    REQUIRE(graft_model_tokenize_pair(model.handle, "ab", 2, "ab", 2, nullptr, ids, types, 32,
                                      &both, &error) == GRAFT_OK);
    CHECK(both == 2 * one + 2);
    CHECK(ids[0] == 1);
    CHECK(ids[one + 1] == 1);
    options.max_tokens = 1;
    REQUIRE(graft_model_tokenize_pair(model.handle, "ab", 2, nullptr, 0, &options, ids, nullptr, 32,
                                      &both, &error) == GRAFT_OK);
    CHECK(both == 1);
    CHECK(graft_model_tokenize_pair(model.handle, "ab", 2, nullptr, 0, nullptr, ids, types, 0,
                                    &both, &error) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_model_tokenize_pair(nullptr, "ab", 2, nullptr, 0, nullptr, ids, types, 1, &both,
                                    &error) == GRAFT_INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace graft::test
