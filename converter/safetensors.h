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
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/input_file.h"
#include "converter/tensor_source.h"

namespace graft::converter {

/// The largest header that is parsed; the reference implementation has the same limit.
inline constexpr uint64_t kMaxSafetensorsHeaderBytes = 100'000'000;

class SafetensorsFile {
 public:
  struct Entry {
    TensorInfo info;
    uint64_t file_offset = 0;  ///< Of the first byte, from the start of the file.
    uint64_t size_bytes = 0;
  };

  /// Errors   kNotFound, kIo; kCorrupt: whatever in the header contradicts itself, its limits or
  /// the file's size;
  ///          kUnsupported: an element type graft does not read. Messages name file and tensor.
  static Result<std::unique_ptr<SafetensorsFile>> Open(const std::filesystem::path& path);

  const std::string& path() const { return file_->path(); }
  const InputFile& file() const { return *file_; }
  /// In name order.
  std::span<const Entry> entries() const { return entries_; }
  /// Null if there is none of that name.
  const Entry* Find(std::string_view name) const;
  /// "__metadata__", in the file's order.
  std::span<const std::pair<std::string, std::string>> metadata() const { return metadata_; }

  /// Rows [row_begin, row_end) of a tensor of this file, widened. Errors as TensorSource::ReadRows.
  /// Thread-safe.
  Status ReadRows(const Entry& entry, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const;
  /// Elements [first, first + out.size()) of a tensor in row-major order, widened. Thread-safe.
  Status ReadElements(const Entry& entry, int64_t first, std::span<double> out) const;

 private:
  explicit SafetensorsFile(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}
  Status ParseHeader();

  std::unique_ptr<InputFile> file_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

/// The element type called `name` in safetensors headers, or kUnsupported.
Result<DType> DTypeFromName(std::string_view name);

/// A shape's elements times the type's bytes; kCorrupt if that overflows or a dimension is
/// negative.
Result<uint64_t> TensorBytes(const TensorInfo& info);

}  // namespace graft::converter
