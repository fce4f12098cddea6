// SPDX-License-Identifier: Apache-2.0
// WeightFile: named tensors in one file and the reading of them, whatever format told where they
// lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/tensors/tensor_source.h"

namespace graft::converter {

inline constexpr size_t kMaxDimensions = 16;
inline constexpr size_t kMaxTensors = 1'000'000;
inline constexpr size_t kMaxNameBytes = 4096;

/// A format is a class that fills in entries and metadata when it opens a file, having checked that
/// every element of every entry lies inside the file. Immutable after that; reads are thread-safe. A
/// format whose elements are no plain numbers reads them in its own way.
class WeightFile {
 public:
  struct Entry {
    TensorInfo info;
    uint64_t file_offset = 0;  ///< Of the first element, from the start of the file.
    uint64_t size_bytes = 0;   ///< Elements times their size.
    size_t part = 0;           ///< Which of the files, if Join made one of several.
    /// For each dimension the elements between neighbours, none negative; empty if the elements lie
    /// one after another in row-major order.
    std::vector<int64_t> strides;
  };

  virtual ~WeightFile() = default;
  WeightFile(const WeightFile&) = delete;
  WeightFile& operator=(const WeightFile&) = delete;

  const std::string& path() const { return file_->path(); }
  const InputFile& file() const { return *file_; }
  /// The file that holds a tensor.
  const InputFile& FileOf(const Entry& entry) const {
    return entry.part == 0 ? *file_ : *further_[entry.part - 1];
  }
  /// All of them; one, unless Join made this.
  std::vector<const InputFile*> files() const;

  /// The tensors of several files as those of one, which takes the path of the first.
  /// Requires at least one.
  /// Errors   kCorrupt: a tensor in two files.
  static Result<std::unique_ptr<WeightFile>> Join(std::vector<std::unique_ptr<WeightFile>> files);
  /// In name order.
  std::span<const Entry> entries() const { return entries_; }
  /// Null if there is none of that name.
  const Entry* Find(std::string_view name) const;
  /// What the file says about itself, in its order; only safetensors files do.
  std::span<const std::pair<std::string, std::string>> metadata() const { return metadata_; }

  /// Rows [row_begin, row_end) of a tensor of this file, widened.
  /// Errors   as TensorSource::ReadRows.
  Status ReadRows(const Entry& entry, int64_t row_begin, int64_t row_end,
                  std::span<double> out) const;
  /// Elements [first, first + out.size()) of a tensor in row-major order, widened.
  virtual Status ReadElements(const Entry& entry, int64_t first, std::span<double> out) const;
  /// Bytes [offset, offset + out.size()) of a tensor in row-major order, as numbers of its type. Both
  /// must be multiples of the element size.
  virtual Status ReadBytes(const Entry& entry, uint64_t offset, std::span<uint8_t> out) const;
  /// Whether two tensors of this file have the same shape, type and numbers, bit for bit.
  Result<bool> Same(const Entry& a, const Entry& b) const;
  /// Whether a tensor of this file and one of `other` have the same shape and the same numbers,
  /// whatever their types. Reads as far as they are the same.
  Result<bool> SameNumbers(const Entry& entry, const WeightFile& other,
                           const Entry& others_entry) const;

 protected:
  explicit WeightFile(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}

  std::unique_ptr<InputFile> file_;
  std::vector<std::unique_ptr<InputFile>> further_;
  std::vector<Entry> entries_;
  std::vector<std::pair<std::string, std::string>> metadata_;
};

/// A shape's elements times the type's bytes; kCorrupt if that overflows or a dimension is
/// negative.
Result<uint64_t> TensorBytes(const TensorInfo& info);

}  // namespace graft::converter
