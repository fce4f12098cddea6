// SPDX-License-Identifier: Apache-2.0
// Kinds of which a seed stands for part: in what order modules are dealt with, transforms against
// their definitions, and what is refused.
#include <cmath>
#include <numbers>

#include <doctest/doctest.h>

#include "converter/merge/kinds/drawn/fourier.h"
#include "converter/merge/kinds/drawn/module_order.h"
#include "converter/merge/kinds/drawn/wavelets.h"
#include "converter/merge/random/torch_generator.h"
#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

using Numbers = std::vector<double>;
using Names = std::vector<std::string>;

bool Says(const std::string& fault, const char* what) {
  INFO(fault);
  const bool says = fault.find(what) != std::string::npos;
  CHECK(says);
  return says;
}

std::string Fault(const SmallTensors& base, const char* type, const char* settings,
                  const SmallTensors& adapter) {
  const TemporaryFolder folder;
  WriteTensors(folder / "model.safetensors", base);
  WriteAdapter(folder / "adapter", type, settings, adapter);
  return MergeFault(folder / "model.safetensors", folder / "adapter");
}

const SmallTensors kOneLayer = {{"l.weight", RandomTensor({4, 6}, 1)}};

// The modules in the order of the model's code, of a model that has no others.
Names Ordered(const Names& modules, const Names& others = {}) {
  Names names = others;
  for (const std::string& module : modules) names.push_back(module + ".weight");
  const auto order = InOrderOfModel(modules, names);
  REQUIRE_MESSAGE(order.ok(), order.status().message());
  return *order;
}

TEST_SUITE("converter/drawn_kinds") {
  TEST_CASE("modules stand in the order of the model's code") {
    const std::string a = "model.layers.2.self_attn.";
    const std::string b = "model.layers.10.self_attn.";
    CHECK(Ordered({b + "q_proj", "lm_head", a + "v_proj", "model.layers.2.mlp.up_proj",
                   "model.layers.2.mlp.down_proj", a + "q_proj", "model.embed_tokens"},
                  {a + "k_proj.weight", a + "o_proj.weight"}) ==
          Names{"model.embed_tokens", a + "q_proj", a + "v_proj", "model.layers.2.mlp.up_proj",
                "model.layers.2.mlp.down_proj", b + "q_proj", "lm_head"});
    // OPT makes its query after its value, LFM2 before: what stands beside them tells.
    CHECK(Ordered({a + "q_proj", a + "v_proj", a + "out_proj"}, {a + "k_proj.weight"}) ==
          Names{a + "v_proj", a + "q_proj", a + "out_proj"});
    CHECK(Ordered({a + "v_proj", a + "q_proj", a + "out_proj"},
                  {a + "k_proj.weight", a + "q_layernorm.weight", a + "k_layernorm.weight"}) ==
          Names{a + "q_proj", a + "v_proj", a + "out_proj"});
    CHECK(Ordered({"h.0.mlp.c_proj", "h.0.mlp.c_fc", "h.0.attn.c_proj", "h.0.attn.c_attn"}) ==
          Names{"h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.mlp.c_fc", "h.0.mlp.c_proj"});
    CHECK(Ordered({"fc10", "fc2", "fc1"}) == Names{"fc1", "fc2", "fc10"});
    const Names unknown = {"left", "right"};
    const auto order = InOrderOfModel(unknown, unknown);
    REQUIRE_FALSE(order.ok());
    Says(std::string(order.status().message()), "is not known");
  }

  TEST_CASE("the transform is the sum that defines it, for lengths of any factors") {
    for (const size_t length : {1, 2, 3, 4, 7, 12, 30, 49, 64, 77}) {
      const FourierTransform transform(length);
      Workspace workspace;
      const auto turns = transform.turns().Get(&workspace);
      REQUIRE(turns.ok());
      std::vector<Complex> in(length), out(length);
      const Numbers random = RandomTensor({static_cast<int64_t>(2 * length)}, 5).values;
      for (size_t i = 0; i < length; ++i) in[i] = {random[2 * i], random[2 * i + 1]};
      transform.Inverse(*turns, in, out);
      for (size_t c = 0; c < length; ++c) {
        Complex sum;
        for (size_t q = 0; q < length; ++q) {
          const double angle = 2 * std::numbers::pi * static_cast<double>(q * c % length) /
                               static_cast<double>(length);
          sum.real += in[q].real * std::cos(angle) - in[q].imaginary * std::sin(angle);
          sum.imaginary += in[q].real * std::sin(angle) + in[q].imaginary * std::cos(angle);
        }
        CHECK(std::fabs(out[c].real - sum.real) < 1e-12);
        CHECK(std::fabs(out[c].imaginary - sum.imaginary) < 1e-12);
      }
    }
  }

  TEST_CASE("wavelets' filters are orthogonal to themselves two places further on") {
    for (const char* family : {"db1", "db2", "db7", "db10", "sym2", "sym10", "coif1", "coif3"}) {
      INFO(family);
      const Numbers filter = FindWavelet(family);
      REQUIRE_FALSE(filter.empty());
      for (size_t shift = 0; shift < filter.size(); shift += 2) {
        double sum = 0;
        for (size_t i = shift; i < filter.size(); ++i) sum += filter[i] * filter[i - shift];
        CHECK(std::fabs(sum - (shift == 0 ? 1 : 0)) < 1e-11);
      }
    }
    // PEFT has other lengths for these than filters, or no filters.
    for (const char* family : {"coif5", "db11", "haar", ""}) CHECK(FindWavelet(family).empty());
  }

  TEST_CASE("FourierFT's one frequency is one wave") {
    const int64_t place = TorchGenerator(777).PermutationStart(24, 1)[0];
    Numbers wanted = kOneLayer.at("l.weight").values;
    for (int64_t i = 0; i < 24; ++i) {
      const double turns = static_cast<double>(place / 6 * (i / 6)) / 4 +
                           static_cast<double>(place % 6 * (i % 6)) / 6;
      wanted[static_cast<size_t>(i)] += 3 * 2 * std::cos(2 * std::numbers::pi * turns) / 24;
    }
    CHECK(Distance(MergedTensor(kOneLayer, "FOURIERFT", R"("scaling": 3)",
                                {{Key("l.fourierft_spectrum"), {{1}, {2}}}}, "l.weight"),
                   wanted) < kSumTolerance);
  }

  TEST_CASE("WaveFT without synthesis is a few numbers, with db1 a few blocks") {
    const std::vector<int64_t> places = TorchGenerator(3).PermutationStart(24, 2);
    Numbers plain = kOneLayer.at("l.weight").values;
    Numbers waves = plain;
    const Numbers values = {2, -1};
    for (size_t k = 0; k < 2; ++k) {
      plain[static_cast<size_t>(places[k])] += 5 * values[k];
      const int64_t row = places[k] / 6;
      const int64_t column = places[k] % 6;
      for (int64_t i = 0; i < 4; ++i) {
        // Rows and columns 2 k and 2 k + 1; a high pass negates the second of them.
        const int64_t a = row % 2 * 2 + i / 2;
        const int64_t b = column % 3 * 2 + i % 2;
        const double sign =
            (column >= 3 && i / 2 == 1 ? -1 : 1) * (row >= 2 && i % 2 == 1 ? -1 : 1);
        waves[static_cast<size_t>(a * 6 + b)] += sign * 5 * values[k] / 2;
      }
    }
    const SmallTensors adapter = {{Key("l.waveft_spectrum"), {{2}, values}}};
    CHECK(MergedTensor(kOneLayer, "WAVEFT",
                       R"("scaling": 5, "random_loc_seed": 3, "use_idwt": false)", adapter,
                       "l.weight") == plain);
    CHECK(Distance(MergedTensor(kOneLayer, "WAVEFT", R"("scaling": 5, "random_loc_seed": 3)",
                                adapter, "l.weight"),
                   waves) < kSumTolerance);
  }

  TEST_CASE("spectra without a seed, of unknown wavelets or too long are refused") {
    const SmallTensors wave = {{Key("l.waveft_spectrum"), {{1}, {1}}}};
    const SmallTensors fourier = {{Key("l.fourierft_spectrum"), {{1}, {1}}}};
    Says(Fault(kOneLayer, "FOURIERFT", R"("random_loc_seed": null)", fourier),
         "drawn without a seed");
    Says(Fault(kOneLayer, "WAVEFT", R"("wavelet_family": "db11")", wave), "PEFT has no filter of");
    Says(Fault(kOneLayer, "WAVEFT", "", {{Key("l.waveft_spectrum"), RandomTensor({25}, 1)}}),
         "does not fit");
  }

  TEST_CASE("VeRA's projection is drawn again from its key") {
    const SmallTensor lambda_b = RandomTensor({4}, 5), lambda_d = RandomTensor({2}, 6);
    TorchGenerator generator(9);
    const auto draw = [&generator](size_t count, double fan_in) {
      const float bound = static_cast<float>(std::sqrt(3.0) * (std::sqrt(2.0) / std::sqrt(fan_in)));
      Numbers numbers(count);
      for (double& value : numbers) value = generator.Uniform(-bound, bound);
      return numbers;
    };
    const Numbers a = draw(2 * 6, 6);
    const Numbers b = draw(4 * 2, 2);
    Numbers wanted = kOneLayer.at("l.weight").values;
    for (size_t i = 0; i < 24; ++i) {
      for (size_t k = 0; k < 2; ++k) {
        wanted[i] +=
            lambda_b.values[i / 6] * b[i / 6 * 2 + k] * lambda_d.values[k] * a[k * 6 + i % 6];
      }
    }
    const SmallTensors adapter = {{Key("l.vera_lambda_b"), lambda_b},
                                  {Key("l.vera_lambda_d"), lambda_d}};
    CHECK(Distance(MergedTensor(kOneLayer, "VERA",
                                R"("r": 2, "save_projection": false, "projection_prng_key": 9)",
                                adapter, "l.weight"),
                   wanted) < kSumTolerance);
    Says(Fault(kOneLayer, "VERA", R"("r": 2)", adapter), "though save_projection is set");
    // A long vector must not draw more numbers than any adapter has.
    Says(Fault({{"l.weight", RandomTensor({1, 4096}, 1)}}, "VERA",
               R"("r": 2, "save_projection": false)",
               {{Key("l.vera_lambda_b"), RandomTensor({1}, 1)},
                {Key("l.vera_lambda_d"), RandomTensor({5000}, 2)}}),
         "more random numbers than");
  }

  TEST_CASE("a random adapter is refused, and one whose random part is missing") {
    const SmallTensors pvera = {{Key("l.pvera_lambda_b"), RandomTensor({4}, 1)},
                                {Key("l.pvera_lambda_d"), RandomTensor({4}, 2)}};
    Says(Fault(kOneLayer, "PVERA", R"("r": 2, "sample_at_inference": true)", pvera),
         "set it to false to merge their mean");
    Says(Fault(kOneLayer, "PVERA", R"("r": 2)", pvera), "needs pvera_A");
    const SmallTensors rand = {{Key("l.randlora_lambda"), RandomTensor({2, 2}, 1)},
                               {Key("l.randlora_gamma"), RandomTensor({2, 4}, 2)}};
    Says(Fault(kOneLayer, "RANDLORA", R"("r": 2)", rand), "needs randlora_A");
    Says(Fault(kOneLayer, "RANDLORA", R"("r": 3)", rand), "does not fit");
  }

  TEST_CASE("TinyLoRA asks for the modules' order only where it matters") {
    const SmallTensors base = {{"left.weight", RandomTensor({3, 4}, 1)},
                               {"right.weight", RandomTensor({3, 4}, 2)}};
    SmallTensors adapter = {{"base_model.tinylora_v.0", {{2}, {1, 2}}}};
    for (const char* module : {"left", "right"}) {
      adapter[Key(std::string(module) + ".tinylora_A")] = RandomTensor({1, 4}, 3);
      adapter[Key(std::string(module) + ".tinylora_B")] = RandomTensor({3, 1}, 4);
      adapter[Key(std::string(module) + ".tinylora_P")] = {{2, 1, 1}, {3, 5}};
    }
    Numbers wanted = base.at("left.weight").values;
    for (size_t i = 0; i < 12; ++i) {
      wanted[i] += adapter.at(Key("left.tinylora_B")).values[i / 4] * 13 *
                   adapter.at(Key("left.tinylora_A")).values[i % 4];
    }
    const char* tied = R"("r": 1, "u": 2, "weight_tying": 1.0)";
    CHECK(Distance(MergedTensor(base, "TINYLORA", tied, adapter, "left.weight"), wanted) <
          kSumTolerance);
    Says(Fault(base, "TINYLORA", R"("r": 1, "u": 2)", adapter), "is not known");
    adapter.erase(Key("left.tinylora_P"));
    Says(Fault(base, "TINYLORA", tied, adapter), "save_projection=true");
    adapter["base_model.tinylora_v.1"] = RandomTensor({2}, 1);
    adapter[Key("left.tinylora_P")] = {{2, 1, 1}, {3, 5}};
    Says(Fault(base, "TINYLORA", tied, adapter), "belongs to nothing");
  }

  TEST_CASE("UniLoRA without places needs names for its modules, and sizes that make sense") {
    const SmallTensors vector = {{"base_model.unilora_theta_d", RandomTensor({5}, 1)}};
    const auto fault = [&](const char* settings) {
      return Fault(kOneLayer, "UNILORA", settings, vector);
    };
    Says(fault(R"("r": 1, "target_modules": "all-linear")"), "save_indices=true");
    Says(fault(R"("r": 1, "target_modules": ["other"])"), "of which the base has none");
    Says(fault(R"("r": 1000000, "target_modules": ["l"])"), "which no adapter of these layers has");
    CHECK(fault(R"("r": 1, "target_modules": ["l"])").empty());
    const SmallTensors outside = {
        {"base_model.unilora_theta_d", RandomTensor({5}, 1)},
        {Key("l.unilora_indices_A"), {{1, 6}, {0, 1, 2, 3, 4, 5}, DType::kInt64}},
        {Key("l.unilora_indices_B"), {{4, 1}, {0, 1, 2, 3}, DType::kInt64}},
        {Key("l.unilora_scales_A"), RandomTensor({1, 6}, 2)},
        {Key("l.unilora_scales_B"), RandomTensor({4, 1}, 3)}};
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", kOneLayer);
    WriteAdapter(folder / "adapter", "UNILORA", R"("r": 1)", outside);
    const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
    REQUIRE(merged.ok());
    Numbers out(24);
    Says(std::string((*merged)->ReadRows("l.weight", 0, 4, out).message()), "holds the place 5");
  }
}

}  // namespace
}  // namespace graft::converter
