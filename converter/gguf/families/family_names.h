// SPDX-License-Identifier: Apache-2.0
// What llama.cpp calls the tensors of each family, and what transformers calls them.
#pragma once

#include <span>

#include "converter/gguf/families/families.h"

namespace graft::converter {

/// Families that their architecture's name tells.
std::span<const GgufFamily> GgufFamilies();
/// Llama's, with experts.
const GgufFamily& MixtralFamily();
/// Falcon's, with a norm before attention and one before the MLP.
const GgufFamily& FalconOfTwoNormsFamily();
/// Granite's with experts, and an MLP beside them.
const GgufFamily& GraniteOfSharedExpertsFamily();
/// BERT's, without types of tokens.
const GgufFamily& DistilBertFamily();

}  // namespace graft::converter
