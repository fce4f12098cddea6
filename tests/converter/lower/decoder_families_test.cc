// SPDX-License-Identifier: Apache-2.0
// Each decoder family's settings: read, or refused by name; its checkpoints sharded, tied and not.
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "converter/checkpoint/tied_embeddings.h"
#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

struct Family {
  const char* folder;
  const char* head;  // the matrix of an untied head
  bool tied;
};
constexpr Family kFamilies[] = {{"llama", "lm_head.weight", false},
                                {"mistral_sliding", "lm_head.weight", false},
                                {"qwen2", "lm_head.weight", true},
                                {"qwen3", "lm_head.weight", true},
                                {"smollm3", "lm_head.weight", true},
                                {"olmo2", "lm_head.weight", false},
                                {"granite", "lm_head.weight", false},
                                {"phi3", "lm_head.weight", false},
                                {"gemma2", "lm_head.weight", true},
                                {"gemma3", "lm_head.weight", true},
                                {"gpt2", "lm_head.weight", true},
                                {"gpt_neox", "embed_out.weight", false},
                                {"opt", "lm_head.weight", true},
                                {"opt_post_norm", "lm_head.weight", true},
                                {"phi3_longrope", "lm_head.weight", false},
                                {"gpt_neox_sequential", "embed_out.weight", false}};

std::string FolderOf(const Family& family) { return std::string("architectures/") + family.folder; }

const fb::Attention& AttentionOf(const LoadedModel& model, std::string_view name) {
  const fb::Op* op = model.FindOp(name);
  REQUIRE(op != nullptr);
  return *op->attributes_as_Attention();
}

// Every tensor with the hash of its contents.
std::map<std::string, std::pair<uint64_t, uint64_t>> Contents(const LoadedModel& model) {
  std::map<std::string, std::pair<uint64_t, uint64_t>> contents;
  for (const fb::Tensor* tensor : *model.model().tensors()) {
    contents[tensor->name()->str()] = {tensor->content_hash()->high(),
                                       tensor->content_hash()->low()};
  }
  return contents;
}

// Puts every other tensor into a second file, with an index.
void Shard(EditedModel& model) {
  SmallTensors shards[2];
  std::string map;
  {
    const auto checkpoint = Checkpoint::Open(model.path() / "model.safetensors");
    REQUIRE(checkpoint.ok());
    size_t next = 0;
    for (const TensorInfo& info : (*checkpoint)->tensors()) {
      const size_t shard = next++ % 2;
      shards[shard][info.name] = {info.shape, ReadAll(**checkpoint, info.name), info.dtype};
      map += std::string(map.empty() ? "" : ", ") + "\"" + info.name + "\": \"model-" +
             std::to_string(shard) + ".safetensors\"";
    }
  }
  WriteTensors(model.path() / "model-0.safetensors", shards[0]);
  WriteTensors(model.path() / "model-1.safetensors", shards[1]);
  model.Write("model.safetensors.index.json",
              R"({"metadata": {"total_size": 0}, "weight_map": {)" + map + "}}");
  model.Remove("model.safetensors");
}

// Stores the head as an equal copy of the input embedding.
void CopyEmbeddingToHead(EditedModel& model, std::string_view head) {
  SmallTensors tensors;
  {
    const auto checkpoint = Checkpoint::Open(model.path() / "model.safetensors");
    REQUIRE(checkpoint.ok());
    const TiedEmbeddings tie = TiedEmbeddings::FindNames(**checkpoint);
    for (const TensorInfo& info : (*checkpoint)->tensors()) {
      const std::string& from = info.name == head ? tie.input : info.name;
      tensors[info.name] = {info.shape, ReadAll(**checkpoint, from), info.dtype};
    }
  }
  WriteTensors(model.path() / "model.safetensors", tensors);
}

}  // namespace

TEST_SUITE("converter/decoders") {
  TEST_CASE("a sharded checkpoint of any family gives the tensors of the whole one") {
    for (const Family& family : kFamilies) {
      CAPTURE(std::string(family.folder));
      EditedModel whole(FolderOf(family));
      EditedModel sharded(FolderOf(family));
      Shard(sharded);
      CHECK(Contents(whole.Convert()) == Contents(sharded.Convert()));
    }
  }

  TEST_CASE("a head of any family is the embedding if tied, and otherwise must be there") {
    for (const Family& family : kFamilies) {
      CAPTURE(std::string(family.folder));
      EditedModel model(FolderOf(family));
      const std::string key = "\"tie_word_embeddings\": ";
      model.Edit(key + (family.tied ? "true" : "false"), key + (family.tied ? "false" : "true"));
      if (family.tied) {
        CHECK(Contains(model.Failure(), "has no tensor '" + std::string(family.head) + "'"));
      } else {
        // It stores a head that differs from the embedding, as transformers then uses it.
        CHECK(model.Convert().FindTensor(family.head) != nullptr);
        CopyEmbeddingToHead(model, family.head);
        CHECK(model.Convert().FindTensor(family.head) == nullptr);
      }
    }
  }

  TEST_CASE("settings that change the result and are not computed are refused by name") {
    const SettingCase cases[] = {
        {"llama", "\"mlp_bias\": false", "\"residual_multiplier\": 0.5",
         "config.json: 'residual_multiplier' is 0.5, which this version does not compute for "
         "models of type llama"},
        {"llama", "\"mlp_bias\": false", "\"sliding_window\": 16", "'sliding_window' is 16"},
        {"llama", "\"mlp_bias\": false", "\"layer_types\": [\"sliding_attention\"]",
         "'layer_types' is"},
        {"qwen3", "\"use_sliding_window\": false", "\"num_experts\": 8", "'num_experts' is 8"},
        {"gemma3", "\"use_bidirectional_attention\": false",
         "\"use_bidirectional_attention\": true", "'use_bidirectional_attention' is true"},
        {"gpt2", "\"add_cross_attention\": false", "\"add_cross_attention\": true",
         "'add_cross_attention' is true"},
        {"opt", "\"layer_norm_elementwise_affine\": true",
         "\"layer_norm_elementwise_affine\": false", "'layer_norm_elementwise_affine' is false"},
        {"gpt_neox", "\"use_parallel_residual\": true",
         "\"use_parallel_residual\": true, \"num_key_value_heads\": 2",
         "'num_key_value_heads' must equal num_attention_heads"},
        {"phi3_longrope", "\"short_factor\": [", "\"short_factor\": [1.0, ",
         "'rope_parameters.short_factor' has 7 numbers; the heads need 6"},
        {"phi3", "\"rope_type\": \"default\"", "\"rope_type\": \"yarn\"",
         "'rope_parameters.short_factor' is missing"},
        {"gemma2", "\"attn_logit_softcapping\": 50.0", "\"attn_logit_softcapping\": -1",
         "'attn_logit_softcapping' is -1; it must be positive"},
        {"granite", "\"logits_scaling\": 4.0", "\"logits_scaling\": 0",
         "'logits_scaling' is 0; it must be positive"},
        {"smollm3", "\"no_rope_layers\": [\n    1", "\"no_rope_layers\": [\n    2",
         "'no_rope_layers[0]' must be 0 or 1"},
        {"qwen2", "\"Qwen2ForCausalLM\"", "\"Qwen2ForTokenClassification\"",
         "'architectures[0]' is \"Qwen2ForTokenClassification\"; of decoders this version"},
        {"gpt2", "\"n_head\": 4", "\"n_head\": 5", "'n_head' is 5, which does not divide n_embd"},
    };
    CheckSettings("architectures", cases);
  }

  TEST_CASE("settings of other models at the value that changes nothing are no obstacle") {
    EditedModel model("architectures/llama");
    model.Edit("\"mlp_bias\": false",
               R"("mlp_bias": false, "residual_multiplier": 1, "num_experts": 0,
                  "sliding_window": null, "use_qk_norm": false,
                  "layer_types": ["full_attention", "full_attention", "full_attention"])");
    CHECK(model.TryConvert().ok());
  }

  TEST_CASE("Gemma gives scores their divisor, caps and windows, also where the file is silent") {
    const LoadedModel gemma2 = EditedModel("architectures/gemma2").Convert();
    CHECK(AttentionOf(gemma2, "model.layers.0.self_attn").soft_cap() == 50.0f);
    CHECK(AttentionOf(gemma2, "model.layers.0.self_attn").scale() == 0.25f);
    CHECK(AttentionOf(gemma2, "model.layers.0.self_attn").window() == 8);
    CHECK(AttentionOf(gemma2, "model.layers.1.self_attn").window() == 0);
    EditedModel silent("architectures/gemma2");
    silent.Edit("\"layer_types\"", "\"no_layer_types\"")
        .Edit("\"final_logit_softcapping\": 30.0,", "")
        .Edit("\"attn_logit_softcapping\": 50.0,", "\"attn_logit_softcapping\": null,");
    const LoadedModel older = silent.Convert();
    CHECK(AttentionOf(older, "model.layers.0.self_attn").soft_cap() == 0.0f);
    CHECK(AttentionOf(older, "model.layers.2.self_attn").window() == 8);
    CHECK(older.FindOp("logits")->attributes_as_Scale()->factor() == 30.0f);
  }

  TEST_CASE("Gemma 3 reads its two rope bases in the spellings of transformers 4 and 5") {
    const LoadedModel newer = EditedModel("architectures/gemma3").Convert();
    EditedModel model("architectures/gemma3");
    model
        .Edit("\"rope_parameters\"",
              R"("rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "ignored")")
        .Edit("\"layer_types\"", "\"sliding_window_pattern\": 6, \"no_layer_types\"");
    const LoadedModel older = model.Convert();
    CHECK(newer.Floats("rope.full") == older.Floats("rope.full"));
    CHECK(newer.Floats("rope.sliding") == older.Floats("rope.sliding"));
    CHECK(newer.Floats("rope.full") != newer.Floats("rope.sliding"));
    CHECK(AttentionOf(older, "model.layers.4.self_attn").window() == 8);
    CHECK(AttentionOf(older, "model.layers.5.self_attn").window() == 0);
  }

  TEST_CASE("GPT-NeoX reads its rope in the spellings of transformers 4 and 5") {
    const LoadedModel newer = EditedModel("architectures/gpt_neox").Convert();
    EditedModel model("architectures/gpt_neox");
    model.Edit("\"rope_parameters\"", R"("rotary_pct": 0.25, "rotary_emb_base": 10000, "ignored")");
    const LoadedModel older = model.Convert();
    CHECK(newer.Floats("rope.inverse_frequencies") == older.Floats("rope.inverse_frequencies"));
    CHECK(newer.Floats("rope.inverse_frequencies").size() == 2);
  }

  TEST_CASE("longrope takes the short factors, and bounds the context to where they hold") {
    const LoadedModel model = EditedModel("architectures/phi3_longrope").Convert();
    CHECK(model.model().task()->context_tokens() == 64);
    const std::vector<float> frequencies = model.Floats("rope.inverse_frequencies");
    REQUIRE(frequencies.size() == 6);
    CHECK(frequencies[5] == doctest::Approx(std::pow(1e4, -10.0 / 12.0) / 2.5));
    const fb::Rope& rope = *model.FindOp("model.layers.0.self_attn.q_rope")->attributes_as_Rope();
    CHECK(rope.rotary_dim() == 12);
    CHECK(rope.magnitude() == doctest::Approx(std::sqrt(1.0 + std::log(4.0) / std::log(64.0))));
  }

  TEST_CASE("GPT-2 may divide scores by the layer's number") {
    EditedModel model("architectures/gpt2");
    model.Edit("\"scale_attn_by_inverse_layer_idx\": false",
               "\"scale_attn_by_inverse_layer_idx\": true");
    const LoadedModel converted = model.Convert();
    CHECK(AttentionOf(converted, "transformer.h.0.attn").scale() == 0.25f);
    CHECK(AttentionOf(converted, "transformer.h.1.attn").scale() == 0.125f);
  }

  TEST_CASE("SmolLM3 leaves layers unrotated by its list, or every fourth") {
    const LoadedModel listed = EditedModel("architectures/smollm3").Convert();
    CHECK(listed.FindOp("model.layers.0.self_attn.q_rope") != nullptr);
    CHECK(listed.FindOp("model.layers.1.self_attn.q_rope") == nullptr);
    EditedModel model("architectures/smollm3");
    model.Edit("\"no_rope_layers\"", "\"ignored\"");
    CHECK(model.Convert().FindOp("model.layers.1.self_attn.q_rope") != nullptr);
  }

  TEST_CASE("Granite's factors go into weights and cost no op") {
    const LoadedModel model = EditedModel("architectures/granite").Convert();
    for (const fb::Op* op : *model.model().graph()->ops()) {
      CHECK(op->attributes_type() != fb::OpAttributes::Scale);
    }
    CHECK(AttentionOf(model, "model.layers.0.self_attn").scale() == 0.1f);
    CHECK(model.FindOp("model.embed_tokens")->attributes_as_Embedding()->scale() == 12.0f);
    const auto source = Checkpoint::Open(TestData("architectures/granite/model.safetensors"));
    REQUIRE(source.ok());
    const std::vector<double> norm = ReadAll(**source, "model.norm.weight");
    const std::vector<float> stored = model.Floats("model.norm.weight");
    for (size_t i = 0; i < norm.size(); ++i) CHECK(stored[i] == static_cast<float>(norm[i] / 4));
  }

  TEST_CASE("a score head makes a classifier of any decoder, with the labels of the file") {
    EditedModel model("architectures/gpt2_seqcls");
    model.Edit("\"0\": \"LABEL_0\"", "\"0\": \"calm\"");
    const LoadedModel converted = model.Convert();
    const fb::Task& task = *converted.model().task();
    CHECK(task.kind() == fb::TaskKind::Classification);
    REQUIRE(task.labels()->size() == 3);
    CHECK(task.labels()->Get(0)->str() == "calm");
    CHECK(converted.FindTensor("score.weight") != nullptr);
    // The base of an adapter that brings the scores still says what it was made for.
    EditedModel brought("architectures/gpt2_seqcls");
    brought.Edit("GPT2ForSequenceClassification", "GPT2LMHeadModel");
    CHECK(brought.Convert().model().task()->kind() == fb::TaskKind::Classification);
  }

  TEST_CASE("the rows of fused and transposed matrices are those of the layers they serve") {
    const auto check = [](std::string_view folder, std::string_view source_name,
                          std::string_view name, auto source_index) {
      const LoadedModel model = EditedModel(folder).Convert();
      const auto source = Checkpoint::Open(TestData(std::string(folder) + "/model.safetensors"));
      REQUIRE(source.ok());
      const std::vector<double> all = ReadAll(**source, source_name);
      const std::vector<float> part = model.Floats(name);
      const auto* shape = model.FindTensor(name)->shape();
      const auto width = static_cast<size_t>(shape->Get(1));
      REQUIRE(part.size() == static_cast<size_t>(shape->Get(0)) * width);
      for (size_t i = 0; i < part.size(); ++i) {
        CHECK(part[i] == static_cast<float>(all[source_index(i / width, i % width)]));
      }
    };
    check("architectures/gpt_neox", "gpt_neox.layers.1.attention.query_key_value.weight",
          "gpt_neox.layers.1.attention.query_key_value.k.weight",
          [](size_t row, size_t k) { return ((row / 16 * 48) + 16 + row % 16) * 64 + k; });
    check("architectures/gpt2", "transformer.h.2.attn.c_attn.weight",
          "transformer.h.2.attn.c_attn.v.weight",
          [](size_t row, size_t k) { return k * 192 + 128 + row; });
    check("architectures/phi3", "model.layers.0.mlp.gate_up_proj.weight",
          "model.layers.0.mlp.gate_up_proj.up.weight",
          [](size_t row, size_t k) { return (96 + row) * 64 + k; });
    check("architectures/opt", "model.decoder.embed_positions.weight",
          "model.decoder.embed_positions.weight",
          [](size_t row, size_t k) { return (2 + row) * 64 + k; });
  }
}

}  // namespace graft::converter
