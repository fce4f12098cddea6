// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/c_api/task_models.h"

#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/tokenizer/tokenizer_json.h"
#include "tests/support/source_model.h"

namespace graft::test {

AlignedBytes TextTaskModel(fb::TaskKind task, bool one_by_one) {
  constexpr int64_t kVocabulary = 512;
  constexpr int64_t kPositions = 16;
  constexpr int64_t kWidth = 8;
  ModelBuilder model;
  auto& builder = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const auto texts = Symbolic(model.Symbol("texts"));
  const int32_t ids = model.Input("input_ids", {tokens}, fb::InputRole::TokenIds);
  const int32_t positions = model.Input("positions", {tokens}, fb::InputRole::Positions);
  const int32_t ends = model.Input(
      "ends", {texts}, one_by_one ? fb::InputRole::OutputRows : fb::InputRole::TextEnds);
  const std::vector<float> numbers(kVocabulary * kWidth, 0.5f);
  const int32_t words = model.FloatTensor("words", {kVocabulary, kWidth}, numbers);
  const int32_t places = model.FloatTensor("places", {kPositions, kWidth},
                                           std::span(numbers).first(kPositions * kWidth));
  const int32_t x = model.Value("x", {tokens, Fixed(kWidth)});
  const int32_t y = model.Value("y", {tokens, Fixed(kWidth)});
  const int32_t sum = model.Value("sum", {tokens, Fixed(kWidth)});
  const int32_t pooled = model.Value("pooled", {texts, Fixed(kWidth)});
  model.Op("words", {ids}, {x}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(builder, words).Union());
  model.Op("places", {positions}, {y}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(builder, places).Union());
  model.Op("add", {x, y}, {sum}, fb::OpAttributes::Add, fb::CreateAdd(builder).Union());
  if (one_by_one) {
    model.Op("select", {sum, ends}, {pooled}, fb::OpAttributes::SelectRows,
             fb::CreateSelectRows(builder).Union());
  } else {
    model.Op("pool", {sum, ends}, {pooled}, fb::OpAttributes::PoolRows,
             fb::CreatePoolRows(builder, fb::PoolKind::Mean, 0).Union());
  }
  model.Output(task == fb::TaskKind::TokenClassification ? sum : pooled);
  if (task == fb::TaskKind::TokenClassification) model.Output(pooled);
  model.SetTask(task, kPositions);
  const auto tokenizer =
      converter::BuildTokenizer(builder, std::string(GRAFT_TEST_DATA) + "/stories260k");
  REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().message());
  model.SetTokenizer(*tokenizer);
  return model.Finish();
}

namespace {

AlignedBytes WithTokenizer(const SourceModel& model) {
  return model.Build([](flatbuffers::FlatBufferBuilder& builder) {
    const auto tokenizer =
        converter::BuildTokenizer(builder, std::string(GRAFT_TEST_DATA) + "/stories260k");
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().message());
    return *tokenizer;
  });
}

}  // namespace

AlignedBytes SourceTaskModel() {
  SourceModel model;
  model.languages = {{"de", 7}, {"en", 8}};
  model.language_place = fb::LanguagePlace::SourceAndTarget;
  return WithTokenizer(model);
}

AlignedBytes SoundTaskModel() {
  SourceModel model;
  model.has_features = model.has_audio = true;
  model.fft_samples = 32;
  model.hop_samples = 16;
  return WithTokenizer(model);
}

AlignedBytes ImageTaskModel(fb::TaskKind task) {
  ModelBuilder model;
  auto& builder = model.builder();
  const int32_t pixels = model.Input("pixels", {Fixed(3), Fixed(6), Fixed(4)},
                                     fb::InputRole::Tensor, fb::ElementType::Float32);
  const fb::ImageWindow window(3, 6, 4, 2, 2, 2, 2, 0, 0, 1, 1);
  const int32_t patches = model.Value("patches", {Fixed(6), Fixed(12)});
  const int32_t row = model.Value("row", {Fixed(1), Fixed(12)});
  model.Op("patches", {pixels}, {patches}, fb::OpAttributes::Patches,
           fb::CreatePatches(builder, &window).Union());
  model.Op("row", {patches}, {row}, fb::OpAttributes::PoolRows,
           fb::CreatePoolRows(builder, fb::PoolKind::Row, 0).Union());
  model.Output(row);
  model.SetTask(task);
  const auto mean = builder.CreateVector(std::vector<float>{0, 0, 0});
  const auto deviation = builder.CreateVector(std::vector<float>{1, 1, 1});
  model.SetImage(fb::CreateImageInput(builder, 3, 6, 4, 8, 0, fb::ImageFilter::Bilinear, 1.0f, mean,
                                      deviation));
  return model.Finish();
}

}  // namespace graft::test
