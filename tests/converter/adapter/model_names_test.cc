// SPDX-License-Identifier: Apache-2.0
// Adapters and bases that call the modules of one model by different names: releases that moved the
// parts of a model around, wrappers of training programs, and parts that are not to be confused.
#include <doctest/doctest.h>

#include "converter/adapter/names/model_part.h"
#include "tests/converter/merge/adapter_maker.h"
#include "tests/reference/lora_reference.h"
#include "tests/support/mentions.h"

namespace graft::converter {
namespace {

constexpr std::string_view kSettings = R"("r": 2, "lora_alpha": 3)";

SmallTensor A() { return RandomTensor({2, 4}, 100); }
SmallTensor B() { return RandomTensor({4, 2}, 101); }

SmallTensors AdapterOf(const std::string& module) {
  return {{Key(module + ".lora_A.weight"), A()}, {Key(module + ".lora_B.weight"), B()}};
}

// A base of square weights: whatever its name, every one of them fits every adapter.
SmallTensors BaseOf(const std::vector<std::string>& modules) {
  SmallTensors base;
  for (const std::string& module : modules) {
    base[module + ".weight"] = RandomTensor({4, 4}, static_cast<uint32_t>(base.size()));
  }
  return base;
}

std::string Fault(const SmallTensors& base, const SmallTensors& adapter) {
  const TemporaryFolder folder;
  WriteTensors(folder / "model.safetensors", base);
  WriteAdapter(folder / "adapter", "LORA", kSettings, adapter);
  return MergeFault(folder / "model.safetensors", folder / "adapter");
}

// The adapter changes `expected` of the base, by what PEFT computes, and nothing else.
void CheckLandsOn(const std::vector<std::string>& modules, const std::string& adapter,
                  const std::string& expected) {
  INFO(adapter);
  const SmallTensors base = BaseOf(modules);
  const TemporaryFolder folder;
  WriteTensors(folder / "model.safetensors", base);
  WriteAdapter(folder / "adapter", "LORA", kSettings, AdapterOf(adapter));
  const auto merged = Merge(folder / "model.safetensors", folder / "adapter");
  REQUIRE_MESSAGE(merged.ok(), merged.status().message());
  for (const std::string& module : modules) {
    const SmallTensor& weight = base.at(module + ".weight");
    const std::vector<double> changed = reference::MergeLora(
        weight.values, 4, 4, {A().values, B().values, 2, 1.5, reference::Orientation::kStraight});
    INFO(module);
    CHECK(ReadAll(**merged, module + ".weight") == (module == expected ? changed : weight.values));
  }
}

// Checkpoints of wrapper models: as older releases saved them, and as newer ones do.
const std::vector<std::string> kOlderLlava = {
    "language_model.model.layers.0.self_attn.q_proj",
    "language_model.model.layers.1.self_attn.q_proj",
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj", "multi_modal_projector.linear_1",
    "language_model.lm_head"};
const std::vector<std::string> kNewerLlava = {
    "model.language_model.layers.0.self_attn.q_proj",
    "model.language_model.layers.1.self_attn.q_proj",
    "model.vision_tower.encoder.layers.0.self_attn.q_proj", "model.multi_modal_projector.linear_1",
    "lm_head"};
const std::vector<std::string> kOlderQwenVl = {"model.layers.0.self_attn.q_proj",
                                               "visual.layers.0.self_attn.q_proj"};
const std::vector<std::string> kNewerQwenVl = {"model.language_model.layers.0.self_attn.q_proj",
                                               "model.visual.layers.0.self_attn.q_proj"};
const std::vector<std::string> kOmni = {
    "thinker.model.layers.0.self_attn.q_proj", "thinker.audio_tower.layers.0.self_attn.q_proj",
    "thinker.visual.layers.0.self_attn.q_proj", "talker.model.layers.0.self_attn.q_proj",
    "talker.code_predictor.model.layers.0.self_attn.q_proj"};

TEST_SUITE("converter/model_names") {
  TEST_CASE("an adapter's newer names find an older checkpoint's tensors, and back") {
    for (size_t i = 0; i < kOlderLlava.size(); ++i) {
      CheckLandsOn(kOlderLlava, kNewerLlava[i], kOlderLlava[i]);
      CheckLandsOn(kNewerLlava, kOlderLlava[i], kNewerLlava[i]);
    }
    for (size_t i = 0; i < kOlderQwenVl.size(); ++i) {
      CheckLandsOn(kOlderQwenVl, kNewerQwenVl[i], kOlderQwenVl[i]);
      CheckLandsOn(kNewerQwenVl, kOlderQwenVl[i], kNewerQwenVl[i]);
    }
    // The newest release leaves out "thinker".
    CheckLandsOn(kOmni, "model.language_model.layers.0.self_attn.q_proj", kOmni[0]);
    CheckLandsOn(kOmni, "model.audio_tower.layers.0.self_attn.q_proj", kOmni[1]);
    CheckLandsOn(kOmni, "model.visual.layers.0.self_attn.q_proj", kOmni[2]);
    // Hunyuan's tower changed its own name.
    CheckLandsOn({"model.layers.0.self_attn.q_proj", "vit.layers.0.self_attn.q_proj"},
                 "model.vision_tower.layers.0.self_attn.q_proj", "vit.layers.0.self_attn.q_proj");
    // GPT-NeoX's head.
    CheckLandsOn({"gpt_neox.layers.0.attention.dense", "embed_out"}, "lm_head", "embed_out");
  }

  TEST_CASE("a text model's adapter finds the text part of a wrapper, and back") {
    const std::string layer = "layers.0.self_attn.q_proj";
    for (const auto& base : {kOlderLlava, kNewerLlava, kNewerQwenVl, kOmni}) {
      CheckLandsOn(base, "model." + layer, base[0]);
    }
    for (const char* wrapper :
         {"model.language_model.", "language_model.model.", "llm.model.", "thinker.model.",
          "model.text_model.", "model.language_model.model."}) {
      CheckLandsOn({"model." + layer, "lm_head"}, wrapper + layer, "model." + layer);
      CheckLandsOn({layer}, wrapper + layer, layer);
    }
    CheckLandsOn({"model.embed_tokens", "model.norm"}, "model.language_model.embed_tokens",
                 "model.embed_tokens");
  }

  TEST_CASE("a tower's adapter is refused where the base is the text model alone") {
    const std::vector<std::string> text = {"model.layers.0.self_attn.q_proj",
                                           "model.layers.1.self_attn.q_proj"};
    for (const char* tower : {"vpm.encoder.",
                              "apm.",
                              "siglip.encoder.",
                              "resampler.",
                              "connector.",
                              "model.connector.",
                              "talker.model.",
                              "mtp.",
                              "thinker.audio_tower.",
                              "model.vision_tower.vision_model.encoder.",
                              "vision_model.encoder.",
                              "visual.",
                              "model.visual.",
                              "mlp1.",
                              "multi_modal_projector.",
                              "model.mm_projector.",
                              "vision_tower.transformer.",
                              "model.audio_tower.",
                              "tts.model.",
                              "tts_language_model.",
                              "vit.",
                              "model.sam_model.",
                              "image_encoder.",
                              "speech_encoder.model.",
                              "audio_encoder.",
                              "talker.code_predictor.model.",
                              "code2wav.",
                              "depth_decoder.model.",
                              "clip_model.",
                              "video_tower.",
                              "qformer.",
                              "aligner.",
                              "perceiver_resampler.",
                              "transformer.visual.transformer.",
                              "vlm_with_expert.lm_expert.",
                              "mtp_block.",
                              "unheard_of.encoder.",
                              "embed_tokens_extend.image_embed.img_processor.encoder."}) {
      const std::string fault =
          Fault(BaseOf(text), AdapterOf(std::string(tower) + "layers.0.self_attn.q_proj"));
      INFO(tower);
      CheckMentions(fault, "matches nothing");
    }
    CheckMentions(Fault(BaseOf(text), AdapterOf("vpm.encoder.layers.0.self_attn.q_proj")),
                  "it belongs to the part of a model that sees ('vpm'), where the base has no "
                  "tensor 'vpm.encoder.layers.0.self_attn.q_proj.weight'; name the checkpoint that "
                  "holds this part too");
    // Beside a text adapter, too.
    SmallTensors both = AdapterOf("llm.model.layers.0.self_attn.q_proj");
    both.merge(AdapterOf("vpm.encoder.layers.1.self_attn.q_proj"));
    CheckMentions(Fault(BaseOf(text), both), "('vpm')");
  }

  TEST_CASE("a name that could be either part's is not guessed at") {
    const std::vector<std::string> clip = {"text_model.encoder.layers.0.self_attn.q_proj",
                                           "vision_model.encoder.layers.0.self_attn.q_proj"};
    CheckMentions(Fault(BaseOf(clip), AdapterOf("encoder.layers.0.self_attn.q_proj")),
                  "could mean the base's");
    CheckLandsOn(clip, "clip.text_model.encoder.layers.0.self_attn.q_proj", clip[0]);
    CheckMentions(Fault(BaseOf({"language_model.model.layers.0.self_attn.q_proj",
                                "audio_tower.layers.0.self_attn.q_proj"}),
                        AdapterOf("layers.0.self_attn.q_proj")),
                  "could mean the base's");
    CheckMentions(Fault(BaseOf({"encoder.layers.0.fc1", "decoder.layers.0.fc1"}),
                        AdapterOf("model.layers.0.fc1")),
                  "could mean the base's");
  }

  TEST_CASE("words inside a layer do not make it another part") {
    CHECK(PartOf("model.layers.0.self_attn.vision_expert_dense.weight") == ModelPart::kText);
    CHECK(PartOf("model.vision_language_model.layers.0.q.weight") == ModelPart::kText);
    CHECK(PartOf("0.auto_model.encoder.layer.0.attention.self.query.weight") == ModelPart::kText);
    CHECK(PartOf("model.image_newline") == ModelPart::kVision);
    CHECK(PartWord("base.vision_tower.layers.0.q") == "vision_tower");
    CHECK(IsSurelyText("model.layers.0.q"));
    CHECK_FALSE(IsSurelyText("layers.0.q"));
    CHECK_FALSE(IsSurelyText("model.encoder.layers.0.q"));
    CHECK_FALSE(IsSurelyText("model"));
  }
}

TEST_SUITE("converter/training_wrappers") {
  TEST_CASE("an adapter's names may have the wrappers of training programs anywhere") {
    const std::vector<std::string> base = {"model.layers.0.self_attn.q_proj",
                                           "model.layers.1.self_attn.q_proj"};
    const auto with_names = [&](const std::string& before, const std::string& inside) {
      return SmallTensors{{before + inside + ".lora_A.weight", A()},
                          {before + inside + ".lora_B.weight", B()}};
    };
    const std::string plain = "model.layers.0.self_attn.q_proj";
    const std::vector<double> expected =
        MergedTensor(BaseOf(base), "LORA", kSettings, AdapterOf(plain), plain + ".weight");
    const SmallTensors cases[] = {
        with_names("_fsdp_wrapped_module.base_model.model._fsdp_wrapped_module.",
                   "model.layers.0._fsdp_wrapped_module.self_attn.q_proj"),
        with_names("_orig_mod.base_model.model.", plain),
        with_names("base_model.model._orig_mod.", plain),
        with_names("base_model.model.", "model.layers.0._orig_mod.self_attn.q_proj"),
        with_names("base_model.model.",
                   "model.layers.0._checkpoint_wrapped_module.self_attn.q_proj"),
        with_names("base_model.model.",
                   "model.layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.self_attn."
                   "_orig_mod.q_proj"),
        with_names("module.base_model.model.", plain),
        with_names("_forward_module.module.base_model.model.", plain),
        with_names("base_model.model.module.", plain),
        with_names("base_model.model.", "model.module.layers.0.self_attn.q_proj"),
        with_names("base_model.model.", "module.model.layers.0.self_attn.module.q_proj"),
        {{Key(plain + ".lora_A.default._fsdp_wrapped_module.weight"), A()},
         {Key(plain + ".lora_B.default._fsdp_wrapped_module.weight"), B()}},
    };
    for (const SmallTensors& adapter : cases) {
      INFO(adapter.begin()->first);
      CHECK(MergedTensor(BaseOf(base), "LORA", kSettings, adapter, plain + ".weight") == expected);
    }
    // A model may have a module called module, which then is none of training's.
    CheckLandsOn({"net.module.fc", "net.fc"}, "net.module.fc", "net.module.fc");
    CheckLandsOn({"net.module.fc", "net.fc"}, "net.fc", "net.fc");
  }

  TEST_CASE("a base's names may have them too") {
    const std::string plain = "model.layers.0.self_attn.q_proj";
    const std::vector<double> expected =
        MergedTensor(BaseOf({plain}), "LORA", kSettings, AdapterOf(plain), plain + ".weight");
    for (const char* name :
         {"_orig_mod.model.layers.0.self_attn.q_proj", "module.model.layers.0.self_attn.q_proj",
          "module._orig_mod.model.layers.0.self_attn.q_proj",
          "model.layers.0._fsdp_wrapped_module.self_attn.q_proj",
          "_fsdp_wrapped_module.model.layers.0._checkpoint_wrapped_module.self_attn.q_proj",
          "model.module.layers.0.self_attn.q_proj",
          "_forward_module.model.layers.0.self_attn.q_proj"}) {
      INFO(name);
      CHECK(MergedTensor(BaseOf({name}), "LORA", kSettings, AdapterOf(plain), plain + ".weight") ==
            expected);
    }
    CheckMentions(Fault(BaseOf({"_orig_mod.fc", "fc"}), AdapterOf("fc")),
                  "have one name without the parts that training adds");
  }
}

}  // namespace
}  // namespace graft::converter
