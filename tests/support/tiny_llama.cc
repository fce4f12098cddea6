// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tiny_llama.h"

#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

namespace graft::test {
namespace {

constexpr size_t kLayers = 3;
constexpr uint32_t kHeads = 6;
constexpr uint32_t kKvHeads = 2;
constexpr uint32_t kHeadDim = 16;
constexpr size_t kHidden = 96;
constexpr size_t kInner = 160;
constexpr float kEpsilon = 1e-5f;

GraphMaker::AttentionOptions AttentionOf(int32_t cache) {
  return {.heads = kHeads,
          .kv_heads = kKvHeads,
          .head_dim = kHeadDim,
          .scale = 0.25f,
          .kv_cache = cache};
}

}  // namespace

TinyLlama::TinyLlama(fb::TensorFormat format, uint32_t context_tokens)
    : graph_(21), format_(format) {
  const auto weight = [&](const char* name, size_t out, size_t in) {
    return graph_.RandomWeight(name, format, out, in,
                               format == fb::TensorFormat::Int4Block ? 32 : 0);
  };
  graph_.TokenInputs();
  table_ = weight("embed_tokens", kVocabulary, kHidden);
  frequencies_ = graph_.RandomVector("inverse_frequencies", kHeadDim / 2, 0.5, 0.2);
  int32_t x = graph_.Embedding(table_, 8.0f);
  for (size_t i = 0; i < kLayers; ++i) {
    Layer layer;
    layer.input_norm = graph_.RandomVector("input_norm", kHidden, 1.0, 0.1);
    layer.query = weight("query", kHidden, kHidden);
    layer.key = weight("key", kKvHeads * kHeadDim, kHidden);
    layer.value = weight("value", kKvHeads * kHeadDim, kHidden);
    layer.output = weight("output", kHidden, kHidden);
    layer.mlp_norm = graph_.RandomVector("mlp_norm", kHidden, 1.0, 0.1);
    layer.gate = weight("gate", kInner, kHidden);
    layer.up = weight("up", kInner, kHidden);
    layer.down = weight("down", kHidden, kInner);
    int32_t normal = graph_.RmsNorm(x, kHidden, layer.input_norm, kEpsilon);
    int32_t query = graph_.Linear(normal, layer.query);
    int32_t key = graph_.Linear(normal, layer.key);
    const int32_t value = graph_.Linear(normal, layer.value);
    query = graph_.Rope(query, kHidden, frequencies_, kHeadDim, kHeadDim, false);
    key = graph_.Rope(key, kKvHeads * kHeadDim, frequencies_, kHeadDim, kHeadDim, false);
    const int32_t attended = graph_.Attention(
        query, key, value, AttentionOf(graph_.builder().KvCache(kKvHeads, kHeadDim)));
    x = graph_.Binary(fb::OpAttributes::Add, x, graph_.Linear(attended, layer.output), kHidden);
    normal = graph_.RmsNorm(x, kHidden, layer.mlp_norm, kEpsilon);
    const int32_t gate = graph_.Linear(normal, layer.gate);
    const int32_t up = graph_.Linear(normal, layer.up);
    const int32_t gated = graph_.Binary(fb::OpAttributes::GatedActivation, gate, up, kInner);
    x = graph_.Binary(fb::OpAttributes::Add, x, graph_.Linear(gated, layer.down), kHidden);
    layers_.push_back(std::move(layer));
  }
  final_norm_ = graph_.RandomVector("final_norm", kHidden, 1.0, 0.1);
  x = graph_.SelectRows(x, kHidden);
  graph_.Output(graph_.Linear(graph_.RmsNorm(x, kHidden, final_norm_, kEpsilon), table_));
  graph_.builder().SetTask(fb::TaskKind::TextGeneration, context_tokens, {3});
  model_ = graph_.Open();
}

Numbers TinyLlama::Linear(const Numbers& x, const Weight& weight) const {
  return format_ >= fb::TensorFormat::Int8PerChannel ? ReferenceQuantizedLinear(x, weight, nullptr)
                                                     : ReferenceLinear(x, weight, nullptr);
}

Numbers TinyLlama::Expected(const std::vector<int32_t>& ids, bool half_cache) const {
  // What a cache gives back: an f16 one has 11 significant bits, and steps of 2^-24 near zero.
  const auto stored = [half_cache](Numbers numbers) {
    for (double& number : numbers.at) {
      if (!half_cache) break;
      int exponent = 0;
      std::frexp(number, &exponent);
      const int lowest = std::max(exponent - 11, -24);
      number = std::ldexp(std::nearbyint(std::ldexp(number, -lowest)), lowest);
    }
    return numbers;
  };
  const auto add = [](const Numbers& a, const Numbers& b) {
    Numbers sum = a;
    for (size_t i = 0; i < sum.at.size(); ++i) sum.at[i] += b.at[i];
    return sum;
  };
  Numbers x = Numbers::Zeros(ids.size(), kHidden);
  for (size_t row = 0; row < ids.size(); ++row) {
    for (size_t k = 0; k < kHidden; ++k)
      x(row, k) = 8.0 * table_.numbers(static_cast<size_t>(ids[row]), k);
  }
  const auto rope = [&](const Numbers& heads) {
    return ReferenceRope(heads, frequencies_.numbers, kHeadDim, kHeadDim, false, 1.0);
  };
  for (const Layer& layer : layers_) {
    Numbers normal = ReferenceRmsNorm(x, layer.input_norm.numbers, kEpsilon);
    const Numbers attended = ReferenceAttention(
        rope(Linear(normal, layer.query)), stored(rope(Linear(normal, layer.key))),
        stored(Linear(normal, layer.value)), AttentionOf(0));
    x = add(x, Linear(attended, layer.output));
    normal = ReferenceRmsNorm(x, layer.mlp_norm.numbers, kEpsilon);
    Numbers gated = Linear(normal, layer.gate);
    const Numbers up = Linear(normal, layer.up);
    for (size_t i = 0; i < gated.at.size(); ++i) {
      gated.at[i] = ReferenceActivation(fb::ActivationKind::Silu, gated.at[i]) * up.at[i];
    }
    x = add(x, Linear(gated, layer.down));
  }
  return Linear(ReferenceRmsNorm(x, final_norm_.numbers, kEpsilon), table_);
}

std::vector<int32_t> TinyLlama::Ids(size_t count) {
  std::vector<int32_t> ids(count);
  for (size_t i = 0; i < count; ++i)
    ids[i] = static_cast<int32_t>((i * i * 7 + i * 13 + 5) % kVocabulary);
  return ids;
}

Numbers ForwardIds(runtime::Session& session, const std::vector<int32_t>& ids) {
  const std::vector<runtime::TensorView> inputs = {
      {"input_ids", runtime::ElementType::kInt32, {static_cast<int64_t>(ids.size())}, ids.data()}};
  const auto outputs = session.Forward(inputs);
  REQUIRE_MESSAGE(outputs.ok(), std::string(outputs.status().message()));
  const runtime::TensorView& view = (*outputs)[0];
  REQUIRE(view.shape == std::vector<int64_t>{static_cast<int64_t>(ids.size()),
                                             static_cast<int64_t>(TinyLlama::kVocabulary)});
  return AsNumbers({static_cast<const float*>(view.data), ids.size() * TinyLlama::kVocabulary},
                   ids.size());
}

}  // namespace graft::test
