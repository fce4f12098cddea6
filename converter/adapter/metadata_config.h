// SPDX-License-Identifier: Apache-2.0
// Settings of an adapter that has no adapter_config.json: what its safetensors file says of itself.
#pragma once

#include <optional>
#include <string>

#include "converter/adapter/adapter_kind.h"
#include "converter/json/json.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {

/// A configuration as adapter_config.json has it, for LoRA under PEFT's names, from the metadata of
/// `weights`: the one that diffusers keeps there ("lora_adapter_metadata"), a whole one under
/// another key, or an alpha. A file of diffusers' without any has the scale that diffusers gives it,
/// 1. Null if there is nothing of that kind.
/// Errors   kCorrupt: metadata that should be JSON and is not.
///          kUnsupported: settings of several parts of a pipeline that differ.
Result<std::unique_ptr<JsonDocument>> ConfigFromMetadata(const WeightFile& weights,
                                                         const AdapterKinds& kinds);

/// The alpha that the metadata of `weights` gives to all modules, under the names that trainers use;
/// nothing if there is none.
std::optional<double> AlphaFromMetadata(const WeightFile& weights);

}  // namespace graft::converter
