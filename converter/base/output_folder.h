// SPDX-License-Identifier: Apache-2.0
// OutputFolder: a folder that appears under its name when it is whole, and leaves nothing behind
// otherwise.
#pragma once

#include <filesystem>
#include <memory>

#include "converter/base/leftovers.h"
#include "schema/result.h"

namespace graft::converter {

class OutputFolder {
 public:
  /// Makes a temporary folder beside `target`. Removes what makers of it that died have left.
  /// Errors   kInvalidArgument: `target` exists and is not an empty folder.
  ///          kIo: it cannot be made there.
  static Result<std::unique_ptr<OutputFolder>> Create(const std::filesystem::path& target);
  /// Removes the temporary folder unless Finish succeeded.
  ~OutputFolder();
  OutputFolder(const OutputFolder&) = delete;
  OutputFolder& operator=(const OutputFolder&) = delete;

  /// Where to write meanwhile.
  const std::filesystem::path& path() const { return temporary_; }
  /// Gives the folder its name.
  Status Finish();

 private:
  OutputFolder(std::filesystem::path target, std::filesystem::path temporary, int descriptor)
      : target_(std::move(target)),
        temporary_(std::move(temporary)),
        mark_(temporary_),
        descriptor_(descriptor) {}

  std::filesystem::path target_;
  std::filesystem::path temporary_;
  TemporaryMark mark_;  // of temporary_
  int descriptor_;      // holds it
  bool finished_ = false;
};

}  // namespace graft::converter
