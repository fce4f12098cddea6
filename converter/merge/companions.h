// SPDX-License-Identifier: Apache-2.0
// What lies beside an adapter's weights and takes the place of what lies beside the base's.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// For each part of a model that is not weights, the adapter's folder that brings it; empty: the
/// base's own holds.
struct Companions {
  std::filesystem::path tokenizer;   ///< A vocabulary, with all that belongs to it.
  std::filesystem::path chat;        ///< A chat template, or the tokens that begin and end texts.
  std::filesystem::path generation;  ///< generation_config.json.
  std::filesystem::path sentences;   ///< modules.json, or files that sentence-transformers keeps.
  std::filesystem::path images;      ///< preprocessor_config.json.
  std::filesystem::path labels;      ///< config.json with names of labels.
};

/// What one adapter brings, for people.
struct BroughtFiles {
  std::vector<std::string> used;    ///< "tokenizer", "chat template", ...
  std::vector<std::string> unused;  ///< "added_tokens.json (...)": known files that do nothing.
};

/// Finds the parts. `adapters` holds, for each adapter, the folders that are its own, nearest
/// first; `base` is the base's folder. `brought` receives one entry for each adapter.
/// Errors   kMismatch: two adapters bring one part, and not the same; kIo, kCorrupt.
Result<Companions> FindCompanions(std::span<const std::vector<std::filesystem::path>> adapters,
                                  const std::filesystem::path& base,
                                  std::vector<BroughtFiles>* brought);

}  // namespace graft::converter
