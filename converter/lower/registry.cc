// SPDX-License-Identifier: Apache-2.0
// Which lowering follows which model_type.
#include <string>

#include "converter/lower/bert.h"
#include "converter/lower/gemma.h"
#include "converter/lower/gpt2.h"
#include "converter/lower/gpt_neox.h"
#include "converter/lower/granite.h"
#include "converter/lower/llama.h"
#include "converter/lower/lowering.h"
#include "converter/lower/opt.h"
#include "converter/lower/phi3.h"
#include "converter/lower/qwen.h"
#include "converter/lower/smollm3.h"
#include "converter/lower/vit.h"

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

const char* TaskName(Task task) {
  switch (task) {
    case Task::kTensors:
      return "tensors";
    case Task::kTextGeneration:
      return "text-generation";
    case Task::kEmbedding:
      return "embedding";
    case Task::kClassification:
      return "classification";
    case Task::kTokenClassification:
      return "token-classification";
  }
  return "unknown";
}

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
