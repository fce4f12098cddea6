// SPDX-License-Identifier: Apache-2.0
// Checkpoints whose weights are codes of a quantization: found by names and types, and presented as
// the numbers that they stand for.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "converter/checkpoint/quantized/format_readers.h"
#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// All packed weights among `stored`, in name order. `folder` is where config.json lies. Tensors that
/// no weight claims are the model's own, and none of them holds codes.
/// Errors   kUnsupported: codes of a method that graft does not read; the message names it and says
///          what to do instead. kCorrupt: tensors that contradict each other. `file` is what messages
///          call the checkpoint.
Result<std::vector<PackedWeight>> ReadQuantizedWeights(const StoredTensors& stored,
                                                       const std::filesystem::path& folder,
                                                       const std::string& file);

/// What the weights were, for people: "GPTQ 4 bits in groups of 128 (112 tensors)"; empty if there
/// are none.
std::string DescribeKinds(std::span<const PackedWeight> weights);

}  // namespace graft::converter
