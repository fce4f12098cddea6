// SPDX-License-Identifier: Apache-2.0
#include "tests/support/source_model.h"

#include <cmath>
#include <utility>

namespace graft::test {
namespace {

constexpr int64_t kWidth = 8;

flatbuffers::Offset<fb::TargetText> Target(const SourceModel& m,
                                           flatbuffers::FlatBufferBuilder& b) {
  std::vector<flatbuffers::Offset<fb::LanguageToken>> languages;
  for (const auto& [name, token] : m.languages)
    languages.push_back(fb::CreateLanguageToken(b, b.CreateString(name), token));
  const auto start = b.CreateVector(m.start_tokens);
  const auto suppressed = b.CreateVector(m.suppressed);
  const auto first = b.CreateVector(m.first_suppressed);
  const auto language_vector = b.CreateVector(languages);
  flatbuffers::Offset<flatbuffers::String> to;
  if (!m.target_language.empty()) to = b.CreateString(m.target_language);
  flatbuffers::Offset<fb::AudioInput> audio;
  if (m.has_audio) {
    audio = fb::CreateAudioInput(b, m.sample_rate, m.fft_samples, m.hop_samples, m.mels, m.frames,
                                 -1, -1, -1, m.timestamp_token);
  }
  return fb::CreateTargetText(b, start, suppressed, first, language_vector, m.language_place, 0, to,
                              audio, m.forced_end_token);
}

}  // namespace

AlignedBytes SourceModel::Build(
    const std::function<flatbuffers::Offset<fb::Tokenizer>(flatbuffers::FlatBufferBuilder&)>&
        tokenizer) const {
  ModelBuilder model;
  auto& b = model.builder();
  const auto tokens = Symbolic(model.Symbol("sequence"));
  const auto outputs = Symbolic(model.Symbol("output_rows"));
  const auto source = same_symbol ? tokens : Symbolic(model.Symbol("source"));
  const auto source_rows = has_features ? Fixed(6) : source;
  std::vector<float> numbers(kVocabulary * kWidth);
  for (size_t i = 0; i < numbers.size(); ++i)
    numbers[i] = std::sin(static_cast<float>(i * i % 10007));
  const int32_t table = model.FloatTensor("table", {kVocabulary, kWidth}, numbers);
  const int32_t ids = model.Input("decoder_input_ids", {tokens}, fb::InputRole::TokenIds);
  const int32_t rows = model.Input("output_rows", {outputs}, fb::InputRole::OutputRows);
  const int32_t encoded = model.Value("encoded", {source_rows, Fixed(kWidth)});
  if (has_features) {
    const int32_t features = model.Input("features", {Fixed(3), Fixed(1), Fixed(6)},
                                         fb::InputRole::SourceFeatures, fb::ElementType::Float32);
    const fb::ImageWindow window(3, 1, 6, 1, 1, 1, 1, 0, 0, 1, 1);
    const int32_t patches = model.Value("patches", {Fixed(6), Fixed(3)});
    model.Op("patches", {features}, {patches}, fb::OpAttributes::Patches,
             fb::CreatePatches(b, &window).Union());
    const int32_t weight = model.FloatTensor("weight", {kWidth, 3}, std::span(numbers).first(24));
    model.Op("encode", {patches}, {encoded}, fb::OpAttributes::Linear,
             fb::CreateLinear(b, weight).Union());
  } else {
    if (positions_only) model.Input("positions", {source}, fb::InputRole::SourcePositions);
    const int32_t input = positions_only ? ids : model.Input("input_ids", {source}, source_role);
    model.Op("encode", {input}, {encoded}, fb::OpAttributes::Embedding,
             fb::CreateEmbedding(b, table).Union());
  }
  if (extra_tensor)
    model.Input("extra", {Fixed(2), Fixed(2)}, fb::InputRole::Tensor, fb::ElementType::Float32);
  const int32_t x = model.Value("x", {tokens, Fixed(kWidth)});
  model.Op("embed", {ids}, {x}, fb::OpAttributes::Embedding, fb::CreateEmbedding(b, table).Union());
  int32_t attended = x;
  if (attends) {
    attended = model.Value("attended", {tokens, Fixed(kWidth)});
    const int32_t cache = model.KvCache(2, 4, cache_of_source);
    const int32_t key = keys_of_tokens ? x : encoded;
    model.Op("cross", {x, key, key}, {attended}, fb::OpAttributes::Attention,
             fb::CreateAttention(b, 2, 2, 4, 0.5f, 0.0f, window, cache, causal).Union());
  }
  const int32_t selected = model.Value("selected", {outputs, Fixed(kWidth)});
  const int32_t scores = model.Value("logits", {outputs, Fixed(logits)});
  model.Op("select", {attended, rows}, {selected}, fb::OpAttributes::SelectRows,
           fb::CreateSelectRows(b).Union());
  const int32_t head = model.FloatTensor(
      "head", {logits, kWidth}, std::span(numbers).first(static_cast<size_t>(logits * kWidth)));
  model.Op("head", {selected}, {scores}, fb::OpAttributes::Linear,
           fb::CreateLinear(b, head).Union());
  model.Output(scores);
  if (output_of_source) model.Output(encoded);
  model.SetTask(task, 16, {0});
  if (has_target) model.SetTarget(Target(*this, b));
  if (tokenizer) model.SetTokenizer(tokenizer(b));
  return model.Finish();
}

}  // namespace graft::test
