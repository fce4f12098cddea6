// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/registry.h"

#include <string>

#include "converter/lower/architectures/bert.h"
#include "converter/lower/architectures/gemma.h"
#include "converter/lower/architectures/gpt2.h"
#include "converter/lower/architectures/gpt_neox.h"
#include "converter/lower/architectures/granite.h"
#include "converter/lower/architectures/llama.h"
#include "converter/lower/architectures/opt.h"
#include "converter/lower/architectures/phi3.h"
#include "converter/lower/architectures/qwen.h"
#include "converter/lower/architectures/smollm3.h"
#include "converter/lower/architectures/vit.h"
#include "converter/lower/lowering.h"

namespace graft::converter {
namespace {

struct Family {
  const char* model_type;
  LowerFunction lower;
};

constexpr Family kFamilies[] = {
    {"llama", LowerLlama},
    {"mistral", LowerMistral},
    {"qwen2", LowerQwen2},
    {"qwen3", LowerQwen3},
    {"smollm3", LowerSmolLm3},
    {"granite", LowerGranite},
    {"phi3", LowerPhi3},
    {"gemma2", LowerGemma2},
    {"gemma3_text", LowerGemma3},
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

}  // namespace

Result<LowerFunction> FindLowering(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(const std::string model_type, config.GetString("model_type"));
  std::string known;
  for (const Family& family : kFamilies) {
    if (model_type == family.model_type) return family.lower;
    if (!known.empty()) known += ", ";
    known += family.model_type;
  }
  return config.Find("model_type")
      .Fail("is \"" + model_type + "\"; this version converts " + known, StatusCode::kUnsupported);
}

}  // namespace graft::converter
