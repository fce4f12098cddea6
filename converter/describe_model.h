// SPDX-License-Identifier: Apache-2.0
// From a model's folder to its description: which lowering, which tokenizer, which tokens end a
// text.
#pragma once

#include <filesystem>
#include <memory>

#include "converter/model_header.h"
#include "converter/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

struct DescribedModel {
  ModelDescription description;
  /// What the description's constants are read from, if that is not the source it was made of but
  /// something built on it.
  std::unique_ptr<TensorSource> own_source;
};

/// Reads what lies beside the weights of `base` (a folder, or a .safetensors file) and describes
/// the model in `header`: graft.json, or config.json, or, with neither, a single layer whose
/// tensors name themselves. For models with a config.json also tokenizer.json,
/// generation_config.json and the chat template. Hashes and adapters are left to the caller.
/// `source` must outlive the result. Requires header.ForceDefaults(true).
/// Errors   kUnsupported, kCorrupt, kMismatch, kNotFound, kIo, each naming the file and what in it.
Result<DescribedModel> DescribeModel(const std::filesystem::path& base, const TensorSource& source,
                                     flatbuffers::FlatBufferBuilder& header);

}  // namespace graft::converter
