// SPDX-License-Identifier: Apache-2.0
// Configurations in, graphs out: what each family's lowering makes of them, and what it refuses.
#include <cmath>
#include <numbers>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/lower/rope.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

uint32_t Window(const LoadedModel& model, int layer) {
  const fb::Op* op = model.FindOp("model.layers." + std::to_string(layer) + ".self_attn");
  REQUIRE(op != nullptr);
  return op->attributes_as_Attention()->window();
}

std::vector<float> Frequencies(std::string_view config, int64_t head_dim) {
  const auto document = JsonDocument::Parse(config, "config.json");
  REQUIRE_MESSAGE(document.ok(), document.status().message());
  const auto rope = ReadRope((*document)->root(), head_dim);
  REQUIRE_MESSAGE(rope.ok(), rope.status().message());
  return rope->inverse;
}

constexpr std::string_view kLlama = "architectures/llama";

}  // namespace

TEST_SUITE("converter/lowering") {
  TEST_CASE("writes a Llama layer down op by op") {
    const LoadedModel model = EditedModel(kLlama).Convert();
    const std::vector<std::pair<fb::OpAttributes, std::string>> expected = {
        {fb::OpAttributes::Embedding, "model.embed_tokens"},
        {fb::OpAttributes::RmsNorm, "model.layers.0.input_layernorm"},
        {fb::OpAttributes::Linear, "model.layers.0.self_attn.q_proj"},
        {fb::OpAttributes::Linear, "model.layers.0.self_attn.k_proj"},
        {fb::OpAttributes::Linear, "model.layers.0.self_attn.v_proj"},
        {fb::OpAttributes::Rope, "model.layers.0.self_attn.q_rope"},
        {fb::OpAttributes::Rope, "model.layers.0.self_attn.k_rope"},
        {fb::OpAttributes::Attention, "model.layers.0.self_attn"},
        {fb::OpAttributes::Linear, "model.layers.0.self_attn.o_proj"},
        {fb::OpAttributes::Add, "model.layers.0.attention_residual"},
        {fb::OpAttributes::RmsNorm, "model.layers.0.post_attention_layernorm"},
        {fb::OpAttributes::Linear, "model.layers.0.mlp.gate_proj"},
        {fb::OpAttributes::Linear, "model.layers.0.mlp.up_proj"},
        {fb::OpAttributes::GatedActivation, "model.layers.0.mlp.act"},
        {fb::OpAttributes::Linear, "model.layers.0.mlp.down_proj"},
        {fb::OpAttributes::Add, "model.layers.0.mlp_residual"},
    };
    const auto& ops = *model.model().graph()->ops();
    REQUIRE(ops.size() == 1 + 3 * 15 + 3);
    for (uint32_t i = 0; i < expected.size(); ++i) {
      CHECK(ops.Get(i)->attributes_type() == expected[i].first);
      CHECK(ops.Get(i)->name()->str() == expected[i].second);
    }
    CHECK(ops.Get(ops.size() - 1)->name()->str() == "logits");
    const fb::Attention& attention =
        *model.FindOp("model.layers.1.self_attn")->attributes_as_Attention();
    CHECK(attention.heads() == 4);
    CHECK(attention.kv_heads() == 2);
    CHECK(attention.head_dim() == 16);
    CHECK(attention.scale() == 0.25f);
    CHECK(attention.window() == 0);
    CHECK(attention.kv_cache() == 1);
    CHECK(attention.causal());
    CHECK(model.model().task()->context_tokens() == 128);
    CHECK(model.model().task()->end_tokens()->Get(0) == 2);
    CHECK(model.model().graph()->kv_caches()->size() == 3);
  }

  TEST_CASE("reads rope settings alike in the spellings of transformers 4 and 5") {
    const std::string newer = EditedModel("architectures/llama_rope_llama3").Bytes();
    for (const std::string key : {"rope_type", "type"}) {
      EditedModel older("architectures/llama_rope_llama3");
      older.Edit("\"rope_parameters\": {", "\"rope_theta\": 10000.0, \"rope_scaling\": {")
          .Edit("\"rope_theta\": 10000.0,\n    \"rope_type\"", "\"" + key + "\"");
      // The folder's name is the only other thing that differs; it is written into the file.
      std::string bytes = older.Bytes();
      CHECK(bytes.size() == newer.size());
      const LoadedModel a = EditedModel("architectures/llama_rope_llama3").Convert();
      const LoadedModel b = older.Convert();
      CHECK(a.Floats("rope.inverse_frequencies") == b.Floats("rope.inverse_frequencies"));
    }
  }

  TEST_CASE("computes plain, linear and llama3 rope frequencies") {
    const std::vector<float> plain = Frequencies(R"({"rope_theta": 500000.0})", 64);
    REQUIRE(plain.size() == 32);
    for (size_t i = 0; i < plain.size(); ++i) {
      CHECK(plain[i] == doctest::Approx(std::exp(-std::log(5e5) * static_cast<double>(i) / 32)));
    }
    CHECK(Frequencies("{}", 64)[16] == doctest::Approx(0.01));
    const std::vector<float> linear = Frequencies(
        R"({"rope_theta": 500000.0, "rope_scaling": {"type": "linear", "factor": 4.0}})", 64);
    for (size_t i = 0; i < plain.size(); ++i) CHECK(linear[i] == doctest::Approx(plain[i] / 4));

    const std::vector<float> llama3 = Frequencies(
        R"({"rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0,
            "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192}})",
        64);
    int kept = 0;
    int stretched = 0;
    for (size_t i = 0; i < plain.size(); ++i) {
      const double wavelength = 2 * std::numbers::pi / plain[i];
      if (wavelength < 8192 / 4.0) {
        CHECK(llama3[i] == plain[i]);
        ++kept;
      } else if (wavelength > 8192) {
        CHECK(llama3[i] == doctest::Approx(plain[i] / 8));
        ++stretched;
      } else {
        const double smooth = (8192 / wavelength - 1) / 3;
        CHECK(llama3[i] == doctest::Approx((1 - smooth) * plain[i] / 8 + smooth * plain[i]));
      }
    }
    CHECK(kept > 8);
    CHECK(stretched > 8);
    CHECK(kept + stretched < 32);
    CHECK(Frequencies(R"({"partial_rotary_factor": 0.5})", 64).size() == 16);
  }

  TEST_CASE("derives head_dim and kv heads where the configuration does not say") {
    EditedModel model("architectures/llama");
    model.Edit("\"head_dim\": 16,", "");
    CHECK(
        model.Convert().FindOp("model.layers.0.self_attn")->attributes_as_Attention()->head_dim() ==
        16);
    EditedModel full("architectures/llama");
    full.Edit("\"num_key_value_heads\": 2,", "");
    // Without the member there are as many as heads, for which the weights are too small.
    CHECK(Contains(full.Failure(),
                   "tensor 'model.layers.0.self_attn.k_proj.weight' has shape [32, 64], the model "
                   "needs [64, 64]"));
  }

  TEST_CASE("gives a tied head the embedding's tensor, and an untied one its own") {
    const LoadedModel tied = EditedModel("architectures/llama_rope_llama3").Convert();
    CHECK(tied.FindTensor("lm_head.weight") == nullptr);
    CHECK(tied.FindOp("logits")->attributes_as_Linear()->weight() ==
          tied.FindOp("model.embed_tokens")->attributes_as_Embedding()->table());
    const LoadedModel untied = EditedModel("architectures/llama").Convert();
    CHECK(untied.FindTensor("lm_head.weight") != nullptr);
    // transformers 5 does not tie a head that is stored and differs.
    EditedModel different("architectures/llama");
    different.Edit("\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true");
    CHECK(different.Convert().Floats("lm_head.weight") == untied.Floats("lm_head.weight"));
  }

  TEST_CASE("gives each side of a tie its own matrix once an adapter changed one") {
    for (const char* name : {"embedding_tied", "lm_head_tied"}) {
      TemporaryFolder output;
      const auto outcome = ConvertModel({TestData("adapters/base_llama_tied"),
                                         TestData(std::string("adapters/") + name),
                                         {},
                                         output / "m.graft"});
      REQUIRE_MESSAGE(outcome.ok(), outcome.status().message());
      const LoadedModel model(output / "m.graft");
      REQUIRE(model.FindTensor("lm_head.weight") != nullptr);
      CHECK(model.Floats("lm_head.weight") != model.Floats("model.embed_tokens.weight"));
    }
  }

  TEST_CASE("slides the window on every layer of Mistral") {
    const LoadedModel model = EditedModel("architectures/mistral_sliding").Convert();
    for (int layer = 0; layer < 3; ++layer) CHECK(Window(model, layer) == 8);
    EditedModel none("architectures/mistral_sliding");
    CHECK(Window(none.Edit("\"sliding_window\": 8", "\"sliding_window\": null").Convert(), 0) == 0);
    EditedModel silent("architectures/mistral_sliding");
    CHECK(Window(silent.Edit("\"sliding_window\": 8,", "").Convert(), 0) == 4096);
  }

  TEST_CASE("gives Qwen2 biases on query, key and value, and windows where it asks for them") {
    const LoadedModel plain = EditedModel("architectures/qwen2").Convert();
    const auto bias = [&](const std::string& name) {
      return plain.FindOp("model.layers.0." + name)->attributes_as_Linear()->bias();
    };
    CHECK(bias("self_attn.q_proj") >= 0);
    CHECK(bias("self_attn.k_proj") >= 0);
    CHECK(bias("self_attn.v_proj") >= 0);
    CHECK(bias("self_attn.o_proj") == -1);
    CHECK(bias("mlp.down_proj") == -1);
    CHECK(Window(plain, 2) == 0);

    EditedModel older("architectures/qwen2");
    older.Edit("\"use_sliding_window\": false", "\"use_sliding_window\": true")
        .Edit("\"sliding_window\": null", "\"sliding_window\": 7")
        .Edit("\"max_window_layers\": 28", "\"max_window_layers\": 2")
        .Edit("\"layer_types\"", "\"not_layer_types\"");
    const LoadedModel by_depth = older.Convert();
    CHECK(Window(by_depth, 1) == 0);
    CHECK(Window(by_depth, 2) == 7);

    EditedModel newer("architectures/qwen2");
    newer.Edit("\"use_sliding_window\": false", "\"use_sliding_window\": true")
        .Edit("\"sliding_window\": null", "\"sliding_window\": 7")
        .Edit("\"layer_types\": [\n    \"full_attention\"",
              "\"layer_types\": [\n    \"sliding_attention\"");
    const LoadedModel by_list = newer.Convert();
    CHECK(Window(by_list, 0) == 7);
    CHECK(Window(by_list, 1) == 0);
  }

  TEST_CASE("refuses what it does not know, naming file, key, value and what there is") {
    const SettingCase cases[] = {
        {"llama", "\"model_type\": \"llama\"", "\"model_type\": \"rwkv\"",
         "config.json: 'model_type' is \"rwkv\"; this version converts llama, mistral, qwen2"},
        {"llama", "\"rope_type\": \"default\"", "\"rope_type\": \"ntk\"",
         "config.json: 'rope_parameters.rope_type' is \"ntk\"; this version knows default, "
         "proportional, linear, llama3, longrope, yarn and dynamic"},
        {"llama", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"mish\"",
         "config.json: 'hidden_act' is \"mish\"; this version knows silu"},
        {"llama", "\"hidden_size\": 64", "\"hidden_size\": \"64\"",
         "config.json: 'hidden_size' must be"},
        {"llama", "\"hidden_size\": 64", "\"hidden_size\": -64", "config.json: 'hidden_size'"},
        {"llama", "\"hidden_size\": 64", "\"hidden_size\": 65",
         "tensor 'model.embed_tokens.weight' has shape [131, 64], the model needs [131, 65]"},
        {"llama", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4",
         "has no tensor 'model.layers.3.input_layernorm.weight', which the model needs as [64]"},
        {"llama", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 100000",
         "config.json: 'num_hidden_layers'"},
        {"llama", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3",
         "config.json: 'num_key_value_heads' is 3, which does not divide the 4 attention heads"},
        {"llama", "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0",
         "config.json: 'rms_norm_eps' is 0; it must lie between 0 and 1"},
        {"llama", "\"attention_bias\": false", "\"attention_bias\": true",
         "has no tensor 'model.layers.0.self_attn.q_proj.bias'"},
        {"llama", "\"rope_theta\": 10000.0", "\"rope_theta\": 0",
         "config.json: 'rope_parameters.rope_theta' is 0; it must be positive"},
        {"llama_rope_llama3", "\"factor\": 8.0,", "", "config.json: 'rope_parameters.factor'"},
        {"llama_rope_llama3", "\"high_freq_factor\": 4.0", "\"high_freq_factor\": 1.0",
         "config.json: 'rope_parameters.high_freq_factor' must be larger than low_freq_factor"},
        {"qwen2", "\"layer_types\": [\n    \"full_attention\"",
         "\"layer_types\": [\n    \"linear_attention\"",
         "config.json: 'layer_types[0]' is \"linear_attention\"; this version knows"},
        {"qwen2", "\"layer_types\": [\n    \"full_attention\",", "\"layer_types\": [",
         "config.json: 'layer_types' must list one type for each of the 3 layers"},
    };
    CheckSettings("architectures", cases);
  }

  TEST_CASE("takes end tokens from the generation configuration first, one or several") {
    EditedModel model(kLlama);
    model.Write("generation_config.json", R"({"eos_token_id": [7, 130]})");
    const LoadedModel several = model.Convert();
    REQUIRE(several.model().task()->end_tokens()->size() == 2);
    CHECK(several.model().task()->end_tokens()->Get(1) == 130);
    model.Write("generation_config.json", R"({"eos_token_id": null})");
    CHECK(model.Convert().model().task()->end_tokens()->Get(0) == 2);
    model.Remove("generation_config.json");
    CHECK(model.Convert().model().task()->end_tokens()->Get(0) == 2);
    model.Edit("\"eos_token_id\": 2", "\"eos_token_id\": null");
    CHECK(model.Convert().model().task()->end_tokens()->size() == 0);
  }

  TEST_CASE("leaves out end tokens that the vocabulary does not have") {
    EditedModel model(kLlama);
    model.Write("generation_config.json", R"({"eos_token_id": [131, 130, 50256]})");
    const LoadedModel converted = model.Convert();
    REQUIRE(converted.model().task()->end_tokens()->size() == 1);
    CHECK(converted.model().task()->end_tokens()->Get(0) == 130);
  }

  TEST_CASE("keeps the chat template, from a file of its own or the tokenizer's configuration") {
    EditedModel model(kLlama);
    CHECK(model.Convert().model().chat_template() == nullptr);
    model.Write("tokenizer_config.json", R"({"chat_template": "{{ one }}"})");
    CHECK(model.Convert().model().chat_template()->str() == "{{ one }}");
    model.Write("tokenizer_config.json",
                R"({"chat_template": [{"name": "tool_use", "template": "no"},
                                      {"name": "default", "template": "{{ two }}"}]})");
    CHECK(model.Convert().model().chat_template()->str() == "{{ two }}");
    model.Write("chat_template.jinja", "{{ three }}\n");
    CHECK(model.Convert().model().chat_template()->str() == "{{ three }}\n");
  }

  TEST_CASE("carries the tokenizer along") {
    const LoadedModel tales = EditedModel("tales/base").Convert();
    REQUIRE(tales.model().tokenizer() != nullptr);
    CHECK(tales.model().tokenizer()->token_offsets()->size() == 2049);
    CHECK(EditedModel(kLlama).Convert().model().tokenizer() == nullptr);
  }
}

}  // namespace graft::converter
