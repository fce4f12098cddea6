// SPDX-License-Identifier: Apache-2.0
// Gemma 3n and 4: what their files say is followed or refused by name, whatever the file's age.
#include <cmath>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "converter/checkpoint/checkpoint.h"
#include "schema/generated/model_generated.h"
#include "tests/converter/lower/edited_model.h"

namespace graft::converter {
TEST_SUITE("converter/gemma_settings") {
  TEST_CASE("what is not computed is refused by name") {
    const SettingCase cases[] = {
        {"gemma4_tied_values", "\"enable_moe_block\": false", "\"enable_moe_block\": true",
         "'enable_moe_block' is true"},
        {"gemma4_tied_values", "\"use_bidirectional_attention\": null",
         "\"use_bidirectional_attention\": \"all\"", "'use_bidirectional_attention' is \"all\""},
        {"gemma4_tied_values", "\"use_bidirectional_attention\": null",
         "\"use_bidirectional_attention\": \"vision\"", ""},
        {"gemma4_tied_values", "\"rope_type\": \"proportional\"", "\"rope_type\": \"default\"",
         "does not turn heads of global_head_dim"},
        {"gemma4_tied_values", "\"num_global_key_value_heads\": 1",
         "\"num_global_key_value_heads\": 3", "'num_global_key_value_heads' is 3"},
        {"gemma4_tied_values", "\"num_kv_shared_layers\": 0", "\"num_kv_shared_layers\": 1",
         "no layer before these is of the type of layer 1"},
        {"gemma4_tied_values", "\"num_kv_shared_layers\": 0", "\"num_kv_shared_layers\": 2",
         "'num_kv_shared_layers'"},
        {"gemma3n", "\"altup_active_idx\": 1", "\"altup_active_idx\": 3", "'altup_active_idx'"},
        {"gemma3n", "\"hidden_size_per_layer_input\": 2", "\"hidden_size_per_layer_input\": 0",
         "'hidden_size_per_layer_input' must be at least 1"},
        {"gemma3n", "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5", "must list"},
        {"gemma3n", "    0.3,", "    1.0,", "'activation_sparsity_pattern[2]' must be below 1"},
        {"gemma3n", "\"laurel_rank\": 3", "\"laurel_rank\": 4", "linear_left"},
        // Files have these, Gemma 3n does not read them.
        {"gemma3n", "\"laurel_rank\": 3",
         "\"laurel_rank\": 3, \"query_pre_attn_scalar\": 256, \"attn_logit_softcapping\": 50.0",
         ""},
    };
    CheckSettings("decoders", cases);
  }

  TEST_CASE("layers that share keep no cache, and read that of the last of their type") {
    const LoadedModel model = EditedModel("decoders/gemma4").Convert();
    const schema::fb::Graph& graph = *model.model().graph();
    REQUIRE(graph.kv_caches()->size() == 2);
    CHECK(graph.kv_caches()->Get(0)->head_dim() == 8);
    CHECK(graph.kv_caches()->Get(1)->head_dim() == 4);
    // The last layer has no window, as the first.
    for (int layer = 0; layer < 3; ++layer) {
      CAPTURE(layer);
      const schema::fb::Op& op =
          *model.FindOp("model.layers." + std::to_string(layer) + ".self_attn");
      CHECK(op.attributes_as_Attention()->kv_cache() == layer % 2);
      CHECK(op.attributes_as_Attention()->window() == (layer == 1 ? 5 : 0));
      CHECK(op.inputs()->size() == (layer < 2 ? 4 : 2));
    }
  }

  TEST_CASE("layers that keep nothing compute the rows that are asked for") {
    for (const char* name : {"gemma3n", "gemma4"}) {
      CAPTURE(std::string(name));
      const LoadedModel model = EditedModel("decoders/" + std::string(name)).Convert();
      const schema::fb::Graph& graph = *model.model().graph();
      const auto rows_of = [&](const std::string& op) {
        const int32_t value = model.FindOp(op)->outputs()->Get(0);
        return graph.symbols()
            ->Get(static_cast<uint32_t>(
                graph.values()->Get(static_cast<uint32_t>(value))->shape()->Get(0)->symbol()))
            ->str();
      };
      CHECK(rows_of("model.layers.1.mlp.down_proj") == "sequence");
      CHECK(rows_of("model.layers.2.self_attn.q_rope") == "output_rows");
      CHECK(rows_of("model.layers.2.self_attn") == "output_rows");
      CHECK(rows_of("model.layers.2.per_layer_input") == "output_rows");
    }
    // Nothing is shared: the rows are chosen before the last norm.
    const LoadedModel model = EditedModel("decoders/gemma4_tied_values").Convert();
    CHECK(model.FindOp("selected_positions") == nullptr);
    CHECK(model.FindOp("last_hidden") != nullptr);
  }

  TEST_CASE("ropes of older files count as those by layer type do") {
    const auto frequencies = [](EditedModel& model) {
      const LoadedModel converted = model.Convert();
      std::vector<float> all = converted.Floats("rope.full");
      const std::vector<float> sliding = converted.Floats("rope.sliding");
      all.insert(all.end(), sliding.begin(), sliding.end());
      return all;
    };
    EditedModel newer("decoders/gemma3n");
    EditedModel older("decoders/gemma3n");
    older.Edit("\"rope_parameters\"",
               "\"rope_theta\": 1000000.0, \"rope_local_base_freq\": 10000.0, \"ignored\"");
    CHECK(frequencies(newer) == frequencies(older));
    EditedModel scaled("decoders/gemma3n");
    scaled.Edit("\"rope_parameters\"",
                "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 4.0}, \"ignored\"");
    const std::vector<float> plain = frequencies(newer);
    const std::vector<float> stretched = frequencies(scaled);
    REQUIRE(stretched.size() == 4);
    for (size_t i = 0; i < 4; ++i) CHECK(stretched[i] == plain[i] / (i < 2 ? 4.0f : 1.0f));
  }

  TEST_CASE("a proportional rope turns the first part of a head's halves") {
    const LoadedModel model = EditedModel("decoders/gemma4_tied_values").Convert();
    const std::vector<float> frequencies = model.Floats("rope.full");
    REQUIRE(frequencies.size() == 4);
    CHECK(frequencies[0] == 0.5f);
    CHECK(frequencies[1] == doctest::Approx(0.5 * std::pow(1e6, -2.0 / 8.0)));
    CHECK(frequencies[2] == 0.0f);
    CHECK(frequencies[3] == 0.0f);
    // Without the key it is a quarter of a head by a theta of 1e6.
    EditedModel usual("decoders/gemma4_tied_values");
    usual.Edit("\"rope_parameters\"", "\"ignored\"");
    const LoadedModel converted = usual.Convert();
    CHECK(converted.Floats("rope.full") == std::vector<float>{1.0f, 0.0f, 0.0f, 0.0f});
    CHECK(converted.Floats("rope.sliding") == std::vector<float>{1.0f, 0.01f});
  }

  TEST_CASE("Gemma 3n as people download it is its text model") {
    EditedModel wrapped("decoders/gemma3n");
    const LoadedModel text = wrapped.Convert();
    const auto checkpoint = Checkpoint::Open(wrapped.path() / "model.safetensors");
    REQUIRE(checkpoint.ok());
    SmallTensors tensors;
    for (const TensorInfo& info : (*checkpoint)->tensors()) {
      const std::string name = "model.language_model." + info.name.substr(6);
      tensors[name] = {info.shape, ReadAll(**checkpoint, info.name), DType::kFloat32};
    }
    WriteTensors(wrapped.path() / "model.safetensors", tensors);
    std::string config = ReadBytes(wrapped.path() / "config.json");
    wrapped.Write("config.json",
                  "{\"model_type\": \"gemma3n\", \"architectures\": "
                  "[\"Gemma3nForConditionalGeneration\"], \"text_config\": " +
                      config + "}");
    const LoadedModel whole = wrapped.Convert();
    REQUIRE(whole.model().tensors()->size() == text.model().tensors()->size());
    for (const schema::fb::Tensor* tensor : *text.model().tensors()) {
      const std::string_view name = tensor->name()->string_view();
      CHECK(whole.Floats(name) == text.Floats(name));
    }
  }

  TEST_CASE("sparsity becomes deviations of a normal distribution") {
    const LoadedModel model = EditedModel("decoders/gemma3n").Convert();
    const auto deviations = [&](const char* name) {
      return model.FindOp(name)->attributes_as_GaussianTopK()->deviations();
    };
    CHECK(std::fabs(deviations("model.layers.0.mlp.gate_top")) < 1e-7f);
    CHECK(deviations("model.layers.2.mlp.gate_top") == doctest::Approx(-0.52440051));
    CHECK(model.FindOp("model.layers.1.mlp.gate_top") == nullptr);
  }
}

}  // namespace graft::converter
