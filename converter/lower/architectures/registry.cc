// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/architectures/registry.h"

#include <string>

namespace graft::converter {

Result<Lowering*> FindLowering(const JsonValue& config) {
  GRAFT_ASSIGN_OR_RETURN(const std::string model_type, config.GetString("model_type"));
  std::string known;
  for (const Architecture& architecture : kArchitectures) {
    if (model_type == architecture.model_type) return architecture.lower;
    if (!known.empty()) known += ", ";
    known += architecture.model_type;
  }
  if (config.Find("text_config").IsObject()) {
    known +=
        "; it is a text model together with parts that see or hear, which graft merges "
        "adapters into, but does not convert";
  }
  return config.Find("model_type")
      .Fail("is \"" + model_type + "\"; this version converts " + known, StatusCode::kUnsupported);
}

}  // namespace graft::converter
