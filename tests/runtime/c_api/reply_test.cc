// SPDX-License-Identifier: Apache-2.0
// Replies taken apart, calls of functions, and what is told of tokens, through the C interface.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/tasks/scripted_model.h"

namespace graft::test {
namespace {

constexpr char kTools[] =
    R"([{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": ["xy"]}},
      "required": ["a"], "additionalProperties": false}}}])";

struct Bed {
  AlignedBytes file;
  graft_model* model = nullptr;
  graft_session* session = nullptr;
  std::string text;
  std::vector<int32_t> ids;
  std::vector<graft_token_logprobs> told;  // but for what they point to
  std::vector<int32_t> likeliest;
  graft_generate_result result{};
  graft_error error{};

  explicit Bed(const std::map<int32_t, int32_t>& next = {}) : file(ScriptedModel(next, 256, {2})) {
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
    ids.clear();
    told.clear();
    likeliest.clear();
    options.whole_prompt = 1;
    const int32_t prompt = 403;
    const auto keep = [](void* user, int32_t id, const char* part, size_t size) -> int32_t {
      auto* const bed = static_cast<Bed*>(user);
      bed->text.append(part, size);
      if (id >= 0) bed->ids.push_back(id);
      return 0;
    };
    return graft_session_generate(session, &prompt, 1, &options, keep, this, &result, &error);
  }

  static void OnLogprobs(void* user, const graft_token_logprobs* token) {
    auto* const bed = static_cast<Bed*>(user);
    bed->told.push_back(*token);
    bed->likeliest.assign(token->ids, token->ids + token->count);
  }
};

/// Parts as one text.
void Keep(void* user, const graft_reply_part* part) {
  auto* const all = static_cast<std::string*>(user);
  if (part->kind == GRAFT_REPLY_THINKING) all->append("~");
  if (part->kind == GRAFT_REPLY_CALL) all->append(part->name).append("#").append(part->id);
  all->append(part->text, part->size);
}

TEST_SUITE("c_api/reply") {
  TEST_CASE("a reply in parts, and as a message") {
    graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
    options.format = "hermes";
    graft_reply* reply = nullptr;
    REQUIRE(graft_reply_create(nullptr, &options, &reply, nullptr) == GRAFT_OK);
    CHECK(std::string(graft_reply_format(reply)) == "hermes");
    CHECK(std::string(graft_reply_format(nullptr)).empty());
    const std::string text =
        "<think>\nwhy\n</think>\nSo \"it\" is.<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": "
        "1.0}}</tool_call>"
        "<tool_call>{\"name\": \"g\", \"arguments\": {}, \"id\": \"7\"}</tool_call>";
    std::string all;
    REQUIRE(graft_reply_append(reply, text.data(), 20, Keep, &all, nullptr) == GRAFT_OK);
    REQUIRE(graft_reply_append(reply, text.data() + 20, text.size() - 20, Keep, &all, nullptr) ==
            GRAFT_OK);
    REQUIRE(graft_reply_finish(reply, Keep, &all, nullptr) == GRAFT_OK);
    CHECK(all == "~whySo \"it\" is.f#call00000{\"a\":1.0}g#7{}");
    char json[400];
    size_t size = 0;
    REQUIRE(graft_reply_message(reply, json, sizeof(json), &size, nullptr) == GRAFT_OK);
    CHECK(
        std::string(json, size) ==
        R"({"role": "assistant", "content": "So \"it\" is.", "reasoning_content": "why", "tool_calls": [)"
        R"({"id": "call00000", "type": "function", "function": {"name": "f", "arguments": {"a":1.0}}}, )"
        R"({"id": "7", "type": "function", "function": {"name": "g", "arguments": {}}}]})");
    CHECK(graft_reply_message(reply, json, 3, &size, nullptr) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_reply_append(reply, "x", 1, Keep, &all, nullptr) == GRAFT_FAILED_PRECONDITION);
    CHECK(graft_reply_finish(reply, nullptr, nullptr, nullptr) == GRAFT_OK);
    // It is a message of the next prompt.
    const Bed bed;
    const std::string messages =
        "[" + std::string(json, 0) + R"({"role": "user", "content": "q"}])";
    graft_chat_options chat = GRAFT_CHAT_OPTIONS_INIT;
    chat.template_text =
        "{{ messages[0].content }}{{ tools[0].function.name }}{{ n + 1 }}{{ documents }}";
    chat.messages_json = messages.c_str();
    chat.tools = kTools;
    chat.variables_json = "{\"n\": 1}";
    REQUIRE(graft_model_render_chat(bed.model, nullptr, 0, &chat, json, 100, &size, nullptr) ==
            GRAFT_OK);
    CHECK(std::string(json, size) == "qf2None");
    const graft_chat_message message = {"user", "x"};
    CHECK(graft_model_render_chat(bed.model, &message, 1, &chat, json, 100, &size, nullptr) ==
          GRAFT_INVALID_ARGUMENT);
    graft_reply_destroy(reply);
    graft_reply_destroy(nullptr);
  }

  TEST_CASE("what is missing or not known is told") {
    graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
    graft_reply* reply = nullptr;
    graft_error error{};
    CHECK(graft_reply_create(nullptr, &options, &reply, &error) == GRAFT_INVALID_ARGUMENT);
    options.format = "none";
    CHECK(graft_reply_create(nullptr, &options, &reply, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(std::strstr(error.message, "hermes, llama") != nullptr);
    options.format = "lfm2";
    options.tools = "[{}]";
    CHECK(graft_reply_create(nullptr, &options, &reply, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_reply_append(nullptr, "", 0, nullptr, nullptr, &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_reply_finish(nullptr, nullptr, nullptr, &error) == GRAFT_INVALID_ARGUMENT);
    const Bed bed;
    options = GRAFT_REPLY_OPTIONS_INIT;  // neither template nor tokens tell
    REQUIRE(graft_reply_create(bed.model, &options, &reply, &error) == GRAFT_OK);
    CHECK(graft_reply_append(reply, nullptr, 1, nullptr, nullptr, &error) ==
          GRAFT_INVALID_ARGUMENT);
    REQUIRE(graft_reply_append(reply, "\xFF", 1, nullptr, nullptr, &error) == GRAFT_OK);
    REQUIRE(graft_reply_finish(reply, nullptr, nullptr, &error) == GRAFT_OK);
    graft_reply* other = nullptr;
    options.template_text = "<|tool_list_start|>";
    REQUIRE(graft_reply_create(bed.model, &options, &other, &error) == GRAFT_OK);
    CHECK(std::string(graft_reply_format(other)) == "lfm2");
    graft_reply_destroy(other);
    size_t size = 0;
    CHECK(graft_reply_message(reply, nullptr, 0, &size, &error) == GRAFT_INVALID_ARGUMENT);
    graft_reply_destroy(reply);
  }

  TEST_CASE("calls are what the tools take, whatever the model likes") {
    Bed bed;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.tools = kTools;
    options.json_schema = "{\"const\": 7}";
    options.temperature = 2.0f;
    options.max_tokens = 250;
    size_t calls = 0;
    for (options.seed = 1; options.seed <= 12; ++options.seed) {
      REQUIRE_MESSAGE(bed.Run(options) == GRAFT_OK, bed.error.message);
      if (bed.text == "7") continue;
      ++calls;
      CHECK_MESSAGE(bed.text.starts_with("<tool_call>\n{\"name\":"), bed.text);
      std::string all;
      graft_reply_options reply_options = GRAFT_REPLY_OPTIONS_INIT;
      reply_options.tools = kTools;
      graft_reply* reply = nullptr;
      REQUIRE(graft_reply_create(bed.model, &reply_options, &reply, nullptr) == GRAFT_OK);
      REQUIRE(graft_reply_append(reply, bed.text.data(), bed.text.size(), Keep, &all, nullptr) ==
              GRAFT_OK);
      graft_reply_destroy(reply);
      CHECK_MESSAGE(all.starts_with("f#call00000{\"a\":\"xy\"}"), bed.text);
    }
    CHECK(calls > 0);
    // Among text they are held to it as soon as one begins.
    options = GRAFT_GENERATE_OPTIONS_INIT;
    options.tools = kTools;
    options.reply_format = "llama";
    options.max_tokens = 20;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids.size() == 20);
    options.reply_format = "no such";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.reply_format = nullptr;
    options.regex = "a";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.regex = nullptr;
    options.tools = "[]";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("a tool_choice makes the answer calls") {
    constexpr const char* kTwo =
        R"([{"name": "f", "parameters": {"properties": {"a": {"enum": [1]}}, "required": ["a"], "additionalProperties": false}}, {"name": "gg"}])";
    Bed bed;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.tools = kTwo;
    options.temperature = 2.0f;
    options.max_tokens = 90;
    for (const char* choice : {"required", "f", "gg"}) {
      options.tool_choice = choice;
      size_t named = 0;
      for (options.seed = 1; options.seed <= 4; ++options.seed) {
        REQUIRE_MESSAGE(bed.Run(options) == GRAFT_OK, bed.error.message);
        CHECK_MESSAGE(bed.text.starts_with("<tool_call>\n{\"name\":"), bed.text);
        CHECK_MESSAGE(bed.text.find("</tool_call>") != std::string::npos, bed.text);
        if (bed.text.find("\"gg\"") != std::string::npos) ++named;
      }
      if (std::string_view(choice) == "f") CHECK(named == 0);
      if (std::string_view(choice) == "gg") CHECK(named == 4);
    }
    options.reply_format = "llama";
    options.tool_choice = "f";
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK_MESSAGE(bed.text.starts_with("{\"name\":"), bed.text);
    options.tool_choice = "auto";
    CHECK(bed.Run(options) == GRAFT_OK);
    options.tool_choice = "h";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.tool_choice = "required";
    options.json_schema = "true";
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.json_schema = nullptr;
    options.tools = nullptr;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("how likely tokens were") {
    Bed bed({{403, 5}, {5, 6}, {6, 7}, {7, 2}});
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 3;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    const std::vector<int32_t> plain = bed.ids;
    CHECK(plain == std::vector<int32_t>{5, 6, 7});
    options.on_logprobs = Bed::OnLogprobs;
    options.logprob_count = 3;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids == plain);
    REQUIRE(bed.told.size() == 3);
    CHECK(bed.told[2].id == 7);
    CHECK(bed.told[2].count == 3);
    CHECK(bed.likeliest[0] == 7);
    const float* logits = nullptr;
    const int32_t prompt[] = {403, 5, 6};
    REQUIRE(graft_session_reset(bed.session, nullptr) == GRAFT_OK);
    REQUIRE(graft_session_append(bed.session, prompt, 3, &logits, nullptr) == GRAFT_OK);
    double sum = 0;
    for (size_t i = 0; i < 512; ++i) sum += std::exp(static_cast<double>(logits[i]));
    CHECK(static_cast<double>(bed.told[2].logprob) ==
          doctest::Approx(static_cast<double>(logits[7]) - std::log(sum)));
    options.logprob_count = 1001;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.logprob_count = 0;
    options.regex = "a{9}";  // what must follow is not computed
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.told.size() == bed.ids.size());
    CHECK(!std::isnan(bed.told[0].logprob));
    CHECK(bed.told[0].count == 0);
  }

  TEST_CASE("biases and penalties") {
    Bed bed({{403, 5}, {5, 5}});
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 4;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids == std::vector<int32_t>{5, 5, 5, 5});
    graft_token_bias biases[] = {{5, -std::numeric_limits<float>::infinity()}, {8, 50.0f}};
    options.biases = biases;
    options.bias_count = 2;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids == std::vector<int32_t>{8, 8, 8, 8});
    options.frequency_penalty = 20;  // 50 is left of at the third time
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids[0] == 8);
    CHECK(bed.ids[1] == 8);
    CHECK(bed.ids[3] != 8);
    options.frequency_penalty = 0;
    options.presence_penalty = 100;
    REQUIRE(bed.Run(options) == GRAFT_OK);
    CHECK(bed.ids[0] == 8);
    CHECK(bed.ids[1] != 8);
    options.presence_penalty = 101;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    options.presence_penalty = 0;
    for (const graft_token_bias bad :
         {graft_token_bias{512, 1}, graft_token_bias{-1, 1}, graft_token_bias{5, NAN},
          graft_token_bias{5, std::numeric_limits<float>::infinity()}}) {
      biases[1] = bad;
      CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
    }
    options.biases = nullptr;
    CHECK(bed.Run(options) == GRAFT_INVALID_ARGUMENT);
  }
}

}  // namespace
}  // namespace graft::test
