// SPDX-License-Identifier: Apache-2.0
// The architectures that are converted: which function lowers which model_type. Each has a file of
// its own here or shares one with its kin; a new one is that file, two lines below and one in
// CMakeLists.txt.
#pragma once

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

Lowering LowerAlbert;
Lowering LowerApertus;
Lowering LowerArcee;
Lowering LowerBart;
Lowering LowerBert;
Lowering LowerBitNet;
Lowering LowerBloom;
Lowering LowerCodeGen;
Lowering LowerCohere;
Lowering LowerCohere2;
Lowering LowerData2VecText;
Lowering LowerDeberta;
Lowering LowerDebertaV2;
Lowering LowerDeit;
Lowering LowerDiffLlama;
Lowering LowerDistilBert;
Lowering LowerElectra;
Lowering LowerErnie;
Lowering LowerErnie45;
Lowering LowerExaone4;
Lowering LowerFalcon;
Lowering LowerFalconH1;
Lowering LowerGemma;
Lowering LowerGemma2;
Lowering LowerGemma3;
Lowering LowerGemma3n;
Lowering LowerGemma4;
Lowering LowerGemma4Unified;
Lowering LowerGlm;
Lowering LowerGlm4;
Lowering LowerGpt2;
Lowering LowerGptBigCode;
Lowering LowerGptJ;
Lowering LowerGptNeoX;
Lowering LowerGptOss;
Lowering LowerGranite;
Lowering LowerGraniteHybrid;
Lowering LowerGraniteMoe;
Lowering LowerGraniteMoeShared;
Lowering LowerHelium;
Lowering LowerHunyuan;
Lowering LowerLfm2;
Lowering LowerLfm2Moe;
Lowering LowerLlama;
Lowering LowerM2M100;
Lowering LowerMBart;
Lowering LowerMamba;
Lowering LowerMamba2;
Lowering LowerMarian;
Lowering LowerMegatronBert;
Lowering LowerMinistral;
Lowering LowerMinistral3;
Lowering LowerMistral;
Lowering LowerMixtral;
Lowering LowerModernBert;
Lowering LowerMpNet;
Lowering LowerMpt;
Lowering LowerNemotron;
Lowering LowerNomicBert;
Lowering LowerOlmo;
Lowering LowerOlmo2;
Lowering LowerOlmo3;
Lowering LowerOlmoe;
Lowering LowerOpt;
Lowering LowerPegasus;
Lowering LowerPersimmon;
Lowering LowerPhi;
Lowering LowerPhi3;
Lowering LowerPhimoe;
Lowering LowerQwen2;
Lowering LowerQwen2Moe;
Lowering LowerQwen3;
Lowering LowerQwen35;
Lowering LowerRecurrentGemma;
Lowering LowerQwen3Moe;
Lowering LowerRoberta;
Lowering LowerRobertaPreNorm;
Lowering LowerRoFormer;
Lowering LowerSeedOss;
Lowering LowerSmolLm3;
Lowering LowerStableLm;
Lowering LowerStarcoder2;
Lowering LowerT5;
Lowering LowerVaultGemma;
Lowering LowerVit;
Lowering LowerWhisper;
Lowering LowerXglm;
Lowering LowerXlmRobertaXl;

struct Architecture {
  const char* model_type;  ///< As config.json spells it.
  Lowering* lower;
};

/// In the order in which messages list them.
inline constexpr Architecture kArchitectures[] = {
    {"llama", LowerLlama},
    {"mistral", LowerMistral},
    {"qwen2", LowerQwen2},
    {"qwen3", LowerQwen3},
    {"smollm3", LowerSmolLm3},
    {"granite", LowerGranite},
    {"phi3", LowerPhi3},
    {"gemma2", LowerGemma2},
    {"gemma3_text", LowerGemma3},
    {"gemma3n_text", LowerGemma3n},
    {"gemma4_text", LowerGemma4},
    {"gemma4_unified_text", LowerGemma4Unified},
    {"olmo2", LowerOlmo2},
    {"gpt2", LowerGpt2},
    {"gpt_neox", LowerGptNeoX},
    {"opt", LowerOpt},
    {"arcee", LowerArcee},
    {"ministral", LowerMinistral},
    {"ministral3", LowerMinistral3},
    {"seed_oss", LowerSeedOss},
    {"ernie4_5", LowerErnie45},
    {"hunyuan_v1_dense", LowerHunyuan},
    {"helium", LowerHelium},
    {"bitnet", LowerBitNet},
    {"diffllama", LowerDiffLlama},
    {"glm", LowerGlm},
    {"glm4", LowerGlm4},
    {"gemma", LowerGemma},
    {"vaultgemma", LowerVaultGemma},
    {"olmo", LowerOlmo},
    {"olmo3", LowerOlmo3},
    {"exaone4", LowerExaone4},
    {"cohere", LowerCohere},
    {"cohere2", LowerCohere2},
    {"phi", LowerPhi},
    {"persimmon", LowerPersimmon},
    {"stablelm", LowerStableLm},
    {"starcoder2", LowerStarcoder2},
    {"nemotron", LowerNemotron},
    {"apertus", LowerApertus},
    {"gptj", LowerGptJ},
    {"codegen", LowerCodeGen},
    {"gpt_bigcode", LowerGptBigCode},
    {"falcon", LowerFalcon},
    {"bloom", LowerBloom},
    {"mpt", LowerMpt},
    {"xglm", LowerXglm},
    {"lfm2", LowerLfm2},
    {"qwen3_5_text", LowerQwen35},
    {"mamba", LowerMamba},
    {"mamba2", LowerMamba2},
    {"falcon_h1", LowerFalconH1},
    {"granitemoehybrid", LowerGraniteHybrid},
    {"recurrent_gemma", LowerRecurrentGemma},
    {"lfm2_moe", LowerLfm2Moe},
    {"mixtral", LowerMixtral},
    {"qwen2_moe", LowerQwen2Moe},
    {"qwen3_moe", LowerQwen3Moe},
    {"olmoe", LowerOlmoe},
    {"granitemoe", LowerGraniteMoe},
    {"granitemoeshared", LowerGraniteMoeShared},
    {"gpt_oss", LowerGptOss},
    {"phimoe", LowerPhimoe},
    {"albert", LowerAlbert},
    {"bert", LowerBert},
    {"camembert", LowerRoberta},
    {"deberta", LowerDeberta},
    {"deberta-v2", LowerDebertaV2},
    {"distilbert", LowerDistilBert},
    {"electra", LowerElectra},
    {"ernie", LowerErnie},
    {"megatron-bert", LowerMegatronBert},
    {"modernbert", LowerModernBert},
    {"mpnet", LowerMpNet},
    {"nomic_bert", LowerNomicBert},
    {"roberta-prelayernorm", LowerRobertaPreNorm},
    {"roformer", LowerRoFormer},
    {"vit", LowerVit},
    {"deit", LowerDeit},
    {"roberta", LowerRoberta},
    {"t5", LowerT5},
    {"mt5", LowerT5},
    {"umt5", LowerT5},
    {"bart", LowerBart},
    {"mbart", LowerMBart},
    {"pegasus", LowerPegasus},
    {"marian", LowerMarian},
    {"m2m_100", LowerM2M100},
    {"whisper", LowerWhisper},
    {"xlm-roberta", LowerRoberta},
    {"data2vec-text", LowerData2VecText},
    {"xlm-roberta-xl", LowerXlmRobertaXl},
};

/// The lowering for a model_type of config.json.
/// Errors   kUnsupported, naming the value and what there is.
Result<Lowering*> FindLowering(const JsonValue& config);

}  // namespace graft::converter
