// SPDX-License-Identifier: Apache-2.0
#include "converter/lower/lowering.h"

namespace graft::converter {

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

}  // namespace graft::converter
