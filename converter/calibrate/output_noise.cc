// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/output_noise.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "converter/base/parallel.h"
#include "converter/calibrate/numbers/products.h"
#include "converter/quantize/encode.h"

namespace graft::converter {
namespace {

// Inputs are looked at in so many places, all over the texts.
constexpr size_t kMostInputs = 512;

std::vector<float> SomeOf(std::span<const float> x, size_t width) {
  const size_t rows = x.size() / width;
  const size_t step = std::max<size_t>((rows + kMostInputs - 1) / kMostInputs, 1);
  std::vector<float> some;
  for (size_t row = 0; row < rows; row += step) {
    const auto one = x.subspan(row * width, width);
    some.insert(some.end(), one.begin(), one.end());
  }
  return some;
}

/// One row of a matrix over all inputs.
OutputNoise MeasureRow(std::span<const float> inputs, std::span<const double> merged,
                       std::span<const double> base, std::span<const double> stored) {
  const size_t width = merged.size(), rows = inputs.size() / width;
  std::vector<float> rows_of_both(2 * width), outputs(2 * rows);
  for (size_t i = 0; i < width; ++i) {
    rows_of_both[i] = static_cast<float>(merged[i] - base[i]);
    rows_of_both[width + i] = static_cast<float>(stored[i] - merged[i]);
  }
  MultiplyTransposed(inputs.data(), rows_of_both.data(), rows, width, 2, outputs.data(), 2);
  OutputNoise noise;
  noise.outputs = static_cast<int64_t>(rows);
  for (size_t row = 0; row < rows; ++row) {
    const double change = outputs[2 * row], error = outputs[2 * row + 1];
    noise.change_squares += change * change;
    noise.error_squares += error * error;
    noise.products += change * error;
  }
  return noise;
}

}  // namespace

double OutputNoise::NoiseRatio() const {
  return change_squares > 0 ? std::sqrt(error_squares / change_squares) : 0.0;
}

double OutputNoise::Correlation() const {
  const double both = change_squares + 2 * products + error_squares;
  if (!(change_squares > 0) || !(both > 0)) return 0.0;
  return (change_squares + products) / std::sqrt(change_squares * both);
}

Result<OutputNoise> MeasureOutputNoise(const Constant& constant, const TensorSource& source,
                                       const StoredFormat& format, std::span<const uint8_t> data,
                                       std::span<const uint8_t> scales, std::span<const float> x,
                                       int64_t stride, int threads) {
  const auto width = static_cast<size_t>(constant.row_elements());
  const auto row_data = static_cast<size_t>(format.RowDataBytes(constant.row_elements()));
  const auto row_scales = static_cast<size_t>(format.RowScaleBytes(constant.row_elements()));
  const std::vector<float> inputs = SomeOf(x, width);
  // Of a transposed source a read passes over the whole of it.
  const bool reads_many = constant.part.transposed || constant.part.stack > 0;
  const int64_t step = reads_many ? RowsPerRead(constant) : 1;
  const int64_t rows = constant.rows();
  std::vector<OutputNoise> each(static_cast<size_t>((rows + stride - 1) / stride));
  const int64_t tasks = reads_many ? (rows + step - 1) / step : static_cast<int64_t>(each.size());
  const auto measure = [&](int64_t begin, int64_t end) -> Status {
    std::vector<double> merged(static_cast<size_t>(end - begin) * width), base(merged.size());
    std::vector<double> stored(width);
    GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source, begin, end, merged, base));
    for (int64_t row = (begin + stride - 1) / stride * stride; row < end; row += stride) {
      const auto at = static_cast<size_t>(row), within = static_cast<size_t>(row - begin) * width;
      DecodeRows(format, data.subspan(at * row_data, row_data),
                 scales.subspan(at * row_scales, row_scales), constant.row_elements(), stored);
      each[static_cast<size_t>(row / stride)] =
          MeasureRow(inputs, std::span(merged).subspan(within, width),
                     std::span(base).subspan(within, width), stored);
    }
    return OkStatus();
  };
  GRAFT_RETURN_IF_ERROR(ParallelFor(threads, tasks, [&](int64_t task) {
    const int64_t begin = reads_many ? task * step : task * stride;
    return measure(begin, std::min(rows, begin + step));
  }));
  OutputNoise sum;
  for (const OutputNoise& noise : each) {
    sum.outputs += noise.outputs;
    sum.change_squares += noise.change_squares;
    sum.error_squares += noise.error_squares;
    sum.products += noise.products;
  }
  return sum;
}

}  // namespace graft::converter
