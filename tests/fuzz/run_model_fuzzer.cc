// SPDX-License-Identifier: Apache-2.0
// Runs what the verifier accepts: the bytes are a .graft file whose checksums are made right, and
// everything that its task allows is asked of it.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/container.h"
#include "tests/fuzz/support/fuzz_models.h"

namespace {

constexpr std::string_view kText = "Once upon a time, Lily's \xf0\x9f\x90\xb6 ran  42 km.\n<s>";
constexpr size_t kHeaderBytesField = 32;

void UseTextFunctions(const graft_model* model) {
  int32_t ids[64];
  size_t count = 0;
  if (graft_model_tokenize(model, kText.data(), kText.size(), 1, ids, 64, &count, nullptr) ==
      GRAFT_OK) {
    char text[1024];
    size_t size = 0;
    (void)!graft_model_detokenize(model, ids, count, 0, text, sizeof(text), &size, nullptr);
  }
  const graft_chat_message messages[] = {{"system", "Be brief."}, {"user", kText.data()}};
  char chat[4096];
  size_t size = 0;
  (void)!graft_model_render_chat(model, messages, 2, nullptr, chat, sizeof(chat), &size, nullptr);
}

// Inputs of the sizes that the model names; those it leaves open are 3.
void Forward(const graft_model* model, graft_session* session) {
  std::vector<graft_tensor> inputs;
  std::vector<std::vector<int32_t>> numbers;
  graft_tensor input = {};
  while (inputs.size() < 8 &&
         graft_model_get_input(model, inputs.size(), &input, nullptr) == GRAFT_OK) {
    size_t elements = 1;
    for (uint32_t d = 0; d < input.rank; ++d) {
      if (input.shape[d] < 0) input.shape[d] = 3;
      if (input.shape[d] > 4096) return;
      elements *= static_cast<size_t>(input.shape[d]);
    }
    if (elements > (1u << 20)) return;
    numbers.emplace_back(elements, input.type == GRAFT_TYPE_I32 ? 1 : 0x3f000000);
    inputs.push_back(input);
  }
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i].data = numbers[i].data();
  const graft_tensor* outputs = nullptr;
  size_t count = 0;
  if (graft_session_forward(session, inputs.data(), inputs.size(), &outputs, &count, nullptr) !=
      GRAFT_OK)
    return;
  volatile uint8_t sink = 0;
  for (size_t i = 0; i < count; ++i) {
    size_t bytes = 4;
    for (uint32_t d = 0; d < outputs[i].rank; ++d)
      bytes *= static_cast<size_t>(outputs[i].shape[d]);
    if (bytes != 0) sink = static_cast<const uint8_t*>(outputs[i].data)[bytes - 1];
  }
  static_cast<void>(sink);
}

// What an encoder-decoder takes besides tokens.
void UseSource(const graft_model* model, graft_session* session) {
  const int32_t ids[] = {2, 1, 3};
  graft_tensor source = {};
  source.type = GRAFT_TYPE_I32;
  source.rank = 1;
  source.shape[0] = 3;
  source.data = ids;
  (void)!graft_session_set_source(session, &source, nullptr);
  int32_t encoded[64];
  size_t count = 0;
  (void)!graft_model_encode_source(model, kText.data(), kText.size(), "de", encoded, 64, &count,
                                   nullptr);
  (void)!graft_model_start_tokens(model, nullptr, encoded, 64, &count, nullptr);
  const std::vector<float> samples(3000, 0.25f);
  graft_transcribe_options options = GRAFT_TRANSCRIBE_OPTIONS_INIT;
  for (const uint8_t timestamps : {0, 1}) {
    options.timestamps = timestamps;
    (void)!graft_session_transcribe(session, samples.data(), samples.size(), &options, nullptr,
                                    nullptr, nullptr, nullptr);
  }
}

// What a model that sees takes besides tokens; the text has as many for the picture as it takes.
void UsePictures(const graft_model* model, graft_session* session) {
  const std::vector<uint8_t> pixels(7 * 5 * 3, 0x5A);
  const graft_image images[] = {{pixels.data(), 7, 5, 0, GRAFT_IMAGE_RGB8},
                                {pixels.data(), 1, 9, 0, GRAFT_IMAGE_GRAY8}};
  std::vector<char> placed(1 << 16);
  size_t size = 0;
  (void)!graft_model_place_pictures(model, kText.data(), kText.size(), images, 2, placed.data(),
                                    placed.size(), &size, nullptr);
  if (graft_session_set_pictures(session, images, 2, nullptr) != GRAFT_OK) return;
  const int32_t ids[] = {1, 3, 3, 3, 3, 2, 3, 3, 3, 3, 5};  // 3: PictureModel's token for pictures
  const float* logits = nullptr;
  (void)!graft_session_append(session, ids, 11, &logits, nullptr);
  (void)!graft_session_rewind(session, 3, nullptr);
  (void)!graft_session_set_pictures(session, images + 1, 1, nullptr);
  (void)!graft_session_append(session, ids, 5, &logits, nullptr);
}

void UseSession(const graft_model* model, graft_session* session) {
  UseSource(model, session);
  UsePictures(model, session);
  const int32_t ids[] = {1, 2, 3, 2, 1, 0, 3};
  const float* logits = nullptr;
  size_t width = 0;
  (void)!graft_session_append(session, ids, 7, &logits, nullptr);
  (void)!graft_session_rewind(session, 3, nullptr);
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = 4;
  (void)!graft_session_generate(session, ids, 2, &options, nullptr, nullptr, nullptr, nullptr);
  const graft_text texts[] = {{kText.data(), kText.size(), nullptr, 0}, {"a", 1, "b", 1}};
  (void)!graft_session_embed(session, texts, 2, &logits, &width, nullptr);
  (void)!graft_session_classify(session, texts, 2, &logits, &width, nullptr);
  const uint8_t pixels[12] = {0, 255, 7};
  const graft_image image = {pixels, 2, 2, 0, GRAFT_IMAGE_RGB8};
  (void)!graft_session_classify_images(session, &image, 1, &logits, &width, nullptr);
  (void)!graft_session_embed_images(session, &image, 1, &logits, &width, nullptr);
  Forward(model, session);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using graft::schema::kPreambleBytes;
  if (size < kPreambleBytes) return 0;
  graft::test::AlignedBytes file(std::span(data, size));
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data() + kHeaderBytesField, sizeof(header_bytes));
  if (header_bytes > size - kPreambleBytes) return 0;
  graft::test::Reseal(file);
  const graft::fuzz::OpenedModel opened(std::move(file));
  if (opened.model() == nullptr) return 0;
  UseTextFunctions(opened.model());
  if (opened.session() == nullptr) return 0;
  const graft::fuzz::Watch watch(opened.session());
  UseSession(opened.model(), opened.session());
  return 0;
}
