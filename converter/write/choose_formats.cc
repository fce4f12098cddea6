// SPDX-License-Identifier: Apache-2.0
// The format asked for where it fits, and int8 where int4 would drown the adapter.
#include "converter/write/choose_formats.h"

#include <algorithm>
#include <optional>
#include <span>

#include "converter/base/cancellation.h"
#include "converter/base/parallel.h"
#include "converter/quantize/encode.h"
#include "converter/quantize/quantization_error.h"
#include "converter/write/like_base.h"

namespace graft::converter {
namespace {

Result<double> SampledNoise(const Constant& constant, const StoredFormat& format,
                            const TensorSource& source, int64_t stride) {
  const int64_t width = constant.shape.back();
  const auto elements = static_cast<size_t>(width);
  const bool passes_over_source = constant.part.transposed || constant.part.stack > 0;
  // One row at a time, unless each read passes over the whole source.
  const int64_t rows_together = passes_over_source ? RowsPerRead(constant) : 1;
  std::vector<double> merged;
  std::vector<double> base;
  std::vector<double> stored(elements);
  std::vector<double> stored_base(elements);
  std::vector<uint8_t> codes(static_cast<size_t>(format.RowDataBytes(width)));
  std::vector<uint8_t> scales(static_cast<size_t>(format.RowScaleBytes(width)));
  RetainedDelta retained;
  int64_t begin = 0;
  int64_t end = 0;
  for (int64_t row = 0; row < constant.rows(); row += stride) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    if (row >= end) {
      begin = row;
      end = std::min(constant.rows(), row + rows_together);
      merged.resize(static_cast<size_t>(end - begin) * elements);
      base.resize(merged.size());
      GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source, begin, end, merged, base));
    }
    const auto at = static_cast<size_t>(row - begin) * elements;
    const auto merged_row = std::span<const double>(merged).subspan(at, elements);
    const auto base_row = std::span<const double>(base).subspan(at, elements);
    GRAFT_RETURN_IF_ERROR(
        EncodeRows(format, merged_row, width, codes.data(), scales.data(), stored));
    GRAFT_RETURN_IF_ERROR(
        EncodeRows(format, base_row, width, codes.data(), scales.data(), stored_base));
    MeasureRetainedDelta(merged_row, base_row, stored, stored_base, &retained);
  }
  return retained.NoiseRatio();
}

}  // namespace

Result<std::vector<StoredFormat>> ChooseFormats(const ModelDescription& description,
                                                const TensorSource& source, const FormatWish& wish,
                                                int threads) {
  const std::vector<Constant>& constants = description.constants;
  std::vector<StoredFormat> formats;
  formats.reserve(constants.size());
  for (const Constant& constant : constants) {
    std::optional<StoredFormat> format;
    if (wish.like != nullptr && constant.is_weight_matrix) format = wish.like->FormatOf(constant);
    if (!format) {
      const StoredFormat& wanted =
          constant.is_vocabulary && wish.head_format ? *wish.head_format : wish.format;
      format =
          constant.is_weight_matrix ? FormatFor(wanted, constant.shape.back()) : StoredFormat{};
    }
    if (constant.at_least_int8 && format->is_int4())
      format = StoredFormat{StorageKind::kInt8PerChannel};
    formats.push_back(*format);
  }
  if (!wish.keep_delta) return formats;
  const Status status =
      ParallelFor(threads, static_cast<int64_t>(constants.size()), [&](int64_t index) -> Status {
        const Constant& constant = constants[static_cast<size_t>(index)];
        StoredFormat& format = formats[static_cast<size_t>(index)];
        if (!format.is_int4() || description.AdaptedOf(constant) == nullptr) return OkStatus();
        const auto noise = SampledNoise(constant, format, source, wish.sampled_row_stride);
        if (!noise.ok()) return noise.status().WithContext("tensor '" + constant.name + "'");
        if (*noise > 1.0) format = StoredFormat{StorageKind::kInt8PerChannel};
        return OkStatus();
      });
  if (!status.ok()) return status;
  return formats;
}

}  // namespace graft::converter
