// SPDX-License-Identifier: Apache-2.0
// One safetensors file, written: the layout is settled first, then any thread may fill any part of
// it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "converter/base/output_file.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// The file appears under its name at Finish; without Finish nothing is left behind.
class SafetensorsWriter {
 public:
  /// Lays `tensors` out in the order given, except that wider element types go first, as the
  /// reference implementation does, so that every tensor is aligned to its elements.
  /// Errors   kInvalidArgument: a name twice, a shape that overflows.
  ///          Those of OutputFile::Create.
  static Result<std::unique_ptr<SafetensorsWriter>> Create(
      const std::filesystem::path& path, std::span<const TensorInfo> tensors,
      std::span<const std::pair<std::string, std::string>> metadata);

  /// Puts `bytes` at `offset` within the data of tensor `index` of Create's list. Thread-safe for
  /// disjoint parts.
  /// Errors   kOutOfRange; kIo, disk full among the reasons. Messages name the file.
  Status WriteAt(size_t index, uint64_t offset, std::span<const uint8_t> bytes);

  /// Syncs and renames. Nothing may be called after it.
  Status Finish();

 private:
  SafetensorsWriter() = default;

  struct Place {
    uint64_t offset = 0;
    uint64_t size_bytes = 0;
  };
  std::string path_;  // for messages
  std::unique_ptr<OutputFile> file_;
  std::vector<Place> places_;
};

}  // namespace graft::converter
