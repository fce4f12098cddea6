// SPDX-License-Identifier: Apache-2.0
#include "schema/verify_graph.h"

#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace graft::schema {
namespace {

using test::Fixed;
using test::ModelBuilder;
using test::Symbolic;

constexpr int64_t kWidth = 12;   // 3 heads of 4
constexpr int64_t kKvWidth = 4;  // 1 kv head of 4
constexpr int64_t kVocabulary = 11;

// The numbers of a one-layer decoder, each of which a test can spoil before it is built.
struct Decoder {
  uint32_t heads = 3, kv_heads = 1, head_dim = 4, rotary_dim = 4;
  uint32_t cache_heads = 1;
  int32_t cache = 0, table = 0, norm_weight = 1, bias = -1;
  int64_t embedded_width = kWidth, key_width = kKvWidth, logits_width = kVocabulary;
  float epsilon = 1e-5f, scale = 0.5f, soft_cap = 0.0f;
  bool causal = true, read_early = false, write_twice = false, wrong_positions = false,
       no_attributes = false, lookup_of_rows = false;
  float factor = 2.0f;
  fb::ActivationKind activation = fb::ActivationKind::Silu;
  fb::InputRole last_role = fb::InputRole::OutputRows;
  fb::TaskKind task = fb::TaskKind::TextGeneration;
  std::vector<uint32_t> end_tokens = {0};
  int32_t pad_token = -1;
  size_t prompt_bytes = 0;
  uint32_t rope_positions = 0;
  float growth = 0.0f, alibi_scale = 1.0f;
  int32_t alibi_slopes = -1;
  int32_t position_bias = -1;
};

// What is learned of the graph goes to `facts`, if that is not null.
Status Check(const Decoder& d, GraphFacts* facts = nullptr) {
  ModelBuilder model;
  auto& b = model.builder();
  const auto sequence = Symbolic(model.Symbol("sequence"));
  const auto rows = Symbolic(model.Symbol("output_rows"));
  const int32_t ids = model.Input("ids", {sequence}, fb::InputRole::TokenIds);
  const int32_t positions = model.Input("positions", {sequence}, fb::InputRole::Positions);
  const int32_t output_rows = model.Input("rows", {rows}, d.last_role);
  const std::vector<float> numbers(kVocabulary * kWidth, 0.5f);
  const auto tensor = [&](const char* name, std::vector<int64_t> shape) {
    int64_t elements = 1;
    for (const int64_t dimension : shape) elements *= dimension;
    return model.FloatTensor(name, std::move(shape),
                             std::span(numbers).first(static_cast<size_t>(elements)));
  };
  tensor("table", {kVocabulary, kWidth});  // 0
  tensor("norm", {kWidth});                // 1
  tensor("frequencies", {2});              // 2
  const int32_t key_weight = tensor("key", {kKvWidth, kWidth});
  model.KvCache(d.cache_heads, 4);

  const int32_t x = model.Value("x", {sequence, Fixed(d.embedded_width)});
  const int32_t normed = model.Value("normed", {sequence, Fixed(kWidth)});
  const int32_t rotated = model.Value("rotated", {sequence, Fixed(kWidth)});
  const int32_t key = model.Value("key", {sequence, Fixed(d.key_width)});
  const int32_t attended = model.Value("attended", {sequence, Fixed(kWidth)});
  const int32_t gated = model.Value("gated", {sequence, Fixed(kWidth)});
  const int32_t selected = model.Value("selected", {rows, Fixed(kWidth)});
  const int32_t scaled = model.Value("scaled", {rows, Fixed(kWidth)});
  const int32_t logits = model.Value("logits", {rows, Fixed(d.logits_width)});

  model.Op("embed", {d.lookup_of_rows ? output_rows : ids}, {x}, fb::OpAttributes::Embedding,
           fb::CreateEmbedding(b, d.table).Union());
  model.Op("norm", {d.read_early ? gated : x}, {normed}, fb::OpAttributes::RmsNorm,
           d.no_attributes ? 0 : fb::CreateRmsNorm(b, d.norm_weight, d.epsilon).Union());
  model.Op(
      "rope", {normed, d.wrong_positions ? ids : positions}, {rotated}, fb::OpAttributes::Rope,
      fb::CreateRope(b, 2, d.head_dim, d.rotary_dim, false, 1.0f, d.rope_positions, d.growth, 8)
          .Union());
  model.Op("key", {normed}, {key}, fb::OpAttributes::Linear,
           fb::CreateLinear(b, key_weight, d.bias).Union());
  model.Op("attention", {rotated, key, key, positions}, {d.write_twice ? normed : attended},
           fb::OpAttributes::Attention,
           fb::CreateAttention(b, d.heads, d.kv_heads, d.head_dim, d.scale, d.soft_cap, 0, d.cache,
                               d.causal, d.alibi_slopes, d.alibi_scale, false, d.position_bias)
               .Union());
  model.Op("gate", {attended, normed}, {gated}, fb::OpAttributes::GatedActivation,
           fb::CreateGatedActivation(b, d.activation).Union());
  model.Op("select", {gated, output_rows}, {selected}, fb::OpAttributes::SelectRows,
           fb::CreateSelectRows(b).Union());
  model.Op("scale", {selected}, {scaled}, fb::OpAttributes::Scale,
           fb::CreateScale(b, d.factor).Union());
  model.Op("head", {scaled}, {logits}, fb::OpAttributes::Linear, fb::CreateLinear(b, 0).Union());
  model.Output(logits);
  model.SetTask(d.task, 64, d.end_tokens);
  model.SetPadToken(d.pad_token);
  model.SetPrompt(std::string(d.prompt_bytes, 'x'));
  const test::AlignedBytes file = model.Finish();
  const auto verified = Verify(file.span());
  if (verified.ok() && facts != nullptr) *facts = verified->facts();
  return verified.status();
}

Status Spoiled(const std::function<void(Decoder&)>& spoil) {
  Decoder decoder;
  spoil(decoder);
  return Check(decoder);
}

#define CHECK_REFUSED(needle, ...)                                                 \
  do {                                                                             \
    const Status status = Spoiled([](Decoder& d) { __VA_ARGS__; });                \
    CHECK_MESSAGE(std::string(status.message()).find(needle) != std::string::npos, \
                  std::string(status.message()));                                  \
  } while (false)

// A chain of as many ops, and of values, inputs, outputs or caches that are one beyond a limit.
std::string MessageOfCounts(int ops, int values, int inputs, int outputs, int caches) {
  ModelBuilder model;
  const auto width = Fixed(4);
  for (int i = 0; i < inputs; ++i)
    model.Input("x", {Fixed(1), width}, fb::InputRole::Tensor, fb::ElementType::Float32);
  int32_t last = 0;
  for (int i = 0; i < ops; ++i) {
    const int32_t next = model.Value("y", {Fixed(1), width});
    model.Op("s", {last}, {next}, fb::OpAttributes::Scale,
             fb::CreateScale(model.builder(), 2.0f).Union());
    last = next;
  }
  for (int i = 0; i < values; ++i) model.Value("z", {Fixed(1), width});
  for (int i = 0; i < outputs; ++i) model.Output(last);
  for (int i = 0; i < caches; ++i) model.KvCache(1, 4);
  const test::AlignedBytes file = model.Finish();
  return std::string(Verify(file.span()).status().message());
}

TEST_SUITE("schema/graph") {
  TEST_CASE("a graph has no more parts than can be planned") {
    CHECK(MessageOfCounts(3, 2, 2, 2, 2).empty());
    CHECK(MessageOfCounts(1024, 0, 1024, 1024, 4096).empty());
    CHECK(MessageOfCounts(65537, 0, 1, 1, 0) == "graph has 65537 ops, at most 65536 are allowed");
    CHECK(MessageOfCounts(1, 1 << 17, 1, 1, 0) ==
          "graph has 131074 values, at most 131072 are allowed");
    CHECK(MessageOfCounts(1, 0, 1025, 1, 0) == "graph has 1025 inputs, at most 1024 are allowed");
    CHECK(MessageOfCounts(1, 0, 1, 1025, 0) == "graph has 1025 outputs, at most 1024 are allowed");
    CHECK(MessageOfCounts(1, 0, 1, 1, 4097) ==
          "graph has 4097 kv_caches, at most 4096 are allowed");
  }

  TEST_CASE("accepts a small decoder") {
    const Status status = Check(Decoder());
    CHECK_MESSAGE(status.ok(), std::string(status.message()));
  }

  TEST_CASE("operands are defined once and before they are read") {
    CHECK_REFUSED("op 1 (norm, RmsNorm) reads gated before anything computes it",
                  d.read_early = true);
    CHECK_REFUSED("op 4 (attention, Attention) writes normed, which is defined already",
                  d.write_twice = true);
    CHECK_REFUSED("has no attributes", d.no_attributes = true);
  }

  TEST_CASE("a rope says where its frequencies end") {
    GraphFacts facts;
    Decoder decoder;
    CHECK(Check(decoder, &facts).ok());
    CHECK(facts.positions == 0);
    decoder.rope_positions = 48;
    CHECK(Check(decoder, &facts).ok());
    CHECK(facts.positions == 48);
  }

  TEST_CASE("a prompt has its limit") {
    Decoder prompted;
    prompted.prompt_bytes = 65536;
    CHECK(Check(prompted).ok());
    CHECK_REFUSED("prompt has 65537 bytes", d.prompt_bytes = 65537);
  }

  TEST_CASE("a pad token is one of the vocabulary, and of scores") {
    Decoder scores;
    scores.task = fb::TaskKind::Classification;
    scores.pad_token = 1;
    const Status status = Check(scores);
    CHECK_MESSAGE(status.ok(), std::string(status.message()));
    CHECK_REFUSED("pad token 1 needs the scores of output rows", d.pad_token = 1);
    CHECK_REFUSED("pad token -2 needs the scores", d.task = fb::TaskKind::Classification,
                  d.pad_token = -2);
    CHECK_REFUSED("pad token 100000 needs the scores", d.task = fb::TaskKind::Classification,
                  d.pad_token = 100000);
  }

  TEST_CASE("tensor indices are in range") {
    CHECK_REFUSED("op 0 (embed, Embedding) has tensor 4 of 4 as its table", d.table = 4);
    CHECK_REFUSED("has tensor -2 of 4 as its bias", d.bias = -2);
    CHECK_REFUSED("has tensor -1 of 4 as its weight", d.norm_weight = -1);
    CHECK_REFUSED("needs its weight (table) to be f32 of", d.norm_weight = 0);
    CHECK_REFUSED("needs its bias (norm) to be f32 of [4]", d.bias = 1);
  }

  TEST_CASE("shapes agree with tensors and attributes") {
    CHECK_REFUSED("op 0 (embed, Embedding) needs x to have a width of 12, it has 13",
                  d.embedded_width = 13);
    CHECK_REFUSED("needs key to have a width of 4, it has 8", d.key_width = 8);
    CHECK_REFUSED("needs logits to have a width of 11, it has 12", d.logits_width = 12);
    CHECK_REFUSED("not a multiple of head_dim 5", d.head_dim = 5);
    CHECK_REFUSED("it must be even and at most head_dim 4", d.rotary_dim = 6);
    CHECK_REFUSED("it must be even", d.rotary_dim = 3);
    CHECK_REFUSED("heads must be a multiple of kv_heads", d.kv_heads = 0);
    CHECK_REFUSED("heads must be a multiple of kv_heads", d.kv_heads = 2);
    CHECK_REFUSED("not a multiple of head_dim 0", d.head_dim = 0);
  }

  TEST_CASE("caches fit the attention that uses them") {
    CHECK_REFUSED("uses kv_cache 1 of 1", d.cache = 1);
    CHECK_REFUSED("uses kv_cache -2 of 1", d.cache = -2);
    CHECK_REFUSED("its kv_cache 3 of 4", d.cache_heads = 3);
    CHECK_REFUSED("has 0 heads", d.cache_heads = 0);
    CHECK_REFUSED("not causal", d.causal = false);
  }

  TEST_CASE("numbers are usable") {
    CHECK_REFUSED("epsilon", d.epsilon = 0.0f);
    CHECK_REFUSED("epsilon", d.epsilon = std::numeric_limits<float>::quiet_NaN());
    CHECK_REFUSED("scale", d.scale = std::numeric_limits<float>::infinity());
    CHECK_REFUSED("soft_cap", d.soft_cap = -1.0f);
    CHECK_REFUSED("has a factor that is not finite",
                  d.factor = std::numeric_limits<float>::infinity());
    CHECK_REFUSED("has growth -1", d.growth = -1.0f);
    CHECK_REFUSED("has growth nan", d.growth = std::numeric_limits<float>::quiet_NaN());
    CHECK_REFUSED("needs its alibi_slopes (norm) to be f32 of [3]", d.alibi_slopes = 1);
    CHECK_REFUSED("has tensor 9 of 4 as its alibi_slopes", d.alibi_slopes = 9);
    CHECK_REFUSED("has tensor -2 of 4 as its alibi_slopes", d.alibi_slopes = -2);
    CHECK_REFUSED("needs its position_bias (norm) to be a matrix", d.position_bias = 1);
    CHECK_REFUSED("needs its position_bias (table) to be f32 of [3, distances]",
                  d.position_bias = 0);
    CHECK_REFUSED("has tensor 9 of 4 as its position_bias", d.position_bias = 9);
    CHECK_REFUSED("has tensor -2 of 4 as its position_bias", d.position_bias = -2);
  }

  TEST_CASE("norms of groups, clamps and xielus are held to their shapes and ranges") {
    const auto message = [](fb::OpAttributes kind, const auto& make) {
      ModelBuilder model;
      const auto rows = Symbolic(model.Symbol("rows"));
      const std::vector<float> ones(6, 1.0f);
      const int32_t weight = model.FloatTensor("weight", {6}, ones);
      const int32_t x =
          model.Input("x", {rows, Fixed(6)}, fb::InputRole::Tensor, fb::ElementType::Float32);
      const int32_t y = model.Value("y", {rows, Fixed(6)});
      model.Op("op", {x}, {y}, kind, make(model.builder(), weight));
      model.Output(y);
      const test::AlignedBytes file = model.Finish();
      return std::string(Verify(file.span()).status().message());
    };
    const auto norm = [&](uint32_t group) {
      return message(fb::OpAttributes::LayerNorm, [&](auto& b, int32_t weight) {
        return fb::CreateLayerNorm(b, weight, -1, 1e-5f, group).Union();
      });
    };
    CHECK(norm(3).empty());
    CHECK(norm(0).empty());
    CHECK(norm(4).find("not a multiple of its group's 4") != std::string::npos);
    const auto clamp = [&](float low, float high) {
      return message(fb::OpAttributes::Clamp,
                     [&](auto& b, int32_t) { return fb::CreateClamp(b, low, high).Union(); });
    };
    const float infinity = std::numeric_limits<float>::infinity();
    CHECK(clamp(-1.0f, 1.0f).empty());
    for (const auto& [low, high] : {std::pair{2.0f, 1.0f}, {-infinity, 1.0f}, {0.0f, infinity}})
      CHECK(clamp(low, high).find("clamps to") != std::string::npos);
    const auto xielu = [&](float beta, float epsilon) {
      return message(fb::OpAttributes::Xielu, [&](auto& b, int32_t) {
        return fb::CreateXielu(b, 0.5f, 0.5f, beta, epsilon).Union();
      });
    };
    CHECK(xielu(0.5f, -1e-6f).empty());
    CHECK(xielu(infinity, -1e-6f).find("not finite") != std::string::npos);
    CHECK(xielu(0.5f, 0.1f).find("above 0") != std::string::npos);
  }

  TEST_CASE("roles are what the ops need") {
    CHECK_REFUSED("role Positions", d.wrong_positions = true);
    CHECK_REFUSED("op 0 (embed, Embedding) needs rows to be the graph input of role TokenIds, ",
                  d.lookup_of_rows = true);
    CHECK_REFUSED("role OutputRows", d.last_role = fb::InputRole::Tensor);
    CHECK_REFUSED("two graph inputs have the role TokenIds", d.last_role = fb::InputRole::TokenIds);
  }

  TEST_CASE("what this build does not know is unsupported, by name") {
    const Status activation =
        Spoiled([](Decoder& d) { d.activation = static_cast<fb::ActivationKind>(99); });
    CHECK(activation.code() == StatusCode::kUnsupported);
    CHECK(std::string(activation.message()).find("activation 99") != std::string::npos);
    const Status task = Spoiled([](Decoder& d) { d.task = static_cast<fb::TaskKind>(99); });
    CHECK(task.code() == StatusCode::kUnsupported);
  }

  TEST_CASE("end tokens are in the vocabulary") {
    CHECK_REFUSED("end token 11", d.end_tokens = {3, 11});
  }
}

}  // namespace
}  // namespace graft::schema
