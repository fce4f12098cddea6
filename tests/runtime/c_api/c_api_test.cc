// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/tasks/scripted_model.h"

extern "C" int graft_test_call_from_c(void);

namespace graft::test {
namespace {

struct Model {
  AlignedBytes file;
  graft_model* handle = nullptr;
  explicit Model(bool with_tokenizer = true)
      : file(ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9}, with_tokenizer)) {
    graft_error error{};
    const graft_status status =
        graft_model_open_memory(file.data(), file.size(), nullptr, &handle, &error);
    REQUIRE_MESSAGE(status == GRAFT_OK, error.message);
  }
  ~Model() { graft_model_destroy(handle); }
};

struct Session {
  graft_session* handle = nullptr;
  explicit Session(const Model& model) {
    graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
    options.threads = 1;
    REQUIRE(graft_session_create(model.handle, &options, &handle, nullptr) == GRAFT_OK);
  }
  ~Session() { graft_session_destroy(handle); }
};

TEST_SUITE("runtime/c_api") {
  TEST_CASE("the header compiles as C99 and its functions can be called from C") {
    CHECK(graft_test_call_from_c() == 1);
  }

  TEST_CASE("the version is the project's, and statuses have names") {
    CHECK(std::string(graft_version()) == GRAFT_TEST_VERSION);
    CHECK(graft_version_number() == GRAFT_VERSION_NUMBER);
    int parts[3] = {};
    REQUIRE(std::sscanf(GRAFT_TEST_VERSION, "%d.%d.%d", &parts[0], &parts[1], &parts[2]) == 3);
    CHECK(GRAFT_VERSION_NUMBER == parts[0] * 10000 + parts[1] * 100 + parts[2]);
    CHECK(std::string(graft_status_name(GRAFT_CORRUPT)) == "corrupt");
    CHECK(std::string(graft_status_name(12345)) == "unknown status");
  }

  TEST_CASE("null arguments are refused by name and freeing null is fine") {
    const Model model;
    const Session session(model);
    graft_error error{};
    graft_model* opened = nullptr;
    graft_session* created = nullptr;
    size_t count = 0;
    const graft_tensor* outputs = nullptr;
    const auto refused = [&](graft_status status, const char* name) {
      CHECK(status == GRAFT_INVALID_ARGUMENT);
      CHECK(error.code == GRAFT_INVALID_ARGUMENT);
      CAPTURE(error.message);
      CHECK(std::strstr(error.message, name) != nullptr);
      std::memset(&error, 0, sizeof(error));
    };
    refused(graft_model_open(nullptr, nullptr, &opened, &error), "path");
    refused(graft_model_open("x", nullptr, nullptr, &error), "model");
    refused(graft_model_open_fd(0, 0, 0, nullptr, nullptr, &error), "model");
    refused(graft_model_open_memory(nullptr, 1, nullptr, &opened, &error), "data");
    refused(graft_model_get_info(model.handle, nullptr, &error), "info");
    refused(graft_model_tokenize(nullptr, "", 0, 0, nullptr, 0, &count, &error), "model");
    refused(graft_model_tokenize(model.handle, nullptr, 1, 0, nullptr, 0, &count, &error), "text");
    refused(graft_model_tokenize(model.handle, "a", 1, 0, nullptr, 1, &count, &error), "ids");
    refused(graft_model_tokenize(model.handle, "a", 1, 0, nullptr, 0, nullptr, &error), "count");
    refused(graft_model_detokenize(model.handle, nullptr, 1, 0, nullptr, 0, &count, &error), "ids");
    refused(graft_session_create(nullptr, nullptr, &created, &error), "model");
    refused(graft_session_create(model.handle, nullptr, nullptr, &error), "session");
    refused(graft_session_reset(nullptr, &error), "session");
    refused(graft_session_append(session.handle, nullptr, 1, nullptr, &error), "ids");
    refused(graft_session_keep_prefix(nullptr, nullptr, 0, &count, &error), "session");
    refused(graft_session_keep_prefix(session.handle, nullptr, 1, &count, &error), "ids");
    refused(graft_session_save(nullptr, "x", &error), "session");
    refused(graft_session_save(session.handle, nullptr, &error), "path");
    refused(graft_session_restore(nullptr, "x", &error), "session");
    refused(graft_session_restore(session.handle, nullptr, &error), "path");
    refused(graft_session_forward(session.handle, nullptr, 1, &outputs, &count, &error), "inputs");
    refused(graft_session_forward(session.handle, nullptr, 0, nullptr, &count, &error), "outputs");
    refused(graft_session_generate(session.handle, nullptr, 1, nullptr, nullptr, nullptr, nullptr,
                                   &error),
            "prompt");
    refused(graft_session_generate(nullptr, nullptr, 0, nullptr, nullptr, nullptr, nullptr, &error),
            "session");
    graft_model_destroy(nullptr);
    graft_session_destroy(nullptr);
    graft_session_cancel(nullptr);
    CHECK(graft_session_position(nullptr) == 0);
    CHECK(graft_model_open(nullptr, nullptr, &opened, nullptr) == GRAFT_INVALID_ARGUMENT);
    CHECK(opened == nullptr);
  }

  TEST_CASE("info says what the model is, in as many fields as the caller knows") {
    const Model model;
    graft_model_info info{};
    info.struct_size = sizeof(info);
    REQUIRE(graft_model_get_info(model.handle, &info, nullptr) == GRAFT_OK);
    CHECK(info.struct_size == sizeof(info));
    CHECK(info.task == GRAFT_TASK_TEXT_GENERATION);
    CHECK(info.context_tokens == 32);
    CHECK(info.vocabulary == 512);
    CHECK(info.has_tokenizer == 1);
    CHECK(info.file_bytes == model.file.size());

    graft_model_info older;
    std::memset(&older, 0xAB, sizeof(older));
    older.struct_size = offsetof(graft_model_info, vocabulary);
    REQUIRE(graft_model_get_info(model.handle, &older, nullptr) == GRAFT_OK);
    CHECK(older.context_tokens == 32);
    CHECK(older.vocabulary == 0xABABABAB);  // beyond what it knows nothing is written
    older.struct_size = 0;
    CHECK(graft_model_get_info(model.handle, &older, nullptr) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("options of older and newer callers are read as far as both know them") {
    const Model model;
    graft_session* session = nullptr;
    graft_session_options options;
    std::memset(&options, 0xFF, sizeof(options));
    options.struct_size = offsetof(graft_session_options, context_tokens);
    options.threads = 1;
    REQUIRE(graft_session_create(model.handle, &options, &session, nullptr) == GRAFT_OK);
    graft_session_destroy(session);

    options = GRAFT_SESSION_OPTIONS_INIT;
    options.threads = 1;
    options.memory_limit_bytes = 1;
    options.struct_size = offsetof(graft_session_options, memory_limit_bytes);
    REQUIRE(graft_session_create(model.handle, &options, &session, nullptr) == GRAFT_OK);
    graft_session_destroy(session);
    options.struct_size = sizeof(options);
    graft_session* none = nullptr;
    CHECK(graft_session_create(model.handle, &options, &none, nullptr) == GRAFT_OUT_OF_MEMORY);
    CHECK(none == nullptr);

    struct {
      graft_session_options known;
      uint64_t later;
    } newer;
    std::memset(&newer, 0, sizeof(newer));
    newer.known.struct_size = sizeof(newer);
    newer.known.threads = 1;
    REQUIRE(graft_session_create(model.handle, &newer.known, &session, nullptr) == GRAFT_OK);
    graft_session_destroy(session);
    newer.later = 1;
    session = nullptr;
    CHECK(graft_session_create(model.handle, &newer.known, &session, nullptr) ==
          GRAFT_INVALID_ARGUMENT);
    newer.known.struct_size = SIZE_MAX;
    CHECK(graft_session_create(model.handle, &newer.known, &session, nullptr) ==
          GRAFT_INVALID_ARGUMENT);
    newer.known = GRAFT_SESSION_OPTIONS_INIT;
    newer.known.kv_format = 7;
    CHECK(graft_session_create(model.handle, &newer.known, &session, nullptr) ==
          GRAFT_INVALID_ARGUMENT);
    CHECK(session == nullptr);
  }

  TEST_CASE("packed weights go into the folder that is given, and info says so") {
    ModelBuilder builder;
    const int32_t rows = builder.Symbol("rows");
    const int32_t x = builder.Input("x", {Symbolic(rows), Fixed(8)}, fb::InputRole::Tensor,
                                    fb::ElementType::Float32);
    const int32_t y = builder.Value("y", {Symbolic(rows), Fixed(4)});
    const std::vector<float> numbers(4 * 8, 0.5f);
    const int32_t weight = builder.FloatTensor("weight", {4, 8}, numbers);
    builder.Op("linear", {x}, {y}, fb::OpAttributes::Linear,
               fb::CreateLinear(builder.builder(), weight, -1).Union());
    builder.Output(y);
    const AlignedBytes file = builder.Finish();
    graft_model_info info{};
    info.struct_size = sizeof(info);

    std::string folder = (std::filesystem::temp_directory_path() / "graft-XXXXXX").string();
    REQUIRE(mkdtemp(folder.data()) != nullptr);
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    options.cache_folder = folder.c_str();
    const auto state = [&] {
      graft_model* opened = nullptr;
      REQUIRE(graft_model_open_memory(file.data(), file.size(), &options, &opened, nullptr) ==
              GRAFT_OK);
      REQUIRE(graft_model_get_info(opened, &info, nullptr) == GRAFT_OK);
      graft_model_destroy(opened);
      return info.cache_state;
    };
    CHECK(state() == GRAFT_CACHE_STORED);
    CHECK(state() == GRAFT_CACHE_HIT);
    CHECK(info.packed_bytes > 0);
    CHECK(std::string(info.cache_note).empty());
    // A caller that knows no cache has none.
    options.struct_size = offsetof(graft_model_options, cache_folder);
    CHECK(state() == GRAFT_CACHE_OFF);
    options.struct_size = sizeof(options);
    options.cache_limit_bytes = 1;
    std::filesystem::remove_all(folder);
    CHECK(state() == GRAFT_CACHE_FAILED);
    CHECK(std::string(info.cache_note).find("limit") != std::string::npos);
  }

  TEST_CASE("a model that was read outlives its file's bytes") {
    ModelBuilder builder;
    const auto shape = ModelBuilder::Dimensions{Fixed(2), Fixed(3)};
    const int32_t x = builder.Input("x", shape, fb::InputRole::Tensor, fb::ElementType::Float32);
    const int32_t y = builder.Value("y", shape);
    builder.Op("s", {x}, {y}, fb::OpAttributes::Scale,
               fb::CreateScale(builder.builder(), 2.0f).Union());
    builder.Output(y);
    const AlignedBytes file = builder.Finish();
    std::string path = (std::filesystem::temp_directory_path() / "graft-XXXXXX").string();
    const int descriptor = mkstemp(path.data());
    REQUIRE(write(descriptor, file.data(), file.size()) == static_cast<ssize_t>(file.size()));
    close(descriptor);
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    options.read_file = 1;
    graft_model* model = nullptr;
    REQUIRE(graft_model_open(path.c_str(), &options, &model, nullptr) == GRAFT_OK);
    REQUIRE(truncate(path.c_str(), 0) == 0);
    graft_session* session = nullptr;
    REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
    const float numbers[6] = {1, 2, 3, 4, 5, 6};
    graft_tensor input{"x", GRAFT_TYPE_F32, 2, {2, 3}, numbers};
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    REQUIRE(graft_session_forward(session, &input, 1, &outputs, &count, nullptr) == GRAFT_OK);
    CHECK(static_cast<const float*>(outputs[0].data)[5] == 12.0f);
    graft_session_destroy(session);
    graft_model_destroy(model);
    std::filesystem::remove(path);
  }

  TEST_CASE("ids and text come in as much room as there is, with the size of the whole") {
    const Model model;
    size_t count = 0;
    int32_t ids[64];
    REQUIRE(graft_model_tokenize(model.handle, "Once upon", 9, 1, ids, 64, &count, nullptr) ==
            GRAFT_OK);
    REQUIRE(count == 3);
    CHECK(ids[0] == 1);
    int32_t two[3] = {-7, -7, -7};
    graft_error error{};
    size_t all = 0;
    CHECK(graft_model_tokenize(model.handle, "Once upon", 9, 1, two, 2, &all, &error) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(all == 3);
    CHECK(two[1] == ids[1]);
    CHECK(two[2] == -7);
    char text[32];
    REQUIRE(graft_model_detokenize(model.handle, ids, count, 1, text, sizeof(text), &all,
                                   nullptr) == GRAFT_OK);
    CHECK(std::string(text, all) == "Once upon");
    CHECK(graft_model_detokenize(model.handle, ids, count, 1, nullptr, 0, &all, nullptr) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(all == 9);
    const int32_t beyond = 512;
    CHECK(graft_model_detokenize(model.handle, &beyond, 1, 1, text, sizeof(text), &all, nullptr) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(graft_model_tokenize(model.handle, nullptr, 0, 0, nullptr, 0, &count, nullptr) ==
          GRAFT_OK);
    CHECK(count == 0);
  }

  TEST_CASE("a model without a tokenizer generates from ids and says why it cannot tokenize") {
    const Model model(false);
    const Session session(model);
    size_t count = 0;
    graft_error error{};
    CHECK(graft_model_tokenize(model.handle, "a", 1, 0, nullptr, 0, &count, &error) ==
          GRAFT_FAILED_PRECONDITION);
    const int32_t prompt = 5;
    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 4;
    graft_generate_result result{};
    result.struct_size = sizeof(result);
    std::vector<int32_t> ids;
    const auto collect = [](void* user, int32_t id, const char*, size_t size) -> int32_t {
      static_cast<std::vector<int32_t>*>(user)->push_back(id);
      return size == 0 ? 0 : 1;
    };
    REQUIRE(graft_session_generate(session.handle, &prompt, 1, &options, collect, &ids, &result,
                                   &error) == GRAFT_OK);
    CHECK(ids == std::vector<int32_t>{6, 7, 5, 6});
    CHECK(result.generated_tokens == 4);
    const char* stop = "x";
    options.stop = &stop;
    options.stop_count = 1;
    CHECK(graft_session_generate(session.handle, &prompt, 1, &options, collect, &ids, &result,
                                 &error) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("a session appends, rewinds, and outlives its model's handle") {
    auto model = std::make_unique<Model>();
    const Session session(*model);
    graft_model_destroy(model->handle);
    model->handle = nullptr;
    const int32_t ids[] = {5, 6, 7};
    const float* logits = nullptr;
    REQUIRE(graft_session_append(session.handle, ids, 3, &logits, nullptr) == GRAFT_OK);
    CHECK(logits[5] == 9.0f);  // what follows 7
    CHECK(graft_session_position(session.handle) == 3);
    CHECK(graft_session_rewind(session.handle, 4, nullptr) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_session_rewind(session.handle, 1, nullptr) == GRAFT_OK);
    CHECK(graft_session_position(session.handle) == 1);
    graft_error error{};
    const int32_t wrong[] = {5, 512};
    CHECK(graft_session_append(session.handle, wrong, 2, nullptr, &error) == GRAFT_OUT_OF_RANGE);
    CHECK(graft_session_position(session.handle) == 1);
    CHECK(graft_session_reset(session.handle, nullptr) == GRAFT_OK);
    CHECK(graft_session_position(session.handle) == 0);
    // A cancel while nothing runs has no effect.
    graft_session_cancel(session.handle);
    CHECK(graft_session_append(session.handle, ids, 1, nullptr, &error) == GRAFT_OK);
  }

  TEST_CASE("a session goes to a file and comes back, prefix and all") {
    const Model model;
    const std::string path =
        std::filesystem::temp_directory_path() / ("graft-c-api-" + std::to_string(getpid()));
    const int32_t ids[] = {5, 6, 7};
    {
      const Session session(model);
      REQUIRE(graft_session_append(session.handle, ids, 3, nullptr, nullptr) == GRAFT_OK);
      REQUIRE(graft_session_save(session.handle, path.c_str(), nullptr) == GRAFT_OK);
    }
    const Session session(model);
    graft_error error{};
    REQUIRE_MESSAGE(graft_session_restore(session.handle, path.c_str(), &error) == GRAFT_OK,
                    error.message);
    CHECK(graft_session_position(session.handle) == 3);
    const int32_t longer[] = {5, 6, 9, 9};
    size_t kept = 0;
    REQUIRE(graft_session_keep_prefix(session.handle, longer, 4, &kept, nullptr) == GRAFT_OK);
    CHECK(kept == 2);
    CHECK(graft_session_position(session.handle) == 2);

    graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
    options.max_tokens = 1;
    options.whole_prompt = 1;
    graft_generate_result result{};
    result.struct_size = sizeof(result);
    REQUIRE(graft_session_generate(session.handle, ids, 3, &options, nullptr, nullptr, &result,
                                   nullptr) == GRAFT_OK);
    CHECK(result.reused_tokens == 2);
    CHECK(result.prompt_tokens == 3);

    const Model other(false);  // the same graph and weights without a tokenizer: another file
    const Session foreign(other);
    CHECK(graft_session_restore(foreign.handle, path.c_str(), &error) == GRAFT_MISMATCH);
    CHECK(std::strstr(error.message, path.c_str()) != nullptr);
    std::filesystem::remove(path);
    CHECK(graft_session_restore(session.handle, path.c_str(), &error) == GRAFT_NOT_FOUND);
  }

  TEST_CASE("a session says what it is made of and where its time goes") {
    const Model model;
    const Session session(model);
    graft_session_info info{};
    info.struct_size = sizeof(info);
    REQUIRE(graft_session_get_info(session.handle, &info, nullptr) == GRAFT_OK);
    CHECK(info.threads == 1);
    CHECK(info.context_tokens == 32);
    CHECK(info.kv_format == GRAFT_KV_F32);  // a model of f32 weights
    CHECK(info.weight_bytes == 0);          // the model looks up, and multiplies nothing
    info.struct_size = 0;
    CHECK(graft_session_get_info(session.handle, &info, nullptr) == GRAFT_INVALID_ARGUMENT);

    graft_step_time time{};
    time.struct_size = sizeof(time);
    CHECK(graft_session_step_time(session.handle, 0, &time, nullptr) == GRAFT_OUT_OF_RANGE);
    REQUIRE(graft_session_measure(session.handle, 1, nullptr) == GRAFT_OK);
    const int32_t ids[] = {5, 6, 7};
    REQUIRE(graft_session_append(session.handle, ids, 3, nullptr, nullptr) == GRAFT_OK);
    const float* logits = nullptr;
    REQUIRE(graft_session_append(session.handle, ids, 1, &logits, nullptr) == GRAFT_OK);
    REQUIRE(graft_session_measure(session.handle, 0, nullptr) == GRAFT_OK);
    uint64_t last_ns = UINT64_MAX;
    std::vector<std::string> kinds;
    while (graft_session_step_time(session.handle, kinds.size(), &time, nullptr) == GRAFT_OK) {
      CHECK(time.calls > 0);
      CHECK(time.wall_ns <= last_ns);
      CHECK(time.weight_bytes == 0);
      last_ns = time.wall_ns;
      kinds.emplace_back(time.kind);
    }
    std::sort(kinds.begin(), kinds.end());
    CHECK(kinds == std::vector<std::string>{"embedding", "select_rows"});
    CHECK(graft_session_measure(nullptr, 1, nullptr) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_session_step_time(session.handle, 0, nullptr, nullptr) == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("forward gives every row by name") {
    const Model model;
    const Session session(model);
    const int32_t ids[] = {6, 5};
    graft_tensor input{};
    input.name = "input_ids";
    input.type = GRAFT_TYPE_I32;
    input.rank = 1;
    input.shape[0] = 2;
    input.data = ids;
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error{};
    REQUIRE(graft_session_forward(session.handle, &input, 1, &outputs, &count, &error) == GRAFT_OK);
    REQUIRE(count == 1);
    CHECK(std::string(outputs[0].name) == "logits");
    REQUIRE(outputs[0].rank == 2);
    CHECK(outputs[0].shape[0] == 2);
    CHECK(outputs[0].shape[1] == 512);
    const auto* logits = static_cast<const float*>(outputs[0].data);
    CHECK(logits[7] == 9.0f);
    CHECK(logits[512 + 6] == 9.0f);
    const auto code = [&] {
      return graft_session_forward(session.handle, &input, 1, &outputs, &count, &error);
    };
    input.rank = 9;
    CHECK(code() == GRAFT_INVALID_ARGUMENT);
    input.rank = 1;
    input.type = 5;
    CHECK(code() == GRAFT_INVALID_ARGUMENT);
    input.type = GRAFT_TYPE_F32;
    CHECK(code() == GRAFT_INVALID_ARGUMENT);
    input.type = GRAFT_TYPE_I32;
    input.name = "odd";
    CHECK(code() == GRAFT_INVALID_ARGUMENT);
    input.name = "input_ids";
    input.shape[0] = -1;
    CHECK(code() != GRAFT_OK);
    input.shape[0] = INT64_MAX;
    CHECK(code() != GRAFT_OK);
    input.shape[0] = 2;
    input.data = nullptr;
    CHECK(code() == GRAFT_INVALID_ARGUMENT);
  }

  TEST_CASE("memory that is misaligned or no model is refused") {
    const Model model;
    graft_model* opened = nullptr;
    graft_error error{};
    CHECK(graft_model_open_memory(model.file.data() + 8, model.file.size() - 8, nullptr, &opened,
                                  &error) == GRAFT_INVALID_ARGUMENT);
    CHECK(graft_model_open_memory(model.file.data(), 0, nullptr, &opened, &error) == GRAFT_CORRUPT);
    CHECK(graft_model_open_memory(model.file.data() + 64, 1024, nullptr, &opened, &error) ==
          GRAFT_CORRUPT);
    CHECK(opened == nullptr);
  }
}

}  // namespace
}  // namespace graft::test
