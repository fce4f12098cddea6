// SPDX-License-Identifier: Apache-2.0
// A GGUF file as the checkpoint that it was made from: tensors under the model's own names and in
// its order, and the files that would lie beside them.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "converter/base/output_folder.h"
#include "converter/tensors/weight_file.h"
#include "schema/result.h"

namespace graft::converter {

struct GgufModel {
  std::vector<std::unique_ptr<WeightFile>> files;
  /// config.json, tokenizer.json and what goes with them. It is removed with `kept`.
  std::filesystem::path folder;
  std::unique_ptr<OutputFolder> kept;
  std::string stored_as;  ///< "GGUF (15 Q4_K, 3 Q6_K, 9 F32)"
  bool is_quantized = false;
};

/// Errors   those of GgufParts::Open, GgufModelConfig and GgufTokenizerJson;
///          kUnsupported: an adapter, or a part of a model that sees or hears;
///          kCorrupt: tensors that do not fit the model's sizes;
///          kIo: the folder cannot be written.
Result<GgufModel> OpenGgufModel(const std::filesystem::path& path);

}  // namespace graft::converter
