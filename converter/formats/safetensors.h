// SPDX-License-Identifier: Apache-2.0
// One safetensors file, read: its header is checked whole before any byte of a tensor is believed.
//
//   bytes        field
//   0-7          header_bytes, u64 little-endian
//   8-           header: a JSON object, padded with spaces; each tensor as
//                "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, and
//                "__metadata__", strings to strings
//   8+header     tensor data; offsets count from here, and the tensors tile it without gap or
//   overlap
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string_view>
#include <utility>

#include "converter/tensors/weight_file.h"

namespace graft::converter {

/// The largest header that is parsed; the reference implementation has the same limit.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

class SafetensorsFile final : public WeightFile {
 public:
  /// Errors   kNotFound, kIo;
  ///          kCorrupt: whatever in the header contradicts itself, its limits or the file's size;
  ///          kUnsupported: an element type graft does not read. Messages name file and tensor.
  static Result<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path);

 private:
  explicit SafetensorsFile(std::unique_ptr<InputFile> file) : WeightFile(std::move(file)) {}
  Status CheckKind() const;
  Status ParseHeader();
};

/// The element type called `name` in safetensors headers, or kUnsupported.
Result<DType> DTypeFromName(std::string_view name);

}  // namespace graft::converter
