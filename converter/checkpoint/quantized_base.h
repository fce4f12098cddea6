// SPDX-License-Identifier: Apache-2.0
// Checkpoints whose weights are codes of a quantization: told for what they are and refused.
#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

/// OkStatus unless `tensors` hold codes of GPTQ, AWQ, bitsandbytes, compressed-tensors, mlx or the
/// like, by their names and types. What `folder`/config.json says about it goes into the message,
/// with what to do instead. `file` is what the message calls the checkpoint.
/// Errors   kUnsupported.
Status CheckUnquantized(std::span<const TensorInfo> tensors, const std::filesystem::path& folder,
                        const std::string& file);

/// The error of opening a weight file of `folder`, `error`. If its reason may be a quantization (an
/// element type that graft does not read), what config.json says about that is added.
Status ExplainElementType(const Status& error, const std::filesystem::path& folder);

}  // namespace graft::converter
