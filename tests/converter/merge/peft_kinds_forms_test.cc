// SPDX-License-Identifier: Apache-2.0
// Forms and settings of PEFT's further kinds that the stored adapters do not have, against their
// formulas written out in full; and what is refused.
#include <algorithm>
#include <cmath>

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"

namespace graft::converter {
namespace {

using Numbers = std::vector<double>;

// The message of merging into one linear layer "l", [4, 6], with a bias if asked for.
std::string Fault(const char* type, const char* settings, const SmallTensors& adapter,
                  bool bias = false) {
  const TemporaryFolder folder;
  SmallTensors base = {{"l.weight", RandomTensor({4, 6}, 1)}};
  if (bias) base["l.bias"] = RandomTensor({4}, 2);
  WriteTensors(folder / "model.safetensors", base);
  WriteAdapter(folder / "adapter", type, settings, adapter);
  return MergeFault(folder / "model.safetensors", folder / "adapter");
}

bool Says(const std::string& fault, const char* what) {
  INFO(fault);
  const bool says = fault.find(what) != std::string::npos;
  CHECK(says);
  return says;
}

SmallTensor Places(std::vector<int64_t> shape, Numbers values, DType dtype = DType::kInt32) {
  return {std::move(shape), std::move(values), dtype};
}

TEST_SUITE("converter/peft_kinds_forms") {
  TEST_CASE("MiSS repeats its block along the outputs too, where it is mini, and is Bone's") {
    const SmallTensors base = {{"l.weight", RandomTensor({4, 5}, 1)}};
    const SmallTensor mini = RandomTensor({3, 2}, 2);
    const SmallTensor full = RandomTensor({3, 4}, 3);
    Numbers of_mini = base.at("l.weight").values;
    Numbers of_full = of_mini;
    for (size_t i = 0; i < of_mini.size(); ++i) {
      of_mini[i] += mini.values[i % 5 % 3 * 2 + i / 5 % 2];
      of_full[i] += full.values[i % 5 % 3 * 4 + i / 5];
    }
    CHECK(MergedTensor(base, "MISS", R"("r": 3, "mini_r": 2, "init_weights": "mini")",
                       {{Key("l.miss_block"), mini}}, "l.weight") == of_mini);
    CHECK(MergedTensor(base, "MISS", R"("r": 3)", {{Key("l.miss_block"), full}}, "l.weight") ==
          of_full);
    CHECK(MergedTensor(base, "BONE", R"("r": 3, "init_weights": true)",
                       {{Key("l.bone_block"), full}}, "l.weight") == of_full);
    Says(Fault("MISS", R"("init_weights": "bat")",
               {{Key("l.miss_block"), RandomTensor({2, 3, 3}, 1)}}),
         "does not fit");
    Says(Fault("MISS", R"("init_weights": "olora")", {{Key("l.miss_block"), full}}),
         "must be true, false, bat or mini");
  }

  TEST_CASE("DEFT only takes away with para, and its alpha is divided by the rank") {
    const SmallTensors base = {{"l.weight", RandomTensor({4, 3}, 1)}};
    const SmallTensor p = RandomTensor({4, 2}, 2);
    const SmallTensor r = RandomTensor({2, 3}, 3);
    const Numbers& w = base.at("l.weight").values;
    const auto wanted = [&](double scale) {
      Numbers merged = w;
      for (size_t a = 0; a < 4; ++a) {
        for (size_t c = 0; c < 3; ++c) {
          for (size_t k = 0; k < 2; ++k) {
            double inner = scale * r.values[k * 3 + c];
            for (size_t b = 0; b < 4; ++b) {
              inner -= std::max(p.values[b * 2 + k], 0.0) * w[b * 3 + c];
            }
            merged[a * 3 + c] += p.values[a * 2 + k] * inner;
          }
        }
      }
      return merged;
    };
    CHECK(Distance(MergedTensor(base, "DEFT", R"("r": 2, "para": true)", {{Key("l.deft_P"), p}},
                                "l.weight"),
                   wanted(0)) < kSumTolerance);
    CHECK(Distance(MergedTensor(base, "DEFT", R"("r": 2, "alpha": 6)",
                                {{Key("l.deft_P"), p}, {Key("l.deft_R"), r}}, "l.weight"),
                   wanted(3)) < kSumTolerance);
    Says(Fault("DEFT", R"("r": 2)", {{Key("l.deft_P"), p}}), "needs deft_R");
    Says(Fault("DEFT", R"("r": 2, "decomposition_method": "svd", "para": true)",
               {{Key("l.deft_P"), p}}),
         "must be relu or qr");
    // R is left over.
    Says(Fault("DEFT", R"("r": 2, "para": true)",
               {{Key("l.deft_P"), p}, {Key("l.deft_R"), RandomTensor({2, 6}, 3)}}),
         "belongs to nothing");
  }

  TEST_CASE("GLoRA's terms may be numbers, and a bias gains what the weight makes of a vector") {
    SmallTensors base = {{"l.weight", RandomTensor({2, 3}, 1)}, {"l.bias", RandomTensor({2}, 2)}};
    const Numbers& w = base.at("l.weight").values;
    const Numbers& b = base.at("l.bias").values;
    const SmallTensors adapter = {{Key("l.glora_A.X"), {{1}, {0.5}}},
                                  {Key("l.glora_B.X"), {{1}, {-0.25}}},
                                  {Key("l.glora_C.Xd"), RandomTensor({3, 2}, 3)},
                                  {Key("l.glora_C.Xu"), RandomTensor({2, 1}, 4)},
                                  {Key("l.glora_D.X"), {{2}, {1, -1}}},
                                  {Key("l.glora_E.X"), {{2}, {0.25, 0.5}}}};
    const Numbers& down = adapter.at(Key("l.glora_C.Xd")).values;
    const Numbers& up = adapter.at(Key("l.glora_C.Xu")).values;
    Numbers weight, bias;
    for (const double value : w) weight.push_back(value + value * 0.5 - 0.25);
    for (size_t row = 0; row < 2; ++row) {
      double sum = row == 0 ? b[0] + b[0] * 1 + 0.25 : b[1] - b[1] + 0.5;
      for (size_t i = 0; i < 3; ++i) {
        sum += w[row * 3 + i] * (down[2 * i] * up[0] + down[2 * i + 1] * up[1]);
      }
      bias.push_back(sum);
    }
    CHECK(MergedTensor(base, "GLORA", R"("r": 2)", adapter, "l.weight") == weight);
    CHECK(Distance(MergedTensor(base, "GLORA", R"("r": 2)", adapter, "l.bias"), bias) <
          kSumTolerance);
    Says(Fault("GLORA", R"("r": 2)", adapter), "glora_C.Xd' of shape [3, 2] does not fit");
    Says(Fault("GLORA", R"("r": 2)", {{Key("l.glora_A.X"), {{1}, {0.5}}}}), "needs glora_B");
  }

  TEST_CASE("RoAd's second variant has an angle for each output") {
    const SmallTensors base = {{"l.weight", RandomTensor({4, 3}, 1)}};
    const SmallTensor theta = RandomTensor({4}, 2);
    const SmallTensor alpha = RandomTensor({4}, 3);
    const Numbers& w = base.at("l.weight").values;
    Numbers wanted(12);
    for (size_t row = 0; row < 4; ++row) {
      const size_t other = row ^ 1;
      const double sign = row % 2 == 0 ? -1 : 1;
      for (size_t c = 0; c < 3; ++c) {
        wanted[row * 3 + c] =
            alpha.values[row] * std::cos(theta.values[row]) * w[row * 3 + c] +
            sign * alpha.values[row] * std::sin(theta.values[row]) * w[other * 3 + c];
      }
    }
    const SmallTensors adapter = {{Key("l.road_theta"), theta}, {Key("l.road_alpha"), alpha}};
    CHECK(Distance(MergedTensor(base, "ROAD", R"("variant": "road_2", "group_size": 2)", adapter,
                                "l.weight"),
                   wanted) < kSumTolerance);
    Says(Fault("ROAD", R"("variant": "road_2", "group_size": 3)", adapter), "groups of pairs");
    Says(Fault("ROAD", R"("variant": "road_3", "group_size": 2)", adapter), "must be road_1");
    Says(Fault("ROAD", R"("variant": "road_4", "group_size": 2)", adapter), "does not fit");
  }

  TEST_CASE("SHiRA's places may be stored as numbers of any type, or be drawn again") {
    const SmallTensors base = {{"l.weight", RandomTensor({3, 4}, 1)}};
    const SmallTensor values = {{3}, {1, 2, 4}};
    Numbers wanted = base.at("l.weight").values;
    wanted[1] += 1;
    wanted[6] += 2;
    wanted[11] += 4;
    for (const DType type : {DType::kInt32, DType::kInt64, DType::kFloat32}) {
      CHECK(MergedTensor(base, "SHIRA", R"("r": 1)",
                         {{Key("l.shira_weight"), values},
                          {Key("l.shira_indices"), Places({2, 3}, {0, 1, 2, 1, 2, 3}, type)}},
                         "l.weight") == wanted);
    }
    // The first seven of torch.randperm(12), seed 42, ascending.
    Numbers drawn = base.at("l.weight").values;
    const Numbers seven = {1, 2, 3, 4, 5, 6, 7};
    const size_t places[] = {0, 1, 2, 6, 7, 8, 10};
    for (size_t i = 0; i < 7; ++i) drawn[places[i]] += seven[i];
    CHECK(MergedTensor(base, "SHIRA", R"("r": 1, "random_seed": 42)",
                       {{Key("l.shira_weight"), {{7}, seven}}}, "l.weight") == drawn);
    const SmallTensors outside = {{Key("l.shira_weight"), {{1}, {1}}},
                                  {Key("l.shira_indices"), Places({2, 1}, {5, 5})}};
    const SmallTensors negative = {{Key("l.shira_weight"), {{1}, {1}}},
                                   {Key("l.shira_indices"), Places({2, 1}, {-1, 0})}};
    for (const SmallTensors* adapter : {&outside, &negative}) {
      const TemporaryFolder folder;
      WriteTensors(folder / "model.safetensors", base);
      WriteAdapter(folder / "adapter", "SHIRA", R"("r": 1)", *adapter);
      const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
      REQUIRE(merged.ok());
      Numbers out(12);
      const Status status = (*merged)->ReadRows("l.weight", 0, 3, out);
      REQUIRE_FALSE(status.ok());
      Says(std::string(status.message()), "holds the place");
    }
    Says(Fault("SHIRA", R"("r": 1, "mask_type": "mine")", {{Key("l.shira_weight"), {{1}, {1}}}}),
         "needs shira_indices");
  }

  TEST_CASE("SuperTuning takes the smallest numbers, where it selects no top") {
    const SmallTensors base = {{"l.weight", {{2, 3}, {3, -1, 2, 0.5, 4, -0.25}}}};
    const SmallTensors adapter = {{Key("l.supertuning_values"), {{2}, {10, 20}}}};
    CHECK(MergedTensor(base, "SUPERTUNING", R"("r": null, "select_top": false)", adapter,
                       "l.weight") == Numbers{3, -1, 2, 20.5, 4, 9.75});
    CHECK(MergedTensor(base, "SUPERTUNING", R"("r": null)", adapter, "l.weight") ==
          Numbers{23, -1, 2, 0.5, 14, -0.25});
  }

  TEST_CASE("PEANuT without layers in between, and with two") {
    const SmallTensors base = {{"l.weight", RandomTensor({3, 2}, 1)}};
    const Numbers& w = base.at("l.weight").values;
    SmallTensors adapter = {{Key("l.peanut_A.weight"), RandomTensor({2, 3}, 2)},
                            {Key("l.peanut_B.weight"), RandomTensor({3, 2}, 3)}};
    const auto wanted = [&](size_t depth) {
      const Numbers& a = adapter.at(Key("l.peanut_A.weight")).values;
      const Numbers& b = adapter.at(Key("l.peanut_B.weight")).values;
      Numbers merged = w;
      for (size_t i = 0; i < 2; ++i) {
        std::vector<Numbers> kept;
        Numbers x(2);
        for (size_t k = 0; k < 2; ++k) {
          for (size_t o = 0; o < 3; ++o) x[k] += a[k * 3 + o] * w[o * 2 + i];
          x[k] = std::tanh(x[k]);
        }
        const auto pass = [&](const std::string& name, size_t index) {
          const Numbers& m =
              adapter.at(Key("l." + name + std::to_string(index) + ".weight")).values;
          x = {std::tanh(m[0] * x[0] + m[1] * x[1]), std::tanh(m[2] * x[0] + m[3] * x[1])};
        };
        for (size_t d = 0; d < depth; ++d) {
          kept.push_back(x);
          pass("peanut_encoders.", d);
        }
        for (size_t d = 0; d < depth; ++d) {
          pass("peanut_decoders.", d);
          for (size_t k = 0; k < 2; ++k) x[k] += kept[depth - 1 - d][k];
        }
        for (size_t o = 0; o < 3; ++o)
          merged[o * 2 + i] += 2 * (b[o * 2] * x[0] + b[o * 2 + 1] * x[1]);
      }
      return merged;
    };
    CHECK(Distance(MergedTensor(base, "PEANUT", R"("r": 2, "scaling": 2.0, "act_fn": "tanh")",
                                adapter, "l.weight"),
                   wanted(0)) < kSumTolerance);
    for (uint32_t d = 0; d < 2; ++d) {
      for (const char* side : {"l.peanut_encoders.", "l.peanut_decoders."}) {
        adapter[Key(side + std::to_string(d) + ".weight")] = RandomTensor({2, 2}, 10 + d);
      }
    }
    CHECK(Distance(MergedTensor(base, "PEANUT",
                                R"("r": 2, "scaling": 2.0, "act_fn": "tanh", "depth": 2)", adapter,
                                "l.weight"),
                   wanted(2)) < kSumTolerance);
    Says(Fault("PEANUT", R"("r": 2, "act_fn": "softsign")",
               {{Key("l.peanut_A.weight"), RandomTensor({2, 4}, 2)},
                {Key("l.peanut_B.weight"), RandomTensor({4, 2}, 2)}}),
         "an activation graft does not know");
  }

  TEST_CASE("OSF keeps all, or nothing, and says where nothing tells what to keep") {
    const SmallTensors base = {{"l.weight", RandomTensor({4, 6}, 1)}};
    const SmallTensors all = {{Key("l.osf_svd_params.U_low"), RandomTensor({4, 4}, 2)},
                              {Key("l.osf_svd_params.S_low"), RandomTensor({4}, 3)},
                              {Key("l.osf_svd_params.V_low"), RandomTensor({4, 6}, 4)}};
    Numbers wanted(24);
    for (size_t i = 0; i < 24; ++i) {
      for (size_t k = 0; k < 4; ++k) {
        wanted[i] += all.at(Key("l.osf_svd_params.U_low")).values[i / 6 * 4 + k] *
                     all.at(Key("l.osf_svd_params.S_low")).values[k] *
                     all.at(Key("l.osf_svd_params.V_low")).values[k * 6 + i % 6];
      }
    }
    CHECK(Distance(MergedTensor(base, "OSF", R"("rank_pattern": {"l": 0.5})", all, "l.weight"),
                   wanted) < kSumTolerance);
    // Without a strength the trained part is nothing: what is left is the best approximation, whose
    // product with the rest of the matrix is nothing.
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{4, 6}, {6, 4}, {5, 5}}) {
      for (const int64_t low : {1, 3}) {
        const SmallTensors other = {{"l.weight", RandomTensor(shape, 7)}};
        const SmallTensors none = {
            {Key("l.osf_svd_params.U_low"), RandomTensor({shape[0], low}, 2)},
            {Key("l.osf_svd_params.S_low"), {{low}, Numbers(static_cast<size_t>(low), 0.0)}},
            {Key("l.osf_svd_params.V_low"), RandomTensor({low, shape[1]}, 4)}};
        const Numbers kept = MergedTensor(other, "OSF", "", none, "l.weight");
        const Numbers& w = other.at("l.weight").values;
        const size_t columns = static_cast<size_t>(shape[1]);
        double whole = 0, part = 0;
        for (size_t a = 0; a < columns; ++a) {
          for (size_t b = 0; b < columns; ++b) {
            double product = 0;
            for (size_t row = 0; row < w.size() / columns; ++row) {
              const size_t at = row * columns;
              product += (w[at + a] - kept[at + a]) * kept[at + b];
            }
            CHECK(std::fabs(product) < 1e-13);
          }
        }
        for (size_t i = 0; i < w.size(); ++i) {
          whole += w[i] * w[i];
          part += kept[i] * kept[i];
        }
        CHECK(part < whole);
        CHECK(part > 0);
      }
    }
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", {{"l.weight", {{2, 2}, {1, 0, 0, 1}}}});
    WriteAdapter(folder / "adapter", "OSF", "",
                 {{Key("l.osf_svd_params.U_low"), {{2, 1}, {1, 0}}},
                  {Key("l.osf_svd_params.S_low"), {{1}, {1}}},
                  {Key("l.osf_svd_params.V_low"), {{1, 2}, {1, 0}}}});
    const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
    REQUIRE(merged.ok());
    Numbers out(4);
    Says(std::string((*merged)->ReadRows("l.weight", 0, 2, out).message()),
         "singular values 1 and 2 are the same");
  }

  TEST_CASE("a trained bias takes the place of the base's before anything is added to it") {
    const SmallTensors base = {{"l.weight", RandomTensor({2, 3}, 1)}, {"l.bias", {{2}, {1, 2}}}};
    CHECK(MergedTensor(base, "BEFT", "",
                       {{Key("l.beft_bias"), {{1, 2}, {0.5, 0.25}}},
                        {Key("l.base_layer.bias"), {{2}, {8, 16}}}},
                       "l.bias") == Numbers{8.5, 16.25});
    Says(Fault("BEFT", "", {{Key("l.beft_bias"), RandomTensor({1, 4}, 1)}}),
         "has none in the base to add it to");
    Says(Fault("BEFT", "", {{Key("l.beft_bias"), RandomTensor({1, 5}, 1)}}, true), "does not fit");
  }

  TEST_CASE("kinds that depend on one machine or on the input are refused with that reason") {
    const SmallTensors any = {{Key("l.x"), RandomTensor({1}, 1)}};
    Says(Fault("PSOFT", R"("r": 2)", any), "whose signs no file holds");
    Says(Fault("ADAMSS", R"("r": 2)", any), "clusters of a weight's rows");
    Says(Fault("LILY", R"("r": 2)", any), "by a router");
    Says(Fault("FROD", R"("save_projection": false)",
               {{Key("l.frod_lambda_l"), RandomTensor({6}, 1)},
                {Key("l.frod_lambda_s_values"), RandomTensor({1}, 2)}}),
         "save_projection=true");
    Says(Fault("C3A", R"("block_size": 2, "turbo": true)",
               {{Key("l.c3a_kernel"), RandomTensor({2, 3, 2}, 1)}}),
         "is a setting graft does not know");
  }

  TEST_CASE("FRoD's exchanges are added in their places, and a projection needs an inverse") {
    const SmallTensors base = {{"b.l.weight", {{2, 2}, {3, 0, 0, 4}}}};
    SmallTensors adapter = {
        {"base_model.frod_V.b_l", {{2, 2}, {1, 0, 0, 1}}},
        {"base_model.frod_s_indices.b_l", Places({2, 1}, {0, 1}, DType::kInt64)},
        {"base_model.frod_s_size.b_l", Places({2}, {2, 2}, DType::kInt64)},
        {Key("b.l.frod_lambda_l"), {{2}, {5, 6}}},
        {Key("b.l.frod_lambda_s_values"), {{1}, {0.5}}}};
    CHECK(MergedTensor(base, "FROD", "", adapter, "b.l.weight") == Numbers{5, 0.5, 0, 6});
    adapter.at("base_model.frod_V.b_l").values = {1, 2, 2, 4};
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", base);
    WriteAdapter(folder / "adapter", "FROD", "", adapter);
    const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
    REQUIRE(merged.ok());
    Numbers out(4);
    Says(std::string((*merged)->ReadRows("b.l.weight", 0, 2, out).message()), "has no inverse");
    // Of another layer's kind there is nothing.
    adapter["base_model.frod_V.b_other"] = RandomTensor({2, 2}, 1);
    WriteAdapter(folder / "other", "FROD", "", adapter);
    Says(MergeFault(folder / "model.safetensors", folder / "other"), "belongs to nothing");
  }

  TEST_CASE("tensors that do not fit are named, with both shapes") {
    Says(Fault("DELORA", R"("r": 2)",
               {{Key("l.delora_A"), RandomTensor({3, 6}, 1)},
                {Key("l.delora_B"), RandomTensor({4, 3}, 1)},
                {Key("l.delora_lambda"), RandomTensor({1}, 1)},
                {Key("l.delora_w_norm"), RandomTensor({6}, 1)}}),
         "at the rank 2");
    Says(Fault("HIRA", R"("r": 2)",
               {{Key("l.hira_A"), RandomTensor({2, 5}, 1)},
                {Key("l.hira_B"), RandomTensor({4, 2}, 1)}}),
         "does not fit the base's 'l.weight' [4, 6]");
    Says(Fault("GRALORA", R"("r": 4)",
               {{Key("l.gralora_A"), RandomTensor({2, 3, 4}, 1)},
                {Key("l.gralora_B"), RandomTensor({2, 4, 3}, 1)}}),
         "gralora_B' of shape [2, 4, 3] does not fit");
    Says(Fault("VBLORA", R"("r": 2)",
               {{Key("l.vblora_logits_A"), RandomTensor({2, 3, 5}, 1)},
                {Key("l.vblora_logits_B"), RandomTensor({2, 2, 5}, 1)}}),
         "needs vblora_vector_bank");
    Says(Fault("VBLORA", R"("r": 2)",
               {{"base_model.vblora_vector_bank", RandomTensor({5, 4}, 1)},
                {Key("l.vblora_logits_A"), RandomTensor({2, 3, 5}, 1)},
                {Key("l.vblora_logits_B"), RandomTensor({2, 2, 5}, 1)}}),
         "vblora_vector_bank' of shape [5, 4] does not fit");
  }
}

}  // namespace
}  // namespace graft::converter
