// SPDX-License-Identifier: Apache-2.0
// Kinds and forms of adapter that the stored ones do not cover, against references written out in
// full.
#include <cmath>

#include <doctest/doctest.h>

#include "converter/json/json.h"
#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"
#include "tests/reference/rotation_reference.h"

namespace graft::converter {
namespace {

SmallTensor Small(SmallTensor tensor, double factor) {
  for (double& value : tensor.values) value *= factor;
  return tensor;
}

TEST_SUITE("converter/merge_kinds") {
  TEST_CASE(
      "LoRA on one- and three-dimensional convolutions is a product over the flattened kernel") {
    for (const std::vector<int64_t>& kernel :
         {std::vector<int64_t>{3}, std::vector<int64_t>{2, 3, 2}}) {
      std::vector<int64_t> w_shape = {5, 4}, a_shape = {2, 4}, b_shape = {5, 2};
      int64_t columns = 4;
      for (const int64_t side : kernel) {
        w_shape.push_back(side);
        a_shape.push_back(side);
        b_shape.push_back(1);
        columns *= side;
      }
      const SmallTensors base = {{"c.weight", RandomTensor(w_shape, 1)}};
      const SmallTensors adapter = {{Key("c.lora_A.weight"), RandomTensor(a_shape, 2)},
                                    {Key("c.lora_B.weight"), RandomTensor(b_shape, 3)}};
      const reference::LowRank update{adapter.at(Key("c.lora_A.weight")).values,
                                      adapter.at(Key("c.lora_B.weight")).values, 2, 3.0,
                                      reference::Orientation::kStraight};
      CHECK(MergedTensor(base, "LORA", R"("r": 2, "lora_alpha": 6)", adapter, "c.weight") ==
            reference::MergeLora(base.at("c.weight").values, 5, columns, update));
    }
  }

  TEST_CASE("a convolution in groups is refused") {
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", {{"c.weight", RandomTensor({6, 2, 3}, 1)}});
    WriteAdapter(folder / "adapter", "LORA", R"("r": 2)",
                 {{Key("c.lora_A.weight"), RandomTensor({2, 4, 3}, 2)},
                  {Key("c.lora_B.weight"), RandomTensor({6, 2, 1}, 3)}});
    CHECK(MergeFault(folder / "model.safetensors", folder / "adapter")
              .find("in groups cannot be merged") != std::string::npos);
  }

  TEST_CASE("DoRA on an embedding and on Conv1D scales columns") {
    const SmallTensor magnitude = RandomTensor({7}, 4);
    const SmallTensor w = RandomTensor({31, 7}, 1);
    const SmallTensor a = RandomTensor({3, 31}, 2);
    const SmallTensor b = RandomTensor({7, 3}, 3);
    const reference::LowRank update{a.values, b.values, 3, 2.0,
                                    reference::Orientation::kTransposed};
    const std::vector<double> expected =
        reference::MergeDora(w.values, 31, 7, update, magnitude.values);
    const std::string_view settings = R"("r": 3, "lora_alpha": 6, "use_dora": true)";
    CHECK(Distance(MergedTensor({{"e.weight", w}}, "LORA", settings,
                                {{Key("e.lora_embedding_A"), a},
                                 {Key("e.lora_embedding_B"), b},
                                 {Key("e.lora_magnitude_vector"), magnitude}},
                                "e.weight"),
                   expected) < kSumTolerance);
    CHECK(Distance(MergedTensor({{"c_fc.weight", w}}, "LORA", settings,
                                {{Key("c_fc.lora_A.weight"), a},
                                 {Key("c_fc.lora_B.weight"), b},
                                 {Key("c_fc.lora_magnitude_vector"), magnitude}},
                                "c_fc.weight"),
                   expected) < kSumTolerance);
  }

  TEST_CASE("block-diagonal factors merge as the full ones they stand for") {
    const SmallTensor w = RandomTensor({6, 8}, 1);
    const SmallTensor a_blocks = RandomTensor({4, 4}, 2);  // two blocks of [2, 4]
    const SmallTensor b_full = RandomTensor({6, 4}, 3);
    std::vector<double> a_full(4 * 8, 0.0);
    for (size_t k = 0; k < 4; ++k) {
      for (size_t c = 0; c < 4; ++c) a_full[k * 8 + k / 2 * 4 + c] = a_blocks.values[k * 4 + c];
    }
    const std::string_view settings =
        R"("r": 4, "lora_alpha": 4, "use_bdlora": {"nblocks": 2, "target_modules_bd_a": ["q"], "target_modules_bd_b": ["o"]})";
    CHECK(MergedTensor({{"q.weight", w}}, "LORA", settings,
                       {{Key("q.lora_A.weight"), a_blocks}, {Key("q.lora_B.weight"), b_full}},
                       "q.weight") ==
          reference::MergeLora(w.values, 6, 8,
                               {a_full, b_full.values, 4, 1.0, reference::Orientation::kStraight}));
    const SmallTensor a_whole = RandomTensor({4, 8}, 4);
    const SmallTensor b_blocks = RandomTensor({6, 2}, 5);  // two blocks of [3, 2]
    std::vector<double> b_wide(6 * 4, 0.0);
    for (size_t r = 0; r < 6; ++r) {
      for (size_t k = 0; k < 2; ++k) b_wide[r * 4 + r / 3 * 2 + k] = b_blocks.values[r * 2 + k];
    }
    CHECK(MergedTensor({{"o.weight", w}}, "LORA", settings,
                       {{Key("o.lora_A.weight"), a_whole}, {Key("o.lora_B.weight"), b_blocks}},
                       "o.weight") ==
          reference::MergeLora(
              w.values, 6, 8, {a_whole.values, b_wide, 4, 1.0, reference::Orientation::kStraight}));
  }

  TEST_CASE("VeRA on Conv1D is the transpose of what it is on a linear layer") {
    // Outputs 4 of inputs 6, and a square layer, out of a projection for 7 inputs and 5 outputs.
    const SmallTensor wide = RandomTensor({6, 4}, 1), square = RandomTensor({4, 4}, 2);
    const SmallTensor a = RandomTensor({2, 7}, 3), b = RandomTensor({5, 2}, 4);
    const SmallTensor lambda_b = RandomTensor({4}, 5), lambda_d = RandomTensor({2}, 6);
    const SmallTensors base = {{"h.0.mlp.c_proj.weight", wide},
                               {"h.0.mlp.c_proj.bias", RandomTensor({4}, 7)},
                               {"h.0.attn.c_proj.weight", square}};
    SmallTensors adapter = {{"base_model.vera_A", a}, {"base_model.vera_B", b}};
    for (const char* module : {"h.0.mlp.c_proj", "h.0.attn.c_proj"}) {
      adapter[Key(std::string(module) + ".vera_lambda_b")] = lambda_b;
      adapter[Key(std::string(module) + ".vera_lambda_d")] = lambda_d;
    }
    const auto check = [&](const std::string& name, const SmallTensor& weight) {
      std::vector<double> expected = weight.values;
      for (size_t i = 0; i < static_cast<size_t>(weight.shape[0]); ++i) {
        for (size_t o = 0; o < 4; ++o) {
          for (size_t k = 0; k < 2; ++k) {
            expected[i * 4 + o] +=
                lambda_b.values[o] * b.values[o * 2 + k] * lambda_d.values[k] * a.values[k * 7 + i];
          }
        }
      }
      CHECK(Distance(MergedTensor(base, "VERA", R"("r": 2)", adapter, name), expected) <
            kSumTolerance);
    };
    check("h.0.mlp.c_proj.weight", wide);
    check("h.0.attn.c_proj.weight", square);
  }

  TEST_CASE("AdaLoRA keeps the scale of its first rank after pruning") {
    const SmallTensor w = RandomTensor({6, 5}, 1), a = RandomTensor({2, 5}, 2),
                      b = RandomTensor({6, 2}, 3), e = RandomTensor({2, 1}, 4);
    std::vector<double> scaled = a.values;
    for (size_t i = 0; i < scaled.size(); ++i) scaled[i] *= e.values[i / 5];
    const reference::LowRank update{scaled, b.values, 2, 16 / (12 + 1e-5),
                                    reference::Orientation::kStraight};
    CHECK(
        Distance(
            MergedTensor(
                {{"q.weight", w}}, "ADALORA",
                R"("r": 8, "init_r": 12, "lora_alpha": 16, "rank_pattern": {"q.lora_E": [true, false]})",
                {{Key("q.lora_A"), a}, {Key("q.lora_B"), b}, {Key("q.lora_E"), e}}, "q.weight"),
            reference::MergeLora(w.values, 6, 5, update)) < kSumTolerance);
  }

  TEST_CASE("LoKr with a core tensor is the Kronecker product of what the core makes") {
    // w1 [2, 3], w2 [2, 2, 3, 1] from t [4, 4, 3, 1]: a convolution [4, 6, 3, 1].
    const SmallTensor w = RandomTensor({4, 6, 3, 1}, 1), w1 = RandomTensor({2, 3}, 2),
                      t = RandomTensor({4, 4, 3, 1}, 3), wa = RandomTensor({4, 2}, 4),
                      wb = RandomTensor({4, 2}, 5);
    std::vector<double> expected = w.values;
    for (size_t o = 0; o < 4; ++o) {
      for (size_t i = 0; i < 6; ++i) {
        for (size_t k = 0; k < 3; ++k) {
          double second = 0;
          for (size_t x = 0; x < 4; ++x) {
            for (size_t y = 0; y < 4; ++y) {
              second += t.values[(x * 4 + y) * 3 + k] * wa.values[x * 2 + o % 2] *
                        wb.values[y * 2 + i % 2];
            }
          }
          expected[(o * 6 + i) * 3 + k] += 2.0 * w1.values[o / 2 * 3 + i / 2] * second;
        }
      }
    }
    CHECK(Distance(MergedTensor({{"c.weight", w}}, "LOKR", R"("r": 4, "alpha": 8)",
                                {{Key("c.lokr_w1"), w1},
                                 {Key("c.lokr_t2"), t},
                                 {Key("c.lokr_w2_a"), wa},
                                 {Key("c.lokr_w2_b"), wb}},
                                "c.weight"),
                   expected) < kSumTolerance);
  }

  TEST_CASE("OFT with the exact transform and with one shared block") {
    // Two blocks of side 3, and one of side 3 for both.
    const SmallTensor w = RandomTensor({5, 6}, 1);
    for (const bool shared : {false, true}) {
      const SmallTensor stored = Small(RandomTensor({shared ? 1 : 2, 3}, 2), 0.25);
      std::vector<std::vector<double>> rotations;
      for (size_t block = 0; block < (shared ? 1u : 2u); ++block) {
        const double* s = stored.values.data() + block * 3;
        rotations.push_back(reference::Cayley({0, s[0], s[1], -s[0], 0, s[2], -s[1], -s[2], 0}, 3));
      }
      const std::string settings =
          std::string(
              R"("oft_block_size": 3, "r": 0, "use_cayley_neumann": false, "block_share": )") +
          (shared ? "true" : "false");
      CHECK(Distance(MergedTensor({{"q.weight", w}}, "OFT", settings,
                                  {{Key("q.oft_R.weight"), stored}}, "q.weight"),
                     reference::RotateInputs(w.values, 5, reference::BlockDiagonal(rotations, 3, 6),
                                             6)) < kSumTolerance);
    }
  }

  TEST_CASE("HRA reflects the inputs plane by plane, on a matrix and on a kernel") {
    const SmallTensor u = RandomTensor({12, 3}, 2);
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5, 12}, {5, 3, 2, 2}}) {
      const SmallTensor w = RandomTensor(shape, 1);
      for (const bool orthogonal : {false, true}) {
        // W * H is the rotation of the inputs by H transposed.
        const std::vector<double> h = reference::Reflections(u.values, 12, 3, orthogonal);
        std::vector<double> transposed(h.size());
        for (size_t i = 0; i < h.size(); ++i) transposed[i % 12 * 12 + i / 12] = h[i];
        const std::string settings =
            std::string(R"("r": 3, "apply_GS": )") + (orthogonal ? "true" : "false");
        CHECK(Distance(MergedTensor({{"q.weight", w}}, "HRA", settings, {{Key("q.hra_u"), u}},
                                    "q.weight"),
                       reference::RotateInputs(w.values, 5, transposed, 12)) < kSumTolerance);
      }
    }
  }

  TEST_CASE("HRA refuses planes without a direction, and layers that PEFT does not reflect") {
    const TemporaryFolder folder;
    const auto fault = [&](const SmallTensor& weight, const SmallTensor& u,
                           const std::string& settings, const std::string& module = "q") {
      WriteTensors(folder / "model.safetensors", {{module + ".weight", weight}});
      WriteAdapter(folder / "adapter", "HRA", settings, {{Key(module + ".hra_u"), u}});
      const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
      if (!merged.ok()) return std::string(merged.status().message());
      std::vector<double> row(static_cast<size_t>((*merged)->tensors()[0].row_elements()));
      return std::string((*merged)->ReadRows(module + ".weight", 0, 1, row).message());
    };
    const auto check = [](const std::string& text, std::string_view part) {
      INFO(text);
      CHECK(text.find(part) != std::string::npos);
    };
    const SmallTensor w = RandomTensor({5, 4}, 1);
    SmallTensor u = RandomTensor({4, 2}, 2);
    CHECK(fault(w, u, R"("r": 2)").empty());
    check(fault(w, u, R"("r": 3)"), "has rank 2, but");
    check(fault(RandomTensor({5, 6}, 1), u, R"("r": 2)"),
          "of shape [4, 2] does not fit the base's 'q.weight' [5, 6]");
    check(fault(RandomTensor({5, 2, 2, 1}, 1), u, R"("r": 2)"), "a kernel that is not square");
    check(fault(RandomTensor({5, 4}, 1), u, R"("r": 2, "fan_in_fan_out": true)", "c_proj"),
          "a Conv1D layer or a kernel");
    check(fault(w, u, R"("r": 2, "apply_GS": 1)"), "'apply_GS' must be a boolean");
    check(fault(w, u, R"("r": 2, "lora_alpha": 1)"), "is a setting graft does not know");
    for (size_t i = 0; i < 4; ++i) u.values[i * 2 + 1] = -3 * u.values[i * 2];
    CHECK(fault(w, u, R"("r": 2)").empty());
    check(fault(w, u, R"("r": 2, "apply_GS": true)"), "a column 1 that depends on those before it");
    for (size_t i = 0; i < 4; ++i) u.values[i * 2] = 0;
    check(fault(w, u, R"("r": 2)"), "a column 0 of zeros");
  }

  TEST_CASE("BOFT with several factors multiplies butterflies and scales rows") {
    // Two factors of four blocks of side 4, on sixteen inputs.
    const SmallTensor w = RandomTensor({5, 16}, 1),
                      stored = Small(RandomTensor({2, 4, 4, 4}, 2), 0.125),
                      scale = RandomTensor({5, 1}, 3);
    std::vector<double> rotation(16 * 16, 0.0);
    for (size_t i = 0; i < 16; ++i) rotation[i * 16 + i] = 1;
    for (size_t factor = 0; factor < 2; ++factor) {
      std::vector<std::vector<double>> blocks;
      for (size_t block = 0; block < 4; ++block) {
        const double* r = stored.values.data() + (factor * 4 + block) * 16;
        std::vector<double> skew(16);
        for (size_t i = 0; i < 16; ++i) skew[i] = 0.5 * (r[i] - r[i % 4 * 4 + i / 4]);
        blocks.push_back(reference::Cayley(skew, 4));
      }
      const std::vector<double> p = reference::ButterflyMatrix(16, 4 >> factor, 2);
      std::vector<double> p_transposed(256);
      for (size_t i = 0; i < 256; ++i) p_transposed[i % 16 * 16 + i / 16] = p[i];
      const std::vector<double> diagonal = reference::BlockDiagonal(blocks, 4, 16);
      rotation = reference::SquareProduct(
          reference::SquareProduct(p, reference::SquareProduct(diagonal, p_transposed, 16), 16),
          rotation, 16);
    }
    std::vector<double> expected = reference::RotateInputs(w.values, 5, rotation, 16);
    for (size_t i = 0; i < expected.size(); ++i) expected[i] *= scale.values[i / 16];
    CHECK(Distance(MergedTensor({{"q.weight", w}}, "BOFT",
                                R"("boft_block_size": 4, "boft_n_butterfly_factor": 2)",
                                {{Key("q.boft_R"), stored}, {Key("q.boft_s"), scale}}, "q.weight"),
                   expected) < kSumTolerance);
  }

  TEST_CASE("IA3 scales outputs with their bias, or inputs, in matrices and convolutions") {
    const SmallTensors base = {{"k.weight", RandomTensor({4, 6}, 1)},
                               {"k.bias", RandomTensor({4}, 2)},
                               {"down.weight", RandomTensor({4, 6}, 3)},
                               {"down.bias", RandomTensor({4}, 4)},
                               {"conv.weight", RandomTensor({4, 6, 2}, 5)}};
    const SmallTensors adapter = {{Key("k.ia3_l"), RandomTensor({4, 1}, 6)},
                                  {Key("down.ia3_l"), RandomTensor({1, 6}, 7)},
                                  {Key("conv.ia3_l"), RandomTensor({1, 6, 1}, 8)}};
    const std::string_view settings = R"("feedforward_modules": ["down", "conv"])";
    const auto scaled = [&](const char* name, const char* key, auto index) {
      std::vector<double> values = base.at(name).values;
      for (size_t i = 0; i < values.size(); ++i) values[i] *= adapter.at(Key(key)).values[index(i)];
      return values;
    };
    CHECK(MergedTensor(base, "IA3", settings, adapter, "k.weight") ==
          scaled("k.weight", "k.ia3_l", [](size_t i) { return i / 6; }));
    CHECK(MergedTensor(base, "IA3", settings, adapter, "k.bias") ==
          scaled("k.bias", "k.ia3_l", [](size_t i) { return i; }));
    CHECK(MergedTensor(base, "IA3", settings, adapter, "down.weight") ==
          scaled("down.weight", "down.ia3_l", [](size_t i) { return i % 6; }));
    CHECK(MergedTensor(base, "IA3", settings, adapter, "down.bias") == base.at("down.bias").values);
    CHECK(MergedTensor(base, "IA3", settings, adapter, "conv.weight") ==
          scaled("conv.weight", "conv.ia3_l", [](size_t i) { return i / 2 % 6; }));
  }

  TEST_CASE("replicated layers are copies that the adapter treats one by one") {
    const TemporaryFolder folder;
    SmallTensors base = {{"model.norm.weight", RandomTensor({4}, 1)}};
    for (int layer = 0; layer < 3; ++layer) {
      base["model.layers." + std::to_string(layer) + ".q.weight"] =
          RandomTensor({6, 4}, static_cast<uint32_t>(10 + layer));
    }
    std::filesystem::create_directories(folder / "base");
    WriteTensors(folder / "base" / "model.safetensors", base);
    WriteText(folder / "base" / "config.json", R"({"num_hidden_layers": 3, "hidden_size": 4})");
    // Layers 0 1 1 2; only the second copy of layer 1 is adapted.
    const SmallTensor a = RandomTensor({2, 4}, 2), b = RandomTensor({6, 2}, 3);
    const SmallTensors adapter = {{Key("model.layers.2.q.lora_A.weight"), a},
                                  {Key("model.layers.2.q.lora_B.weight"), b}};
    WriteAdapter(folder / "adapter", "LORA", R"("r": 2, "layer_replication": [[0, 2], [1, 3]])",
                 adapter);
    MergeRequest request;
    request.base = folder / "base";
    request.adapters = {{folder / "adapter", 1}};
    request.output = folder / "out";
    const auto report = MergeCheckpoint(request);
    REQUIRE_MESSAGE(report.ok(), report.status().message());
    const auto written = Checkpoint::Open(folder / "out");
    REQUIRE(written.ok());
    CHECK((*written)->tensors().size() == 5);
    CHECK(ReadAll(**written, "model.layers.0.q.weight") == base["model.layers.0.q.weight"].values);
    CHECK(ReadAll(**written, "model.layers.1.q.weight") == base["model.layers.1.q.weight"].values);
    CHECK(ReadAll(**written, "model.layers.3.q.weight") == base["model.layers.2.q.weight"].values);
    std::vector<double> expected =
        reference::MergeLora(base["model.layers.1.q.weight"].values, 6, 4,
                             {a.values, b.values, 2, 4.0, reference::Orientation::kStraight});
    for (double& value : expected) value = static_cast<float>(value);
    CHECK(ReadAll(**written, "model.layers.2.q.weight") == expected);
    const auto config = JsonDocument::Read(folder / "out" / "config.json");
    REQUIRE(config.ok());
    CHECK(*(*config)->root().GetInt("num_hidden_layers") == 4);

    WriteAdapter(folder / "far", "LORA", R"("r": 2, "layer_replication": [[0, 4]])", adapter);
    CHECK(MergeFault(folder / "base", folder / "far")
              .find("asks for layers up to 4; the base has 3") != std::string::npos);
    // Refused before they cost memory: many ranges, long ones, and layers by name.
    std::string ranges = "[0, 3]";
    for (int i = 0; i < 1400; ++i) ranges += ", [0, 3]";
    for (const std::string& too_many : {ranges, std::string("[0, 4097]")}) {
      WriteAdapter(folder / "many", "LORA", R"("r": 2, "layer_replication": [)" + too_many + "]",
                   adapter);
      CHECK(MergeFault(folder / "base", folder / "many").find("at most 4096 layers in all") !=
            std::string::npos);
    }
    base["model.layers.9223372036854775807.q.weight"] = RandomTensor({6, 4}, 9);
    WriteTensors(folder / "base" / "model.safetensors", base);
    CHECK(MergeFault(folder / "base", folder / "adapter")
              .find("the base has a layer 9223372036854775807") != std::string::npos);
  }

  TEST_CASE("refuses what does not fit, kind by kind") {
    const TemporaryFolder folder;
    WriteTensors(folder / "model.safetensors", {{"q.weight", RandomTensor({4, 6}, 1)}});
    const auto fault = [&](std::string_view type, std::string_view settings,
                           const SmallTensors& adapter) {
      std::filesystem::remove_all(folder / "adapter");
      WriteAdapter(folder / "adapter", type, settings, adapter);
      return MergeFault(folder / "model.safetensors", folder / "adapter");
    };
    const auto mentions = [](const std::string& text, std::string_view part) {
      INFO(text);
      CHECK(text.find(part) != std::string::npos);
    };
    mentions(fault("IA3", "", {{Key("q.ia3_l"), RandomTensor({6, 1}, 1)}}),
             "'base_model.model.q.ia3_l' of shape [6, 1]");
    mentions(fault("OFT", R"("r": 0)", {{Key("q.oft_R.weight"), RandomTensor({2, 4}, 1)}}),
             "does not fit");
    mentions(fault("OFT", R"("coft": true)", {{Key("q.oft_R.weight"), RandomTensor({2, 3}, 1)}}),
             "'coft' cannot be merged");
    mentions(fault("BOFT", "", {{Key("q.boft_R"), RandomTensor({1, 2, 3, 3}, 1)}}),
             "needs boft_R and boft_s");
    mentions(fault("VERA", "",
                   {{Key("q.vera_lambda_b"), RandomTensor({4}, 1)},
                    {Key("q.vera_lambda_d"), RandomTensor({2}, 1)}}),
             "saved without its projection");
    mentions(
        fault("LOHA", R"("use_khatri_rao": true)", {{Key("q.hada_w1_a"), RandomTensor({4, 2}, 1)}}),
        "ABBA");
    mentions(fault("LOHA", R"("use_khatri_rao": "auto")",
                   {{Key("q.hada_w1_a"), RandomTensor({4, 2}, 1)}}),
             "needs hada_w1_b");
    mentions(fault("LOKR", "",
                   {{Key("q.lokr_w1"), RandomTensor({3, 2}, 1)},
                    {Key("q.lokr_w2"), RandomTensor({2, 3}, 1)}}),
             "does not fit the base's 'q.weight' [4, 6]");
    mentions(fault("LORA", R"("r": 2, "trainable_token_indices": [1, 9])",
                   {{Key("q.token_adapter.trainable_tokens_delta"), RandomTensor({2, 6}, 1)}}),
             "lie outside its 4");
    mentions(fault("LORA", R"("r": 2, "trainable_token_indices": {"p": [1, 2]})",
                   {{Key("q.token_adapter.trainable_tokens_delta"), RandomTensor({2, 6}, 1)}}),
             "has no rows named for it");
  }
}

}  // namespace
}  // namespace graft::converter
