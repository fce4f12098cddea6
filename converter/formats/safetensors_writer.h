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

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

/// Writes to a temporary file beside `path` and renames it at Finish; without Finish nothing is
/// left behind.
class SafetensorsWriter {
 public:
  /// Lays `tensors` out in the order given, except that wider element types go first, as the
  /// reference implementation does, so that every tensor is aligned to its elements.
  /// Errors   kInvalidArgument: a name twice, a shape that overflows.
  ///          kIo: the file cannot be created or has no room.
  static Result<std::unique_ptr<SafetensorsWriter>> Create(
      const std::filesystem::path& path, std::span<const TensorInfo> tensors,
      std::span<const std::pair<std::string, std::string>> metadata);
  ~SafetensorsWriter();
  SafetensorsWriter(const SafetensorsWriter&) = delete;
  SafetensorsWriter& operator=(const SafetensorsWriter&) = delete;

  /// Puts `bytes` at `offset` within the data of tensor `index` of Create's list. Thread-safe for
  /// disjoint parts.
  /// Errors   kOutOfRange, kIo (disk full among them), naming the file.
  Status WriteAt(size_t index, uint64_t offset, std::span<const uint8_t> bytes);

  /// Syncs and renames. Nothing may be called after it.
  Status Finish();

 private:
  SafetensorsWriter() = default;
  Status WriteAll(uint64_t offset, std::span<const uint8_t> bytes);

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  int descriptor_ = -1;
  struct Place {
    uint64_t offset = 0;
    uint64_t size_bytes = 0;
  };
  std::vector<Place> places_;
};

}  // namespace graft::converter
