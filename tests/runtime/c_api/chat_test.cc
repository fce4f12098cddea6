// SPDX-License-Identifier: Apache-2.0
// Through the C interface: messages to text, and two texts to ids with types.
#include <doctest/doctest.h>
#include <graft/graft.h>

#include <cstring>
#include <string>
#include <vector>

#include "tests/runtime/c_api/opened_model.h"

namespace graft::test {
namespace {

TEST_SUITE("runtime/c_api_chat") {
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
    REQUIRE_MESSAGE(graft_chat_render(model.handle, messages, 2, &options, text, sizeof(text),
                                      &size, &error) == GRAFT_OK,
                    error.message);
    CHECK(std::string(text, size) == "[system:be][user:hi]!x2023>");
    options.without_generation_prompt = 1;
    CHECK(graft_chat_render(model.handle, messages, 2, &options, text, 4, &size, &error) ==
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
      return graft_chat_render(model.handle, &message, 1, &options, nullptr, 0, &size, &error);
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
    CHECK(graft_chat_render(model.handle, &broken, 1, &options, nullptr, 0, &size, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_chat_render(nullptr, &message, 1, &options, nullptr, 0, &size, &error) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(graft_chat_render(model.handle, nullptr, 1, &options, nullptr, 0, &size, &error) ==
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
    REQUIRE(graft_tokenize_pair(model.handle, "ab", 2, nullptr, 0, &options, ids, types, 32, &one,
                                &error) == GRAFT_OK);
    REQUIRE(graft_tokenize_pair(model.handle, "ab", 2, "ab", 2, &options, ids, types, 32, &both,
                                &error) == GRAFT_OK);
    CHECK(one > 0);
    CHECK(both == 2 * one);
    for (size_t i = 0; i < both; ++i) {
      CHECK(types[i] == 0);  // this tokenizer's template has one type only
      CHECK(ids[i] == ids[i % one]);
    }
    REQUIRE(graft_tokenize_pair(model.handle, "ab", 2, "ab", 2, nullptr, ids, types, 32, &both,
                                &error) == GRAFT_OK);
    CHECK(both == 2 * one + 2);
    CHECK(ids[0] == 1);
    CHECK(ids[one + 1] == 1);
    options.max_tokens = 1;
    REQUIRE(graft_tokenize_pair(model.handle, "ab", 2, nullptr, 0, &options, ids, nullptr, 32,
                                &both, &error) == GRAFT_OK);
    CHECK(both == 1);
    CHECK(graft_tokenize_pair(model.handle, "ab", 2, nullptr, 0, nullptr, ids, types, 0, &both,
                              &error) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_tokenize_pair(nullptr, "ab", 2, nullptr, 0, nullptr, ids, types, 1, &both,
                              &error) == GRAFT_INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace graft::test
