// SPDX-License-Identifier: Apache-2.0
// A GGUF file as a base: its files beside the weights, its parts, what it is merged into, and what
// is refused by name.
#include "converter/gguf/gguf_model.h"

#include <cmath>
#include <functional>
#include <numbers>

#include <doctest/doctest.h>

#include "converter/base/input_file.h"
#include "converter/checkpoint/checkpoint.h"
#include "converter/json/json.h"
#include "converter/merge/merge_checkpoint.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/support/gguf_maker.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kWidth = 16;
constexpr int64_t kTokens = 10;

std::vector<float> Numbers(int64_t count, int seed) {
  std::vector<float> numbers(static_cast<size_t>(count));
  for (size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = static_cast<float>((static_cast<int>(i) * 7 + seed * 13) % 31 - 15) / 16.0f;
  }
  return numbers;
}

void AddSettings(GgufMaker* maker, const std::string& family = "llama") {
  maker->Text("general.architecture", family);
  for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"block_count", 1},
                                   {"context_length", 64},
                                   {"embedding_length", kWidth},
                                   {"feed_forward_length", kWidth},
                                   {"attention.head_count", 4},
                                   {"attention.head_count_kv", 2}}) {
    maker->Integer(family + "." + key, value);
  }
  maker->Number(family + ".attention.layer_norm_rms_epsilon", 1e-5f);
}

void AddTensor(GgufMaker* maker, const std::string& name, std::vector<int64_t> shape) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  maker->Floats32(name, shape, Numbers(count, static_cast<int>(name.size())));
}

void AddFirstHalf(GgufMaker* maker) {
  AddTensor(maker, "token_embd.weight", {kTokens, kWidth});
  AddTensor(maker, "output_norm.weight", {kWidth});
  AddTensor(maker, "blk.0.attn_norm.weight", {kWidth});
  AddTensor(maker, "blk.0.attn_q.weight", {kWidth, kWidth});
  AddTensor(maker, "blk.0.attn_k.weight", {kWidth / 2, kWidth});
}
void AddSecondHalf(GgufMaker* maker) {
  AddTensor(maker, "blk.0.attn_v.weight", {kWidth / 2, kWidth});
  AddTensor(maker, "blk.0.attn_output.weight", {kWidth, kWidth});
  AddTensor(maker, "blk.0.ffn_norm.weight", {kWidth});
  for (const char* name : {"gate", "up", "down"})
    AddTensor(maker, std::string("blk.0.ffn_") + name + ".weight", {kWidth, kWidth});
}

// A model whose settings are added to; what its config.json says, or the error.
std::string ConfigOf(const std::function<void(GgufMaker*)>& add,
                     const std::string& family = "llama") {
  GgufMaker maker;
  AddSettings(&maker, family);
  add(&maker);
  AddFirstHalf(&maker);
  AddSecondHalf(&maker);
  const TemporaryFolder folder;
  WriteText(folder / "m.gguf", maker.Bytes());
  const auto model = OpenGgufModel(folder / "m.gguf");
  return model.ok() ? ReadBytes(model->folder / "config.json")
                    : std::string(model.status().message());
}

TEST_SUITE("converter/gguf_model") {
  TEST_CASE("an adapter finds the modules of a GGUF base by the model's own names and rows") {
    const TemporaryFolder folder;
    const fs::path base = TestData("gguf/llama.gguf");
    const auto opened = Checkpoint::Open(base);
    REQUIRE_MESSAGE(opened.ok(), opened.status().message());
    CHECK((*opened)->stored_as() == "GGUF (16 BF16, 5 F32)");
    CHECK_FALSE((*opened)->is_quantized());
    const std::string module = "model.layers.1.self_attn.q_proj";
    SmallTensors lora;
    lora["base_model.model." + module + ".lora_A.weight"] = RandomTensor({2, kWidth}, 1, true);
    lora["base_model.model." + module + ".lora_B.weight"] = RandomTensor({kWidth, 2}, 2, true);
    WriteAdapter(folder / "lora", "LORA",
                 R"("r": 2, "lora_alpha": 2, "target_modules": ["q_proj"])", lora);
    MergeRequest request;
    request.base = base;
    request.adapters = {{folder / "lora", 1}};
    request.output = folder / "out";
    request.dtype = DType::kFloat32;
    const auto report = MergeCheckpoint(request);
    REQUIRE_MESSAGE(report.ok(), report.status().message());
    CHECK(report->tensors.size() == 1);
    const auto merged = Checkpoint::Open(folder / "out");
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    for (const TensorInfo& info : (*opened)->tensors()) {
      INFO(info.name);
      std::vector<double> expected = ReadAll(**opened, info.name);
      if (info.name == module + ".weight") {
        const auto& a = lora["base_model.model." + module + ".lora_A.weight"].values;
        const auto& b = lora["base_model.model." + module + ".lora_B.weight"].values;
        for (size_t row = 0; row < kWidth; ++row) {
          for (size_t column = 0; column < kWidth; ++column) {
            double& number = expected[row * kWidth + column];
            number += b[row * 2] * a[column] + b[row * 2 + 1] * a[kWidth + column];
            number = static_cast<double>(static_cast<float>(number));
          }
        }
      }
      CHECK(ReadAll(**merged, info.name) == expected);
    }
    for (const char* file : {"model.safetensors", "config.json", "tokenizer.json",
                             "tokenizer_config.json", "generation_config.json"}) {
      CHECK(Exists(folder / "out" / file));
    }
    // Hugging Face's parser wants every member of an added token.
    CheckMentions(ReadBytes(folder / "out" / "tokenizer.json"),
                  R"("single_word":false,"lstrip":false,"rstrip":false)");
  }

  TEST_CASE("the files beside the weights go away with the model") {
    fs::path made;
    {
      const auto model = Checkpoint::Open(TestData("gguf/bert.gguf"));
      REQUIRE(model.ok());
      made = (*model)->folder();
      CHECK(Exists(made / "config.json"));
    }
    CHECK_FALSE(Exists(made));
    CHECK_FALSE(Exists(made.parent_path()));
  }

  TEST_CASE("a model in several files is read whole, by the name of any, or of the folder") {
    GgufMaker first;
    AddSettings(&first);
    GgufMaker second;
    for (GgufMaker* maker : {&first, &second}) {
      maker->Integer("split.count", 2);
      maker->Integer("split.no", maker == &first ? 0 : 1);
    }
    AddFirstHalf(&first);
    AddSecondHalf(&second);
    const TemporaryFolder folder;
    WriteText(folder / "m-00001-of-00002.gguf", first.Bytes());
    WriteText(folder / "m-00002-of-00002.gguf", second.Bytes());
    for (const fs::path& path :
         {folder / "m-00001-of-00002.gguf", folder / "m-00002-of-00002.gguf", folder.path()}) {
      const auto model = Checkpoint::Open(path);
      REQUIRE_MESSAGE(model.ok(), model.status().message());
      CHECK((*model)->tensors().size() == 11);
      CHECK((*model)->shards().size() == 2);
      CHECK((*model)->Find("model.layers.0.mlp.down_proj.weight") != nullptr);
    }
    const auto fault = [&folder] {
      return std::string(Checkpoint::Open(folder.path()).status().message());
    };
    WriteText(folder / "m-00002-of-00002.gguf", first.Bytes());
    CheckMentions(fault(), "says part 1 of 2, but the file is called part 2 of 2");
    fs::remove(folder / "m-00002-of-00002.gguf");
    CheckMentions(fault(), "its part m-00002-of-00002.gguf is missing");
    WriteText(folder / "whole.gguf", first.Bytes());
    CheckMentions(fault(), "holds 2 GGUF models (m-00001-of-00002.gguf, whole.gguf)");
  }

  TEST_CASE("a head of its own and scaled positions are told from tensors and settings") {
    CheckMentions(ConfigOf([](GgufMaker*) {}), "\"tie_word_embeddings\": true");
    CheckMentions(ConfigOf([](GgufMaker* maker) {
                    AddTensor(maker, "output.weight", {kTokens, kWidth});
                  }),
                  "\"tie_word_embeddings\": false");
    const std::string linear = ConfigOf([](GgufMaker* maker) {
      maker->Text("llama.rope.scaling.type", "linear");
      maker->Number("llama.rope.scaling.factor", 8.0f);
      maker->Number("llama.rope.freq_base", 1e6f);
    });
    CheckMentions(linear, "\"rope_theta\": 1000000.0");
    CheckMentions(linear, "\"rope_type\": \"linear\"");
    CheckMentions(ConfigOf([](GgufMaker* maker) {
                    maker->Text("llama.rope.scaling.type", "yarn");
                    maker->Number("llama.rope.scaling.factor", 4.0f);
                    maker->Integer("llama.rope.scaling.original_context_length", 32);
                  }),
                  "\"original_max_position_embeddings\": 32");
  }

  TEST_CASE("the factors of Llama 3's positions give its settings back") {
    constexpr double kTheta = 500000.0;
    constexpr int kPairs = 32;
    struct Scaling {
      float factor;
      double low;
      double high;
      double original;
    };
    for (const Scaling& s :
         {Scaling{32.0f, 1.0, 4.0, 8192.0}, {8.0f, 1.0, 4.0, 8192.0}, {8.0f, 2.0, 6.0, 8192.0}}) {
      std::vector<float> factors;
      for (int i = 0; i < kPairs; ++i) {
        const double wavelength = 2.0 * std::numbers::pi * std::pow(kTheta, i / double{kPairs});
        if (wavelength < s.original / s.high) {
          factors.push_back(1.0f);
        } else if (wavelength > s.original / s.low) {
          factors.push_back(s.factor);
        } else {
          const double smooth = (s.original / wavelength - s.low) / (s.high - s.low);
          factors.push_back(static_cast<float>(1.0 / ((1.0 - smooth) / s.factor + smooth)));
        }
      }
      const std::string text = ConfigOf([&factors](GgufMaker* maker) {
        maker->Integer("llama.attention.key_length", 2 * kPairs);
        maker->Integer("llama.attention.value_length", 2 * kPairs);
        maker->Number("llama.rope.freq_base", static_cast<float>(kTheta));
        maker->Floats32("rope_freqs.weight", {kPairs}, factors);
      });
      INFO(text);
      // The weights of this model do not have such heads: what matters is the config.
      const auto config = JsonDocument::Parse(text, "config.json");
      REQUIRE(config.ok());
      const JsonValue scaling = (*config)->root().Find("rope_scaling");
      CHECK(*scaling.GetDouble("factor", 0) == static_cast<double>(s.factor));
      CHECK(*scaling.GetDouble("low_freq_factor", 0) == doctest::Approx(s.low).epsilon(1e-3));
      CHECK(*scaling.GetDouble("high_freq_factor", 0) == doctest::Approx(s.high).epsilon(1e-3));
    }
    CheckMentions(ConfigOf([](GgufMaker* maker) {
                    maker->Floats32("rope_freqs.weight", {2}, {3.0f, 1.5f});
                  }),
                  "are not those of Llama 3's scaling of positions");
    CheckMentions(ConfigOf([](GgufMaker* maker) {
                    maker->Floats32("rope_freqs.weight", {3}, {1.0f, 1.0f, 1.0f});
                  }),
                  "tensor 'rope_freqs.weight' has the shape [3]; the heads need [2]");
  }

  TEST_CASE("a model that embeds says how") {
    GgufMaker maker;
    AddSettings(&maker, "qwen3");
    maker.Integer("qwen3.pooling_type", 3);
    AddFirstHalf(&maker);
    AddSecondHalf(&maker);
    const TemporaryFolder folder;
    WriteText(folder / "m.gguf", maker.Bytes());
    const auto model = OpenGgufModel(folder / "m.gguf");
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    CheckMentions(ReadBytes(model->folder / "modules.json"), "Normalize");
    CheckMentions(ReadBytes(model->folder / "1_Pooling/config.json"), "lasttoken");
  }

  TEST_CASE("experts that lie in one tensor are tensors each of its own") {
    GgufMaker maker;
    AddSettings(&maker);
    maker.Integer("llama.expert_count", 3);
    maker.Integer("llama.expert_used_count", 2);
    AddFirstHalf(&maker);
    AddTensor(&maker, "blk.0.ffn_down_exps.weight", {3, kWidth, 4});
    const TemporaryFolder folder;
    WriteText(folder / "m.gguf", maker.Bytes());
    const auto mixture = Checkpoint::Open(folder / "m.gguf");
    REQUIRE_MESSAGE(mixture.ok(), mixture.status().message());
    const std::vector<float> all = Numbers(3 * kWidth * 4, 26);
    for (size_t expert = 0; expert < 3; ++expert) {
      const std::string name =
          "model.layers.0.block_sparse_moe.experts." + std::to_string(expert) + ".w2.weight";
      const TensorInfo* info = (*mixture)->Find(name);
      REQUIRE(info != nullptr);
      CHECK(info->shape == std::vector<int64_t>{kWidth, 4});
      const auto begin = all.begin() + static_cast<int64_t>(expert) * kWidth * 4;
      CHECK(ReadAll(**mixture, name) == std::vector<double>(begin, begin + kWidth * 4));
    }
    CHECK((*mixture)->Find("model.layers.0.block_sparse_moe.experts.3.w2.weight") == nullptr);
  }

  TEST_CASE("tensors have the model's axes, whichever of them the file leaves out or joins") {
    const auto lfm2 = Checkpoint::Open(TestData("gguf/families/lfm2.gguf"));
    REQUIRE_MESSAGE(lfm2.ok(), lfm2.status().message());
    const TensorInfo* kernel = (*lfm2)->Find("model.layers.0.conv.conv.weight");
    REQUIRE(kernel != nullptr);
    CHECK(kernel->shape == std::vector<int64_t>{kWidth, 1, 3});
    GgufMaker maker;
    AddSettings(&maker, "stablelm");
    AddFirstHalf(&maker);
    AddTensor(&maker, "blk.0.attn_q_norm.weight", {4, 4});
    const TemporaryFolder folder;
    WriteText(folder / "heads.gguf", maker.Bytes());
    const auto heads = Checkpoint::Open(folder / "heads.gguf");
    REQUIRE_MESSAGE(heads.ok(), heads.status().message());
    const std::string norm = "model.layers.0.self_attn.q_layernorm.norms.3.weight";
    const std::vector<float> all = Numbers(16, 24);
    CHECK(ReadAll(**heads, norm) == std::vector<double>(all.begin() + 12, all.end()));
    // As llama-quantize leaves a matrix of one row.
    GgufMaker shared;
    AddSettings(&shared, "qwen2moe");
    for (const char* key : {"expert_count", "expert_used_count", "expert_feed_forward_length",
                            "expert_shared_feed_forward_length"}) {
      shared.Integer(std::string("qwen2moe.") + key, 2);
    }
    AddFirstHalf(&shared);
    AddTensor(&shared, "blk.0.ffn_gate_inp_shexp.weight", {kWidth});
    WriteText(folder / "shared.gguf", shared.Bytes());
    const auto gate = Checkpoint::Open(folder / "shared.gguf");
    REQUIRE_MESSAGE(gate.ok(), gate.status().message());
    const TensorInfo* row = (*gate)->Find("model.layers.0.mlp.shared_expert_gate.weight");
    REQUIRE(row != nullptr);
    CHECK(row->shape == std::vector<int64_t>{1, kWidth});
  }

  TEST_CASE("a tokenizer without merges has none") {
    CheckMentions(ConfigOf([](GgufMaker* m) {
                    m->Text("tokenizer.ggml.model", "gpt2");
                    m->Text("tokenizer.ggml.pre", "gpt-2");
                    m->Texts("tokenizer.ggml.tokens", {"a", "b"});
                  }),
                  "\"model_type\": \"llama\"");
  }

  TEST_CASE("gates and ups make one tensor, whichever file of a split model each is in") {
    const TemporaryFolder folder;
    constexpr int64_t kExperts = 2, kHidden = 4, kInner = 3;
    std::vector<float> gates, ups;
    for (int i = 0; i < kExperts * kInner * kHidden; ++i) {
      gates.push_back(static_cast<float>(i));
      ups.push_back(static_cast<float>(100 + i));
    }
    GgufMaker first, second;
    AddSettings(&first, "gpt-oss");
    for (const char* key : {"expert_count", "expert_used_count"})
      first.Integer(std::string("gpt-oss.") + key, kExperts);
    first.Integer("gpt-oss.expert_feed_forward_length", kInner);
    first.Integer("gpt-oss.attention.sliding_window", 4);
    for (GgufMaker* maker : {&first, &second}) {
      maker->Integer("split.count", 2);
      maker->Integer("split.no", maker == &first ? 0 : 1);
    }
    AddTensor(&first, "token_embd.weight", {kTokens, kHidden});
    first.Floats32("blk.0.ffn_gate_exps.weight", {kExperts, kInner, kHidden}, gates);
    first.Floats32("blk.0.ffn_up_exps.bias", {kExperts, 2}, {5, 6, 7, 8});
    second.Floats32("blk.0.ffn_up_exps.weight", {kExperts, kInner, kHidden}, ups);
    second.Floats32("blk.0.ffn_gate_exps.bias", {kExperts, 2}, {1, 2, 3, 4});
    second.Floats32("blk.0.ffn_down_exps.weight", {kExperts, kHidden, kInner}, gates);
    WriteText(folder / "m-00001-of-00002.gguf", first.Bytes());
    WriteText(folder / "m-00002-of-00002.gguf", second.Bytes());
    const auto model = Checkpoint::Open(folder.path());
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    const std::string experts = "model.layers.0.mlp.experts.";
    const TensorInfo* both = (*model)->Find(experts + "gate_up_proj");
    REQUIRE(both != nullptr);
    CHECK(both->shape == std::vector<int64_t>{kExperts, kHidden, 2 * kInner});
    std::vector<double> expected;
    for (int expert = 0; expert < kExperts; ++expert) {
      for (int column = 0; column < kHidden; ++column) {
        for (int row = 0; row < kInner; ++row) {
          const int at =
              (expert * static_cast<int>(kInner) + row) * static_cast<int>(kHidden) + column;
          expected.push_back(at);
          expected.push_back(100 + at);
        }
      }
    }
    CHECK(ReadAll(**model, both->name) == expected);
    // The second expert alone.
    std::vector<double> part(kHidden * 2 * kInner);
    REQUIRE((*model)->ReadRows(both->name, 1, 2, part).ok());
    CHECK(part == std::vector<double>(expected.begin() + static_cast<int64_t>(part.size()),
                                      expected.end()));
    CHECK(ReadAll(**model, experts + "gate_up_proj_bias") ==
          std::vector<double>{1, 5, 2, 6, 3, 7, 4, 8});
    const TensorInfo* down = (*model)->Find(experts + "down_proj");
    REQUIRE(down != nullptr);
    CHECK(down->shape == std::vector<int64_t>{kExperts, kInner, kHidden});
    CHECK(ReadAll(**model, down->name)[1] == 3.0);  // row 1 of the first expert's stored matrix
    GgufMaker alone;
    AddSettings(&alone, "gpt-oss");
    AddTensor(&alone, "token_embd.weight", {kTokens, kHidden});
    alone.Integer("gpt-oss.attention.sliding_window", 4);
    for (const char* key : {"expert_count", "expert_used_count", "expert_feed_forward_length"})
      alone.Integer(std::string("gpt-oss.") + key, kExperts);
    alone.Floats32("blk.0.ffn_gate_exps.weight", {kExperts, kInner, kHidden}, gates);
    WriteText(folder / "alone.gguf", alone.Bytes());
    CheckMentions(std::string(OpenGgufModel(folder / "alone.gguf").status().message()),
                  "has tensor 'blk.0.ffn_gate_exps.weight' without 'blk.0.ffn_up_exps.weight'");
  }

  TEST_CASE(
      "rates become the logarithms that they were made from, and layers that guess are left") {
    const auto write = [](std::vector<float> rates, uint32_t blocks, const fs::path& file) {
      GgufMaker maker;
      maker.Text("general.architecture", "mamba2");
      for (const auto& [key, value] : {std::pair<const char*, uint32_t>{"block_count", blocks},
                                       {"nextn_predict_layers", blocks - 1},
                                       {"context_length", 64},
                                       {"embedding_length", kWidth},
                                       {"ssm.conv_kernel", 4},
                                       {"ssm.inner_size", 2 * kWidth},
                                       {"ssm.state_size", 4},
                                       {"ssm.time_step_rank", 2}}) {
        maker.Integer(std::string("mamba2.") + key, value);
      }
      AddTensor(&maker, "token_embd.weight", {kTokens, kWidth});
      maker.Floats32("blk.0.ssm_a", {2, 1}, rates);
      maker.Floats32("blk.1.ssm_a", {2, 1}, rates);
      WriteText(file, maker.Bytes());
    };
    const TemporaryFolder folder;
    write({-1.0f, -7.38905609893065f}, 2, folder / "m.gguf");
    const auto model = Checkpoint::Open(folder / "m.gguf");
    REQUIRE_MESSAGE(model.ok(), model.status().message());
    const std::string name = "backbone.layers.0.mixer.A_log";
    REQUIRE((*model)->Find(name) != nullptr);
    CHECK((*model)->Find(name)->shape == std::vector<int64_t>{2});
    CHECK(ReadAll(**model, name)[0] == 0.0);
    CHECK(ReadAll(**model, name)[1] == doctest::Approx(2.0).epsilon(1e-7));
    CHECK((*model)->Find("backbone.layers.1.mixer.A_log") == nullptr);
    const std::string config = ReadBytes((*model)->folder() / "config.json");
    CheckMentions(config, "\"num_hidden_layers\": 1");
    CheckMentions(config, "\"expand\": 2,");
    write({-0.0f, 0.5f}, 2, folder / "m.gguf");
    const auto positive = Checkpoint::Open(folder / "m.gguf");
    REQUIRE(positive.ok());
    std::vector<double> numbers(2);
    CheckMentions(std::string((*positive)->ReadRows(name, 0, 2, numbers).message()),
                  "has a number that is not 0 or below");
  }

  TEST_CASE("more experts than a model may have, or a vector of them, are refused") {
    for (const std::vector<int64_t>& shape : {std::vector<int64_t>{4097, 1}, {8}}) {
      GgufMaker maker;
      AddSettings(&maker);
      maker.Integer("llama.expert_count", 3);
      maker.Integer("llama.expert_used_count", 2);
      AddFirstHalf(&maker);
      AddTensor(&maker, "blk.0.ffn_down_exps.weight", shape);
      const TemporaryFolder folder;
      WriteText(folder / "m.gguf", maker.Bytes());
      CheckMentions(std::string(OpenGgufModel(folder / "m.gguf").status().message()),
                    "is not one of several experts");
    }
  }

  TEST_CASE("windows that are not said of each layer are refused") {
    CheckMentions(ConfigOf(
                      [](GgufMaker* m) {
                        m->Integer("olmo2.attention.sliding_window", 8);
                        m->Integers("olmo2.attention.sliding_window_pattern", {1, 0});
                      },
                      "olmo2"),
                  "setting 'olmo2.attention.sliding_window_pattern' does not say it of each layer");
  }

  TEST_CASE("what graft does not compute is refused by name") {
    CheckMentions(ConfigOf([](GgufMaker*) {}, "rwkv7"), "is \"rwkv7\"; of GGUF files graft reads");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Integer("qwen2.expert_count", 8); }, "qwen2"),
                  "setting 'qwen2.expert_count' is not 0");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Flag("llama.attention.causal", false); }),
                  "setting 'llama.attention.causal' is false");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Text("general.type", "mmproj"); }),
                  "is \"mmproj\"; a base must be");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Text("general.type", "adapter"); }),
                  "is an adapter; name the model it was trained on as --base");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Text("llama.rope.scaling.type", "longrope"); }),
                  "setting 'llama.rope.scaling.type' is \"longrope\"");
    CheckMentions(ConfigOf([](GgufMaker* m) { m->Integer("llama.attention.sliding_window", 8); }),
                  "setting 'llama.attention.sliding_window' is set");
    CheckMentions(ConfigOf([](GgufMaker* m) {
                    m->Text("tokenizer.ggml.model", "rwkv");
                    m->Texts("tokenizer.ggml.tokens", {"a"});
                  }),
                  "setting 'tokenizer.ggml.model' is \"rwkv\"");
    CheckMentions(ConfigOf([](GgufMaker* m) {
                    m->Text("tokenizer.ggml.model", "gpt2");
                    m->Text("tokenizer.ggml.pre", "martian");
                    m->Texts("tokenizer.ggml.tokens", {"a"});
                  }),
                  "setting 'tokenizer.ggml.pre' is \"martian\"");
    CheckMentions(ConfigOf([](GgufMaker* m) {
                    m->Text("tokenizer.ggml.model", "llama");
                    m->Texts("tokenizer.ggml.tokens", {"a"});
                    m->Floats("tokenizer.ggml.scores", {0.0f, 1.0f});
                  }),
                  "lists 2 scores for 1 tokens");
    GgufMaker odd;
    AddSettings(&odd);
    AddTensor(&odd, "token_embd.weight", {kTokens, kWidth});
    AddTensor(&odd, "blk.0.attn_q.weight", {6, kWidth});
    const TemporaryFolder folder;
    WriteText(folder / "m.gguf", odd.Bytes());
    CheckMentions(std::string(OpenGgufModel(folder / "m.gguf").status().message()),
                  "tensor 'blk.0.attn_q.weight' of shape [6, 16] does not fit the model's 4 heads");
  }
}

}  // namespace
}  // namespace graft::converter
