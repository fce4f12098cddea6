// SPDX-License-Identifier: Apache-2.0
// LoRA on experts: trained with all of them in one parameter and merged into a base that keeps each
// by itself, and the other way round.
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr int64_t kExperts = 3, kHidden = 4, kInner = 5, kRank = 2;
constexpr std::string_view kSettings =
    R"("r": 2, "lora_alpha": 3, "target_parameters": ["experts.gate_up_proj", "experts.down_proj"])";
constexpr double kScale = 1.5;

// Of a parameter [experts, rows, columns]; PEFT calls either of the two the inputs.
struct Factors {
  SmallTensor a, b;
  bool inputs_are_rows = true;
};

Factors RandomFactors(int64_t rows, int64_t columns, bool inputs_are_rows, uint32_t seed) {
  const int64_t in = inputs_are_rows ? rows : columns;
  const int64_t out = inputs_are_rows ? columns : rows;
  return {RandomTensor({kExperts * kRank, in}, seed),
          RandomTensor({out, kExperts * kRank}, seed + 1), inputs_are_rows};
}

// What the factors add to a row and column of an expert, as PEFT's einsum has it.
double Delta(const Factors& f, int64_t expert, int64_t row, int64_t column) {
  const int64_t i = f.inputs_are_rows ? row : column;
  const int64_t o = f.inputs_are_rows ? column : row;
  const int64_t in = f.a.shape[1];
  double sum = 0.0;
  for (int64_t k = 0; k < kRank; ++k) {
    sum += f.b.values[static_cast<size_t>(o * kExperts * kRank + k * kExperts + expert)] *
           f.a.values[static_cast<size_t>((expert * kRank + k) * in + i)];
  }
  return kScale * sum;
}

struct Names {
  std::string base, adapter;  // of the experts
  std::string gate, up, down;
};

void CheckSeparate(const Names& names, bool inputs_are_rows) {
  CAPTURE(names.base);
  CAPTURE(inputs_are_rows);
  SmallTensors base;
  uint32_t seed = 1;
  for (int64_t e = 0; e < kExperts; ++e) {
    const std::string expert = names.base + "." + std::to_string(e) + ".";
    base[expert + names.gate + ".weight"] = RandomTensor({kInner, kHidden}, seed++);
    base[expert + names.up + ".weight"] = RandomTensor({kInner, kHidden}, seed++);
    base[expert + names.down + ".weight"] = RandomTensor({kHidden, kInner}, seed++);
  }
  const Factors both = RandomFactors(2 * kInner, kHidden, inputs_are_rows, 100);
  const Factors down = RandomFactors(kHidden, kInner, inputs_are_rows, 200);
  const SmallTensors adapter = {{Key(names.adapter + ".base_layer.lora_A.weight"), both.a},
                                {Key(names.adapter + ".base_layer.lora_B.weight"), both.b},
                                {Key(names.adapter + ".lora_A.weight"), down.a},
                                {Key(names.adapter + ".lora_B.weight"), down.b}};
  for (const auto& [name, tensor] : base) {
    CAPTURE(name);
    const int64_t expert = name[names.base.size() + 1] - '0';
    const bool is_down = name.ends_with(names.down + ".weight");
    const int64_t first_row = name.ends_with(names.up + ".weight") ? kInner : 0;
    std::vector<double> expected = tensor.values;
    for (size_t i = 0; i < expected.size(); ++i) {
      const int64_t row = static_cast<int64_t>(i) / tensor.shape[1];
      const int64_t column = static_cast<int64_t>(i) % tensor.shape[1];
      expected[i] += Delta(is_down ? down : both, expert, first_row + row, column);
    }
    CHECK(Distance(MergedTensor(base, "LORA", kSettings, adapter, name), expected) < 1e-14);
  }
}

TEST_SUITE("converter/expert_adapters") {
  TEST_CASE("one parameter's LoRA merges into experts that are kept apart, under either name") {
    for (const bool rows : {true, false}) {
      CheckSeparate({"model.layers.0.mlp.experts", "model.layers.0.mlp.experts", "gate_proj",
                     "up_proj", "down_proj"},
                    rows);
      CheckSeparate({"model.layers.1.block_sparse_moe.experts", "model.layers.1.mlp.experts", "w1",
                     "w3", "w2"},
                    rows);
      CheckSeparate({"model.layers.2.feed_forward.experts", "model.layers.2.feed_forward.experts",
                     "w1", "w3", "w2"},
                    rows);
    }
  }

  TEST_CASE("LoRA of single experts merges into a tensor of all of them") {
    const std::string stack = "model.layers.0.mlp.experts.";
    const SmallTensor gate_up = RandomTensor({kExperts, 2 * kInner, kHidden}, 1);
    const SmallTensor down = RandomTensor({kExperts, kHidden, kInner}, 2);
    const SmallTensors base = {{stack + "gate_up_proj", gate_up}, {stack + "down_proj", down}};
    for (const bool newer : {true, false}) {
      const std::string experts =
          newer ? "model.layers.0.mlp.experts." : "model.layers.0.block_sparse_moe.experts.";
      SmallTensors adapter;
      std::vector<double> expected = gate_up.values;
      std::vector<double> expected_down = down.values;
      uint32_t seed = 10;
      const auto add = [&](int64_t expert, const char* part, int64_t first_row, int64_t rows,
                           int64_t all_rows, int64_t columns, std::vector<double>* to) {
        const SmallTensor a = RandomTensor({kRank, columns}, seed++);
        const SmallTensor b = RandomTensor({rows, kRank}, seed++);
        const std::string module = experts + std::to_string(expert) + "." + part;
        adapter[Key(module + ".lora_A.weight")] = a;
        adapter[Key(module + ".lora_B.weight")] = b;
        for (int64_t i = 0; i < rows * columns; ++i) {
          double sum = 0.0;
          for (int64_t k = 0; k < kRank; ++k) {
            sum += b.values[static_cast<size_t>(i / columns * kRank + k)] *
                   a.values[static_cast<size_t>(k * columns + i % columns)];
          }
          (*to)[static_cast<size_t>((expert * all_rows + first_row) * columns + i)] += kScale * sum;
        }
      };
      add(0, newer ? "gate_proj" : "w1", 0, kInner, 2 * kInner, kHidden, &expected);
      add(2, newer ? "gate_proj" : "w1", 0, kInner, 2 * kInner, kHidden, &expected);
      add(2, newer ? "up_proj" : "w3", kInner, kInner, 2 * kInner, kHidden, &expected);
      add(1, newer ? "down_proj" : "w2", 0, kHidden, kHidden, kInner, &expected_down);
      const std::string_view settings =
          R"("r": 2, "lora_alpha": 3, "target_modules": ["gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"])";
      CHECK(Distance(MergedTensor(base, "LORA", settings, adapter, stack + "gate_up_proj"),
                     expected) < 1e-14);
      CHECK(Distance(MergedTensor(base, "LORA", settings, adapter, stack + "down_proj"),
                     expected_down) < 1e-14);
      adapter[Key(experts + "3.down_proj.lora_A.weight")] = RandomTensor({kRank, kInner}, 90);
      adapter[Key(experts + "3.down_proj.lora_B.weight")] = RandomTensor({kHidden, kRank}, 91);
      const TemporaryFolder folder;
      WriteTensors(folder / "model.safetensors", base);
      WriteAdapter(folder / "adapter", "LORA", settings, adapter);
      const std::string fault = MergeFault(folder / "model.safetensors", folder / "adapter");
      INFO(fault);
      CHECK(fault.find("does not fit the base's '" + stack + "down_proj'") != std::string::npos);
    }
  }

  TEST_CASE("routers of Mixtral and Phi-3.5-MoE are found under their newer names") {
    for (const bool phimoe : {false, true}) {
      const std::string mixture = "model.layers.0.block_sparse_moe.";
      SmallTensors base = {{mixture + "gate.weight", RandomTensor({kExperts, kHidden}, 1)},
                           {mixture + "experts.0.w1.weight", RandomTensor({kInner, kHidden}, 2)}};
      if (phimoe) base["model.layers.0.input_layernorm.bias"] = RandomTensor({kHidden}, 3);
      const std::string router = phimoe ? "model.layers.0.mlp.router" : "model.layers.0.mlp.gate";
      const SmallTensor a = RandomTensor({kRank, kHidden}, 4);
      const SmallTensor b = RandomTensor({kExperts, kRank}, 5);
      const SmallTensors adapter = {{Key(router + ".lora_A.weight"), a},
                                    {Key(router + ".lora_B.weight"), b}};
      std::vector<double> expected = base[mixture + "gate.weight"].values;
      for (size_t i = 0; i < expected.size(); ++i) {
        for (size_t k = 0; k < 2; ++k)
          expected[i] += kScale * b.values[i / 4 * 2 + k] * a.values[k * 4 + i % 4];
      }
      const std::string_view settings =
          R"("r": 2, "lora_alpha": 3, "target_modules": ["gate", "router"])";
      CHECK(Distance(MergedTensor(base, "LORA", settings, adapter, mixture + "gate.weight"),
                     expected) < 1e-14);
    }
  }
}

}  // namespace
}  // namespace graft::converter
