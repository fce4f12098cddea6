// SPDX-License-Identifier: Apache-2.0
// StoredFormat: how the numbers of a tensor lie in a .graft file, and how many bytes that takes.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "schema/result.h"

namespace graft::converter {

/// The numbers of schema::fb::TensorFormat, of which this is the converter's own spelling.
enum class StorageKind : uint8_t {
  kFloat32 = 0,
  kFloat16 = 1,
  kBFloat16 = 2,
  kInt8PerChannel = 4,
  kInt4Block = 5,
  kInt4PerChannel = 6,
};

struct StoredFormat {
  StorageKind kind = StorageKind::kFloat32;
  uint32_t block_size = 0;  ///< kInt4Block only: 32, 64, 128 or 256.

  bool quantized() const { return kind >= StorageKind::kInt8PerChannel; }
  bool is_int4() const {
    return kind == StorageKind::kInt4Block || kind == StorageKind::kInt4PerChannel;
  }
  /// Bytes of data and of scales that one row of `row_elements` takes.
  int64_t RowDataBytes(int64_t row_elements) const;
  int64_t RowScaleBytes(int64_t row_elements) const;
  /// "f32", "int8", "int4-block32", "int4-channel", ...
  std::string Name() const;
  friend bool operator==(const StoredFormat&, const StoredFormat&) = default;
};

/// The format for the word a user writes: f32, f16, int8, int4 or int4-channel.
/// Errors   kInvalidArgument: another word, or a block size other than 32, 64, 128, 256.
Result<StoredFormat> ParseStoredFormat(std::string_view word, int64_t block_size);

/// `wanted`, or int8 per channel where its codes do not fit rows of `row_elements`: in_features
/// that are not a multiple of the block, or odd for two codes to a byte.
StoredFormat FormatFor(const StoredFormat& wanted, int64_t row_elements);

}  // namespace graft::converter
