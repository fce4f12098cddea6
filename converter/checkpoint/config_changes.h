// SPDX-License-Identifier: Apache-2.0
// ConfigChanges: what config.json has to say of a merged model that it does not say of the base.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

struct ConfigChanges {
  bool untie_embeddings = false;
  std::optional<DType> dtype;
  std::optional<int64_t> vocabulary_size;
  std::optional<int64_t> layers;
  bool drop_quantization = false;     ///< The weights are no longer codes.
  std::filesystem::path labels_file;  ///< A config.json whose labels hold; empty: none.

  bool any() const {
    return untie_embeddings || dtype.has_value() || vocabulary_size.has_value() ||
           layers.has_value() || drop_quantization || !labels_file.empty();
  }
};

/// The text of the config.json at `file` with the changes made; all else stays, in its order.
/// Errors   kIo, kCorrupt, naming the file.
Result<std::string> ChangedConfig(const std::filesystem::path& file, const ConfigChanges& changes);

/// The text of the JSON object in `file`, or of an empty one if there is no such file, with members
/// set to the given JSON texts; all else stays, in its order.
/// Errors   kIo, kCorrupt, naming the file.
Result<std::string> WithMembers(const std::filesystem::path& file,
                                const std::vector<std::pair<std::string, std::string>>& members);

}  // namespace graft::converter
