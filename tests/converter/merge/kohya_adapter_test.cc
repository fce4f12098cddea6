// SPDX-License-Identifier: Apache-2.0
// Adapters of kohya's sd-scripts and LyCORIS: the same bytes as the same adapter in PEFT's files,
// references written out in full, and names that could mean two modules or none.
#include <cmath>

#include <doctest/doctest.h>

#include "converter/adapter/names/underscored_names.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/converter/merge/adapter_rewriter.h"
#include "tests/reference/lora_reference.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

struct Bench {
  TemporaryFolder folder;
  SmallTensors base = {{"blocks.0.to_q.weight", RandomTensor({6, 4}, 1)},
                       {"blocks.0.conv_in.weight", RandomTensor({5, 4, 3, 2}, 2)},
                       {"blocks.0.norm.weight", RandomTensor({4}, 3)},
                       {"blocks.0.norm.bias", RandomTensor({4}, 4)}};
  SmallTensors adapter = {
      {"lora_unet_blocks_0_to_q.lora_down.weight", RandomTensor({2, 4}, 11)},
      {"lora_unet_blocks_0_to_q.lora_up.weight", RandomTensor({6, 2}, 12)},
      {"lora_unet_blocks_0_to_q.alpha", {{}, {3}}},
  };

  fs::path Write() {
    WriteTensors(folder / "model.safetensors", base);
    WriteTensors(folder / "lora.safetensors", adapter);
    return folder / "lora.safetensors";
  }
  std::unique_ptr<MergedSource> Run() {
    auto merged = Merge(folder / "model.safetensors", Write());
    if (!merged.ok()) MESSAGE(merged.status().message());
    REQUIRE(merged.ok());
    return std::move(merged).value();
  }
  std::vector<double> Tensor(std::string_view name) { return ReadAll(*Run(), name); }
  std::string Fault() { return MergeFault(folder / "model.safetensors", Write()); }
};

void CheckFault(Bench& bench, std::string_view part) {
  const std::string fault = bench.Fault();
  INFO(fault);
  CHECK(fault.find(part) != std::string::npos);
}

// The factors of the bench's adapter under `module`, with another scale.
reference::LowRank Update(const Bench& bench, const std::string& module, double scale) {
  return {bench.adapter.at(module + ".lora_down.weight").values,
          bench.adapter.at(module + ".lora_up.weight").values, 2, scale,
          reference::Orientation::kStraight};
}

constexpr const char* kQ = "lora_unet_blocks_0_to_q";

TEST_SUITE("converter/kohya_adapter") {
  TEST_CASE("LoRA, LoHa and LoKr merge to the bytes of the same adapter in PEFT's files") {
    const TemporaryFolder folder;
    struct Case {
      const char* name;
      const char* base;
      const char* prefix;
      double alpha;
    };
    for (const Case& c :
         {Case{"lora_all_linear", "base_llama", "lora_te_", 16},
          Case{"conv2d", "base_conv", "lora_unet_", 8}, Case{"loha", "base_llama", "lora_te1_", 8},
          Case{"loha_conv", "base_conv", "lora_unet_", 8},
          Case{"lokr_both", "base_llama", "lycoris_", 4}}) {
      const std::string name = c.name;
      INFO(name);
      const fs::path base = TestData("adapters") / c.base;
      const fs::path peft = TestData("adapters") / c.name;
      const SmallTensors tensors =
          AsKohya(StoredTensors(peft / "adapter_model.safetensors"), c.prefix, c.alpha);
      // Alone in a folder, and named.
      fs::create_directories(folder / name);
      const fs::path file = folder / name / "some-lora.safetensors";
      WriteTensors(file, tensors);
      const std::string expected = MergedBytes(base, peft);
      CHECK(MergedBytes(base, folder / name) == expected);
      CHECK(MergedBytes(base, file) == expected);

      const auto merged = Merge(base, file);
      REQUIRE(merged.ok());
      const AdapterReport& report = (*merged)->report().adapters[0];
      CHECK(report.kind == "kohya lora");
      CHECK(report.modules_merged > 0);
      CHECK(report.modules_merged == report.modules_expected);
    }
  }

  TEST_CASE("the scale is alpha over rank, and 1 without an alpha") {
    Bench bench;
    const std::vector<double> w = bench.base["blocks.0.to_q.weight"].values;
    CHECK(bench.Tensor("blocks.0.to_q.weight") ==
          reference::MergeLora(w, 6, 4, Update(bench, kQ, 1.5)));
    bench.adapter[std::string(kQ) + ".alpha"] = {{1}, {4}, DType::kUInt8};
    CHECK(bench.Tensor("blocks.0.to_q.weight") ==
          reference::MergeLora(w, 6, 4, Update(bench, kQ, 2)));
    bench.adapter.erase(std::string(kQ) + ".alpha");
    CHECK(bench.Tensor("blocks.0.to_q.weight") ==
          reference::MergeLora(w, 6, 4, Update(bench, kQ, 1)));
  }

  TEST_CASE("a kernel of one point and no kernel are the same, on either side") {
    Bench bench;
    const std::vector<double> expected = bench.Tensor("blocks.0.to_q.weight");
    bench.adapter[std::string(kQ) + ".lora_down.weight"].shape = {2, 4, 1, 1};
    bench.adapter[std::string(kQ) + ".lora_up.weight"].shape = {6, 2, 1, 1};
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
    bench.base["blocks.0.to_q.weight"].shape = {6, 4, 1, 1};
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
    bench.adapter[std::string(kQ) + ".lora_down.weight"].shape = {2, 4};
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
  }

  TEST_CASE("lora_mid puts a core between the factors of a convolution") {
    Bench bench;
    const std::string module = "lora_unet_blocks_0_conv_in";
    bench.adapter = {{module + ".lora_down.weight", RandomTensor({2, 4, 1, 1}, 21, true)},
                     {module + ".lora_up.weight", RandomTensor({5, 2, 1, 1}, 22, true)},
                     {module + ".lora_mid.weight", RandomTensor({2, 2, 3, 2}, 23, true)},
                     {module + ".alpha", {{}, {1}}}};
    const auto& down = bench.adapter[module + ".lora_down.weight"].values;
    const auto& up = bench.adapter[module + ".lora_up.weight"].values;
    const auto& mid = bench.adapter[module + ".lora_mid.weight"].values;
    std::vector<double> expected = bench.base["blocks.0.conv_in.weight"].values;
    for (size_t o = 0; o < 5; ++o) {
      for (size_t x = 0; x < 4; ++x) {
        for (size_t p = 0; p < 6; ++p) {
          double sum = 0;
          for (size_t i = 0; i < 2; ++i) {
            for (size_t j = 0; j < 2; ++j)
              sum += up[o * 2 + i] * mid[(i * 2 + j) * 6 + p] * down[j * 4 + x];
          }
          expected[(o * 4 + x) * 6 + p] += 0.5 * sum;
        }
      }
    }
    // The factors are coarse enough that every product and sum is exact.
    CHECK(bench.Tensor("blocks.0.conv_in.weight") == expected);
    bench.adapter[module + ".lora_mid.weight"] = RandomTensor({2, 3, 3, 2}, 23);
    CheckFault(bench, "of shape [5, 2, 1, 1] does not fit");
  }

  TEST_CASE("two whole matrices of LoKr are not scaled, whatever their alpha says") {
    Bench bench;
    bench.adapter = {{std::string(kQ) + ".lokr_w1", RandomTensor({3, 2}, 31, true)},
                     {std::string(kQ) + ".lokr_w2", RandomTensor({2, 2}, 32, true)},
                     {std::string(kQ) + ".alpha", {{}, {1e10}}}};
    const auto& first = bench.adapter[std::string(kQ) + ".lokr_w1"].values;
    const auto& second = bench.adapter[std::string(kQ) + ".lokr_w2"].values;
    std::vector<double> expected = bench.base["blocks.0.to_q.weight"].values;
    for (size_t r = 0; r < 6; ++r) {
      for (size_t c = 0; c < 4; ++c)
        expected[r * 4 + c] += first[r / 2 * 2 + c / 2] * second[r % 2 * 2 + c % 2];
    }
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
    // One of them as a product has a rank, and the scale with it.
    bench.adapter.erase(std::string(kQ) + ".lokr_w1");
    bench.adapter[std::string(kQ) + ".lokr_w1_a"] = {{3, 1}, {1, 0, 0}};
    bench.adapter[std::string(kQ) + ".lokr_w1_b"] = {{1, 2}, {1, 0}};
    bench.adapter[std::string(kQ) + ".alpha"] = {{}, {4}};
    expected = bench.base["blocks.0.to_q.weight"].values;
    for (size_t r = 0; r < 2; ++r) {
      for (size_t c = 0; c < 2; ++c) expected[r * 4 + c] += 4 * second[r * 2 + c];
    }
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
  }

  TEST_CASE("whole differences are added to weights and biases") {
    Bench bench;
    const std::string norm = "lora_unet_blocks_0_norm";
    bench.adapter = {{std::string(kQ) + ".diff", RandomTensor({6, 4}, 41, true)},
                     {norm + ".w_norm", RandomTensor({4}, 42, true)},
                     {norm + ".b_norm", RandomTensor({4}, 43, true)}};
    const auto sum = [](std::vector<double> a, const std::vector<double>& b) {
      for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
      return a;
    };
    const auto merged = bench.Run();
    CHECK(ReadAll(*merged, "blocks.0.to_q.weight") ==
          sum(bench.base["blocks.0.to_q.weight"].values,
              bench.adapter[std::string(kQ) + ".diff"].values));
    CHECK(ReadAll(*merged, "blocks.0.norm.weight") ==
          sum(bench.base["blocks.0.norm.weight"].values, bench.adapter[norm + ".w_norm"].values));
    CHECK(ReadAll(*merged, "blocks.0.norm.bias") ==
          sum(bench.base["blocks.0.norm.bias"].values, bench.adapter[norm + ".b_norm"].values));
    CHECK(merged->report().adapters[0].modules_merged == 2);
    bench.adapter[norm + ".b_norm"] = RandomTensor({5}, 43);
    CheckFault(bench, "of shape [5] does not fit the base's 'blocks.0.norm.bias' [4]");
  }

  TEST_CASE("names with dots are taken as they are, also behind a wrapper's name") {
    for (const char* prefix : {"", "diffusion_model."}) {
      Bench bench;
      const std::vector<double> expected = bench.Tensor("blocks.0.to_q.weight");
      SmallTensors dotted;
      for (const auto& [name, tensor] : bench.adapter) {
        dotted[std::string(prefix) + "blocks.0.to_q" + name.substr(std::string(kQ).size())] =
            tensor;
      }
      bench.adapter = dotted;
      CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
    }
  }

  TEST_CASE("a second underscore behind the prefix means nothing") {
    Bench bench;
    const std::vector<double> expected = bench.Tensor("blocks.0.to_q.weight");
    SmallTensors doubled;
    for (const auto& [name, tensor] : bench.adapter)
      doubled[std::string(name).insert(9, "_")] = tensor;
    REQUIRE(doubled.begin()->first == "lora_unet__blocks_0_to_q.alpha");
    bench.adapter = doubled;
    CHECK(bench.Tensor("blocks.0.to_q.weight") == expected);
  }

  TEST_CASE("refuses names that mean nothing, two modules, or one module twice") {
    Bench bench;
    bench.adapter["lora_te_blocks_9_to_q.lora_down.weight"] = RandomTensor({2, 4}, 1);
    CheckFault(bench,
               "tensor 'lora_te_blocks_9_to_q.lora_down.weight' matches nothing: no module of the "
               "base is called 'blocks_9_to_q' with underscores for its dots");
    Bench twice;
    twice.adapter.merge(
        SmallTensors{{"lora_transformer_blocks_0_to_q.lora_down.weight", RandomTensor({2, 4}, 11)},
                     {"lora_transformer_blocks_0_to_q.lora_up.weight", RandomTensor({6, 2}, 12)}});
    CheckFault(twice, "two modules of the adapter mean the base's tensor 'blocks.0.to_q.weight'");
    Bench two;
    two.base["blocks.0_to.q.weight"] = RandomTensor({6, 4}, 1);
    CheckFault(two, "could mean the base's 'blocks.0.to_q' or 'blocks.0_to.q'");
  }

  TEST_CASE("refuses what it cannot merge exactly, and parts that do not fit") {
    Bench dora;
    dora.adapter[std::string(kQ) + ".dora_scale"] = RandomTensor({1, 4}, 1);
    CheckFault(dora, "'lora_unet_blocks_0_to_q.dora_scale' is LyCORIS' form of DoRA");
    Bench oft;
    oft.adapter[std::string(kQ) + ".oft_blocks"] = RandomTensor({2, 2, 2}, 1);
    CheckFault(oft, "has the part 'oft_blocks', which graft does not merge");
    Bench dotted;
    dotted.adapter["blocks.0.to_q.weight"] = RandomTensor({6, 4}, 1);
    CheckFault(dotted, "has the part 'weight', which graft does not merge");
    Bench partner;
    partner.adapter.erase(std::string(kQ) + ".lora_up.weight");
    CheckFault(partner, "needs lora_down and lora_up");
    Bench misfit;
    misfit.adapter[std::string(kQ) + ".lora_down.weight"] = RandomTensor({2, 5}, 1);
    CheckFault(misfit, "of shape [2, 5] does not fit the base's 'blocks.0.to_q.weight' [6, 4]");
    misfit.adapter[std::string(kQ) + ".lora_down.weight"] = RandomTensor({3, 4}, 1);
    CheckFault(misfit, "of shape [6, 2] does not fit 'lora_unet_blocks_0_to_q.lora_down.weight'");
    misfit.adapter[std::string(kQ) + ".lora_down.weight"] = RandomTensor({0, 4}, 1);
    misfit.adapter[std::string(kQ) + ".lora_up.weight"] = RandomTensor({6, 0}, 1);
    CheckFault(misfit, "does not fit");
    Bench alpha;
    alpha.adapter[std::string(kQ) + ".alpha"] = RandomTensor({2}, 1);
    CheckFault(alpha, "of shape [2] is not one number");
    Bench left;
    left.adapter[std::string(kQ) + ".hada_t1"] = RandomTensor({2, 2}, 1);
    CheckFault(left, "belongs to nothing in an adapter of kind kohya lora");
    Bench integer;
    integer.adapter[std::string(kQ) + ".lora_up.weight"].dtype = DType::kUInt8;
    CheckFault(integer, "has the element type U8");
  }
}

TEST_SUITE("converter/underscored_names") {
  TEST_CASE("finds whole names first, then endings after a dot, and never guesses") {
    std::vector<TensorInfo> base;
    for (const char* name : {"a.b_c.weight", "d.weight", "e.d.weight", "fd.weight", "g.bias",
                             "x.h.i.weight", "y.h.i.weight", "z.k_l.weight"}) {
      base.push_back({name, DType::kFloat32, {2, 2}});
    }
    const UnderscoredNames names(base);
    CHECK(*names.Find("a_b_c") == "a.b_c");
    CHECK(*names.Find("d") == "d");
    CHECK(*names.Find("k_l") == "z.k_l");
    CHECK(*names.Find("e_d") == "e.d");
    CHECK(names.Find("h_i").status().message() == "could mean the base's 'x.h.i' or 'y.h.i'");
    for (const char* nothing : {"c", "l", "g", "", "a_b", "q"}) {
      INFO(std::string(nothing));
      CHECK(names.Find(nothing).status().code() == StatusCode::kMismatch);
    }
  }
}

}  // namespace
}  // namespace graft::converter
