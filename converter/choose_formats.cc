// SPDX-License-Identifier: Apache-2.0
// The format asked for where it fits, and int8 where int4 would drown the adapter.
#include "converter/choose_formats.h"

#include "converter/cancellation.h"
#include "converter/parallel.h"
#include "converter/quantize/encode.h"

namespace graft::converter {
namespace {

Result<double> SampledNoise(const Constant& constant, const StoredFormat& format,
                            const TensorSource& source, int64_t stride) {
  const int64_t width = constant.shape.back();
  const auto elements = static_cast<size_t>(width);
  std::vector<double> merged(elements);
  std::vector<double> base(elements);
  std::vector<double> stored(elements);
  std::vector<double> stored_base(elements);
  std::vector<uint8_t> codes(static_cast<size_t>(format.RowDataBytes(width)));
  std::vector<uint8_t> scales(static_cast<size_t>(format.RowScaleBytes(width)));
  DeltaSurvival survival;
  for (int64_t row = 0; row < constant.shape[0]; row += stride) {
    GRAFT_RETURN_IF_ERROR(CheckCancelled());
    const int64_t at = constant.source_row_begin + row;
    GRAFT_RETURN_IF_ERROR(source.ReadRowsAndBase(constant.source, at, at + 1, merged, base));
    GRAFT_RETURN_IF_ERROR(EncodeRows(format, merged, width, codes.data(), scales.data(), stored));
    GRAFT_RETURN_IF_ERROR(
        EncodeRows(format, base, width, codes.data(), scales.data(), stored_base));
    MeasureSurvival(merged, base, stored, stored_base, &survival);
  }
  return survival.NoiseRatio();
}

}  // namespace

Result<std::vector<StoredFormat>> ChooseFormats(const ModelDescription& description,
                                                const TensorSource& source, const FormatWish& wish,
                                                int threads) {
  const std::vector<Constant>& constants = description.constants;
  std::vector<StoredFormat> formats;
  formats.reserve(constants.size());
  for (const Constant& constant : constants) {
    formats.push_back(constant.is_weight_matrix ? FormatFor(wish.format, constant.shape.back())
                                                : StoredFormat{});
  }
  if (!wish.keep_delta) return formats;
  const Status status =
      ParallelFor(threads, static_cast<int64_t>(constants.size()), [&](int64_t index) -> Status {
        const Constant& constant = constants[static_cast<size_t>(index)];
        StoredFormat& format = formats[static_cast<size_t>(index)];
        if (!format.is_int4() || !description.adapted.contains(constant.source)) return OkStatus();
        const auto noise = SampledNoise(constant, format, source, wish.sampled_row_stride);
        if (!noise.ok()) return noise.status().WithContext("tensor '" + constant.name + "'");
        if (*noise > 1.0) format = StoredFormat{StorageKind::kInt8PerChannel};
        return OkStatus();
      });
  if (!status.ok()) return status;
  return formats;
}

}  // namespace graft::converter
