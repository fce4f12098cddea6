// SPDX-License-Identifier: Apache-2.0
// Out-parameters are untouched on failure: every function of the headers that has some is made to
// fail, as late as it can.
#include <array>
#include <cstring>
#include <initializer_list>
#include <map>
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/c_api/given_pack.h"
#include "tests/runtime/c_api/header_functions.h"
#include "tests/runtime/c_api/task_models.h"
#include "tests/runtime/tasks/scripted_model.h"
#include "tests/support/adapted_model.h"
#include "tests/support/picture_model.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

constexpr unsigned char kUntouched = 0xA5;

std::map<std::string, std::set<std::string>> checked;

/// Room for an out-parameter, of a value that no call leaves there.
template <typename T, size_t kCount = 1>
class Out {
 public:
  Out(const char* function, const char* parameter) : function_(function), parameter_(parameter) {
    std::memset(values_.data(), kUntouched, sizeof(values_));
    expected_ = values_;
  }
  /// The same for a struct that the caller tells the size of.
  Out(const char* function, const char* parameter, size_t struct_size) : Out(function, parameter) {
    values_[0].struct_size = expected_[0].struct_size = struct_size;
  }
  operator T*() { return values_.data(); }  // NOLINT(google-explicit-constructor): as an argument
  void Check() const {
    CAPTURE(function_);
    CAPTURE(parameter_);
    CHECK(std::memcmp(values_.data(), expected_.data(), sizeof(values_)) == 0);
    checked[function_].insert(parameter_);
  }

 private:
  std::string function_;
  std::string parameter_;
  std::array<T, kCount> values_;
  std::array<T, kCount> expected_;
};

template <typename... Outs>
void Fails(graft_status status, graft_status expected, const Outs&... outs) {
  CHECK(status == expected);
  (outs.Check(), ...);
}

/// A model and a session on it.
struct Opened {
  explicit Opened(AlignedBytes bytes) : file(std::move(bytes)) {
    graft_error error{};
    REQUIRE_MESSAGE(
        graft_model_open_memory(file.data(), file.size(), nullptr, &model, &error) == GRAFT_OK,
        error.message);
    REQUIRE(graft_session_create(model, nullptr, &session, nullptr) == GRAFT_OK);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    graft_session_destroy(session);
    graft_model_destroy(model);
  }
  AlignedBytes file;
  graft_model* model = nullptr;
  graft_session* session = nullptr;
};

AlignedBytes Scripted() { return ScriptedModel({{5, 6}, {6, 7}, {7, 5}}, 32, {9}); }

void CheckModel() {
  const TinyLlama llama(fb::TensorFormat::Float32);
  const Opened opened(Scripted());
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  Out<graft_model*> by_path("graft_model_open", "model");
  Fails(graft_model_open("/no/such/model", nullptr, by_path, nullptr), GRAFT_NOT_FOUND, by_path);
  Fails(graft_model_open(nullptr, nullptr, by_path, nullptr), GRAFT_INVALID_ARGUMENT, by_path);
  Out<graft_model*> by_fd("graft_model_open_fd", "model");
  Fails(graft_model_open_fd(-1, 0, 0, nullptr, by_fd, nullptr), GRAFT_IO, by_fd);
  Out<graft_model*> by_memory("graft_model_open_memory", "model");
  const auto open = [&](const AlignedBytes& file, size_t size) {
    return graft_model_open_memory(file.data(), size, &options, by_memory, nullptr);
  };
  Fails(open(llama.file(), llama.file().size() / 2), GRAFT_CORRUPT, by_memory);
  options.memory_limit_bytes = 1;
  Fails(open(llama.file(), llama.file().size()), GRAFT_OUT_OF_MEMORY, by_memory);
  options.struct_size = 1;
  Fails(open(llama.file(), llama.file().size()), GRAFT_INVALID_ARGUMENT, by_memory);

  Out<graft_model_info> info("graft_model_get_info", "info", sizeof(graft_model_info));
  Fails(graft_model_get_info(nullptr, info, nullptr), GRAFT_INVALID_ARGUMENT, info);
  Out<graft_model_info> wrong("graft_model_get_info", "info", 1);
  Fails(graft_model_get_info(opened.model, wrong, nullptr), GRAFT_INVALID_ARGUMENT, wrong);
  Out<graft_self_test> self_test("graft_model_self_test", "result", sizeof(graft_self_test));
  Fails(graft_model_self_test(nullptr, self_test, nullptr), GRAFT_INVALID_ARGUMENT, self_test);
  Out<const char*> label("graft_model_get_label", "label");
  Fails(graft_model_get_label(opened.model, 0, label, nullptr), GRAFT_OUT_OF_RANGE, label);
  Out<graft_tensor> input("graft_model_get_input", "input");
  Fails(graft_model_get_input(opened.model, 1, input, nullptr), GRAFT_OUT_OF_RANGE, input);
}

void CheckSession() {
  const Opened opened(Scripted());
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  Out<graft_session*> session("graft_session_create", "session");
  options.memory_limit_bytes = 1;
  Fails(graft_session_create(opened.model, &options, session, nullptr), GRAFT_OUT_OF_MEMORY,
        session);
  options.kv_format = 77;
  Fails(graft_session_create(opened.model, &options, session, nullptr), GRAFT_INVALID_ARGUMENT,
        session);
  Out<size_t> kept("graft_session_keep_prefix", "kept");
  Fails(graft_session_keep_prefix(opened.session, nullptr, 1, kept, nullptr),
        GRAFT_INVALID_ARGUMENT, kept);
  Out<graft_session_info> info("graft_session_get_info", "info", 1);
  Fails(graft_session_get_info(opened.session, info, nullptr), GRAFT_INVALID_ARGUMENT, info);
  Out<graft_step_time> time("graft_session_step_time", "time", sizeof(graft_step_time));
  Fails(graft_session_step_time(opened.session, 99, time, nullptr), GRAFT_OUT_OF_RANGE, time);
}

void CheckGenerate() {
  const Opened opened(Scripted());
  Out<const float*> logits("graft_session_append", "logits");
  const int32_t beyond[] = {5, 512};
  Fails(graft_session_append(opened.session, beyond, 2, logits, nullptr), GRAFT_OUT_OF_RANGE,
        logits);
  const std::vector<int32_t> many(33, 5);
  Fails(graft_session_append(opened.session, many.data(), many.size(), logits, nullptr),
        GRAFT_OUT_OF_RANGE, logits);

  Out<graft_generate_result> result("graft_session_generate", "result",
                                    sizeof(graft_generate_result));
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  const auto generate = [&](const int32_t* prompt, size_t count) {
    const auto cancel = [](void* user, int32_t, const char*, size_t) -> int32_t {
      graft_session_cancel(static_cast<graft_session*>(user));
      return 0;
    };
    return graft_session_generate(opened.session, prompt, count, &options, cancel, opened.session,
                                  result, nullptr);
  };
  Fails(generate(beyond, 0), GRAFT_INVALID_ARGUMENT, result);
  Fails(generate(beyond, 2), GRAFT_OUT_OF_RANGE, result);
  Fails(generate(beyond, 1), GRAFT_CANCELLED, result);  // a token was generated
  options.top_p = 7;
  Fails(generate(beyond, 1), GRAFT_INVALID_ARGUMENT, result);
}

void CheckTokens() {
  const Opened opened(Scripted());
  const Opened mute(ScriptedModel({{5, 6}}, 32, {9}, /*with_tokenizer=*/false));
  Out<int32_t, 8> ids("graft_model_tokenize", "ids");
  Out<size_t> count("graft_model_tokenize", "count");
  Fails(graft_model_tokenize(mute.model, "a", 1, 1, ids, 8, count, nullptr),
        GRAFT_FAILED_PRECONDITION, ids, count);
  Fails(graft_model_tokenize(opened.model, nullptr, 1, 1, ids, 8, count, nullptr),
        GRAFT_INVALID_ARGUMENT, ids, count);

  const int32_t beyond[] = {5, 512};
  Out<char, 8> text("graft_model_detokenize", "text");
  Out<size_t> size("graft_model_detokenize", "size");
  Fails(graft_model_detokenize(opened.model, beyond, 2, 1, text, 8, size, nullptr),
        GRAFT_OUT_OF_RANGE, text, size);

  graft_tokenize_options options = GRAFT_TOKENIZE_OPTIONS_INIT;
  options.max_tokens = 1;  // no room for what goes around two texts
  Out<int32_t, 8> pair_ids("graft_model_tokenize_pair", "ids");
  Out<int32_t, 8> type_ids("graft_model_tokenize_pair", "type_ids");
  Out<size_t> pair_count("graft_model_tokenize_pair", "count");
  const auto tokenize = [&](const graft_model* model) {
    return graft_model_tokenize_pair(model, "a", 1, "b", 1, &options, pair_ids, type_ids, 8,
                                     pair_count, nullptr);
  };
  Fails(tokenize(opened.model), GRAFT_INVALID_ARGUMENT, pair_ids, type_ids, pair_count);
  Fails(tokenize(mute.model), GRAFT_FAILED_PRECONDITION, pair_ids, type_ids, pair_count);
}

void CheckChat() {
  const Opened opened(Scripted());
  const graft_chat_message message = {"user", "hi"};
  graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
  Out<char, 64> text("graft_model_render_chat", "text");
  Out<size_t> size("graft_model_render_chat", "size");
  const auto render = [&](const char* source) {
    options.template_text = source;
    return graft_model_render_chat(opened.model, &message, 1, &options, text, 64, size, nullptr);
  };
  Fails(render(nullptr), GRAFT_FAILED_PRECONDITION, text, size);
  Fails(render("{{ 'before' }}{{ raise_exception('no') }}"), GRAFT_INVALID_ARGUMENT, text, size);
  Fails(render("{% for"), GRAFT_CORRUPT, text, size);
}

void CheckReply() {
  graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
  options.format = "none";
  Out<graft_reply*> made("graft_reply_create", "reply");
  Fails(graft_reply_create(nullptr, &options, made, nullptr), GRAFT_INVALID_ARGUMENT, made);
  options.format = "hermes";
  graft_reply* reply = nullptr;
  REQUIRE(graft_reply_create(nullptr, &options, &reply, nullptr) == GRAFT_OK);
  REQUIRE(graft_reply_append(reply, "\xFF", 1, nullptr, nullptr, nullptr) == GRAFT_OK);
  Out<char, 8> json("graft_reply_message", "json");
  Out<size_t> size("graft_reply_message", "size");
  Fails(graft_reply_message(reply, json, 8, size, nullptr), GRAFT_INVALID_ARGUMENT, json, size);
  graft_reply_destroy(reply);
}

void CheckPictures() {
  const Opened opened(PictureModel().Build());
  const std::array<uint8_t, 12> pixels{};
  const graft_image image = {pixels.data(), 2, 2, 0, GRAFT_IMAGE_RGB8};
  const graft_image nothing = {pixels.data(), 0, 2, 0, GRAFT_IMAGE_RGB8};
  Out<char, 64> placed("graft_model_place_pictures", "placed");
  Out<size_t> size("graft_model_place_pictures", "placed_size");
  const auto place = [&](const graft_model* model, const char* text, const graft_image& shown) {
    return graft_model_place_pictures(model, text, std::strlen(text), &shown, 1, placed, 64, size,
                                      nullptr);
  };
  Fails(place(opened.model, "<p> and <p>", image), GRAFT_INVALID_ARGUMENT, placed, size);
  Fails(place(opened.model, "<p>", nothing), GRAFT_INVALID_ARGUMENT, placed, size);
  Fails(place(Opened(Scripted()).model, "<p>", image), GRAFT_UNSUPPORTED, placed, size);
}

void CheckTextTasks() {
  // The second of two texts is too long.
  const std::string text(300, 'a');
  const graft_text texts[] = {{"a", 1, nullptr, 0}, {text.data(), text.size(), nullptr, 0}};
  Out<const float*> embeddings("graft_session_embed", "embeddings");
  Out<size_t> width("graft_session_embed", "width");
  const auto embed = [&](const Opened& opened) {
    const float* first = nullptr;
    size_t first_width = 0;
    REQUIRE(graft_session_embed(opened.session, texts, 1, &first, &first_width, nullptr) ==
            GRAFT_OK);
    return graft_session_embed(opened.session, texts, 2, embeddings, width, nullptr);
  };
  Fails(embed(Opened(TextTaskModel(fb::TaskKind::Embedding))), GRAFT_OUT_OF_RANGE, embeddings,
        width);
  Fails(embed(Opened(TextTaskModel(fb::TaskKind::Embedding, true))), GRAFT_OUT_OF_RANGE, embeddings,
        width);
  Out<const float*> scores("graft_session_classify", "scores");
  Out<size_t> labels("graft_session_classify", "labels");
  const auto classify = [&](const Opened& opened) {
    return graft_session_classify(opened.session, texts, 2, scores, labels, nullptr);
  };
  Fails(classify(Opened(TextTaskModel(fb::TaskKind::Classification))), GRAFT_OUT_OF_RANGE, scores,
        labels);
  Fails(classify(Opened(TextTaskModel(fb::TaskKind::Classification, true))), GRAFT_OUT_OF_RANGE,
        scores, labels);
  const Opened opened(TextTaskModel(fb::TaskKind::TokenClassification));
  Out<const int32_t*> ids("graft_session_classify_tokens", "ids");
  Out<const float*> token_scores("graft_session_classify_tokens", "scores");
  Out<size_t> tokens("graft_session_classify_tokens", "tokens");
  Out<size_t> token_labels("graft_session_classify_tokens", "labels");
  Fails(graft_session_classify_tokens(opened.session, &texts[1], ids, token_scores, tokens,
                                      token_labels, nullptr),
        GRAFT_OUT_OF_RANGE, ids, token_scores, tokens, token_labels);
}

void CheckImages() {
  const std::array<uint8_t, 48> pixels{};
  const graft_image images[] = {{pixels.data(), 4, 4, 0, GRAFT_IMAGE_RGB8},
                                {pixels.data(), 4, 0, 0, GRAFT_IMAGE_RGB8}};
  graft_image odd = images[0];
  odd.format = 7;
  Out<const float*> embeddings("graft_session_embed_images", "embeddings");
  Out<size_t> width("graft_session_embed_images", "width");
  const Opened embedder(ImageTaskModel(fb::TaskKind::Embedding));
  Fails(graft_session_embed_images(embedder.session, images, 2, embeddings, width, nullptr),
        GRAFT_INVALID_ARGUMENT, embeddings, width);
  Out<const float*> scores("graft_session_classify_images", "scores");
  Out<size_t> labels("graft_session_classify_images", "labels");
  const Opened classifier(ImageTaskModel(fb::TaskKind::Classification));
  Fails(graft_session_classify_images(classifier.session, images, 2, scores, labels, nullptr),
        GRAFT_INVALID_ARGUMENT, scores, labels);

  Out<float, 72> prepared("graft_model_prepare_image", "prepared");
  Out<size_t> count("graft_model_prepare_image", "count");
  for (const graft_image& image : {images[1], odd}) {
    Fails(graft_model_prepare_image(embedder.model, &image, prepared, 72, count, nullptr),
          GRAFT_INVALID_ARGUMENT, prepared, count);
  }
  const Opened reader(Scripted());
  Fails(graft_model_prepare_image(reader.model, &images[0], prepared, 72, count, nullptr),
        GRAFT_UNSUPPORTED, prepared, count);
}

void CheckTensors() {
  const Opened opened(Scripted());
  const int32_t ids[] = {5, 512};
  graft_tensor input{};
  input.name = "input_ids";
  input.type = GRAFT_TYPE_I32;
  input.rank = 1;
  input.shape[0] = 2;
  input.data = ids;
  Out<const graft_tensor*> outputs("graft_session_forward", "outputs");
  Out<size_t> count("graft_session_forward", "output_count");
  Fails(graft_session_forward(opened.session, &input, 1, outputs, count, nullptr),
        GRAFT_OUT_OF_RANGE, outputs, count);
  input.type = 9;
  Fails(graft_session_forward(opened.session, &input, 1, outputs, count, nullptr),
        GRAFT_INVALID_ARGUMENT, outputs, count);
}

void CheckSource() {
  const Opened opened(SourceTaskModel());
  const Opened plain(Scripted());
  Out<int32_t, 8> ids("graft_model_encode_source", "ids");
  Out<size_t> count("graft_model_encode_source", "count");
  Fails(graft_model_encode_source(plain.model, "a", 1, nullptr, ids, 8, count, nullptr),
        GRAFT_UNSUPPORTED, ids, count);
  Fails(graft_model_encode_source(opened.model, "a", 1, "xx", ids, 8, count, nullptr),
        GRAFT_INVALID_ARGUMENT, ids, count);
  Out<int32_t, 8> start("graft_model_start_tokens", "ids");
  Out<size_t> started("graft_model_start_tokens", "count");
  Fails(graft_model_start_tokens(plain.model, nullptr, start, 8, started, nullptr),
        GRAFT_UNSUPPORTED, start, started);
  Fails(graft_model_start_tokens(opened.model, "xx", start, 8, started, nullptr),
        GRAFT_INVALID_ARGUMENT, start, started);
  const Opened listener(SoundTaskModel());
  Out<graft_transcribe_result> result("graft_session_transcribe", "result",
                                      sizeof(graft_transcribe_result));
  const std::array<float, 200> samples{};
  const auto cancel = [](void* user, double, double, const char*, size_t) -> int32_t {
    graft_session_cancel(static_cast<graft_session*>(user));
    return 0;
  };
  Fails(graft_session_transcribe(listener.session, samples.data(), 200, nullptr, cancel,
                                 listener.session, result, nullptr),
        GRAFT_CANCELLED, result);
  Fails(graft_session_transcribe(opened.session, samples.data(), 200, nullptr, nullptr, nullptr,
                                 result, nullptr),
        GRAFT_UNSUPPORTED, result);
}

void CheckMemoryAndMachine() {
  Out<graft_memory_estimate> by_path("graft_model_estimate", "estimate",
                                     sizeof(graft_memory_estimate));
  Fails(graft_model_estimate("/no/such/model", nullptr, by_path, nullptr), GRAFT_NOT_FOUND,
        by_path);
  Out<graft_memory_estimate> by_fd("graft_model_estimate_fd", "estimate",
                                   sizeof(graft_memory_estimate));
  Fails(graft_model_estimate_fd(-1, 0, 0, nullptr, by_fd, nullptr), GRAFT_IO, by_fd);
  Out<graft_memory_estimate> of_pack("graft_model_estimate_pack", "estimate",
                                     sizeof(graft_memory_estimate));
  const AdaptedModel adapted(fb::TensorFormat::Float32);
  graft_pack pack = Given(adapted.pack);
  Fails(graft_model_estimate_pack("/no/such/model", &pack, nullptr, of_pack, nullptr),
        GRAFT_NOT_FOUND, of_pack);
  Out<graft_model*> with_pack("graft_model_open_memory", "model");
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.pack = &pack;
  Fails(graft_model_open_memory(adapted.file.data(), adapted.file.size(), &options, with_pack,
                                nullptr),
        GRAFT_MISMATCH, with_pack);
  Out<graft_cpu_info> cpu("graft_cpu_get_info", "info", 1);
  Fails(graft_cpu_get_info(cpu, nullptr), GRAFT_INVALID_ARGUMENT, cpu);
  Out<graft_cpu_group> group("graft_cpu_get_group", "group", sizeof(graft_cpu_group));
  Fails(graft_cpu_get_group(9999, group, nullptr), GRAFT_OUT_OF_RANGE, group);
  Out<graft_kernel_info> kernel("graft_kernel_get_info", "info", sizeof(graft_kernel_info));
  Fails(graft_kernel_get_info(9999, kernel, nullptr), GRAFT_OUT_OF_RANGE, kernel);
}

TEST_SUITE("runtime/c_api_out_parameters") {
  TEST_CASE("every function of the headers leaves its out-parameters alone when it fails") {
    checked.clear();
    CheckModel();
    CheckSession();
    CheckGenerate();
    CheckTokens();
    CheckChat();
    CheckReply();
    CheckTextTasks();
    CheckPictures();
    CheckImages();
    CheckTensors();
    CheckSource();
    CheckMemoryAndMachine();
    // A function that is new in a header needs a case above.
    for (const auto& [function, parameters] : OutParametersOfHeaders()) {
      CAPTURE(function);
      CHECK(checked[function] == parameters);
    }
  }

  TEST_CASE("where a capacity is too small, the count alone says what is needed") {
    const Opened opened(Scripted());
    size_t count = 0;
    int32_t ids[3] = {-7, -7, -7};
    CHECK(graft_model_tokenize(opened.model, "Once upon", 9, 1, ids, 2, &count, nullptr) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(count == 3);
    CHECK(ids[2] == -7);
    const Opened embedder(ImageTaskModel(fb::TaskKind::Embedding));
    const std::array<uint8_t, 48> pixels{};
    const graft_image image = {pixels.data(), 4, 4, 0, GRAFT_IMAGE_RGB8};
    float prepared[72] = {-7};
    CHECK(graft_model_prepare_image(embedder.model, &image, prepared, 71, &count, nullptr) ==
          GRAFT_OUT_OF_RANGE);
    CHECK(count == 72);
    CHECK(prepared[0] == -7);
    CHECK(graft_model_prepare_image(embedder.model, &image, prepared, 72, &count, nullptr) ==
          GRAFT_OK);
    CHECK(prepared[0] == 0);
  }
}

}  // namespace
}  // namespace graft::test
