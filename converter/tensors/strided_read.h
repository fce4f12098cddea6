// SPDX-License-Identifier: Apache-2.0
// Reads a tensor whose elements lie apart, such as a transposed one, in row-major order.
#pragma once

#include <cstdint>
#include <span>

#include "converter/base/input_file.h"
#include "schema/status.h"

namespace graft::converter {

/// Element [i, j, ...] lies at file_offset + (i * strides[0] + j * strides[1] + ...) *
/// element_bytes.
struct StridedLayout {
  uint64_t file_offset = 0;
  uint64_t element_bytes = 1;
  std::span<const int64_t> shape;    ///< One dimension at least, each of them positive.
  std::span<const int64_t> strides;  ///< In elements, none negative.
};

/// Fills `out` with elements from number `first` on, counted in row-major order.
/// Requires every element of the layout to lie inside the file and out to hold whole elements.
/// Errors   those of InputFile::ReadAt.
/// Cost     one read for each stretch of the file in which at least a quarter of the elements are
///          wanted, up to 128 KiB long.
Status ReadStrided(const InputFile& file, const StridedLayout& layout, int64_t first,
                   std::span<uint8_t> out);

}  // namespace graft::converter
