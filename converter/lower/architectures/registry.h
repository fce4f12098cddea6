// SPDX-License-Identifier: Apache-2.0
// The architectures that are converted: which function lowers which model_type. Each has a file of
// its own here; a new one is that file, two lines below and one in CMakeLists.txt.
#pragma once

#include "converter/json/json.h"
#include "converter/lower/lowering.h"
#include "schema/result.h"

namespace graft::converter {

Lowering LowerBert;
Lowering LowerDeit;
Lowering LowerDistilBert;
Lowering LowerElectra;
Lowering LowerGemma2;
Lowering LowerGemma3;
Lowering LowerGpt2;
Lowering LowerGptNeoX;
Lowering LowerGranite;
Lowering LowerLlama;
Lowering LowerMistral;
Lowering LowerOlmo2;
Lowering LowerOpt;
Lowering LowerPhi3;
Lowering LowerQwen2;
Lowering LowerQwen3;
Lowering LowerRoberta;
Lowering LowerSmolLm3;
Lowering LowerVit;

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
    {"olmo2", LowerOlmo2},
    {"gpt2", LowerGpt2},
    {"gpt_neox", LowerGptNeoX},
    {"opt", LowerOpt},
    {"bert", LowerBert},
    {"camembert", LowerRoberta},
    {"distilbert", LowerDistilBert},
    {"electra", LowerElectra},
    {"vit", LowerVit},
    {"deit", LowerDeit},
    {"roberta", LowerRoberta},
    {"xlm-roberta", LowerRoberta},
};

/// The lowering for a model_type of config.json.
/// Errors   kUnsupported, naming the value and what there is.
Result<Lowering*> FindLowering(const JsonValue& config);

}  // namespace graft::converter
