// SPDX-License-Identifier: Apache-2.0
// The parts of a model's folder besides its weights, and the names of their files.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

/// The files that a tokenizer's vocabulary comes in; graft reads the first ones, see
/// ReadTokenizerFiles.
std::span<const char* const> VocabularyFiles();
/// All that belongs to a tokenizer: its vocabulary, settings and special tokens.
std::span<const char* const> TokenizerFiles();
/// Files that hold nothing but chat templates.
std::span<const char* const> TemplateFiles();
/// What sentence-transformers keeps beside modules.json.
std::span<const char* const> SentenceFiles();

inline constexpr std::string_view kModulesFile = "modules.json";
inline constexpr std::string_view kTemplateFolder = "additional_chat_templates";

/// The folders of the modules that `folder`/modules.json lists, but for those of its Transformers,
/// as paths relative to `folder`; empty without that file.
/// Errors   kCorrupt: not what sentence-transformers writes, a path that leads elsewhere; kIo.
Result<std::vector<std::filesystem::path>> ModuleFolders(const std::filesystem::path& folder);

/// The part of "sentence_transformers.models.Pooling" behind the last dot.
std::string_view LastName(std::string_view type);
/// Whether a relative path stays below where it starts.
bool IsBelow(const std::filesystem::path& path);

}  // namespace graft::converter
