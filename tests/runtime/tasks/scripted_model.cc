// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/tasks/scripted_model.h"

#include <doctest/doctest.h>

#include "converter/tokenizer/tokenizer_json.h"

namespace graft::test {

AlignedBytes ScriptedModel(const std::map<int32_t, int32_t>& next, uint32_t context_tokens,
                           std::vector<uint32_t> end_tokens, bool with_tokenizer) {
  constexpr int64_t kVocabulary = 512;
  std::vector<float> logits(kVocabulary * kVocabulary, 0.0f);
  for (int64_t token = 0; token < kVocabulary; ++token) {
    const auto found = next.find(static_cast<int32_t>(token));
    logits[static_cast<size_t>(token * kVocabulary + (found == next.end() ? 0 : found->second))] =
        9;
  }
  ModelBuilder model;
  const int32_t sequence = model.Symbol("sequence");
  const int32_t wanted = model.Symbol("output_rows");
  const int32_t ids = model.Input("input_ids", {Symbolic(sequence)}, fb::InputRole::TokenIds);
  const int32_t rows = model.Input("output_rows", {Symbolic(wanted)}, fb::InputRole::OutputRows);
  const int32_t all = model.Value("all", {Symbolic(sequence), Fixed(kVocabulary)});
  const int32_t output = model.Value("logits", {Symbolic(wanted), Fixed(kVocabulary)});
  const int32_t table = model.FloatTensor("table", {kVocabulary, kVocabulary}, logits);
  model.Op("lookup", {ids}, {all}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(model.builder(), table).Union());
  model.Op("select", {all, rows}, {output}, fb::OpAttributes::SelectRows,
           fb::CreateSelectRows(model.builder()).Union());
  model.Output(output);
  model.SetTask(fb::TaskKind::TextGeneration, context_tokens, std::move(end_tokens));
  if (with_tokenizer) {
    const auto tokenizer =
        converter::BuildTokenizer(model.builder(), std::string(GRAFT_TEST_DATA) + "/stories260k");
    REQUIRE_MESSAGE(tokenizer.ok(), tokenizer.status().message());
    model.SetTokenizer(*tokenizer);
  }
  return model.Finish();
}

}  // namespace graft::test
