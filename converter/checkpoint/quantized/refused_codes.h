// SPDX-License-Identifier: Apache-2.0
// Quantizations that graft does not read: told for what they are, with what to do instead.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <string_view>

#include "converter/checkpoint/quantized/quantization_config.h"
#include "converter/checkpoint/quantized/stored_tensors.h"
#include "schema/status.h"

namespace graft::converter {

/// Whether a tensor can be of quantized weights by its name and type. Cheap: asked of every tensor of
/// every checkpoint.
bool MayBeCodes(const StoredTensor& tensor);

/// kUnsupported if config.json names a method whose codes no program but its own reads (exl2, hqq,
/// quip, aqlm, vptq, higgs, spqr, ...).
Status CheckMethod(const StoredTensors& stored, const QuantizationConfig& config,
                   const std::string& file);

/// kUnsupported if a tensor outside of `claimed` holds codes by its name and type.
Status CheckNoCodesLeft(const StoredTensors& stored, const std::set<std::string_view>& claimed,
                        const QuantizationConfig& config, const std::string& file);

/// The error of opening a weight file of `folder`, `error`. If its reason may be a quantization (an
/// element type that graft does not read), what config.json says about that is added.
Status ExplainElementType(const Status& error, const std::filesystem::path& folder);

}  // namespace graft::converter
