// SPDX-License-Identifier: Apache-2.0
// An architecture that exists nowhere else is added by a lowering alone: attention and MLP beside
// each other, LayerNorm before and a second one after each, a normed embedding, one key head,
// neighbours rotated over two thirds of a head, capped scores, windows on every other layer, and
// squared ReLU.
#include <cmath>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "converter/json/json.h"
#include "converter/lower/decoder_config.h"
#include "converter/lower/decoder_parts.h"
#include "converter/write/write_model.h"
#include "schema/generated/model_generated.h"
#include "tests/e2e/reference.h"

namespace graft::test {
namespace {

using converter::GraphBuilder;
using converter::JsonValue;
using converter::Module;
using converter::TaskDescription;
using converter::ValueId;

constexpr float kEpsilon = 1e-5f;

struct MadeUpConfig {
  converter::DecoderSizes sizes;
  converter::AttentionShape attention;
  converter::RopeFrequencies rope;
  int64_t window = 0;
};

Result<MadeUpConfig> ReadConfig(const JsonValue& config) {
  MadeUpConfig c;
  GRAFT_ASSIGN_OR_RETURN(c.sizes, converter::ReadDecoderSizes(config));
  GRAFT_ASSIGN_OR_RETURN(c.attention, converter::ReadAttentionShape(config, c.sizes.hidden));
  GRAFT_ASSIGN_OR_RETURN(const double cap, converter::ReadPositive(config, "score_cap"));
  c.attention.soft_cap = static_cast<float>(cap);
  GRAFT_ASSIGN_OR_RETURN(c.window, config.GetIntIn("window", 1, converter::kMaxContext));
  GRAFT_ASSIGN_OR_RETURN(const int64_t rotary_dim,
                         config.GetIntIn("rotary_dim", 2, c.attention.head_dim));
  GRAFT_ASSIGN_OR_RETURN(
      c.rope, converter::ReadRope(config, c.attention.head_dim,
                                  {.rotated_part = static_cast<double>(rotary_dim) /
                                                   static_cast<double>(c.attention.head_dim)}));
  return c;
}

ValueId SelfAttention(const MadeUpConfig& c, const Module& m, int64_t layer, ValueId x,
                      ValueId positions, const converter::RopeShape& rope) {
  converter::AttentionShape shape = c.attention;
  shape.window = layer % 2 == 0 ? c.window : 0;
  const converter::FusedLinear both = {
      .name = "key_value", .out_features = 2 * shape.head_dim, .bias = true};
  const ValueId query = m.Linear("query", x, shape.heads * shape.head_dim);
  const ValueId key = m.Linear(both, "key", x, shape.head_dim, {.begin = 0});
  const ValueId value = m.Linear(both, "value", x, shape.head_dim, {.begin = shape.head_dim});
  const ValueId attended = converter::Attend(m, query, key, value, positions, shape, rope);
  return m.Linear("out", attended, c.sizes.hidden);
}

ValueId Mlp(const MadeUpConfig& c, const Module& m, ValueId x) {
  GraphBuilder& g = m.graph();
  const ValueId h = g.Activation(m.Name("relu"), m.Linear("up", x, c.sizes.mlp_hidden),
                                 schema::fb::ActivationKind::Relu);
  return m.Linear("down", g.Multiply(m.Name("square"), h, h), c.sizes.hidden);
}

Status LowerMadeUp(const JsonValue& config, GraphBuilder& g, TaskDescription* task) {
  GRAFT_ASSIGN_OR_RETURN(const MadeUpConfig c, ReadConfig(config));
  GRAFT_RETURN_IF_ERROR(converter::ReadTextTask(config, "max_position_embeddings", task));
  const converter::DecoderInputs inputs(g);
  converter::RopeShape rope = converter::AddRope(g, "rope", c.rope, c.attention.head_dim);
  rope.interleaved = true;
  const Module model(g, "");
  const auto table = g.Matrix("tokens.weight", c.sizes.vocabulary, c.sizes.hidden);
  ValueId x = model.LayerNorm("embedding_norm", g.Embedding("tokens", inputs.ids, table), kEpsilon);
  for (int64_t layer = 0; layer < c.sizes.layers; ++layer) {
    const Module m = model["blocks"][layer];
    const ValueId h = m.LayerNorm("norm", x, kEpsilon);
    const ValueId attended =
        m.LayerNorm("attention_post_norm",
                    SelfAttention(c, m["attention"], layer, h, inputs.positions, rope), kEpsilon);
    const ValueId mixed = m.LayerNorm("mlp_post_norm", Mlp(c, m["mlp"], h), kEpsilon);
    x = g.Add(m.Name("residual"), g.Add(m.Name("attention_residual"), x, attended), mixed);
  }
  x = model.LayerNorm("final_norm", g.SelectRows("last_hidden", x, inputs.output_rows), kEpsilon);
  const ValueId whole = model.Linear("head", x, c.sizes.vocabulary);
  g.Output(g.Scale("logits", whole, 0.5f));
  return OkStatus();
}

Status Convert(const std::string& folder, const std::string& output,
               converter::StorageKind storage) {
  GRAFT_ASSIGN_OR_RETURN(const auto config, converter::JsonDocument::Read(folder + "/config.json"));
  GRAFT_ASSIGN_OR_RETURN(const auto source,
                         converter::Checkpoint::Open(folder + "/model.safetensors"));
  flatbuffers::FlatBufferBuilder header;
  header.ForceDefaults(true);
  GraphBuilder graph(*source, folder, header);
  converter::ModelDescription description;
  GRAFT_RETURN_IF_ERROR(LowerMadeUp(config->root(), graph, &description.task));
  GRAFT_ASSIGN_OR_RETURN(description.graph, graph.Finish());
  description.constants = graph.constants();
  converter::WriteOptions options;
  options.path = output;
  options.format = converter::StoredFormat{storage};
  return converter::WriteModel(description, *source, options, header).status();
}

// Of the largest reference value.
constexpr double kRelativeTolerance = 1e-3;

}  // namespace

TEST_SUITE("e2e/made_up_decoder") {
  TEST_CASE("a decoder that the runtime has never heard of gives its reference's logits") {
    const std::string folder = DataPath("made_up_decoder");
    const Numbers expected = ReadNumbers(folder + "/io.safetensors", "logits");
    const std::vector<int32_t> ids = ReadNumbers(folder + "/io.safetensors", "input_ids").ids();
    const std::string name = "made_up_decoder";
    const std::string file = ModelPath(name);
    for (const auto storage :
         {converter::StorageKind::kFloat32, converter::StorageKind::kInt8PerChannel}) {
      const Status status = Convert(folder, file, storage);
      REQUIRE_MESSAGE(status.ok(), std::string(status.message()));
      const ModelPtr model = OpenModel(name);
      const SessionPtr session = NewSession(model.get());
      const std::vector<float> logits = Logits(session.get(), ids);
      if (storage == converter::StorageKind::kInt8PerChannel) {
        CHECK(Cosine(logits, expected.values) >= 0.995);
        continue;
      }
      CHECK(LargestDifference(logits, expected.values) <=
            kRelativeTolerance * LargestMagnitude(expected.values));
      const std::vector<int32_t> all = ReadNumbers(folder + "/io.safetensors", "greedy_ids").ids();
      REQUIRE(all.size() == 32);
      CHECK(Greedy(session.get(), {all.begin(), all.begin() + 8}, 24) ==
            std::vector<int32_t>(all.begin() + 8, all.end()));
    }
    std::filesystem::remove(file);
  }
}

}  // namespace graft::test
