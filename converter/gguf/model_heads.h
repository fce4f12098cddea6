// SPDX-License-Identifier: Apache-2.0
// How a family's tensors are shown in the model's order, which depends on its heads.
#pragma once

#include <cstdint>
#include <filesystem>

#include "converter/formats/gguf/gguf_header.h"
#include "converter/formats/gguf/gguf_layout.h"
#include "converter/gguf/families/families.h"
#include "schema/result.h"

namespace graft::converter {

struct ModelHeads {
  int64_t queries = 0;  ///< 0: not known.
  int64_t keys = 0;
  int64_t delta_keys = 0;            ///< Key heads of a delta rule; 0: not known, or it has none.
  int64_t values_per_delta_key = 0;  ///< Value heads.
  int64_t delta_key_rows = 0;        ///< Of queries and keys together.
};

/// As a GGUF file of a model says it.
/// Errors   those of the settings: kNotFound, kCorrupt, kUnsupported.
Result<ModelHeads> ReadModelHeads(const GgufHeader& header, const GgufFamily& family);

/// As config.json in the folder says it; all unknown where there is none.
/// Errors   those of JsonDocument::Read; kCorrupt: numbers out of range.
Result<ModelHeads> ReadModelHeads(const std::filesystem::path& folder);

/// What undoes a change, but for those of experts. `axes`: of the stored tensor.
GgufLayout LayoutOf(GgufChange change, const ModelHeads& heads, size_t axes);

}  // namespace graft::converter
