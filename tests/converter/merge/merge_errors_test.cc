// SPDX-License-Identifier: Apache-2.0
// Adapters that do not belong to the base, contradict themselves, or cannot be merged: each refused
// in a sentence that says why.
#include <limits>

#include <doctest/doctest.h>

#include "converter/adapter/module_pattern.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

constexpr const char* kA = "base_model.model.fc.lora_A.weight";
constexpr const char* kB = "base_model.model.fc.lora_B.weight";

struct Bench {
  TemporaryFolder folder;
  SmallTensors adapter;

  Bench() {
    WriteTensors(folder / "model.safetensors", {{"fc.weight", RandomTensor({6, 4}, 1)},
                                                {"other.weight", RandomTensor({5, 3}, 2)},
                                                {"norm.weight", RandomTensor({4}, 3)}});
    adapter[kA] = RandomTensor({2, 4}, 4);
    adapter[kB] = RandomTensor({6, 2}, 5);
  }
  std::string Fault(std::string_view settings = R"("r": 2)", std::string_view type = "LORA") {
    std::filesystem::remove_all(folder / "adapter");
    WriteAdapter(folder / "adapter", type, settings, adapter);
    return MergeFault(folder / "model.safetensors", folder / "adapter");
  }
};

bool Mentions(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Both that it is refused and how.
void CheckFault(Bench& bench, std::string_view settings, std::string_view part,
                std::string_view type = "LORA") {
  const std::string fault = bench.Fault(settings, type);
  INFO(std::string(settings), " -> ", fault);
  CHECK(Mentions(fault, part));
}

TEST_SUITE("converter/merge_errors") {
  TEST_CASE("accepts the adapter that the others are bent from") {
    Bench bench;
    CHECK(bench.Fault().empty());
    CHECK(
        bench
            .Fault(
                R"("r": 2, "lora_dropout": 0.1, "task_type": null, "something_new": null, "flag_new": false,
                       "list_new": [], "velora_config": {"x": 1}, "target_modules": ["fc"])")
            .empty());
  }

  TEST_CASE("refuses an adapter of another base, naming tensor and shapes") {
    Bench bench;
    bench.adapter[kA] = RandomTensor({2, 9}, 4);
    CheckFault(bench, R"("r": 2)",
               "tensor 'base_model.model.fc.lora_A.weight' does not fit the base's 'fc.weight' [6, "
               "4]: it updates 6 "
               "outputs of 9 inputs");
  }

  TEST_CASE("refuses a key that matches nothing and says what is nearest") {
    Bench bench;
    bench.adapter["base_model.model.fd.lora_A.weight"] = bench.adapter[kA];
    bench.adapter["base_model.model.fd.lora_B.weight"] = bench.adapter[kB];
    CheckFault(bench, R"("r": 2)",
               "matches nothing: the base has no tensor 'fd.weight'; the nearest is 'fc.weight'");
    Bench plain;
    plain.adapter["base_model.model.norn.weight"] = RandomTensor({4}, 1);
    CheckFault(plain, R"("r": 2)", "'base_model.model.norn.weight' matches nothing");
  }

  TEST_CASE("says which base an adapter that does not fit was trained on") {
    Bench bench;
    bench.adapter[kA] = RandomTensor({2, 9}, 4);
    CheckFault(bench, R"("r": 2, "base_model_name_or_path": "org/model\u001b[2J")",
               "9 inputs; the adapter says that it was trained on 'org/model?[2J'");
    bench.adapter[kA] = RandomTensor({2, 4}, 4);
    CHECK(bench.Fault(R"("r": 2, "base_model_name_or_path": "org/model")").empty());
  }

  TEST_CASE("refuses a factor without its partner") {
    Bench bench;
    bench.adapter.erase(kB);
    CheckFault(bench, R"("r": 2)", "has no partner: 'fc' needs lora_A and lora_B");
  }

  TEST_CASE("refuses tensors nobody asked for") {
    Bench bench;
    bench.adapter["base_model.model.fc.lora_E"] = RandomTensor({2, 1}, 1);
    CheckFault(bench, R"("r": 2)",
               "'base_model.model.fc.lora_E' belongs to nothing in an adapter of kind lora");
    Bench magnitude;
    magnitude.adapter["base_model.model.fc.lora_magnitude_vector"] = RandomTensor({6}, 1);
    CheckFault(magnitude, R"("r": 2)",
               "comes with a lora_magnitude_vector, though use_dora is not set");
    CHECK(magnitude.Fault(R"("r": 2, "use_dora": true, "bias": "none")").empty());
    magnitude.adapter["base_model.model.fc.lora_magnitude_vector"] = RandomTensor({5}, 1);
    CheckFault(magnitude, R"("r": 2, "use_dora": true)",
               "has 5 magnitudes for 6 outputs of 'fc.weight'");
    Bench missing;
    CheckFault(missing, R"("r": 2, "use_dora": true)",
               "has no lora_magnitude_vector, though use_dora is set");
  }

  TEST_CASE("refuses numbers that are not numbers, naming tensor and element") {
    for (const double poison :
         {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
      Bench bench;
      bench.adapter[kB].values[7] = poison;
      CheckFault(bench, R"("r": 2)", "tensor 'base_model.model.fc.lora_B.weight' holds");
      CheckFault(bench, R"("r": 2)", "at element 7");
    }
    Bench bench;
    bench.adapter[kB] = {{6, 2}, std::vector<double>(12, 1), DType::kUInt8};
    CheckFault(bench, R"("r": 2)",
               "has the element type U8; an adapter's tensors are floating-point");
  }

  TEST_CASE("refuses a rank that is not the configuration's") {
    Bench bench;
    CheckFault(bench, R"("r": 3)", "has rank 2, but");
    CheckFault(bench, R"("r": 3, "rank_pattern": {"x": 2})", "gives it 3");
    CHECK(bench.Fault(R"("r": 3, "rank_pattern": {"f.": 2})").empty());
    CheckFault(bench, R"("r": 0)", "'r' is 0, outside 1 to 1048576");
    CheckFault(bench, R"("r": "8")", "'r' must be an integer, but is a string");
    CheckFault(bench, R"("r": 2, "rank_pattern": {"f.": 2.5})",
               "'rank_pattern' holds a rank outside");
    bench.adapter[kB] = RandomTensor({6, 3}, 5);
    CheckFault(bench, R"("r": 2)",
               "of shape [6, 3] does not fit 'base_model.model.fc.lora_A.weight' of shape [2, 4]");
  }

  TEST_CASE("refuses two tensors for one place") {
    Bench bench;
    bench.adapter["base_model.model.fc.lora_A.default.weight"] = bench.adapter[kA];
    bench.adapter["base_model.model.fc.lora_A.default.weight"].values[0] += 1;
    CheckFault(bench, R"("r": 2)", "means the same place as another tensor of this file");
    Bench prefixed;
    prefixed.adapter["base_model.model.model.fc.lora_A.weight"] = prefixed.adapter[kA];
    prefixed.adapter["base_model.model.model.fc.lora_B.weight"] = prefixed.adapter[kB];
    CheckFault(prefixed, R"("r": 2)",
               "two modules of the adapter mean the base's tensor 'fc.weight'");
  }

  TEST_CASE("refuses a saved module of another shape, and a bias the base lacks") {
    Bench bench;
    bench.adapter["base_model.model.norm.weight"] = RandomTensor({5}, 1);
    CheckFault(bench, R"("r": 2)", "has shape [5], but replaces the base's 'norm.weight' [4]");
    Bench bias;
    bias.adapter["base_model.model.fc.lora_B.bias"] = RandomTensor({6}, 1);
    CheckFault(bias, R"("r": 2, "lora_bias": true)",
               "is a bias for 'fc.weight', which has none in the base to add it to: the base has "
               "no tensor 'fc.bias'");
  }

  TEST_CASE("refuses to change a quantized weight") {
    Bench bench;
    WriteTensors(bench.folder / "model.safetensors",
                 {{"fc.weight", {{6, 4}, std::vector<double>(24, 1), DType::kUInt8}}});
    CheckFault(
        bench, R"("r": 2)",
        "changes the base's 'fc.weight' [6, 4], which holds U8; start from the unquantized base");
  }

  TEST_CASE("refuses settings that change the mathematics, each by name and with the reason") {
    Bench bench;
    CheckFault(bench, R"("r": 2, "lora_squared": true)",
               "'lora_squared' is a setting graft does not know");
    CheckFault(bench, R"("r": 2, "alora_invocation_tokens": [1, 2])",
               "an aLoRA adapter acts only after its invocation");
    CheckFault(bench, R"("r": 2, "arrow_config": {"top_k": 3})", "Arrow routes each token");
    CheckFault(bench, R"("r": 2, "use_qalora": true)", "QALoRA pools its input");
    CheckFault(bench, R"("r": 2, "kasa_config": {"beta": 1})", "KaSA adds to a truncated base");
    for (const char* init : {"pissa", "pissa_niter_16", "olora", "corda", "lora_ga"}) {
      CheckFault(bench, R"("r": 2, "init_lora_weights": ")" + std::string(init) + "\"",
                 "is \"" + std::string(init) + "\": training began by changing the base");
    }
    CheckFault(bench, R"("r": 2, "init_lora_weights": "loftq")", "corrects a quantized base");
    CheckFault(bench, R"("r": 2, "init_lora_weights": "newest")",
               "an initialization graft does not know");
    for (const char* init : {R"("gaussian")", R"("eva")", R"("orthogonal")", "true", "false"}) {
      CHECK(bench.Fault(R"("r": 2, "init_lora_weights": )" + std::string(init)).empty());
    }
    CheckFault(bench, R"("r": 2, "bias": "some")", "must be none, all or lora_only");
  }

  TEST_CASE("refuses kinds of adapter that are no update of weights, or unknown") {
    Bench bench;
    for (const char* type : {"PROMPT_TUNING", "PREFIX_TUNING", "P_TUNING",
                             "MULTITASK_PROMPT_TUNING", "ADAPTION_PROMPT", "CPT"}) {
      CheckFault(bench, "", "it is not a weight adapter", type);
    }
    CheckFault(bench, "", "X-LoRA mixes adapters anew for each token", "XLORA");
    CheckFault(bench, "", "call PEFT's merge_and_unload", "TRAINABLE_TOKENS");
    CheckFault(bench, "", "Poly mixes adapters by task", "POLY");
    CheckFault(bench, "", "QALoRA pools its input", "QALORA");
    CheckFault(bench, "", "graft does not know this kind of adapter", "BRAND_NEW");
  }

  TEST_CASE("counts what the configuration asked for and the adapter lacks") {
    Bench bench;
    WriteAdapter(bench.folder / "adapter", "LORA", R"("r": 2, "target_modules": ["fc", "other"])",
                 bench.adapter);
    const auto merged = Merge(bench.folder / "model.safetensors", bench.folder / "adapter");
    REQUIRE(merged.ok());
    const AdapterReport& report = (*merged)->report().adapters[0];
    CHECK(report.modules_merged == 1);
    CHECK(report.modules_expected == 2);
    REQUIRE(report.missing.size() == 1);
    CHECK(report.missing[0] == "other.weight");
  }

  TEST_CASE("counts by each adapter's own names, whatever an adapter before it was called") {
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", {{"layers.0.fc.weight", RandomTensor({6, 4}, 1)},
                                                {"layers.1.fc.weight", RandomTensor({6, 4}, 2)}});
    const auto adapter = [&](const std::string& name, const std::string& prefix) {
      const std::string pattern = prefix + R"(layers\\.\\d+\\.fc)";
      WriteAdapter(folder / name, "LORA", R"("r": 2, "target_modules": ")" + pattern + "\"",
                   {{Key(prefix + "layers.0.fc.lora_A.weight"), RandomTensor({2, 4}, 3)},
                    {Key(prefix + "layers.0.fc.lora_B.weight"), RandomTensor({6, 2}, 4)}});
    };
    adapter("wrapped", "wrapper.");
    adapter("plain", "");
    auto base = Checkpoint::Open(folder / "model.safetensors");
    REQUIRE(base.ok());
    const AdapterSpec specs[] = {{folder / "wrapped", 0.5}, {folder / "plain", 0.5}};
    const auto merged = MergedSource::Open(std::move(base).value(), specs);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    for (const AdapterReport& report : (*merged)->report().adapters) {
      INFO(report.name);
      CHECK(report.missing == std::vector<std::string>{"layers.1.fc.weight"});
    }
  }

  TEST_CASE("finds modules under other prefixes, and never guesses between two") {
    Bench bench;
    SmallTensors renamed;
    renamed["base_model.model.model.fc.lora_A.weight"] = bench.adapter[kA];
    renamed["base_model.model.model.fc.lora_B.weight"] = bench.adapter[kB];
    bench.adapter = renamed;
    CHECK(bench.Fault().empty());
    WriteTensors(bench.folder / "model.safetensors",
                 {{"encoder.model.fc.weight", RandomTensor({6, 4}, 1)}});
    CHECK(bench.Fault().empty());
    WriteTensors(bench.folder / "model.safetensors",
                 {{"a.model.fc.weight", RandomTensor({6, 4}, 1)},
                  {"b.model.fc.weight", RandomTensor({6, 4}, 1)}});
    CheckFault(bench, R"("r": 2)",
               "could mean the base's 'a.model.fc.weight' or 'b.model.fc.weight'");
  }

  TEST_CASE("never takes the layers that see for those that read") {
    Bench bench;
    const auto fault = [&](const std::string& adapter, const std::string& base) {
      const SmallTensor a = RandomTensor({2, 4}, 4), b = RandomTensor({6, 2}, 5);
      bench.adapter = {{"base_model.model." + adapter + ".lora_A.weight", a},
                       {"base_model.model." + adapter + ".lora_B.weight", b}};
      WriteTensors(bench.folder / "model.safetensors",
                   {{base + ".weight", RandomTensor({6, 4}, 1)}});
      return bench.Fault();
    };
    CHECK(fault("model.language_model.layers.0.q", "language_model.model.layers.0.q").empty());
    CHECK(fault("model.vision_tower.layers.0.q", "vision_model.layers.0.q").empty());
    CHECK(Mentions(fault("vision_model.layers.0.q", "text_model.layers.0.q"), "matches nothing"));
    CHECK(Mentions(fault("text_model.layers.0.q", "visual.layers.0.q"), "matches nothing"));
    CHECK(Mentions(fault("model.vision_tower.layers.0.q", "layers.0.q"), "matches nothing"));
  }
}

TEST_SUITE("converter/module_pattern") {
  TEST_CASE("matches as Python's re.match and re.fullmatch do") {
    const auto pattern = Pattern::Compile("(\\w+)\\.x", "here");
    REQUIRE(pattern.ok());
    std::string group;
    CHECK(*pattern->Match("ab.xyz", &group));
    CHECK(group == "ab");
    CHECK_FALSE(*pattern->Match("-ab.x"));
    CHECK(*pattern->FullMatch("ab.x"));
    CHECK_FALSE(*pattern->FullMatch("ab.xy"));
    CHECK(Pattern::Compile("(", "here").status().code() == StatusCode::kUnsupported);
  }

  TEST_CASE("gives up on a pattern that would run for ever") {
    const auto pattern = Pattern::Compile("(a*)*(a*)*(a*)*[bd]", "here");
    REQUIRE(pattern.ok());
    CHECK(pattern->FullMatch(std::string(60, 'a') + "c").status().code() ==
          StatusCode::kUnsupported);
  }

  TEST_CASE("selects by list, by pattern, by exclusion and by layer as PEFT does") {
    AdapterConfig config;
    config.target_modules.names = {"q_proj", "mlp.down"};
    config.exclude_modules.names = {"layers.3.q_proj"};
    const auto targets = [&](std::string_view name) {
      const auto rules = ModuleRules::Create(config);
      REQUIRE(rules.ok());
      return *rules->Targets(name);
    };
    CHECK(targets("model.layers.0.q_proj"));
    CHECK(targets("q_proj"));
    CHECK_FALSE(targets("model.layers.0.xq_proj"));
    CHECK(targets("a.mlp.down"));
    CHECK_FALSE(targets("a.down"));
    CHECK_FALSE(targets("model.layers.3.q_proj"));
    config.layers_to_transform = {1, 2};
    CHECK(targets("model.layers.1.q_proj"));
    CHECK_FALSE(targets("model.layers.0.q_proj"));
    CHECK_FALSE(targets("q_proj"));
    config.layers_pattern = {"blocks"};
    CHECK_FALSE(targets("model.layers.1.q_proj"));
    CHECK(targets("model.blocks.1.q_proj"));
    config = {};
    config.target_modules.pattern = ".*decoder.*(q|v)";
    CHECK(targets("m.decoder.1.q"));
    CHECK_FALSE(targets("m.decoder.1.q_proj"));
  }

  TEST_CASE("takes the first rank and alpha whose key fits the end of the name") {
    AdapterConfig config;
    config.rank = 4;
    config.alpha = 8;
    config.rank_pattern = {{"^model.layers.1.q", 2}, {"q", 3}, {"layers.1.q", 5}};
    config.alpha_pattern = {{"b.q", 1.5}};
    const auto rules = ModuleRules::Create(config);
    REQUIRE(rules.ok());
    CHECK(*rules->RankOf("model.layers.1.q") == 2);
    CHECK(*rules->RankOf("x.model.layers.1.q") == 3);
    CHECK(*rules->RankOf("v") == 4);
    CHECK(*rules->RankOf("xq") == 4);
    CHECK(*rules->AlphaOf("a.b.q") == 1.5);
    CHECK(*rules->AlphaOf("ab.q") == 8);
  }
}

}  // namespace
}  // namespace graft::converter
