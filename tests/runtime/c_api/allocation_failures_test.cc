// SPDX-License-Identifier: Apache-2.0
// Whichever allocation fails, a function of graft.h returns OUT_OF_MEMORY, leaves its out-parameters
// alone, and everything can be used as if nothing had been. Every function of the headers is swept.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "tests/runtime/c_api/allocation_sweep.h"
#include "tests/runtime/c_api/given_pack.h"
#include "tests/runtime/c_api/header_functions.h"
#include "tests/runtime/c_api/swept_models.h"
#include "tests/runtime/c_api/task_models.h"
#include "tests/support/adapted_model.h"
#include "tests/support/picture_model.h"
#include "tests/support/tiny_llama.h"

namespace graft::test {
namespace {

struct Nothing {};

std::string Bytes(const void* from, size_t size) { return {static_cast<const char*>(from), size}; }

template <typename Struct>
void SetSize(Struct* out) {
  out->struct_size = sizeof(Struct);
}

template <typename Struct>
std::string BytesOf(const Struct& out) {
  Struct members = out;
#if defined(__has_builtin)
#if __has_builtin(__builtin_clear_padding)
  __builtin_clear_padding(&members);  // between them is what was on the stack
#endif
#endif
  return Bytes(&members, sizeof(out));
}

/// An array that a function fills in, and how much there is.
template <typename Element, size_t kCapacity>
struct Filled {
  std::array<Element, kCapacity> elements;
  size_t count;
};
template <typename Element, size_t kCapacity>
std::string ResultOf(const Filled<Element, kCapacity>& out) {
  return Bytes(out.elements.data(), std::min(out.count, kCapacity) * sizeof(Element));
}

/// Numbers that the session keeps.
struct Numbers2 {
  const float* numbers;
  size_t width;
};

/// Calls what cannot fail: it must not allocate.
template <typename Function>
void SweepUnfailing(const char* name, const Function& function) {
  CAPTURE(name);
  swept.insert(name);
  const FailingAllocations fail(1, Failing::kAllFromThenOn);
  function();
  CHECK(AllocationsCounted() == 0);
}

void SweepUnfailingFunctions() {
  SweepUnfailing("graft_version", [] { graft_version(); });
  SweepUnfailing("graft_version_number", [] { graft_version_number(); });
  SweepUnfailing("graft_status_name", [] { graft_status_name(GRAFT_IO); });
  OpenedTiny opened;
  SweepUnfailing("graft_session_cancel", [&] { graft_session_cancel(opened.session); });
  SweepUnfailing("graft_session_position", [&] { graft_session_position(opened.session); });
  SweepUnfailing("graft_session_destroy", [&] { graft_session_destroy(opened.session); });
  SweepUnfailing("graft_model_destroy", [&] { graft_model_destroy(opened.model); });
  opened.session = nullptr;
  opened.model = nullptr;
}

void SweepOpening() {
  const TinyLlama llama(fb::TensorFormat::Int4Block);
  const Folder folder;
  folder.Write("model.graft", llama.file());
  const std::string path = folder.path("model.graft");
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.threads = 2;
  SweptCall<graft_model*> call;
  call.result = IdentityOf;
  call.free = [](graft_model* const& model) { graft_model_destroy(model); };

  call.function = "graft_model_open";
  call.call = [&](graft_model** model, graft_error* error) {
    return graft_model_open(path.c_str(), &options, model, error);
  };
  Sweep{call};
  call.function = "graft_model_open_fd";
  const OpenFile file(path);
  call.call = [&](graft_model** model, graft_error* error) {
    return graft_model_open_fd(file.descriptor, 0, 0, &options, model, error);
  };
  Sweep{call};

  // With a pack, whose model's file is shown and made.
  const AdaptedModel adapted(fb::TensorFormat::Int4Block);
  const graft_pack pack = Given(adapted.pack);
  options.pack = &pack;
  folder.Write("base.graft", adapted.base.file());
  const std::string base = folder.path("base.graft");
  call.function = "graft_model_open";
  call.call = [&](graft_model** model, graft_error* error) {
    return graft_model_open(base.c_str(), &options, model, error);
  };
  Sweep{call};
  options.pack = nullptr;

  // With a folder for packed weights: found there, and put there.
  call.function = "graft_model_open_memory";
  const Folder cache;
  const std::string cache_path = cache.path();
  options.cache_folder = cache_path.c_str();
  call.call = [&](graft_model** model, graft_error* error) {
    return graft_model_open_memory(llama.file().data(), llama.file().size(), &options, model,
                                   error);
  };
  call.afterwards = [&] { CHECK(cache.CountOf("-tmp") == 0); };
  Sweep{call};
  call.ready = [&] { cache.Clear(); };
  Sweep{call};
}

void SweepModel() {
  const OpenedTiny tiny;
  SweptCall<graft_model_info> info;
  info.function = "graft_model_get_info";
  info.set = SetSize<graft_model_info>;
  info.result = BytesOf<graft_model_info>;
  info.call = [&](graft_model_info* out, graft_error* error) {
    return graft_model_get_info(tiny.model, out, error);
  };
  Sweep{info};
  SweptCall<graft_self_test> test;
  test.function = "graft_model_self_test";
  test.set = SetSize<graft_self_test>;
  test.result = BytesOf<graft_self_test>;
  test.call = [&](graft_self_test* out, graft_error* error) {
    return graft_model_self_test(tiny.model, out, error);
  };
  Sweep{test};
  Sweep{SweptCall<const char*>{.function = "graft_model_get_label",
                               .call =
                                   [&](const char** label, graft_error* error) {
                                     return graft_model_get_label(tiny.model, 7, label, error);
                                   },
                               .expected = GRAFT_OUT_OF_RANGE}};
  Sweep{SweptCall<graft_tensor>{
      .function = "graft_model_get_input",
      .call = [&](graft_tensor* out,
                  graft_error* error) { return graft_model_get_input(tiny.model, 0, out, error); },
      .result = BytesOf<graft_tensor>}};
  Sweep{SweptCall<Nothing>{
      .function = "graft_model_trim",
      .call = [&](Nothing*, graft_error* error) { return graft_model_trim(tiny.model, error); }}};
}

void SweepSwap() {
  const AdaptedModel adapted(fb::TensorFormat::Int4Block);
  const AlignedBytes base(adapted.base.file().span());  // held by no other model
  Opened opened{AlignedBytes(base.span())};
  const graft_pack pack = Given(adapted.pack);
  SweptCall<Nothing> call;
  call.function = "graft_model_swap";
  call.ready = [&] { REQUIRE(graft_model_swap(opened.model, nullptr, nullptr) == GRAFT_OK); };
  // What the session holds and answers: weights that were overwritten are there again.
  call.state = [&] {
    const std::vector<int32_t> ids = TinyLlama::Ids(3);
    const float* logits = nullptr;
    REQUIRE(graft_session_append(opened.session, ids.data(), ids.size(), &logits, nullptr) ==
            GRAFT_OK);
    const std::string answer = Bytes(logits, TinyLlama::kVocabulary * sizeof(float)) +
                               std::to_string(graft_session_position(opened.session));
    REQUIRE(graft_session_reset(opened.session, nullptr) == GRAFT_OK);
    return answer;
  };
  call.call = [&](Nothing*, graft_error* error) {
    return graft_model_swap(opened.model, &pack, error);
  };
  Sweep{call};
}

void SweepEstimates() {
  const TinyLlama llama(fb::TensorFormat::Int8PerChannel);
  const Folder folder;
  folder.Write("model.graft", llama.file());
  const std::string path = folder.path("model.graft");
  const OpenFile file(path);
  graft_session_options options = GRAFT_SESSION_OPTIONS_INIT;
  options.threads = 2;
  options.cpus = "0";
  SweptCall<graft_memory_estimate> call;
  call.set = SetSize<graft_memory_estimate>;
  call.result = BytesOf<graft_memory_estimate>;
  call.function = "graft_model_estimate";
  call.call = [&](graft_memory_estimate* out, graft_error* error) {
    return graft_model_estimate(path.c_str(), &options, out, error);
  };
  Sweep{call};
  call.function = "graft_model_estimate_fd";
  call.call = [&](graft_memory_estimate* out, graft_error* error) {
    return graft_model_estimate_fd(file.descriptor, 0, 0, &options, out, error);
  };
  Sweep{call};
  const AdaptedModel adapted(fb::TensorFormat::Int8PerChannel);
  const graft_pack pack = Given(adapted.pack);
  folder.Write("base.graft", adapted.base.file());
  const std::string base = folder.path("base.graft");
  call.function = "graft_model_estimate_pack";
  call.call = [&](graft_memory_estimate* out, graft_error* error) {
    return graft_model_estimate_pack(base.c_str(), &pack, &options, out, error);
  };
  Sweep{call};
}

void SweepMachine() {
  Sweep{SweptCall<graft_cpu_info>{.function = "graft_cpu_get_info",
                                  .call = graft_cpu_get_info,
                                  .result = BytesOf<graft_cpu_info>,
                                  .set = SetSize<graft_cpu_info>}};
  Sweep{SweptCall<graft_cpu_group>{
      .function = "graft_cpu_get_group",
      .call = [](graft_cpu_group* out,
                 graft_error* error) { return graft_cpu_get_group(0, out, error); },
      .result = BytesOf<graft_cpu_group>,
      .set = SetSize<graft_cpu_group>}};
  Sweep{SweptCall<graft_kernel_info>{
      .function = "graft_kernel_get_info",
      .call = [](graft_kernel_info* out,
                 graft_error* error) { return graft_kernel_get_info(0, out, error); },
      .result = BytesOf<graft_kernel_info>,
      .set = SetSize<graft_kernel_info>}};
}

void SweepTokens() {
  const OpenedScripted opened;
  std::string text(5000, 'a');  // long enough for words to be remembered
  text += " \xC3\xA9t\xC3\xA9 \xFF Once upon a time";
  using Ids = Filled<int32_t, 6000>;
  Sweep{SweptCall<Ids>{
      .function = "graft_model_tokenize",
      .call =
          [&](Ids* out, graft_error* error) {
            return graft_model_tokenize(opened.model, text.data(), text.size(), 1,
                                        out->elements.data(), 6000, &out->count, error);
          },
      .result = ResultOf<int32_t, 6000>,
      .ready = [&] { REQUIRE(graft_model_trim(opened.model, nullptr) == GRAFT_OK); }}};
  Sweep{SweptCall<Ids>{.function = "graft_model_tokenize_pair",
                       .call =
                           [&](Ids* out, graft_error* error) {
                             return graft_model_tokenize_pair(opened.model, text.data(), 20, "two",
                                                              3, nullptr, out->elements.data(),
                                                              nullptr, 6000, &out->count, error);
                           },
                       .result = ResultOf<int32_t, 6000>}};
  const std::vector<int32_t> ids = {1, 400, 401, 260, 3, 9, 411};
  using Text = Filled<char, 200>;
  Sweep{SweptCall<Text>{.function = "graft_model_detokenize",
                        .call =
                            [&](Text* out, graft_error* error) {
                              return graft_model_detokenize(opened.model, ids.data(), ids.size(), 0,
                                                            out->elements.data(), 200, &out->count,
                                                            error);
                            },
                        .result = ResultOf<char, 200>}};
}

void SweepSource() {
  const Opened opened(SourceTaskModel());
  using Ids = Filled<int32_t, 16>;
  Sweep{SweptCall<Ids>{.function = "graft_model_encode_source",
                       .call =
                           [&](Ids* out, graft_error* error) {
                             return graft_model_encode_source(opened.model, "one two", 7, "en",
                                                              out->elements.data(), 16, &out->count,
                                                              error);
                           },
                       .result = ResultOf<int32_t, 16>}};
  Sweep{SweptCall<Ids>{.function = "graft_model_start_tokens",
                       .call =
                           [&](Ids* out, graft_error* error) {
                             return graft_model_start_tokens(
                                 opened.model, "en", out->elements.data(), 16, &out->count, error);
                           },
                       .result = ResultOf<int32_t, 16>}};
  const int32_t ids[] = {3, 4, 5};
  graft_tensor source{};
  source.type = GRAFT_TYPE_I32;
  source.rank = 1;
  source.shape[0] = 3;
  source.data = ids;
  Sweep{SweptCall<Nothing>{.function = "graft_session_set_source",
                           .call =
                               [&](Nothing*, graft_error* error) {
                                 return graft_session_set_source(opened.session, &source, error);
                               },
                           .ready =
                               [&] {
                                 graft_tensor other = source;
                                 other.shape[0] = 2;
                                 REQUIRE(graft_session_set_source(opened.session, &other,
                                                                  nullptr) == GRAFT_OK);
                                 REQUIRE(graft_session_trim(opened.session, nullptr) == GRAFT_OK);
                               }}};
}

void SweepTranscribe() {
  const Opened opened(SoundTaskModel());
  const std::vector<float> samples(150, 0.5f);
  std::string text;
  const auto keep = [](void* user, double, double, const char* piece, size_t size) -> int32_t {
    static_cast<std::string*>(user)->append(piece, size);
    return 0;
  };
  text.reserve(4096);
  Sweep{SweptCall<graft_transcribe_result>{
      .function = "graft_session_transcribe",
      .call =
          [&](graft_transcribe_result* out, graft_error* error) {
            return graft_session_transcribe(opened.session, samples.data(), samples.size(), nullptr,
                                            keep, &text, out, error);
          },
      .result =
          [&](const graft_transcribe_result& out) {
            return text + std::to_string(out.windows) + " " + std::to_string(out.generated_tokens);
          },
      .ready =
          [&] {
            text.clear();
            REQUIRE(graft_session_trim(opened.session, nullptr) == GRAFT_OK);
          },
      .set = SetSize<graft_transcribe_result>}};
}

void SweepChat() {
  const OpenedScripted opened;
  const graft_chat_message messages[] = {{"user", "What is a long question about nothing?"},
                                         {"assistant", "An answer that is as long as it is."}};
  const graft_chat_variable variable = {"tone", "a tone that does not fit into a short string"};
  graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
  options.variables = &variable;
  options.variable_count = 1;
  options.template_text =
      "{% macro bold(x) %}*{{ x }}*{% endmacro %}{% set ns = namespace(n=0) %}"
      "{% for m in messages if m.role != 'system' %}{% set ns.n = ns.n + 1 %}{{ m.role | upper }}: "
      "{{ bold(m['content'].split() | join('_')) }} {{ loop.index ~ '/' ~ ns.n }} "
      "{% endfor %}{{ tone }} {{ {'a': [1, 2.5, none]} | tojson }} "
      "{{ messages | map(attribute='role') | list }}";
  using Text = Filled<char, 500>;
  Sweep{SweptCall<Text>{.function = "graft_model_render_chat",
                        .call =
                            [&](Text* out, graft_error* error) {
                              return graft_model_render_chat(opened.model, messages, 2, &options,
                                                             out->elements.data(), 500, &out->count,
                                                             error);
                            },
                        .result = ResultOf<char, 500>}};
}

void SweepReply() {
  const OpenedScripted opened;
  graft_reply_options options = GRAFT_REPLY_OPTIONS_INIT;
  options.tools = R"([{"name": "a_function_with_a_long_name", "parameters": {"type": "object"}}])";
  const std::string text =
      "<tool_call>{\"name\": \"a_function_with_a_long_name\", \"arguments\": {\"a\": [1, "
      "\"b\"]}}</tool_call>";
  graft_reply* reply = nullptr;
  const auto renew = [&] {
    graft_reply_destroy(reply);
    REQUIRE(graft_reply_create(opened.model, &options, &reply, nullptr) == GRAFT_OK);
  };
  struct Made {
    graft_reply* reply;
  };
  Sweep{SweptCall<Made>{.function = "graft_reply_create",
                        .call =
                            [&](Made* out, graft_error* error) {
                              return graft_reply_create(opened.model, &options, &out->reply, error);
                            },
                        .free = [](const Made& out) { graft_reply_destroy(out.reply); }}};
  // After a failure only destroying is of use: `ready` makes another.
  SweptCall<Nothing> call;
  call.ready = renew;
  call.function = "graft_reply_append";
  call.call = [&](Nothing*, graft_error* error) {
    return graft_reply_append(reply, text.data(), text.size(), nullptr, nullptr, error);
  };
  call.afterwards = renew;
  Sweep{call};
  call.function = "graft_reply_finish";
  call.ready = [&] {
    renew();
    REQUIRE(graft_reply_append(reply, text.data(), text.size() - 1, nullptr, nullptr, nullptr) ==
            GRAFT_OK);
  };
  call.afterwards = call.ready;
  call.call = [&](Nothing*, graft_error* error) {
    return graft_reply_finish(reply, nullptr, nullptr, error);
  };
  Sweep{call};
  using Text = Filled<char, 400>;
  call.ready();
  Sweep{SweptCall<Text>{.function = "graft_reply_message",
                        .call =
                            [&](Text* out, graft_error* error) {
                              return graft_reply_message(reply, out->elements.data(), 400,
                                                         &out->count, error);
                            },
                        .result = ResultOf<char, 400>}};
  graft_reply_destroy(reply);
  swept.insert("graft_reply_destroy");
  swept.insert("graft_reply_format");
}

void SweepPictures() {
  const Opened opened(PictureModel().Build());
  const std::vector<uint8_t> pixels(5 * 7 * 3, 9);
  const std::array<graft_image, 2> images = {
      {{pixels.data(), 5, 7, 0, GRAFT_IMAGE_RGB8}, {pixels.data(), 7, 5, 0, GRAFT_IMAGE_RGB8}}};
  using Text = Filled<char, 500>;
  Sweep{SweptCall<Text>{.function = "graft_model_place_pictures",
                        .call =
                            [&](Text* out, graft_error* error) {
                              return graft_model_place_pictures(
                                  opened.model, "<p> and then <p>", 16, images.data(), 2,
                                  out->elements.data(), 500, &out->count, error);
                            },
                        .result = ResultOf<char, 500>}};
  Sweep{SweptCall<Nothing>{
      .function = "graft_session_set_pictures",
      .call =
          [&](Nothing*, graft_error* error) {
            return graft_session_set_pictures(opened.session, images.data(), 2, error);
          },
      .ready =
          [&] {
            REQUIRE(graft_session_set_pictures(opened.session, nullptr, 0, nullptr) == GRAFT_OK);
            REQUIRE(graft_session_trim(opened.session, nullptr) == GRAFT_OK);
          }}};
}

void SweepTextTasks() {
  const graft_text texts[] = {{"Once upon", 9, nullptr, 0}, {"a time", 6, "there", 5}};
  SweptCall<Numbers2> call;
  call.result = [](const Numbers2& out) {
    return Bytes(out.numbers, 2 * out.width * sizeof(float));
  };
  for (const bool one_by_one : {false, true}) {
    const Opened embedder(TextTaskModel(fb::TaskKind::Embedding, one_by_one));
    call.function = "graft_session_embed";
    call.call = [&](Numbers2* out, graft_error* error) {
      return graft_session_embed(embedder.session, texts, 2, &out->numbers, &out->width, error);
    };
    Sweep{call};
  }
  const Opened classifier(TextTaskModel(fb::TaskKind::Classification));
  call.function = "graft_session_classify";
  call.call = [&](Numbers2* out, graft_error* error) {
    return graft_session_classify(classifier.session, texts, 2, &out->numbers, &out->width, error);
  };
  Sweep{call};

  struct Labels {
    const int32_t* ids;
    const float* scores;
    size_t tokens, labels;
  };
  const Opened labeller(TextTaskModel(fb::TaskKind::TokenClassification));
  Sweep{SweptCall<Labels>{.function = "graft_session_classify_tokens",
                          .call =
                              [&](Labels* out, graft_error* error) {
                                return graft_session_classify_tokens(
                                    labeller.session, &texts[0], &out->ids, &out->scores,
                                    &out->tokens, &out->labels, error);
                              },
                          .result =
                              [](const Labels& out) {
                                return Bytes(out.ids, out.tokens * sizeof(int32_t)) +
                                       Bytes(out.scores, out.tokens * out.labels * sizeof(float));
                              }}};
}

void SweepImages() {
  std::array<uint8_t, 60> pixels{};
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<uint8_t>(5 * i);
  const graft_image image = {pixels.data(), 4, 5, 0, GRAFT_IMAGE_RGB8};
  const Opened embedder(ImageTaskModel(fb::TaskKind::Embedding));
  const Opened classifier(ImageTaskModel(fb::TaskKind::Classification));
  SweptCall<Numbers2> call;
  call.result = [](const Numbers2& out) { return Bytes(out.numbers, out.width * sizeof(float)); };
  call.function = "graft_session_embed_images";
  call.call = [&](Numbers2* out, graft_error* error) {
    return graft_session_embed_images(embedder.session, &image, 1, &out->numbers, &out->width,
                                      error);
  };
  Sweep{call};
  call.function = "graft_session_classify_images";
  call.call = [&](Numbers2* out, graft_error* error) {
    return graft_session_classify_images(classifier.session, &image, 1, &out->numbers, &out->width,
                                         error);
  };
  Sweep{call};
  using Prepared = Filled<float, 72>;
  SweptCall<Prepared> prepare;
  prepare.function = "graft_model_prepare_image";
  prepare.result = ResultOf<float, 72>;
  prepare.call = [&](Prepared* out, graft_error* error) {
    return graft_model_prepare_image(embedder.model, &image, out->elements.data(), 72, &out->count,
                                     error);
  };
  Sweep{prepare};
}

TEST_SUITE("runtime/c_api_allocation_failures") {
  TEST_CASE("every function of the headers survives each of its allocations failing") {
    swept.clear();
    { const OpenedTiny first; }  // what is made once in a process
    const long alive = AllocationsAlive();
    SweepUnfailingFunctions();
    SweepOpening();
    SweepModel();
    SweepSwap();
    SweepEstimates();
    SweepMachine();
    SweepTokens();
    SweepSource();
    SweepTranscribe();
    SweepChat();
    SweepReply();
    SweepPictures();
    SweepTextTasks();
    SweepImages();
    SweepSessions();
    // A function that is new in a header needs a case above.
    CHECK(swept == FunctionsOfHeaders());
    swept.clear();
    // Emulated programs are static, so that what the C library keeps counts too, as it does where the
    // thread sanitizer stands in for it.
#if !defined(GRAFT_TEST_EMULATED) && !defined(__SANITIZE_THREAD__)
    CHECK(AllocationsAlive() == alive);
#else
    static_cast<void>(alive);
#endif
  }

  TEST_CASE("memory that runs out while the CPU is looked at for the first time is no verdict") {
    ForgetCpu();
    for (size_t nth = 1;; ++nth) {
      // A process of its own, since what it is about happens once in a process.
      const pid_t child = fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        graft_cpu_info info;
        info.struct_size = sizeof(info);
        graft_status status = GRAFT_OK;
        {
          const FailingAllocations fail(nth, Failing::kOne);
          status = graft_cpu_get_info(&info, nullptr);
        }
        const bool was_last = AllocationsCounted() < nth;
        const bool again = graft_cpu_get_info(&info, nullptr) == GRAFT_OK;
        _exit(!again || (status != GRAFT_OK && status != GRAFT_OUT_OF_MEMORY) ? 1
                                                                              : (was_last ? 2 : 0));
      }
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      REQUIRE(WIFEXITED(status));
      REQUIRE(WEXITSTATUS(status) != 1);
      if (WEXITSTATUS(status) == 2) break;
    }
    RememberCpu();
  }
}

}  // namespace
}  // namespace graft::test
