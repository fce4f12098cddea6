// SPDX-License-Identifier: Apache-2.0
// ConfigChanges: what config.json has to say of a merged model that it does not say of the base.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "converter/tensors/tensor_source.h"
#include "schema/result.h"

namespace graft::converter {

struct ConfigChanges {
  bool untie_embeddings = false;
  std::optional<DType> dtype;
  std::optional<int64_t> vocabulary_size;
  std::optional<int64_t> layers;

  bool any() const {
    return untie_embeddings || dtype.has_value() || vocabulary_size.has_value() ||
           layers.has_value();
  }
};

/// The text of the config.json at `file` with the changes made; all else stays, in its order.
/// Errors   kIo, kCorrupt, naming the file.
Result<std::string> ChangedConfig(const std::filesystem::path& file, const ConfigChanges& changes);

}  // namespace graft::converter
