// SPDX-License-Identifier: Apache-2.0
// Adapters without adapter_config.json: settings in the metadata of the weights, and files of other
// programs, which are called by their names.
#include "converter/adapter/metadata_config.h"

#include <doctest/doctest.h>

#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

using Metadata = std::vector<std::pair<std::string, std::string>>;

struct Bench {
  TemporaryFolder folder;
  SmallTensors base = {{"blocks.0.to_q.weight", RandomTensor({6, 4}, 1)},
                       {"blocks.1.to_q.weight", RandomTensor({6, 4}, 2)}};
  SmallTensors adapter;

  void Add(const std::string& module, int64_t rank, const char* down = ".lora_A.weight",
           const char* up = ".lora_B.weight") {
    const uint32_t seed = static_cast<uint32_t>(10 * adapter.size());
    adapter[module + down] = RandomTensor({rank, 4}, seed + 11);
    adapter[module + up] = RandomTensor({6, rank}, seed + 12);
  }
  std::filesystem::path Write(const Metadata& metadata) const {
    WriteTensors(folder / "model.safetensors", base);
    WriteTensors(folder / "lora.safetensors", adapter, metadata);
    return folder / "lora.safetensors";
  }
  std::string Fault(const Metadata& metadata) const {
    return MergeFault(folder / "model.safetensors", Write(metadata));
  }
  // That block `block`, of rank `rank`, is changed by `scale` times the product.
  void Check(const Metadata& metadata, const std::string& module, int block, int64_t rank,
             double scale, const char* down = ".lora_A.weight",
             const char* up = ".lora_B.weight") const {
    const auto merged = Merge(folder / "model.safetensors", Write(metadata));
    REQUIRE_MESSAGE(merged.ok(), merged.status().message());
    const std::string name = "blocks." + std::to_string(block) + ".to_q.weight";
    CHECK(ReadAll(**merged, name) ==
          reference::MergeLora(base.at(name).values, 6, 4,
                               {adapter.at(module + down).values, adapter.at(module + up).values,
                                rank, scale, reference::Orientation::kStraight}));
  }
};

TEST_SUITE("converter/metadata_config") {
  TEST_CASE("the configuration that diffusers keeps beside the tensors is the adapter's") {
    Bench bench;
    bench.Add("unet.blocks.0.to_q", 2);
    bench.Check({{"lora_adapter_metadata", R"({"unet.r": 2, "unet.lora_alpha": 3})"}},
                "unet.blocks.0.to_q", 0, 2, 1.5);
    bench.Check({{"lora_adapter_metadata",
                  R"({"unet.r": 4, "unet.lora_alpha": 4, "unet.rank_pattern": {"to_q": 2},
                      "unet.alpha_pattern": {"blocks.0.to_q": 1}, "unet.lora_dropout": 0.0,
                      "unet.target_modules": ["to_q"], "unet.bias": "none"})"}},
                "unet.blocks.0.to_q", 0, 2, 0.5);
    bench.Check({{"lora_adapter_metadata",
                  R"({"unet.r": 2, "unet.lora_alpha": 8, "unet.use_rslora": false,
                      "text_encoder.r": 2, "text_encoder.lora_alpha": 8,
                      "text_encoder.use_rslora": false})"}},
                "unet.blocks.0.to_q", 0, 2, 4);
    CheckMentions(bench.Fault({{"lora_adapter_metadata", R"({"unet.r": 2, "text_encoder.r": 4})"}}),
                  "has settings for several parts of a pipeline that differ");
    CheckMentions(bench.Fault({{"lora_adapter_metadata", R"({"unet.r": 3})"}}), "gives it 3");
    CheckMentions(bench.Fault({{"lora_adapter_metadata", "{"}}),
                  "metadata 'lora_adapter_metadata'");
    CheckMentions(bench.Fault({{"lora_adapter_metadata", R"({"unet.use_qalora": true})"}}),
                  "cannot be merged");
  }

  TEST_CASE("an alpha in the metadata is divided by the rank that each module has") {
    for (const char* key : {"lora_alpha", "alpha", "network_alpha", "ss_network_alpha"}) {
      Bench bench;
      bench.Add("base_model.model.blocks.0.to_q", 2);
      bench.Add("base_model.model.blocks.1.to_q", 4);
      INFO(key);
      for (int block = 0; block < 2; ++block) {
        const int64_t rank = block == 0 ? 2 : 4;
        bench.Check({{"format", "pt"}, {key, "6"}},
                    "base_model.model.blocks." + std::to_string(block) + ".to_q", block, rank,
                    6.0 / static_cast<double>(rank));
      }
      bench.adapter.clear();
      bench.Add("base_model.model.blocks.1.to_q", 4);
      bench.Check({{key, "1.0"}, {"use_rslora", "True"}}, "base_model.model.blocks.1.to_q", 1, 4,
                  0.5);
      CheckMentions(bench.Fault({{key, "much"}}), "without its adapter_config.json");
    }
    Bench whole;
    whole.Add("base_model.model.blocks.0.to_q", 2);
    whole.Check({{"adapter_config", R"({"peft_type": "LORA", "r": 2, "lora_alpha": 5})"}},
                "base_model.model.blocks.0.to_q", 0, 2, 2.5);
    CheckMentions(whole.Fault({{"format", "pt"}}), "without its adapter_config.json");
  }

  TEST_CASE("kohya's metadata speak where no module has an alpha of its own") {
    Bench bench;
    const char* down = ".lora_down.weight";
    const char* up = ".lora_up.weight";
    bench.Add("lora_unet_blocks_0_to_q", 2, down, up);
    bench.Check({{"ss_network_alpha", "3"}, {"ss_network_dim", "2"}}, "lora_unet_blocks_0_to_q", 0,
                2, 1.5, down, up);
    bench.Check({{"format", "pt"}}, "lora_unet_blocks_0_to_q", 0, 2, 1, down, up);
    bench.adapter["lora_unet_blocks_0_to_q.alpha"] = {{}, {1}};
    bench.Check({{"ss_network_alpha", "3"}}, "lora_unet_blocks_0_to_q", 0, 2, 0.5, down, up);
    // What torch.compile put into the names is left out.
    bench.adapter.clear();
    bench.Add("lora_unet__orig_mod_blocks_0_to_q", 2, down, up);
    bench.Check({{"ss_network_alpha", "2"}}, "lora_unet__orig_mod_blocks_0_to_q", 0, 2, 1, down,
                up);
  }

  TEST_CASE("a pipeline's file without an alpha has diffusers' scale, 1") {
    for (const std::string module :
         {"unet.blocks.0.to_q", "diffusion_model.blocks.0.to_q", "transformer.blocks.0.to_q"}) {
      Bench bench;
      bench.Add(module, 2);
      bench.Check({{"format", "pt"}}, module, 0, 2, 1);
    }
    Bench text;
    text.Add("transformer.h.0.to_q", 2);
    CheckMentions(text.Fault({{"format", "pt"}}), "without its adapter_config.json");
  }
}

TEST_SUITE("converter/foreign_adapter") {
  TEST_CASE("adapters of other programs are called by their names") {
    const struct {
      const char* tensor;
      const char* what;
    } kCases[] = {
        {"layers.0.attn.q_proj.lora_a.weight", "is torchtune's, under Meta's names"},
        {"layers.3.attention.wq.lora_A.weight", "is mistral-finetune's"},
        {"layers.3.feed_forward.w1.lora_B.weight", "is mistral-finetune's"},
        {"transformer.h.0.attn.qkv.lora_A", "is LitGPT's"},
        {"transformer.h.0.attn.attn.lora_B", "is LitGPT's"},
        {"model.decoder.layers.0.self_attention.linear_qkv.adapter.linear_in.weight", "is NeMo's"},
        {"decoder.layers.0.mlp.linear_fc1.lora_A.weight", "is NeMo's or Megatron's"},
        {"model.layers.0.self_attn.q_proj.lora_right_weight", "is DeepSpeed-Chat's"},
        {"double_blocks.0.processor.qkv_lora1.down.weight", "is XLabs' form for FLUX"},
        {"unet.mid_block.attn1.processor.to_q_lora.down.weight",
         "is a LoRA of diffusers' attention processors"},
        {"unet.mid_block.attn1.to_q.lora.up.weight", "is a LoRA of diffusers' attention"},
        {"roberta.encoder.layer.0.attention.self.query.loras.mine.lora_A", "(AdapterHub)"},
        {"unet:0:up", "is of the first LoRA trainer for Stable Diffusion"},
        {"language_model.model.layers.0.self_attn.q_proj.A", "is an older mlx-vlm's"},
        {"blk.0.attn_q.weight.lora_a", "is under llama.cpp's names"},
    };
    for (const auto& c : kCases) {
      Bench bench;
      bench.adapter[c.tensor] = RandomTensor({2, 4}, 1);
      INFO(c.tensor);
      const std::string fault = bench.Fault({{"format", "pt"}});
      CheckMentions(fault, "lora.safetensors: is ");
      CheckMentions(fault, c.what);
    }
    const TemporaryFolder hub;
    WriteText(hub / "adapter_config.json",
              R"({"config": {"architecture": "lora", "r": 8}, "model_class": "RobertaModel"})");
    CheckMentions(MergeFault(TestData("tales/base"), hub.path()),
                  "'config' is of the library adapters (AdapterHub)");
  }
}

}  // namespace
}  // namespace graft::converter
