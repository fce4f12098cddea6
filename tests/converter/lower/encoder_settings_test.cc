// SPDX-License-Identifier: Apache-2.0
// Settings of encoders of texts: refused by name where they are not computed, and read in the
// spellings of other releases. One copy of what layers share.
#include <set>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/lower/architectures/encoders/disentangled.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

// Whether two models have the same ops, with the numbers that a configuration decides.
bool SameComputation(const schema::fb::Model& a, const schema::fb::Model& b) {
  const auto& ops_a = *a.graph()->ops();
  const auto& ops_b = *b.graph()->ops();
  if (ops_a.size() != ops_b.size()) return false;
  for (uint32_t i = 0; i < ops_a.size(); ++i) {
    const schema::fb::Op& x = *ops_a.Get(i);
    const schema::fb::Op& y = *ops_b.Get(i);
    if (x.name()->str() != y.name()->str() || x.attributes_type() != y.attributes_type())
      return false;
    if (const auto* norm = x.attributes_as_LayerNorm())
      if (norm->epsilon() != y.attributes_as_LayerNorm()->epsilon()) return false;
    if (const auto* gated = x.attributes_as_GatedActivation())
      if (gated->kind() != y.attributes_as_GatedActivation()->kind()) return false;
    if (const auto* rope = x.attributes_as_Rope())
      if (rope->interleaved() != y.attributes_as_Rope()->interleaved()) return false;
    if (const auto* attention = x.attributes_as_Attention())
      if (attention->scale() != y.attributes_as_Attention()->scale()) return false;
  }
  return true;
}

}  // namespace

TEST_SUITE("converter/encoder_settings") {
  TEST_CASE("what is not computed is refused by name") {
    const SettingCase cases[] = {
        {"mpnet", "\"relative_attention_num_buckets\": 32",
         "\"relative_attention_num_buckets\": 16", "'relative_attention_num_buckets'"},
        {"albert", "\"num_hidden_groups\": 2", "\"num_hidden_groups\": 4", "'num_hidden_groups'"},
        {"modernbert", "\"classifier_pooling\": \"mean\"", "\"classifier_pooling\": \"max\"",
         "'classifier_pooling' is \"max\""},
        {"modernbert", "\"classifier_activation\": \"relu\"", "\"classifier_activation\": \"mish\"",
         "'classifier_activation'"},
        {"modernbert", "\"hidden_activation\": \"gelu\"", "\"hidden_activation\": \"mish\"",
         "'hidden_activation' is \"mish\""},
        {"modernbert_tokens", "\"sliding_attention\",\n", "\"chunked_attention\",\n",
         "layer_types"},
        {"deberta_v3", "\"p2c\"", "\"p2p\"", "'pos_att_type' has \"p2p\""},
        {"deberta_v3", "\"position_buckets\": 8", "\"position_buckets\": 2", "'position_buckets'"},
        {"deberta_v3", "\"position_buckets\": 8", "\"position_buckets\": 80", "'position_buckets'"},
        {"deberta_v3_conv", "\"conv_kernel_size\": 3", "\"conv_kernel_size\": 2",
         "'conv_kernel_size' must be odd"},
        {"deberta_v3_conv", "\"conv_groups\": 2", "\"conv_groups\": 3", "'conv_groups'"},
        {"deberta", "\"legacy\": true", "\"talking_head\": true", "'talking_head' is true"},
        {"roformer", "\"is_decoder\": false", "\"is_decoder\": true", "'is_decoder' is true"},
        {"nomic", "\"head_dim\": 12", "\"head_dim\": 11", "head_dim of 11"},
        {"nomic_scores", "NomicBertForSequenceClassification", "NomicBertForMultipleChoice",
         "is NomicBertForMultipleChoice"},
    };
    CheckSettings("encoders", cases);
  }

  TEST_CASE("the configuration of Nomic BERT's authors says the same in other words") {
    EditedModel older("encoders/nomic_scores");
    older.Write("config.json", R"({"model_type": "nomic_bert",
        "architectures": ["NomicBertForSequenceClassification"], "n_embd": 16, "n_head": 2, "n_inner": 24,
        "n_layer": 2, "n_positions": 40, "vocab_size": 31, "type_vocab_size": 2,
        "activation_function": "geglu", "layer_norm_epsilon": 1e-12, "rotary_emb_base": 1000,
        "rotary_emb_fraction": 1.0, "rotary_emb_interleaved": false, "qkv_proj_bias": false,
        "mlp_fc1_bias": false, "mlp_fc2_bias": false, "prenorm": false, "use_rms_norm": false,
        "parallel_block": false, "causal": false, "rotary_emb_scale_base": null})");
    const LoadedModel loaded = older.Convert();
    const LoadedModel newer = EditedModel("encoders/nomic_scores").Convert();
    CHECK(SameComputation(loaded.model(), newer.model()));
    for (const schema::fb::Tensor* tensor : *newer.model().tensors()) {
      const std::string_view name = tensor->name()->string_view();
      CHECK(loaded.Floats(name) == newer.Floats(name));
    }
    for (const char* setting : {"\"prenorm\": false", "\"use_rms_norm\": false"}) {
      EditedModel other("encoders/nomic_scores");
      std::string changed(setting);
      changed.replace(changed.find("false"), 5, "true");
      other.Write("config.json", R"({"model_type": "nomic_bert", "n_embd": 16, )" + changed + "}");
      CHECK(Contains(other.Failure(), "is true; this version knows false"));
    }
  }

  TEST_CASE(
      "ModernBERT's older configuration has an interval of layers, and a theta of each kind") {
    const LoadedModel newer = EditedModel("encoders/modernbert").Convert();
    EditedModel older("encoders/modernbert");
    older.Edit("\"layer_types\"", "\"global_attn_every_n_layers\": 3, \"ignored_types\"");
    older.Edit("\"rope_parameters\"",
               "\"global_rope_theta\": 160000.0, \"local_rope_theta\": 10000.0, \"ignored\"");
    const LoadedModel loaded = older.Convert();
    for (const char* name : {"full_attention", "sliding_attention"}) {
      const std::string tensor = std::string(name) + ".inverse_frequencies";
      CHECK(loaded.Floats(tensor) == newer.Floats(tensor));
    }
    for (int layer = 0; layer < 4; ++layer) {
      const std::string op = "model.layers." + std::to_string(layer) + ".attn.attention";
      const auto* attention = loaded.FindOp(op)->attributes_as_Attention();
      CHECK(attention->window() == (layer % 3 == 0 ? 0 : 4));
      CHECK(attention->both_ways() == (layer % 3 != 0));
    }
    EditedModel one_theta("encoders/modernbert");
    one_theta.Edit("\"rope_parameters\"",
                   "\"global_rope_theta\": 500.0, \"local_rope_theta\": null, \"ignored\"");
    const LoadedModel one = one_theta.Convert();
    CHECK(one.Floats("full_attention.inverse_frequencies") ==
          one.Floats("sliding_attention.inverse_frequencies"));
  }

  TEST_CASE("ALBERT's layers share their tensors") {
    const LoadedModel albert = EditedModel("encoders/albert").Convert();
    std::set<int32_t> weights;
    size_t linears = 0;
    for (const schema::fb::Op* op : *albert.model().graph()->ops()) {
      if (op->name()->str().find("ffn_output") == std::string::npos) continue;
      const auto* linear = op->attributes_as_Linear();
      if (linear == nullptr) continue;
      ++linears;
      weights.insert(linear->weight());
    }
    CHECK(linears == 6);  // 3 layers of 2, in 2 groups
    CHECK(weights.size() == 4);
  }

  TEST_CASE("distances fall into transformers' buckets") {
    struct Case {
      int64_t buckets, farthest;
      std::vector<std::pair<int64_t, int64_t>> values;
    };
    const Case cases[] = {
        {256,
         512,
         {{127, 127},
          {128, 128},
          {130, 130},
          {256, 192},
          {263, 195},
          {510, 255},
          {511, 255},
          {512, 256},
          {532, 259}}},
        {8, 40, {{3, 3}, {5, 5}, {6, 5}, {8, 5}, {15, 6}, {20, 7}, {39, 7}, {40, 8}, {60, 8}}},
        {64, 1000, {{31, 31}, {34, 33}, {64, 39}, {71, 40}, {500, 57}, {998, 63}, {1000, 64}}},
        {0, 40, {{0, 0}, {39, 39}, {60, 60}}},
    };
    for (const Case& c : cases) {
      const Distances distances = {.span = c.buckets, .buckets = c.buckets, .farthest = c.farthest};
      for (const auto& [distance, bucket] : c.values) {
        CAPTURE(distance);
        CHECK(DistanceBucket(distances, distance) == bucket);
        CHECK(DistanceBucket(distances, -distance) == -bucket);
      }
    }
  }
}
}  // namespace graft::converter
