// SPDX-License-Identifier: Apache-2.0
// What generated text must be, asked for through the C interface.
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

struct Bed {
  AlignedBytes file;
  graft_model* model = nullptr;
  graft_session* session = nullptr;
  std::string text;
  graft_generate_result result{};
  graft_error error{};

  explicit Bed(bool with_tokenizer = true) : file(ScriptedModel({}, 256, {2}, with_tokenizer)) {
    REQUIRE(graft_model_open_memory(file.data(), file.size(), nullptr, &model, nullptr) ==
            GRAFT_OK);
    REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
    result.struct_size = sizeof(result);
  }
  ~Bed() {
    graft_session_destroy(session);
    graft_model_destroy(model);
  }

  graft_status Run(graft_generate_options options) {
    text.clear();
    options.whole_prompt = 1;
    const int32_t prompt = 403;
    const auto keep = [](void* user, int32_t, const char* part, size_t size) -> int32_t {
      static_cast<std::string*>(user)->append(part, size);
      return 0;
    };
    return graft_session_generate(session, &prompt, 1, &options, keep, &text, &result, &error);
  }
};

TEST_SUITE("c_api/constraint") {
  TEST_CASE("each of the four holds the text to its form") {
    Bed bed;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.temperature = 1.5f;
    options.json_schema = "{\"enum\": [12, \"x\"]}";
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK((bed.text == "12" || bed.text == "\"x\""));
    CHECK(bed.result.stop_reason == GRAFT_STOP_COMPLETE);
    REQUIRE(graft_model_trim(bed.model, nullptr) == GRAFT_OK);  // the vocabulary is made again
    options.json_schema = nullptr;
    options.regex = "a{3}";
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.text == "aaa");
    options.regex = nullptr;
    options.grammar = "root ::= \"(\" root \")\" | \"1\"";
    options.max_tokens = 200;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.text.find_first_not_of("()1") == std::string::npos);
    options.grammar = nullptr;
    const char* choices[] = {"yes", "no"};
    options.choices = choices;
    options.choice_count = 2;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK((bed.text == "yes" || bed.text == "no"));
  }

  TEST_CASE("what contradicts itself, or is not supported, is told") {
    Bed bed;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.constraint_trigger = "x";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.regex = "a";
    options.grammar = "root ::= \"a\"";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    CHECK(std::strstr(bed.error.message, "only one") != nullptr);
    options.grammar = nullptr;
    options.ignore_end = 1;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options = GRAFT_GENERATE_OPTIONS_INIT;
    options.choice_count = 1;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    const char* none[] = {nullptr};
    options.choices = none;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options = GRAFT_GENERATE_OPTIONS_INIT;
    options.json_schema = "{\"type\": \"array\", \"contains\": {}}";
    CHECK(bed.Run(options) == GRAFT_UNSUPPORTED);
    CHECK(std::strstr(bed.error.message, "'contains' at #") != nullptr);
    CHECK(bed.text.empty());
    Bed without(false);
    options = GRAFT_GENERATE_OPTIONS_INIT;
    options.regex = "a";
    CHECK(without.Run(options) == GRAFT_FAILED_PRECONDITION);
  }
}

}  // namespace
}  // namespace graft::test
