// SPDX-License-Identifier: Apache-2.0
// Settings of the families of tests/data/decoders that change the result: refused by name, or read
// where a file spells or leaves them out otherwise.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
TEST_SUITE("converter/dense_settings") {
  TEST_CASE("what is not computed is refused by name") {
    const SettingCase cases[] = {
        {"bloom", "\"slow_but_exact\": false", "\"slow_but_exact\": true, \"ignored\": 0",
         ""},  // with one rank it changes nothing
        {"bloom", "\"pretraining_tp\": 1,\n  \"slow_but_exact\": false",
         "\"pretraining_tp\": 2, \"slow_but_exact\": true", "'slow_but_exact' is true"},
        {"bloom", "\"n_head\": 3", "\"n_head\": 5", "'n_head' is 5, which does not divide"},
        {"codegen", "\"n_head\": 4", "\"n_head\": 2", "'n_head' must be a multiple of 4"},
        {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 3", "'rotary_dim' must be even"},
        {"gptj", "\"rotary_dim\": 4", "\"rotary_dim\": 10", "'rotary_dim'"},
        {"falcon_new", "\"parallel_attn\": true", "\"parallel_attn\": false",
         "'parallel_attn' is false"},
        {"falcon", "\"num_ln_in_parallel_attn\": null", "\"num_ln_in_parallel_attn\": 2",
         "'num_ln_in_parallel_attn' is 2"},
        {"falcon_new", "\"num_kv_heads\": 2", "\"num_kv_heads\": 3", "'num_kv_heads'"},
        {"gemma", "\"use_bidirectional_attention\": null", "\"use_bidirectional_attention\": true",
         "'use_bidirectional_attention' is true"},
        {"gpt_bigcode", "\"add_cross_attention\": false", "\"add_cross_attention\": true",
         "'add_cross_attention' is true"},
        {"apertus", "\"hidden_act\": \"xielu\"", "\"hidden_act\": \"mish\"",
         "'hidden_act' is \"mish\""},
        {"apertus", "\"rope_parameters\"", "\"ignored\"", "has no rope_parameters"},
        {"ministral3", "\"llama_4_scaling_beta\": 0.3", "\"ignored\": 1",
         "'rope_parameters.llama_4_scaling_beta' is missing"},
        {"diffllama_mqa", "\"num_attention_heads\": 4", "\"num_attention_heads\": 3",
         "'num_attention_heads' must be even"},
        {"persimmon", "\"num_attention_heads\": 2",
         "\"num_attention_heads\": 2, \"num_key_value_heads\": 1", "must equal"},
        {"olmo", "\"clip_qkv\": 0.5", "\"clip_qkv\": -1", "'clip_qkv' is -1"},
        {"bitnet", "\"attention_bias\": true",
         "\"attention_bias\": true, \"quantization_config\": {\"quant_method\": \"bitnet\"}",
         "'quantization_config'"},
        {"smolvlm", "\"model_type\": \"llama\"", "\"model_type\": \"rwkv\"",
         "'text_config.model_type' is \"rwkv\""},
        {"smolvlm", "SmolVLMForConditionalGeneration", "SmolVLMForSequenceClassification",
         "of models with parts that see"},
    };
    CheckSettings("decoders", cases);
  }

  TEST_CASE("the text model of what sees is found, its head by what the whole model says") {
    const LoadedModel gemma = EditedModel("decoders/gemma3_vl").Convert();
    CHECK(gemma.FindTensor("lm_head.weight") == nullptr);
    CHECK(gemma.FindTensor("model.embed_tokens.weight") != nullptr);
    CHECK(gemma.model().task()->architecture()->str() == "gemma3_text");
    CHECK(EditedModel("decoders/smolvlm").Convert().FindTensor("lm_head.weight") != nullptr);
    // Untied by the text's own settings, tied by the whole's.
    EditedModel mistral("decoders/mistral3_vl");
    CHECK(mistral.Convert().FindTensor("lm_head.weight") == nullptr);
  }

  TEST_CASE("longrope's long factors are taken for all positions where a long context is wanted") {
    const TemporaryFolder folder;
    const auto convert = [&](const char* name) {
      return ConvertModel({.base = TestData("architectures/" + std::string(name)),
                           .adapter = {},
                           .format = {},
                           .output = folder / "model.graft",
                           .long_context = true})
          .status();
    };
    REQUIRE(convert("phi3_longrope").ok());
    const LoadedModel model(folder / "model.graft");
    CHECK(model.model().task()->context_tokens() == 256);
    const auto& rope = *model.FindOp("model.layers.0.self_attn.q_rope")->attributes_as_Rope();
    CHECK(rope.positions() == 0);
    const std::vector<float> frequencies = model.Floats("rope.inverse_frequencies");
    REQUIRE(frequencies.size() == 6);
    constexpr double kLongFactors[] = {1.0, 2.0, 4.0, 6.0, 8.0, 12.0};
    for (size_t i = 0; i < 6; ++i) {
      const double plain = std::pow(1e4, -2.0 * static_cast<double>(i) / 12.0);
      CHECK(frequencies[i] == doctest::Approx(plain / kLongFactors[i]));
    }
    CHECK(Contains(std::string(convert("llama").message()), "has no rope of type longrope"));
    CHECK(Contains(std::string(convert("gpt2").message()), "has no rope that"));
  }

  TEST_CASE("ALiBi's slopes are those of the next powers of two") {
    const std::vector<float> bloom = EditedModel("decoders/bloom").Convert().Floats("alibi.slopes");
    CHECK(bloom == std::vector<float>{0.0625f, 0.00390625f, 0.25f});  // 2^-4, 2^-8; 2^-2
    const std::vector<float> mpt = EditedModel("decoders/mpt").Convert().Floats("alibi.slopes");
    CHECK(mpt == std::vector<float>{0.0625f, 0.00390625f, 0.25f});
  }
}

}  // namespace graft::converter
