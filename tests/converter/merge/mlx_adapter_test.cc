// SPDX-License-Identifier: Apache-2.0
// Adapters of mlx-lm: the same bytes as the same adapter in PEFT's files, float64 references where
// PEFT has no such form, and what is refused.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"
#include "tests/converter/merge/adapter_rewriter.h"
#include "tests/reference/lora_reference.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

void WriteMlx(const fs::path& folder, std::string_view config, const SmallTensors& tensors) {
  fs::create_directories(folder);
  WriteText(folder / "adapter_config.json", config);
  WriteTensors(folder / "adapters.safetensors", tensors);
}

// What mlx-lm writes: all arguments of the training program.
std::string Config(std::string_view type, std::string_view parameters, int num_layers = -1) {
  return R"({"adapter_path": "adapters", "batch_size": 4, "config": null, "data": "data/",
    "fine_tune_type": ")" +
         std::string(type) +
         R"(", "grad_checkpoint": false, "iters": 600, "learning_rate": 1e-05,
    "lr_schedule": {"name": "cosine_decay", "arguments": [1e-05, 600]}, "mask_prompt": false,
    "max_seq_length": 2048, "model": "some/model", "num_layers": )" +
         std::to_string(num_layers) + R"(, "optimizer": "adam", "optimizer_config": {"adam": {}},
    "resume_adapter_file": null, "save_every": 100, "seed": 0, "steps_per_eval": 200,
    "steps_per_report": 10, "test": false, "test_batches": 500, "train": true, "val_batches": 25,
    "lora_parameters": )" +
         std::string(parameters) + "}";
}

struct Merged {
  std::unique_ptr<MergedSource> source;
  const AdapterReport& report() const { return source->report().adapters[0]; }
};

struct Bench {
  TemporaryFolder folder;
  SmallTensors base;
  SmallTensors adapter;

  Bench() {
    for (int layer = 0; layer < 3; ++layer) {
      const std::string prefix = "model.layers." + std::to_string(layer) + ".";
      const uint32_t seed = static_cast<uint32_t>(10 * layer);
      base[prefix + "self_attn.q_proj.weight"] = RandomTensor({6, 4}, seed + 1);
      base[prefix + "self_attn.v_proj.weight"] = RandomTensor({4, 4}, seed + 2);
      base[prefix + "input_layernorm.weight"] = RandomTensor({4}, seed + 3);
      if (layer == 0) continue;
      adapter[prefix + "self_attn.q_proj.lora_a"] = RandomTensor({4, 2}, seed + 4);
      adapter[prefix + "self_attn.q_proj.lora_b"] = RandomTensor({2, 6}, seed + 5);
    }
    base["model.embed_tokens.weight"] = RandomTensor({9, 4}, 100);
  }
  void Write(std::string_view config) {
    WriteTensors(folder / "model.safetensors", base);
    fs::remove_all(folder / "adapter");
    WriteMlx(folder / "adapter", config, adapter);
  }
  Merged Run(std::string_view config) {
    Write(config);
    auto merged = Merge(folder / "model.safetensors", folder / "adapter");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    return {std::move(merged).value()};
  }
  std::string Fault(std::string_view config) {
    Write(config);
    return MergeFault(folder / "model.safetensors", folder / "adapter");
  }
};

void CheckFault(Bench& bench, const std::string& config, std::string_view part) {
  const std::string fault = bench.Fault(config);
  INFO(fault);
  CHECK(fault.find(part) != std::string::npos);
}

constexpr std::string_view kParameters = R"({"rank": 2, "dropout": 0.0, "scale": 20.0})";
constexpr const char* kQ1 = "model.layers.1.self_attn.q_proj";

double Distance(const std::vector<double>& values, const std::vector<double>& expected) {
  REQUIRE(values.size() == expected.size());
  double distance = 0, largest = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    distance = std::max(distance, std::fabs(values[i] - expected[i]));
    largest = std::max(largest, std::fabs(expected[i]));
  }
  return distance / largest;
}

// Norms summed in two orders, in float64.
constexpr double kTolerance = 1e-14;

TEST_SUITE("converter/mlx_adapter") {
  TEST_CASE("LoRA and DoRA merge to the bytes of the same adapter in PEFT's files") {
    const TemporaryFolder folder;
    struct Case {
      const char* name;
      const char* base;
      const char* type;
      const char* parameters;
    };
    for (const Case& c :
         {Case{"lora_all_linear", "base_llama", "lora", R"({"rank": 8, "scale": 2.0})"},
          Case{"dora", "base_llama", "dora", R"({"rank": 4, "scale": 2, "dropout": 0.1})"},
          Case{"gpt2_conv1d", "base_gpt2", "lora", R"({"rank": 4, "scale": 2.0})"}}) {
      const std::string name = c.name;
      INFO(name);
      const fs::path base = TestData("adapters") / c.base;
      const fs::path peft = TestData("adapters") / c.name;
      SmallTensors tensors = AsMlx(StoredTensors(peft / "adapter_model.safetensors"));
      if (name == "gpt2_conv1d") {
        // mlx-lm calls GPT-2's stack "model.h".
        SmallTensors renamed;
        for (auto& [key, tensor] : tensors) renamed["model" + key.substr(11)] = tensor;
        tensors = renamed;
      }
      WriteMlx(folder / name, Config(c.type, c.parameters), tensors);
      CHECK(MergedBytes(base, folder / name) == MergedBytes(base, peft));

      const auto merged = Merge(base, folder / name);
      REQUIRE(merged.ok());
      const AdapterReport& report = (*merged)->report().adapters[0];
      CHECK(report.kind == "mlx " + std::string(c.type));
      CHECK(report.modules_merged ==
            static_cast<int64_t>(tensors.size()) / (std::string(c.type) == "dora" ? 3 : 2));
      CHECK(report.modules_expected == report.modules_merged);
    }
  }

  TEST_CASE("the scale is the multiplier, or scale * alpha / rank in files of spring 2024") {
    Bench bench;
    const std::string weight = std::string(kQ1) + ".weight";
    const auto with_factor = [&](double factor) {
      return reference::MergeLora(bench.base[weight].values, 6, 4,
                                  {Transposed(bench.adapter[std::string(kQ1) + ".lora_a"]).values,
                                   Transposed(bench.adapter[std::string(kQ1) + ".lora_b"]).values,
                                   2, factor, reference::Orientation::kStraight});
    };
    CHECK(ReadAll(*bench.Run(Config("lora", kParameters)).source, weight) == with_factor(20));

    // The settings that date a file, and what the program of that time multiplied by.
    const struct {
      const char* settings;
      const char* parameters;
      double factor;
    } kFiles[] = {
        // 0.6 to 0.13: neither use_dora nor fine_tune_type.
        {R"("lora_layers": 2)", R"("alpha": 16, "scale": 10.0)", 80},
        {R"("lora_layers": 2)", R"("alpha": 16.0, "scale": 1.0)", 8},
        {R"("lora_layers": -1)", R"("alpha": 1, "scale": 0.25)", 0.125},
        {R"("lora_layers": 2)", R"("alpha": 2, "scale": 20.0)", 20},
        // 0.13.1 to 0.18, which changed from one to the other: told apart where they agree.
        {R"("lora_layers": 2, "use_dora": false)", R"("alpha": 2, "scale": 20.0)", 20},
        // Since 0.14.2 a file need not have it.
        {R"("lora_layers": 2, "use_dora": false)", R"("scale": 10.0)", 10},
        // 0.19 and later: the scale alone, though alpha was written until May 2025.
        {R"("num_layers": 2, "fine_tune_type": "lora")", R"("alpha": 16, "scale": 10.0)", 10},
        {R"("num_layers": 2)", R"("alpha": 16, "scale": 5)", 5},
    };
    for (const auto& file : kFiles) {
      const std::string config = std::string("{") + file.settings +
                                 R"(, "lora_parameters": {"rank": 2, "dropout": 0.0, )" +
                                 file.parameters + "}}";
      INFO(config);
      const Merged merged = bench.Run(config);
      CHECK(ReadAll(*merged.source, weight) == with_factor(file.factor));
      CHECK(merged.source->report().tensors[0].scale == file.factor);
    }
  }

  TEST_CASE("a file that can mean two multipliers is refused with both") {
    Bench bench;
    for (const char* use_dora : {"false", "true"}) {
      const std::string fault =
          bench.Fault(R"({"lora_layers": 2, "use_dora": )" + std::string(use_dora) +
                      R"(, "lora_parameters": {"rank": 2, "alpha": 16, "scale": 10.0}})");
      INFO(fault);
      CHECK(fault.find("'lora_parameters.alpha' can mean two things") != std::string::npos);
      CHECK(fault.find("scale * alpha / rank = 80,") != std::string::npos);
      CHECK(fault.find("the scale alone, 10;") != std::string::npos);
    }
    const std::string vlm = bench.Fault(R"({"rank": 2, "alpha": 0.1, "dropout": 0.1})");
    INFO(vlm);
    CHECK(vlm.find("is an older mlx-vlm's") != std::string::npos);
  }

  TEST_CASE("an embedding's update is a product of rows, and the tied head keeps it") {
    Bench bench;
    bench.adapter = {{"model.embed_tokens.lora_a", RandomTensor({9, 2}, 1)},
                     {"model.embed_tokens.lora_b", RandomTensor({2, 4}, 2)}};
    const reference::LowRank update{bench.adapter["model.embed_tokens.lora_b"].values,
                                    bench.adapter["model.embed_tokens.lora_a"].values, 2, 3.0,
                                    reference::Orientation::kStraight};
    const auto& table = bench.base["model.embed_tokens.weight"].values;
    const std::string_view parameters =
        R"({"rank": 2, "scale": 3, "keys": ["model.embed_tokens"]})";
    const Merged lora = bench.Run(Config("lora", parameters));
    CHECK(ReadAll(*lora.source, "model.embed_tokens.weight") ==
          reference::MergeLora(table, 9, 4, update));
    CHECK_FALSE(lora.source->unties_embeddings());
    CHECK(lora.source->Find("lm_head.weight") == nullptr);
    CHECK(lora.report().modules_expected == 1);

    bench.adapter["model.embed_tokens.m"] = RandomTensor({9}, 3);
    const Merged dora = bench.Run(Config("dora", parameters));
    CHECK(Distance(ReadAll(*dora.source, "model.embed_tokens.weight"),
                   reference::MergeDora(table, 9, 4, update,
                                        bench.adapter["model.embed_tokens.m"].values)) <
          kTolerance);
    CHECK(dora.source->ReportOf("model.embed_tokens.weight")->kind == "dora");
  }

  TEST_CASE("DoRA on GPT-2's transposed layers scales columns") {
    Bench bench;
    bench.base = {{"h.0.attn.c_proj.weight", RandomTensor({5, 5}, 1)},
                  {"h.0.mlp.c_fc.weight", RandomTensor({5, 7}, 2)},
                  {"h.0.mlp.c_fc.bias", RandomTensor({7}, 3)}};
    bench.adapter = {{"model.h.0.attn.c_proj.lora_a", RandomTensor({5, 2}, 4)},
                     {"model.h.0.attn.c_proj.lora_b", RandomTensor({2, 5}, 5)},
                     {"model.h.0.attn.c_proj.m", RandomTensor({5}, 6)}};
    const reference::LowRank update{
        Transposed(bench.adapter["model.h.0.attn.c_proj.lora_a"]).values,
        Transposed(bench.adapter["model.h.0.attn.c_proj.lora_b"]).values, 2, 20.0,
        reference::Orientation::kTransposed};
    const Merged merged = bench.Run(Config("dora", kParameters));
    CHECK(Distance(ReadAll(*merged.source, "h.0.attn.c_proj.weight"),
                   reference::MergeDora(bench.base["h.0.attn.c_proj.weight"].values, 5, 5, update,
                                        bench.adapter["model.h.0.attn.c_proj.m"].values)) <
          kTolerance);
  }

  TEST_CASE("full fine-tuning replaces tensors, and tells which of the last layers lack one") {
    Bench bench;
    bench.adapter = {
        {"model.layers.2.self_attn.q_proj.weight", RandomTensor({6, 4}, 1)},
        {"model.layers.2.input_layernorm.weight", RandomTensor({4}, 2)},
        {"model.layers.1.self_attn.q_proj.weight", RandomTensor({6, 4}, 3)},
    };
    const Merged merged = bench.Run(Config("full", "null", 2));
    for (const auto& [name, tensor] : bench.adapter)
      CHECK(ReadAll(*merged.source, name) == tensor.values);
    CHECK(merged.report().kind == "mlx full");
    CHECK(merged.report().modules_merged == 3);
    CHECK(merged.report().modules_expected == 4);
    CHECK(merged.report().missing ==
          std::vector<std::string>{"model.layers.1.input_layernorm.weight"});
    CHECK_FALSE(merged.source->IsAdapted("model.layers.0.self_attn.q_proj.weight"));
  }

  TEST_CASE("counts the modules of the last layers, by keys or by what other layers have") {
    Bench bench;
    const auto missing = [&](std::string_view parameters, int layers) {
      return bench.Run(Config("lora", parameters, layers)).report().missing;
    };
    CHECK(missing(kParameters, 2).empty());
    CHECK(missing(kParameters, -1) ==
          std::vector<std::string>{"model.layers.0.self_attn.q_proj.weight"});
    CHECK(missing(R"({"rank": 2, "scale": 1, "keys": ["self_attn.v_proj"]})", 2) ==
          std::vector<std::string>{"model.layers.1.self_attn.v_proj.weight",
                                   "model.layers.2.self_attn.v_proj.weight"});
    // A key is a whole name from a layer or from the model, never an ending.
    CHECK(missing(R"({"rank": 2, "scale": 1, "keys": ["v_proj"]})", 2).empty());
    CHECK(missing(R"({"rank": 2, "scale": 1, "keys": ["model.embed_tokens"]})", 2) ==
          std::vector<std::string>{"model.embed_tokens.weight"});
  }

  TEST_CASE("any file of weights beside the configuration may be named") {
    Bench bench;
    bench.Write(Config("lora", kParameters));
    SmallTensors earlier = bench.adapter;
    earlier[std::string(kQ1) + ".lora_b"] = RandomTensor({2, 6}, 77);
    const fs::path step = bench.folder / "adapter" / "0000100_adapters.safetensors";
    WriteTensors(step, earlier);
    const auto merged = Merge(bench.folder / "model.safetensors", step);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    CHECK(ReadAll(**merged, std::string(kQ1) + ".weight") !=
          ReadAll(*bench.Run(Config("lora", kParameters)).source, std::string(kQ1) + ".weight"));
  }

  TEST_CASE("refuses settings it does not know, by name") {
    Bench bench;
    CheckFault(bench, R"({"num_layers": 2, "new_mathematics": 3, "lora_parameters": {}})",
               "'new_mathematics' is a setting graft does not know in an mlx-lm adapter");
    CheckFault(bench, Config("lora", R"({"rank": 2, "scale": 1, "use_rslora": true})"),
               "'lora_parameters.use_rslora' is a setting graft does not know");
    CheckFault(bench, Config("ortho", kParameters),
               "'fine_tune_type' is \"ortho\"; graft merges lora, dora and full");
    CheckFault(bench, Config("lora", R"({"rank": 2})"), "'lora_parameters.scale'");
    CheckFault(bench, Config("lora", R"({"scale": 2})"), "'lora_parameters.rank'");
    CheckFault(bench, Config("lora", R"({"rank": 0, "scale": 2})"), "outside 1 to 1048576");
    CheckFault(bench, Config("lora", R"({"rank": 2, "scale": "2"})"), "must be a number");
    CheckFault(bench, Config("lora", "[]"), "'lora_parameters' must be");
    CheckFault(bench, R"({"fine_tune_type": "lora", "num_layers": 1e9})", "'num_layers'");
  }

  TEST_CASE("refuses tensors that do not fit the configuration or the base") {
    Bench bench;
    CheckFault(bench, Config("lora", R"({"rank": 3, "scale": 2})"), "has rank 2, but");
    CheckFault(bench, Config("dora", kParameters), "has no magnitudes 'm'");
    CheckFault(bench, Config("full", kParameters), "has the fine_tune_type full");
    bench.adapter[std::string(kQ1) + ".m"] = RandomTensor({6}, 1);
    CheckFault(bench, Config("lora", kParameters), "comes with magnitudes 'm'");
    bench.adapter[std::string(kQ1) + ".m"] = RandomTensor({5}, 1);
    bench.adapter["model.layers.2.self_attn.q_proj.m"] = RandomTensor({6}, 1);
    CheckFault(bench, Config("dora", kParameters), "has 5 magnitudes for 6 outputs");

    Bench partner;
    partner.adapter.erase(std::string(kQ1) + ".lora_b");
    CheckFault(partner, Config("lora", kParameters), "needs lora_a and lora_b");
    Bench shape;
    shape.adapter[std::string(kQ1) + ".lora_b"] = RandomTensor({2, 7}, 1);
    CheckFault(shape, Config("lora", kParameters), "it updates 7 outputs of 4 inputs");
    shape.adapter[std::string(kQ1) + ".lora_b"] = RandomTensor({3, 6}, 1);
    CheckFault(shape, Config("lora", kParameters), "of shape [3, 6] does not fit");
    Bench stranger;
    stranger.adapter["model.layers.9.self_attn.q_proj.lora_a"] = RandomTensor({4, 2}, 1);
    stranger.adapter["model.layers.9.self_attn.q_proj.lora_b"] = RandomTensor({2, 6}, 1);
    CheckFault(stranger, Config("lora", kParameters),
               "the base has no tensor 'model.layers.9.self_attn.q_proj.weight'");
  }

  TEST_CASE("refuses experts, transposed layers and archives, and says what to do") {
    Bench experts;
    experts.adapter = {{std::string(kQ1) + ".lora_a", RandomTensor({3, 2, 4}, 1)},
                       {std::string(kQ1) + ".lora_b", RandomTensor({3, 6, 2}, 2)}};
    CheckFault(experts, Config("lora", kParameters),
               "updates a mixture's stack of experts; fuse it with mlx_lm.fuse first");

    Bench transposed;
    transposed.base = {{"h.0.attn.c_attn.weight", RandomTensor({4, 12}, 1)},
                       {"h.0.attn.c_attn.bias", RandomTensor({12}, 2)},
                       {"h.0.attn.c_proj.weight", RandomTensor({4, 4}, 3)}};
    transposed.adapter = {{"model.h.0.attn.c_proj.weight", RandomTensor({4, 4}, 4)}};
    CheckFault(transposed, Config("full", "null"), "which mlx keeps in an order of its own");

    Bench archive;
    archive.Write(Config("lora", kParameters));
    fs::rename(archive.folder / "adapter" / "adapters.safetensors",
               archive.folder / "adapter" / "adapters.npz");
    const std::string fault =
        MergeFault(archive.folder / "model.safetensors", archive.folder / "adapter");
    CHECK(fault.find("adapters.npz: is a NumPy archive") != std::string::npos);
  }
}

}  // namespace
}  // namespace graft::converter
