// SPDX-License-Identifier: Apache-2.0
// Modules that PEFT wraps around others: PyTorch's attention, several parameters of one module,
// modules that are saved whole.
#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"

namespace graft::converter {
namespace {

// What LoRA of `rank` and this scale makes of a weight [rows, columns].
std::vector<double> Merged(const SmallTensor& weight, const SmallTensor& a, const SmallTensor& b,
                           double scale) {
  return reference::MergeLora(
      weight.values, weight.shape[0], weight.shape[1],
      {a.values, b.values, a.shape[0], scale, reference::Orientation::kStraight});
}

TEST_SUITE("converter/wrapped_modules") {
  TEST_CASE("an attention layer of PyTorch's own takes its updates in in_proj and out_proj") {
    // PEFT names out_proj's factors by way of the wrapped layer; two layers, so that no name is
    // found by its ending alone.
    SmallTensors base, adapter;
    for (const std::string layer : {"layers.0.attn", "layers.1.attn"}) {
      const uint32_t seed = layer[7] == '0' ? 0 : 100;
      base[layer + ".in_proj_weight"] = RandomTensor({12, 4}, seed + 1);
      base[layer + ".in_proj_bias"] = RandomTensor({12}, seed + 2);
      base[layer + ".out_proj.weight"] = RandomTensor({4, 4}, seed + 3);
      base[layer + ".out_proj.bias"] = RandomTensor({4}, seed + 4);
      adapter[Key(layer + ".lora_A.weight")] = RandomTensor({2, 4}, seed + 5);
      adapter[Key(layer + ".lora_B.weight")] = RandomTensor({12, 2}, seed + 6);
      adapter[Key(layer + ".base_layer.out_proj.lora_A.weight")] = RandomTensor({2, 4}, seed + 7);
      adapter[Key(layer + ".base_layer.out_proj.lora_B.weight")] = RandomTensor({4, 2}, seed + 8);
    }
    // Rank and alpha of out_proj are those of the attention layer around it.
    const std::string_view settings =
        R"("r": 8, "lora_alpha": 8, "rank_pattern": {"attn": 2}, "alpha_pattern": {"attn": 3},
           "target_modules": ["attn"])";
    for (const std::string layer : {"layers.0.attn", "layers.1.attn"}) {
      CHECK(MergedTensor(base, "LORA", settings, adapter, layer + ".in_proj_weight") ==
            Merged(base[layer + ".in_proj_weight"], adapter[Key(layer + ".lora_A.weight")],
                   adapter[Key(layer + ".lora_B.weight")], 1.5));
      CHECK(MergedTensor(base, "LORA", settings, adapter, layer + ".out_proj.weight") ==
            Merged(base[layer + ".out_proj.weight"],
                   adapter[Key(layer + ".base_layer.out_proj.lora_A.weight")],
                   adapter[Key(layer + ".base_layer.out_proj.lora_B.weight")], 1.5));
    }
    // bias: all saves the biases of both.
    const SmallTensor joint = RandomTensor({12}, 50), out = RandomTensor({4}, 51);
    adapter[Key("layers.0.attn.base_layer.in_proj_bias")] = joint;
    adapter[Key("layers.0.attn.base_layer.out_proj.base_layer.bias")] = out;
    CHECK(MergedTensor(base, "LORA", settings, adapter, "layers.0.attn.in_proj_bias") ==
          joint.values);
    CHECK(MergedTensor(base, "LORA", settings, adapter, "layers.0.attn.out_proj.bias") ==
          out.values);
  }

  TEST_CASE(
      "each expert of a parameter has its own factors, in either orientation and when nested") {
    constexpr size_t kExperts = 3, kIn = 5, kOut = 7, kRank = 2;
    const SmallTensor up = RandomTensor({kExperts, kOut, kIn}, 1);
    const SmallTensor down = RandomTensor({kExperts, 4, 11}, 2);  // [experts, in, out]
    const SmallTensor a = RandomTensor({kExperts * kRank, kIn}, 3);
    const SmallTensor b = RandomTensor({kOut, kExperts * kRank}, 4);
    const SmallTensor down_a = RandomTensor({kExperts * kRank, 4}, 5);
    const SmallTensor down_b = RandomTensor({11, kExperts * kRank}, 6);
    const SmallTensors base = {{"mlp.experts.up", up}, {"mlp.experts.down", down}};
    const SmallTensors adapter = {{Key("mlp.experts.lora_A.weight"), a},
                                  {Key("mlp.experts.lora_B.weight"), b},
                                  {Key("mlp.experts.base_layer.lora_A.weight"), down_a},
                                  {Key("mlp.experts.base_layer.lora_B.weight"), down_b}};
    const std::string_view settings =
        R"("r": 2, "lora_alpha": 3, "target_parameters": ["mlp.experts.up", "experts.down"], "target_modules": [])";
    const double scale = 1.5;
    std::vector<double> expected = up.values;
    for (size_t e = 0; e < kExperts; ++e) {
      for (size_t o = 0; o < kOut; ++o) {
        for (size_t i = 0; i < kIn; ++i) {
          double sum = 0;
          for (size_t r = 0; r < kRank; ++r) {
            sum += b.values[o * kExperts * kRank + r * kExperts + e] *
                   a.values[(e * kRank + r) * kIn + i];
          }
          expected[(e * kOut + o) * kIn + i] += scale * sum;
        }
      }
    }
    CHECK(Distance(MergedTensor(base, "LORA", settings, adapter, "mlp.experts.up"), expected) <
          kSumTolerance);
    expected = down.values;
    for (size_t e = 0; e < kExperts; ++e) {
      for (size_t o = 0; o < 11; ++o) {
        for (size_t i = 0; i < 4; ++i) {
          double sum = 0;
          for (size_t r = 0; r < kRank; ++r) {
            sum += down_b.values[o * kExperts * kRank + r * kExperts + e] *
                   down_a.values[(e * kRank + r) * 4 + i];
          }
          expected[(e * 4 + i) * 11 + o] += scale * sum;
        }
      }
    }
    CHECK(Distance(MergedTensor(base, "LORA", settings, adapter, "mlp.experts.down"), expected) <
          kSumTolerance);
  }

  TEST_CASE("square experts lie the way the other parameter of their module does") {
    constexpr int64_t kExperts = 2, kSide = 3, kRank = 2;
    const SmallTensor down = RandomTensor({kExperts, kSide, kSide}, 1);
    const SmallTensor up_a = RandomTensor({kExperts * kRank, kSide}, 2),
                      up_b = RandomTensor({8, kExperts * kRank}, 3),
                      a = RandomTensor({kExperts * kRank, kSide}, 4),
                      b = RandomTensor({kSide, kExperts * kRank}, 5);
    const SmallTensors square = {{Key("experts.lora_A.weight"), a},
                                 {Key("experts.lora_B.weight"), b}};
    SmallTensors both = square;
    both[Key("experts.base_layer.lora_A.weight")] = up_a;
    both[Key("experts.base_layer.lora_B.weight")] = up_b;
    const std::string_view settings =
        R"("r": 2, "lora_alpha": 2, "target_parameters": ["experts.up", "experts.down"])";
    for (const bool inputs_first : {true, false}) {
      const SmallTensor up =
          RandomTensor({kExperts, inputs_first ? kSide : 8, inputs_first ? 8 : kSide}, 6);
      std::vector<double> expected = down.values;
      for (size_t e = 0; e < 2; ++e) {
        for (size_t i = 0; i < 3; ++i) {
          for (size_t o = 0; o < 3; ++o) {
            double sum = 0;
            for (size_t r = 0; r < 2; ++r)
              sum += b.values[o * 4 + r * 2 + e] * a.values[(e * 2 + r) * 3 + i];
            expected[e * 9 + (inputs_first ? i * 3 + o : o * 3 + i)] += sum;
          }
        }
      }
      const SmallTensors base = {{"experts.up", up}, {"experts.down", down}};
      CHECK(Distance(MergedTensor(base, "LORA", settings, both, "experts.down"), expected) <
            kSumTolerance);
    }
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", {{"experts.down", down}});
    WriteAdapter(folder / "adapter", "LORA", settings, square);
    const std::string fault = MergeFault(folder / "model.safetensors", folder / "adapter");
    INFO(fault);
    CHECK(fault.find("updates square experts") != std::string::npos);
  }

  TEST_CASE("a saved module may come with what it was before, and under both of its names") {
    const SmallTensors base = {{"score.weight", RandomTensor({3, 4}, 1)},
                               {"q.weight", RandomTensor({4, 4}, 2)}};
    const SmallTensor saved = RandomTensor({3, 4}, 3);
    SmallTensors adapter = {{Key("score.weight"), saved},
                            {Key("score.modules_to_save.weight"), saved},
                            {Key("score.original_module.weight"), RandomTensor({3, 4}, 4)},
                            {Key("q.lora_A.weight"), RandomTensor({2, 4}, 5)},
                            {Key("q.lora_B.weight"), RandomTensor({4, 2}, 6)}};
    const std::string_view settings = R"("r": 2, "modules_to_save": ["score"])";
    CHECK(MergedTensor(base, "LORA", settings, adapter, "score.weight") == saved.values);

    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", base);
    const auto fault = [&] {
      std::filesystem::remove_all(folder / "adapter");
      WriteAdapter(folder / "adapter", "LORA", settings, adapter);
      return MergeFault(folder / "model.safetensors", folder / "adapter");
    };
    adapter[Key("score.modules_to_save.weight")].values[5] += 0.5;
    CHECK(fault().find("means the same place as another tensor") != std::string::npos);
    // Before training without after it says nothing.
    adapter.erase(Key("score.weight"));
    adapter.erase(Key("score.modules_to_save.weight"));
    CHECK(fault().find("'base_model.model.score.original_module.weight' belongs to nothing") !=
          std::string::npos);
  }

  TEST_CASE("biases of a saved classifier that has layers of its own") {
    // PEFT's bias="all" saves them as they were, too; other layers' names end as theirs do.
    const SmallTensors base = {{"classifier.dense.weight", RandomTensor({4, 4}, 1)},
                               {"classifier.dense.bias", RandomTensor({4}, 2)},
                               {"classifier.out_proj.weight", RandomTensor({3, 4}, 3)},
                               {"classifier.out_proj.bias", RandomTensor({3}, 4)},
                               {"encoder.layer.0.output.dense.weight", RandomTensor({4, 4}, 5)},
                               {"encoder.layer.0.output.dense.bias", RandomTensor({4}, 6)},
                               {"encoder.layer.1.output.dense.weight", RandomTensor({4, 4}, 7)},
                               {"encoder.layer.1.output.dense.bias", RandomTensor({4}, 8)}};
    SmallTensors adapter = {
        {Key("encoder.layer.0.output.dense.lora_A.weight"), RandomTensor({2, 4}, 9)},
        {Key("encoder.layer.0.output.dense.lora_B.weight"), RandomTensor({4, 2}, 10)},
        {Key("encoder.layer.0.output.dense.base_layer.bias"), RandomTensor({4}, 11)}};
    uint32_t seed = 20;
    for (const auto& [name, tensor] : base) {
      if (!name.starts_with("classifier.")) continue;
      adapter[Key(name)] = RandomTensor(tensor.shape, ++seed);
      if (!name.ends_with(".bias")) continue;
      const std::string part = name.substr(std::string_view("classifier.").size());
      adapter[Key("classifier.original_module." + part)] = tensor;
      adapter[Key("classifier.modules_to_save.default." + part)] = adapter[Key(name)];
    }
    const std::string_view settings =
        R"("r": 2, "bias": "all", "target_modules": ["dense"], "modules_to_save": ["classifier"])";
    for (const auto& [name, tensor] : base) {
      if (!name.starts_with("classifier.")) continue;
      CAPTURE(name);
      CHECK(MergedTensor(base, "LORA", settings, adapter, name) == adapter[Key(name)].values);
    }
    const std::string bias = "encoder.layer.0.output.dense.bias";
    CHECK(MergedTensor(base, "LORA", settings, adapter, bias) == RandomTensor({4}, 11).values);

    // PEFT adapts nothing within a saved module: none of its layers is missing.
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", base);
    WriteAdapter(folder / "adapter", "LORA", settings, adapter);
    const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
    REQUIRE(merged.ok());
    CHECK((*merged)->report().adapters[0].missing ==
          std::vector<std::string>{"encoder.layer.1.output.dense.weight"});
  }
}

}  // namespace
}  // namespace graft::converter
