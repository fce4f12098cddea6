// SPDX-License-Identifier: Apache-2.0
// GgufParts: the files that a GGUF model was split into; mostly one.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "converter/formats/gguf/gguf_file.h"
#include "schema/result.h"

namespace graft::converter {

class GgufParts {
 public:
  /// Opens the file, and those beside it that belong to it: NAME-00001-of-00003.gguf, ...
  /// Errors   those of GgufFile::Open;
  ///          kNotFound: a part is missing;
  ///          kCorrupt: a part says that it is another one.
  static Result<GgufParts> Open(const std::filesystem::path& path);

  /// Of the first part, which has the settings.
  const GgufHeader& header() const { return files_[0]->header(); }
  const std::filesystem::path& path() const { return path_; }
  std::span<const std::unique_ptr<GgufFile>> files() const { return files_; }

  /// Null if no part has it.
  const GgufTensor* Find(std::string_view tensor) const;
  /// All numbers of a tensor that Find gave.
  Status Read(const GgufTensor& tensor, std::span<double> out) const;

  std::vector<std::unique_ptr<GgufFile>> TakeFiles() { return std::move(files_); }

 private:
  GgufParts() = default;
  std::filesystem::path path_;
  std::vector<std::unique_ptr<GgufFile>> files_;
};

/// "-00002-of-00003" at the end of "NAME-00002-of-00003.gguf"; empty if the name has no such part.
std::string_view GgufSplitEnding(std::string_view file_name);

}  // namespace graft::converter
