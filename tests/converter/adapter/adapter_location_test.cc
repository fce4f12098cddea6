// SPDX-License-Identifier: Apache-2.0
// Adapters under names of their own, in subfolders, as lone files, or without half of what they
// need.
#include <limits>

#include <doctest/doctest.h>

#include "converter/merge/kinds/adapter_kinds.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/converter/merge/adapter_rewriter.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSettings = R"("r": 2, "lora_alpha": 4, "modules_to_save": ["head"])";

SmallTensors Adapter(const std::string& infix = "") {
  return {{"base_model.model.fc.lora_A" + infix + ".weight", RandomTensor({2, 4}, 4)},
          {"base_model.model.fc.lora_B" + infix + ".weight", RandomTensor({6, 2}, 5)}};
}

struct Bench {
  TemporaryFolder folder;
  Bench() {
    WriteTensors(folder / "model.safetensors", {{"fc.weight", RandomTensor({6, 4}, 1)},
                                                {"head.weight", RandomTensor({3, 4}, 2)},
                                                {"head.extra.weight", RandomTensor({3}, 3)}});
  }
  std::string Fault(const fs::path& adapter) const {
    return MergeFault(folder / "model.safetensors", adapter);
  }
  std::vector<double> Merged(const fs::path& adapter, std::string_view name = "fc.weight") const {
    const auto merged = Merge(folder / "model.safetensors", adapter);
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    return ReadAll(**merged, name);
  }
};

TEST_SUITE("converter/adapter_location") {
  TEST_CASE("an adapter may be named by its folder, its weights or the folder around it") {
    const Bench bench;
    WriteAdapter(bench.folder / "outer" / "mine", "LORA", kSettings, Adapter());
    const std::vector<double> expected = bench.Merged(bench.folder / "outer" / "mine");
    CHECK(bench.Merged(bench.folder / "outer") == expected);
    CHECK(bench.Merged(bench.folder / "outer" / "mine" / "adapter_model.safetensors") == expected);
    CHECK(bench.Merged(bench.folder / "outer" / "mine" / "adapter_config.json") == expected);

    const auto opened = AdapterFile::Open(bench.folder / "outer", AllAdapterKinds());
    REQUIRE(opened.ok());
    CHECK((*opened)->folder() == bench.folder / "outer" / "mine");
  }

  TEST_CASE("a tokenizer is looked for where the configuration lies, and beside no lone file") {
    const Bench bench;
    const fs::path inner = bench.folder / "outer" / "mine";
    WriteAdapter(inner, "LORA", kSettings, Adapter());
    WriteText(inner / "tokenizer.json", "{}");
    WriteText(bench.folder / "tokenizer.json", "{}");
    const auto nested = Merge(bench.folder / "model.safetensors", bench.folder / "outer");
    REQUIRE_MESSAGE(nested.ok(), nested.status().message());
    CHECK((*nested)->companions().tokenizer == inner);

    WriteTensors(bench.folder / "lone.safetensors",
                 {{"lora_te_fc.lora_down.weight", RandomTensor({2, 4}, 4)},
                  {"lora_te_fc.lora_up.weight", RandomTensor({6, 2}, 5)}});
    const auto lone = Merge(bench.folder / "model.safetensors", bench.folder / "lone.safetensors");
    REQUIRE_MESSAGE(lone.ok(), lone.status().message());
    CHECK((*lone)->companions().tokenizer.empty());
  }

  TEST_CASE("several subfolders with adapters are listed, none is chosen") {
    const Bench bench;
    WriteAdapter(bench.folder / "outer" / "second", "LORA", kSettings, Adapter());
    WriteAdapter(bench.folder / "outer" / "first", "LORA", kSettings, Adapter());
    CheckMentions(bench.Fault(bench.folder / "outer"),
                  "holds 2 adapters (first, second); name the one to merge");
    WriteTensors(bench.folder / "outer" / "lora.safetensors", Adapter());
    CheckMentions(bench.Fault(bench.folder / "outer"),
                  "holds 3 adapters (lora.safetensors, first, second)");
    WriteAdapter(bench.folder / "outer", "LORA", kSettings, Adapter());
    CHECK(bench.Fault(bench.folder / "outer").empty());
  }

  TEST_CASE("an adapter in shards is read by its index") {
    const Bench bench;
    WriteAdapter(bench.folder / "whole", "LORA", kSettings, Adapter());
    const std::vector<double> expected = bench.Merged(bench.folder / "whole");
    const std::string a = "base_model.model.fc.lora_A.weight";
    const std::string b = "base_model.model.fc.lora_B.weight";
    const auto shards = [&](const fs::path& folder, const std::string& stem) {
      fs::create_directories(folder);
      const std::string first = stem + "-00001-of-00002.safetensors";
      const std::string second = stem + "-00002-of-00002.safetensors";
      WriteTensors(folder / first, {{a, Adapter()[a]}});
      WriteTensors(folder / second, {{b, Adapter()[b]}});
      WriteText(folder / (stem + ".safetensors.index.json"),
                R"({"metadata": {}, "weight_map": {")" + a + R"(": ")" + first + R"(", ")" + b +
                    R"(": ")" + second + "\"}}");
    };
    const fs::path folder = bench.folder / "outer" / "sharded";
    shards(folder, "adapter_model");
    CheckMentions(bench.Fault(folder), "without its adapter_config.json");
    fs::copy_file(bench.folder / "whole" / "adapter_config.json", folder / "adapter_config.json");
    for (const char* named :
         {"outer", "outer/sharded", "outer/sharded/adapter_model.safetensors.index.json",
          "outer/sharded/adapter_model-00002-of-00002.safetensors"}) {
      INFO(named);
      CHECK(bench.Merged(bench.folder / named) == expected);
    }
    const auto opened = Merge(bench.folder / "model.safetensors", folder);
    const auto alone = Merge(bench.folder / "model.safetensors", bench.folder / "whole");
    REQUIRE(opened.ok());
    CHECK((*opened)->report().adapters[0].modules_merged == 1);
    CHECK((*opened)->report().adapters[0].hash.high != (*alone)->report().adapters[0].hash.high);

    // A fault in a shard is told of that shard.
    SmallTensor broken = Adapter()[b];
    broken.values[3] = std::numeric_limits<double>::infinity();
    WriteTensors(folder / "adapter_model-00002-of-00002.safetensors", {{b, broken}});
    CheckMentions(bench.Fault(folder), "00002-of-00002.safetensors: tensor '" + b + "' holds an");
    WriteTensors(folder / "adapter_model-00002-of-00002.safetensors",
                 {{b, Adapter()[b]}, {a, Adapter()[a]}});
    CheckMentions(bench.Fault(folder), "is both in");
    fs::remove(folder / "adapter_model-00002-of-00002.safetensors");
    CheckMentions(bench.Fault(folder),
                  "names the shard adapter_model-00002-of-00002.safetensors, "
                  "which is missing");
    WriteText(folder / "adapter_model.safetensors.index.json",
              R"({"weight_map": {"a": "../../model.safetensors"}})");
    CheckMentions(bench.Fault(folder), "is not the name of a file in the same folder");
    WriteText(folder / "adapter_model.safetensors.index.json", R"({"weight_map": {}})");
    CheckMentions(bench.Fault(folder), "names no shards");
    fs::remove(folder / "adapter_model.safetensors.index.json");
    CheckMentions(bench.Fault(folder),
                  "has the shard adapter_model-00001-of-00002.safetensors, but not the index that "
                  "names all of them, adapter_model.safetensors.index.json");
    CheckMentions(bench.Fault(folder / "adapter_model-00001-of-00002.safetensors"),
                  "is one shard of an adapter");
  }

  TEST_CASE("says what is missing where there is no adapter, or half of one") {
    const Bench bench;
    CheckMentions(bench.Fault(bench.folder / "nowhere"), "no such adapter");
    fs::create_directory(bench.folder / "empty");
    CheckMentions(bench.Fault(bench.folder / "empty"), "holds no adapter");

    fs::create_directory(bench.folder / "half");
    WriteTensors(bench.folder / "half" / "adapter_model.safetensors", Adapter());
    for (const char* named : {"half", "half/adapter_model.safetensors"}) {
      CheckMentions(bench.Fault(bench.folder / named),
                    "adapter_model.safetensors: is a PEFT adapter without its adapter_config.json");
    }
    // A subfolder's configuration is not taken for the missing one.
    WriteAdapter(bench.folder / "half" / "other", "LORA", kSettings, Adapter());
    CheckMentions(bench.Fault(bench.folder / "half"), "without its adapter_config.json");

    WriteTensors(bench.folder / "mlx.safetensors", {{"fc.lora_a", RandomTensor({4, 2}, 1)}});
    CheckMentions(bench.Fault(bench.folder / "mlx.safetensors"),
                  "is an mlx-lm adapter without its adapter_config.json");
    WriteTensors(bench.folder / "other.safetensors", {{"fc.weight", RandomTensor({4, 2}, 1)}});
    CheckMentions(bench.Fault(bench.folder / "other.safetensors"),
                  "(the first is 'fc.weight') are not named as any adapter's that graft knows");
    CheckMentions(bench.Fault(bench.folder.path()),
                  "holds 3 adapters (mlx.safetensors, model.safetensors, other.safetensors)");

    fs::create_directory(bench.folder / "config_only");
    WriteText(bench.folder / "config_only" / "adapter_config.json", R"({"peft_type": "LORA"})");
    CheckMentions(bench.Fault(bench.folder / "config_only"), "adapter_model.safetensors");
  }

  TEST_CASE("the adapter's own name inside the keys changes nothing, whatever it is") {
    const Bench bench;
    SmallTensors plain = Adapter();
    plain["base_model.model.head.weight"] = RandomTensor({3, 4}, 6);
    plain["base_model.model.head.extra.weight"] = RandomTensor({3}, 7);
    WriteAdapter(bench.folder / "plain", "LORA", kSettings, plain);
    for (const char* name : {"default", "storyteller"}) {
      SmallTensors named = Adapter("." + std::string(name));
      const std::string saved = "base_model.model.head.modules_to_save." + std::string(name);
      named[saved + ".weight"] = plain["base_model.model.head.weight"];
      named[saved + ".extra.weight"] = plain["base_model.model.head.extra.weight"];
      WriteAdapter(bench.folder / name, "LORA", kSettings, named);
      for (const char* tensor : {"fc.weight", "head.weight", "head.extra.weight"}) {
        CHECK(bench.Merged(bench.folder / name, tensor) ==
              bench.Merged(bench.folder / "plain", tensor));
      }
    }
    // Cut away by the program that saved it.
    SmallTensors cut = Adapter();
    cut["base_model.model.head.modules_to_save.weight"] = plain["base_model.model.head.weight"];
    cut["base_model.model.head.modules_to_save.extra.weight"] =
        plain["base_model.model.head.extra.weight"];
    WriteAdapter(bench.folder / "cut", "LORA", kSettings, cut);
    CHECK(bench.Merged(bench.folder / "cut", "head.extra.weight") ==
          plain["base_model.model.head.extra.weight"].values);
  }

  TEST_CASE("two adapters in one file are refused by their names, and parts of no adapter") {
    const Bench bench;
    SmallTensors both = Adapter(".default");
    both.merge(Adapter(".pirate"));
    WriteAdapter(bench.folder / "both", "LORA", kSettings, both);
    CheckMentions(bench.Fault(bench.folder / "both"),
                  "holds the tensors of several adapters, among them 'default' and 'pirate'");
    SmallTensors odd = Adapter();
    odd["base_model.model.fc.lora_A.some.thing.weight"] = RandomTensor({2, 4}, 1);
    WriteAdapter(bench.folder / "odd", "LORA", kSettings, odd);
    CheckMentions(bench.Fault(bench.folder / "odd"), "belongs to nothing");
  }

  TEST_CASE("names inside embedding, magnitude, bias and token keys are found as well") {
    const AdapterNames none;
    const auto check = [&](std::string_view key, std::string_view module, std::string_view role,
                           std::string_view name) {
      const AdapterKey cut = SplitPeftKey(key, none, AllAdapterKinds());
      INFO(std::string(key));
      CHECK(cut.module == module);
      CHECK(cut.role == role);
      CHECK(cut.adapter_name == name);
    };
    check("base_model.model.e.lora_embedding_A.x", "e", "lora_embedding_A", "x");
    check("base_model.model.e.lora_embedding_A", "e", "lora_embedding_A", "");
    check("base_model.model.q.lora_magnitude_vector.x.weight", "q", "lora_magnitude_vector", "x");
    check("base_model.model.q.lora_B.x.bias", "q", "lora_B.bias", "x");
    check("base_model.model.q.lora_B.bias", "q", "lora_B.bias", "");
    check("base_model.model.e.token_adapter.trainable_tokens_delta", "e", "token_adapter", "");
    check("base_model.model.e.token_adapter.trainable_tokens_delta.x", "e", "token_adapter", "x");
    check("base_model.vera_A.x", "", "vera_A", "x");
    check("base_model.model.h.base_layer.weight", "h", "base_layer.weight", "");
  }
}

}  // namespace
}  // namespace graft::converter
