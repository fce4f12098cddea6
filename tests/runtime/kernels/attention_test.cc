// SPDX-License-Identifier: Apache-2.0
// Attention against its reference: over caches of all formats and without, at once, in chunks and
// token by token.
#include <algorithm>
#include <array>
#include <cmath>
#include <random>

#include <doctest/doctest.h>

#include "tests/reference/op_reference.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

using Options = GraphMaker::AttentionOptions;

// What an int8 cache gives back, with codes and scales worked out in float as the kernel does: they
// are then the same ones, and what is left to compare is sums.
Numbers ThroughCodes(Numbers rows, size_t head_dim) {
  for (size_t start = 0; start < rows.at.size(); start += head_dim) {
    float most = 0.0f;
    for (size_t k = 0; k < head_dim; ++k)
      most = std::max(most, std::fabs(static_cast<float>(rows.at[start + k])));
    const float inverse = 127.0f / most;
    const float scale = most / 127.0f;
    for (size_t k = 0; k < head_dim; ++k) {
      const float scaled = static_cast<float>(rows.at[start + k]) * inverse;
      rows.at[start + k] = static_cast<double>(std::nearbyint(scaled)) * scale;
    }
  }
  return rows;
}

// A bias for each head and each of `distances` distances, `before` of them (at most all but one)
// before a row.
void AddBias(uint32_t distances, uint32_t before, Options* options) {
  options->position_bias_before = std::min(before, distances - 1);
  for (uint32_t i = 0; i < options->heads * distances; ++i)
    options->position_bias.push_back(std::sin(static_cast<float>(i * i)));
}

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
    graph_.Output(
        AsWideAsVocabulary(graph_.SelectRows(out, static_cast<int64_t>(query_.numbers.width))));
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

  /// quantized: with keys and values as an int8 cache gives them back. Rows before first_row are zero.
  Numbers Expected(const std::vector<int32_t>& ids, bool quantized = false,
                   size_t first_row = 0) const {
    const size_t head_dim = options_.head_dim;
    const auto stored = [&](Numbers rows) {
      return quantized ? ThroughCodes(std::move(rows), head_dim) : rows;
    };
    const auto rows_of = [&](const Weight& weight) {
      Numbers rows = Numbers::Zeros(ids.size(), weight.numbers.width);
      for (size_t row = 0; row < ids.size(); ++row) {
        for (size_t k = 0; k < rows.width; ++k)
          rows(row, k) = weight.numbers(static_cast<size_t>(ids[row]), k);
      }
      return rows;
    };
    return ReferenceAttention(rows_of(query_), stored(rows_of(key_)), stored(rows_of(value_)),
                              options_, first_row);
  }

  /// How far int8 keys and values may move an output, from the numbers at hand. A key is off by
  /// half a code, scale / 2, in each dimension, which moves a score by delta at most; weights w
  /// then become at most w e^(2 delta); and a value is off by half a code of its own. Weights sum
  /// to 1.
  double QuantizationBound(const std::vector<int32_t>& ids) const {
    double query = 0.0, key = 0.0, value = 0.0;
    const size_t head_dim = options_.head_dim;
    for (const int32_t id : ids) {
      const auto row = static_cast<size_t>(id);
      for (size_t head = 0; head < options_.heads; ++head) {
        double sum = 0.0;
        for (size_t k = 0; k < head_dim; ++k)
          sum += std::fabs(query_.numbers(row, head * head_dim + k));
        query = std::max(query, sum);
      }
      for (size_t k = 0; k < key_.numbers.width; ++k) {
        key = std::max(key, std::fabs(key_.numbers(row, k)));
        value = std::max(value, std::fabs(value_.numbers(row, k)));
      }
    }
    constexpr double kHalfCode = 1.0 / 254.0;
    const double delta = options_.scale * query * key * kHalfCode;  // a soft cap only lessens it
    return value * kHalfCode + (std::exp(2.0 * delta) - 1.0) * value;
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
  // Narrow rows with zeros behind them: a row of logits has a number for each token at least.
  int32_t AsWideAsVocabulary(int32_t x) {
    const size_t width = query_.numbers.width;
    if (width >= kVocabulary) return x;
    Weight copy;
    copy.numbers = Numbers::Zeros(kVocabulary, width);
    std::vector<float> numbers(kVocabulary * width);
    for (size_t i = 0; i < width; ++i) numbers[i * width + i] = 1.0f;
    copy.tensor = graph_.builder().FloatTensor(
        "copy", {static_cast<int64_t>(kVocabulary), static_cast<int64_t>(width)}, numbers);
    return graph_.Linear(x, copy);
  }

  Options options_;
  GraphMaker graph_;
  Weight query_, key_, value_;
  std::shared_ptr<const runtime::Model> model_;
};

// The first `width` numbers of each row.
Numbers Forward(runtime::Session& session, const std::vector<int32_t>& ids, size_t width) {
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  const runtime::TensorView& view = (*outputs)[0];
  const auto* floats = static_cast<const float*>(view.data);
  const auto stride = static_cast<size_t>(view.shape[1]);
  Numbers rows = Numbers::Zeros(ids.size(), width);
  for (size_t row = 0; row < ids.size(); ++row) {
    for (size_t k = 0; k < width; ++k) rows(row, k) = static_cast<double>(floats[row * stride + k]);
  }
  return rows;
}

// Weights are at most 1 and values a few units; f16 keeps 11 bits of keys and values. Of int8 the
// reference has the codes, so that only the order of sums is left.
double Tolerance(runtime::KvFormat format) {
  return format == runtime::KvFormat::kFloat16 ? 2e-2 : 2e-5;
}

const Options kCases[] = {
    {.heads = 4, .kv_heads = 4, .head_dim = 16, .scale = 0.25f},
    {.heads = 9,
     .kv_heads = 3,
     .head_dim = 64,
     .scale = 0.125f,
     .sinks = {-4.0f, 0.5f, 3.0f, 1.0f, 8.0f, 2.0f, 200.0f, -300.0f, 0.0f}},
    {.heads = 7, .kv_heads = 1, .head_dim = 13, .scale = 0.27f},
    {.heads = 10, .kv_heads = 1, .head_dim = 40, .scale = 0.15f, .soft_cap = 5.0f},
    {.heads = 6,
     .kv_heads = 2,
     .head_dim = 48,
     .scale = 0.14f,
     .window = 37,
     .sinks = {1.0f, 2.0f, 3.0f, -1.0f, -2.0f, -3.0f}},
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
          if (kSomeOfAll && chunk == 64) continue;
          CAPTURE(chunk);
          const auto session = model.NewSession(format, chunk, chunk == 64 ? 1 : 2);
          CHECK(LargestDifference(Forward(*session, ids, model.width()), expected) <
                Tolerance(format));
        }
      }
    }
  }

  TEST_CASE("matches its reference over an int8 cache, whatever the chunks") {
    for (const Options& options : kCases) {
      CAPTURE(options.heads);
      CAPTURE(options.head_dim);
      const AttentionModel model(options, true);
      const auto ids = AttentionModel::Ids(211);
      const Numbers expected = model.Expected(ids, true);
      for (const uint32_t chunk : {1u, 7u, 64u, 500u}) {
        CAPTURE(chunk);
        const auto session = model.NewSession(runtime::KvFormat::kInt8, chunk, chunk == 64 ? 1 : 2);
        CHECK(LargestDifference(Forward(*session, ids, model.width()), expected) <
              Tolerance(runtime::KvFormat::kInt8));
      }
      // Against numbers that were never quantized, no further away than the codes allow.
      const double moved = LargestDifference(expected, model.Expected(ids));
      CHECK(moved < model.QuantizationBound(ids));
      CHECK(moved > 1e-4);  // it did go through codes
    }
  }

  TEST_CASE("a long int8 context is split between threads") {
    const AttentionModel model(kCases[1], true);
    const auto ids = AttentionModel::Ids(830);
    const Numbers expected = model.Expected(ids, true, 790);
    const auto session = model.NewSession(runtime::KvFormat::kInt8, 128, 4);
    REQUIRE(session->Append(std::span(ids).first(790), nullptr).ok());
    for (size_t i = 790; i < ids.size(); ++i) {
      const float* row = nullptr;
      REQUIRE(session->Append({&ids[i], 1}, &row).ok());
      for (size_t k = 0; k < model.width(); ++k)
        REQUIRE(std::fabs(row[k] - expected(i, k)) < Tolerance(runtime::KvFormat::kInt8));
    }
  }

  TEST_CASE("a long context split between threads gives what one thread gives") {
    for (const Options& options : {kCases[1], kCases[2]}) {
      if (kSomeOfAll && options.heads != kCases[1].heads) continue;
      const AttentionModel model(options, true);
      const auto ids = AttentionModel::Ids(830);
      const Numbers expected = model.Expected(ids, false, 500);
      for (const unsigned threads : {1u, 2u, 4u}) {
        if (kSomeOfAll && threads == 2) continue;
        CAPTURE(threads);
        const auto session = model.NewSession(runtime::KvFormat::kFloat32, 128, threads);
        for (const size_t start : {500, 777}) {
          if (kSomeOfAll && start == 500) continue;
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

  TEST_CASE("random shapes, windows, formats, chunks and threads match the reference") {
    // The first are short and of every odd size; the last are long enough for a token's context to
    // be split between threads, with a window that begins anywhere in a block.
    constexpr uint32_t kShort = 40, kLong = 5;
    for (uint32_t seed = 1; seed <= kShort + kLong; ++seed) {
      CAPTURE(seed);
      std::mt19937 random(seed);
      const auto pick = [&](uint32_t least, uint32_t most) {
        return least + static_cast<uint32_t>(random() % (most - least + 1));
      };
      const bool is_long = seed > kShort;
      Options options;
      options.kv_heads = pick(1, is_long ? 2 : 3);
      options.heads = options.kv_heads * pick(1, is_long ? 3 : 11);
      options.head_dim = pick(1, is_long ? 33 : 96);
      options.scale = 1.0f / std::sqrt(static_cast<float>(options.head_dim));
      options.soft_cap = pick(0, 3) == 0 ? 3.0f : 0.0f;
      const uint32_t tokens = is_long ? pick(700, 850) : pick(2, 90);
      if (pick(0, 2) == 0) {
        for (uint32_t head = 0; head < options.heads; ++head)
          options.alibi_slopes.push_back(std::exp2(-0.7f * static_cast<float>(head + 1)));
        options.alibi_scale = 0.5f;
        options.alibi_rounded = pick(0, 1) == 0;
      }
      if (pick(0, 1) == 0) AddBias(pick(1, 70), pick(0, 200), &options);
      if (pick(0, 1) == 0) options.window = is_long ? pick(513, 690) : pick(1, tokens);
      const auto format = std::array{runtime::KvFormat::kFloat32, runtime::KvFormat::kFloat16,
                                     runtime::KvFormat::kInt8}[pick(0, 2)];
      CAPTURE(options.head_dim);
      CAPTURE(options.window);
      const AttentionModel model(options, true);
      const auto ids = AttentionModel::Ids(tokens);
      const size_t alone = std::min<size_t>(tokens - 1, 12);  // tokens that come one by one
      const Numbers expected =
          model.Expected(ids, format == runtime::KvFormat::kInt8, is_long ? tokens - alone : 0);
      const auto session = model.NewSession(format, pick(1, 200), pick(1, 5));
      REQUIRE(session->Append(std::span(ids).first(tokens - alone), nullptr).ok());
      double difference = 0.0;
      for (size_t i = tokens - alone; i < tokens; ++i) {
        const float* row = nullptr;
        REQUIRE(session->Append({&ids[i], 1}, &row).ok());
        for (size_t k = 0; k < model.width(); ++k)
          difference = std::max(difference, std::fabs(row[k] - expected(i, k)));
      }
      CHECK(difference < Tolerance(format));
      if (!is_long)
        CHECK(LargestDifference(Forward(*session, ids, model.width()), expected) <
              Tolerance(format));
    }
  }

  TEST_CASE("without a cache, causal and not") {
    for (Options options : kCases) {
      for (const bool causal : {false, true}) {
        if (!causal && options.window > 0) continue;
        options.causal = causal;
        const AttentionModel model(options, false);
        Options biased = options;
        AddBias(40, causal ? 39 : 17, &biased);
        const auto few = AttentionModel::Ids(75);
        const AttentionModel biased_model(biased, false);
        const auto biased_session = biased_model.NewSession(runtime::KvFormat::kFloat16, 64, 2);
        CHECK(LargestDifference(Forward(*biased_session, few, biased_model.width()),
                                biased_model.Expected(few)) <
              Tolerance(runtime::KvFormat::kFloat32));
        for (const size_t count : {1, 16, 75, 301}) {
          if (kSomeOfAll && count == 301 && options.heads != kCases[2].heads) continue;
          const auto ids = AttentionModel::Ids(count);
          const auto session = model.NewSession(runtime::KvFormat::kFloat16, 64, 2);
          CHECK(LargestDifference(Forward(*session, ids, model.width()), model.Expected(ids)) <
                Tolerance(runtime::KvFormat::kFloat32));
        }
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
