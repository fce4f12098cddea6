// SPDX-License-Identifier: Apache-2.0
// Rows that are computed together, and are to be what each is alone: the same bits.
#include <cstring>
#include <string>

#include <doctest/doctest.h>

#include "tests/support/graph_maker.h"

namespace graft::test {
namespace {

using runtime::KvFormat;
using runtime::SessionOptions;

constexpr size_t kVocabulary = 37;
constexpr int64_t kWidth = 64;
constexpr size_t kPrompt = 530;  // so long that threads share the context of one row
constexpr size_t kRows = 9;

// Two layers: of a window, and of the whole context.
std::shared_ptr<const runtime::Model> TwoLayers(GraphMaker& graph, fb::TensorFormat format,
                                                bool has_experts) {
  graph.TokenInputs();
  const auto weight = [&](const std::string& name, size_t out) {
    return graph.RandomWeight(name, format, out, kWidth,
                              format == fb::TensorFormat::Int4Block ? 32 : 0);
  };
  const Weight norm = graph.RandomVector("norm", kWidth, 1.0, 0.1);
  int32_t x =
      graph.Embedding(graph.RandomWeight("table", fb::TensorFormat::Float32, kVocabulary, kWidth));
  for (const uint32_t window : {33u, 0u}) {
    const std::string of = std::to_string(window);
    const int32_t y = graph.RmsNorm(x, kWidth, norm, 1e-5f);
    GraphMaker::AttentionOptions options;
    options.heads = 4;
    options.kv_heads = 2;
    options.head_dim = 16;
    options.scale = 0.25f;
    options.window = window;
    options.kv_cache = graph.builder().KvCache(2, 16);
    const int32_t attended = graph.Attention(graph.Linear(y, weight("q" + of, kWidth)),
                                             graph.Linear(y, weight("k" + of, 32)),
                                             graph.Linear(y, weight("v" + of, 32)), options);
    x = graph.Binary(fb::OpAttributes::Add, x, graph.Linear(attended, weight("o" + of, kWidth)),
                     kWidth);
    if (!has_experts) continue;
    GraphMaker::RouteOptions routing;
    const GraphMaker::Routed routed = graph.Route(
        graph.Linear(x, graph.RandomWeight("r" + of, fb::TensorFormat::Float32, 3, kWidth)),
        routing);
    const int32_t mixed = graph.ExpertLinear(x, routed, routing, 3, weight("e" + of, 3 * kWidth));
    x = graph.Binary(fb::OpAttributes::Add, x, graph.WeightedSum(mixed, routed.weights, kWidth),
                     kWidth);
  }
  graph.Output(graph.Linear(graph.SelectRows(x, kWidth), weight("head", kVocabulary)));
  graph.builder().SetTask(fb::TaskKind::TextGeneration);
  return graph.Open();
}

std::vector<int32_t> Ids(size_t count, uint32_t factor) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < count; ++i)
    ids.push_back(static_cast<int32_t>((i * i * factor + i / 7) % kVocabulary));
  return ids;
}

const float* Append(runtime::Session& session, std::span<const int32_t> ids, size_t rows) {
  const float* logits = nullptr;
  const Status status = session.AppendSingly(ids, rows, &logits);
  REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
  return logits;
}

// The logits of rows that go in one by one, and in groups of all sizes after a detour.
void CheckRows(const std::shared_ptr<const runtime::Model>& model, const SessionOptions& options) {
  const auto session = NewSession(model, options);
  const auto prompt = Ids(kPrompt, 5);
  const auto rows = Ids(kRows, 3);
  const auto others = Ids(kRows, 11);
  Append(*session, prompt, 1);
  std::vector<float> alone;
  for (const int32_t id : rows) {
    const float* logits = Append(*session, {&id, 1}, 1);
    alone.insert(alone.end(), logits, logits + kVocabulary);
  }
  for (const size_t group : {2u, 3u, 5u, 9u}) {
    REQUIRE(session->Rewind(kPrompt).ok());
    for (size_t done = 0; done + group <= kRows; done += group) {
      Append(*session, others, kRows);  // and back: as a draft that was refused
      REQUIRE(session->Rewind(kPrompt + done).ok());
      const float* logits = Append(*session, std::span(rows).subspan(done, group), group);
      CAPTURE(group);
      CHECK(std::memcmp(logits, alone.data() + done * kVocabulary,
                        group * kVocabulary * sizeof(float)) == 0);
    }
  }
}

TEST_SUITE("runtime/session") {
  TEST_CASE("rows that are computed singly are what each is alone, bit for bit") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Float16,
                              fb::TensorFormat::BFloat16, fb::TensorFormat::Int8PerChannel,
                              fb::TensorFormat::Int4Block, fb::TensorFormat::Int4PerChannel}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      GraphMaker graph(3);
      const auto model = TwoLayers(graph, format, false);
      for (const unsigned threads : {1u, 2u}) {
        CAPTURE(threads);
        CheckRows(model, {.threads = threads});
      }
    }
  }

  TEST_CASE("and so are keys and values of any format, and experts") {
    for (const auto format : {fb::TensorFormat::Float32, fb::TensorFormat::Int4Block}) {
      CAPTURE(std::string(fb::EnumNameTensorFormat(format)));
      GraphMaker graph(4);
      const auto model = TwoLayers(graph, format, true);
      for (const auto kv : {KvFormat::kFloat32, KvFormat::kFloat16, KvFormat::kInt8}) {
        CAPTURE(static_cast<int>(kv));
        CheckRows(model, {.threads = 2, .kv_format = kv});
      }
    }
  }
}

}  // namespace
}  // namespace graft::test
