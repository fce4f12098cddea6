// SPDX-License-Identifier: Apache-2.0
// What llama.cpp calls the tensors of each family, and what transformers calls them.
#pragma once

#include <span>

#include "converter/gguf/families.h"

namespace graft::converter {

/// Families that their architecture's name tells.
std::span<const GgufFamily> GgufFamilies();
/// Llama's, with experts.
const GgufFamily& MixtralFamily();
/// BERT's, without types of tokens.
const GgufFamily& DistilBertFamily();

}  // namespace graft::converter
