// SPDX-License-Identifier: Apache-2.0
// Attention against its reference: over caches of both formats and without, at once, in chunks and
// token by token.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/runtime/reference.h"

namespace graft::test {
namespace {

using Options = GraphMaker::AttentionOptions;

// Queries, keys and values are rows of tables that the token id picks: attention alone, fed without
// any other arithmetic.
class AttentionModel {
 public:
  AttentionModel(Options options, bool cached) : options_(options), graph_(11) {
    graph_.TokenInputs();
    const size_t kv_width = size_t{options.kv_heads} * options.head_dim;
    query_ = graph_.RandomWeight("query", fb::TensorFormat::Float32, kVocabulary,
                                 size_t{options.heads} * options.head_dim);
    key_ = graph_.RandomWeight("key", fb::TensorFormat::Float32, kVocabulary, kv_width);
    value_ = graph_.RandomWeight("value", fb::TensorFormat::Float32, kVocabulary, kv_width);
    if (cached) options_.kv_cache = graph_.builder().KvCache(options.kv_heads, options.head_dim);
    // Scores spread over several units, so that the softmax is neither flat nor a maximum.
    const float sharpness = std::sqrt(static_cast<float>(query_.numbers.width));
    const int32_t out =
        graph_.Attention(graph_.Embedding(query_, sharpness), graph_.Embedding(key_, sharpness),
                         graph_.Embedding(value_, sharpness), options_);
    graph_.Output(graph_.SelectRows(out, static_cast<int64_t>(query_.numbers.width)));
    graph_.builder().SetTask(fb::TaskKind::TextGeneration);
    for (Weight* weight : {&query_, &key_, &value_}) {
      for (double& number : weight->numbers.at) number *= sharpness;
    }
    model_ = graph_.Open();
  }

  std::unique_ptr<runtime::Session> NewSession(runtime::KvFormat format, uint32_t chunk,
                                               unsigned threads) const {
    return test::NewSession(
        model_,
        {.threads = threads, .context_tokens = 900, .prefill_chunk = chunk, .kv_format = format});
  }

  Numbers Expected(const std::vector<int32_t>& ids) const {
    const auto rows_of = [&](const Weight& weight) {
      Numbers rows = Numbers::Zeros(ids.size(), weight.numbers.width);
      for (size_t row = 0; row < ids.size(); ++row) {
        for (size_t k = 0; k < rows.width; ++k)
          rows(row, k) = weight.numbers(static_cast<size_t>(ids[row]), k);
      }
      return rows;
    };
    return ReferenceAttention(rows_of(query_), rows_of(key_), rows_of(value_), options_);
  }

  static std::vector<int32_t> Ids(size_t count) {
    std::vector<int32_t> ids(count);
    for (size_t i = 0; i < count; ++i)
      ids[i] = static_cast<int32_t>((i * i * 5 + i * 3) % kVocabulary);
    return ids;
  }
  size_t width() const { return query_.numbers.width; }

  static constexpr size_t kVocabulary = 97;

 private:
  Options options_;
  GraphMaker graph_;
  Weight query_, key_, value_;
  std::shared_ptr<const runtime::Model> model_;
};

Numbers Forward(runtime::Session& session, const std::vector<int32_t>& ids) {
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  const runtime::TensorView& view = (*outputs)[0];
  const auto* floats = static_cast<const float*>(view.data);
  return AsNumbers({floats, static_cast<size_t>(view.shape[0] * view.shape[1])}, ids.size());
}

// Weights are at most 1 and values a few units; f16 keeps 11 bits of keys and values.
double Tolerance(runtime::KvFormat format) {
  return format == runtime::KvFormat::kFloat16 ? 2e-2 : 2e-5;
}

const Options kCases[] = {
    {.heads = 4, .kv_heads = 4, .head_dim = 16, .scale = 0.25f},
    {.heads = 9, .kv_heads = 3, .head_dim = 64, .scale = 0.125f},
    {.heads = 7, .kv_heads = 1, .head_dim = 13, .scale = 0.27f},
    {.heads = 10, .kv_heads = 1, .head_dim = 40, .scale = 0.15f, .soft_cap = 5.0f},
    {.heads = 6, .kv_heads = 2, .head_dim = 48, .scale = 0.14f, .window = 37},
    {.heads = 2, .kv_heads = 1, .head_dim = 80, .scale = 0.11f, .soft_cap = 30.0f, .window = 1},
};

TEST_SUITE("runtime/attention") {
  TEST_CASE("matches its reference over f32 and f16 caches, whatever the chunks") {
    for (const Options& options : kCases) {
      CAPTURE(options.heads);
      CAPTURE(options.head_dim);
      const AttentionModel model(options, true);
      const auto ids = AttentionModel::Ids(211);
      const Numbers expected = model.Expected(ids);
      for (const auto format : {runtime::KvFormat::kFloat32, runtime::KvFormat::kFloat16}) {
        for (const uint32_t chunk : {1u, 7u, 64u, 500u}) {
          CAPTURE(chunk);
          const auto session = model.NewSession(format, chunk, chunk == 64 ? 1 : 2);
          CHECK(LargestDifference(Forward(*session, ids), expected) < Tolerance(format));
        }
      }
    }
  }

  TEST_CASE("a long context split between threads gives what one thread gives") {
    for (const Options& options : {kCases[1], kCases[2]}) {
      const AttentionModel model(options, true);
      const auto ids = AttentionModel::Ids(830);
      const Numbers expected = model.Expected(ids);
      for (const unsigned threads : {1u, 2u, 4u}) {
        CAPTURE(threads);
        const auto session = model.NewSession(runtime::KvFormat::kFloat32, 128, threads);
        for (const size_t start : {500, 777}) {
          REQUIRE(session->Rewind(0).ok());
          REQUIRE(session->Append(std::span(ids).first(start), nullptr).ok());
          for (size_t i = start; i < start + 40; ++i) {
            const float* row = nullptr;
            REQUIRE(session->Append({&ids[i], 1}, &row).ok());
            for (size_t k = 0; k < model.width(); ++k) {
              REQUIRE(std::fabs(row[k] - expected(i, k)) < Tolerance(runtime::KvFormat::kFloat32));
            }
          }
        }
      }
    }
  }

  TEST_CASE("without a cache, causal and not") {
    for (Options options : kCases) {
      for (const bool causal : {false, true}) {
        if (!causal && options.window > 0) continue;
        options.causal = causal;
        const AttentionModel model(options, false);
        for (const size_t count : {1, 16, 75, 301}) {
          const auto ids = AttentionModel::Ids(count);
          const auto session = model.NewSession(runtime::KvFormat::kFloat16, 64, 2);
          CHECK(LargestDifference(Forward(*session, ids), model.Expected(ids)) <
                Tolerance(runtime::KvFormat::kFloat32));
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
