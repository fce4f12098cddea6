// SPDX-License-Identifier: Apache-2.0
// Which lowering follows which model_type.
#include <string>

#include "converter/lower/llama.h"
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
