// SPDX-License-Identifier: Apache-2.0
// The formulas are those of Pillow's Resample.c and Geometry.c (Pillow 12); the order of its
// operations in float64 is kept, since the last bit of a weight shows in pixels.
#include "runtime/image/axis_weights.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace graft::runtime {
namespace {

double Bilinear(double x) {
  x = std::fabs(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Keys' cubic convolution with a = -0.5.
double Bicubic(double x) {
  constexpr double kA = -0.5;
  x = std::fabs(x);
  if (x < 1.0) return ((kA + 2.0) * x - (kA + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * kA;
  return 0.0;
}

double Sinc(double x) {
  constexpr double kPi = 3.14159265358979323846;
  if (x == 0.0) return 1.0;
  x *= kPi;
  return std::sin(x) / x;
}

// Three lobes.
double Lanczos(double x) { return -3.0 <= x && x < 3.0 ? Sinc(x) * Sinc(x / 3) : 0.0; }

int32_t WholeWeight(double weight) {
  const double scaled = weight * (1 << AxisWeights::kWeightBits);
  return static_cast<int32_t>(weight < 0 ? scaled - 0.5 : scaled + 0.5);
}

int64_t Rounded(double place) {
  return static_cast<int64_t>(place + 0.5);  // NOLINT(bugprone-incorrect-roundings): as Pillow does
}

double Support(ImageFilter filter) {
  return filter == ImageFilter::kLanczos ? 3.0 : filter == ImageFilter::kBicubic ? 2.0 : 1.0;
}

double WeightAt(double x, ImageFilter filter) {
  if (filter == ImageFilter::kLanczos) return Lanczos(x);
  return filter == ImageFilter::kBicubic ? Bicubic(x) : Bilinear(x);
}

}  // namespace

Result<AxisWeights> AxisWeights::Create(int64_t in_size, int64_t out_size, int64_t first,
                                        int64_t count, ImageFilter filter) {
  if (in_size == out_size) filter = ImageFilter::kNearest;  // each pixel is itself
  AxisWeights axis;
  axis.count_ = count;
  int64_t longest = 1;
  if (filter != ImageFilter::kNearest) {
    const double step = static_cast<double>(in_size) / static_cast<double>(out_size);
    longest = static_cast<int64_t>(std::ceil(Support(filter) * std::max(step, 1.0))) * 2 + 1;
  }
  axis.row_ = 1 + std::min(longest, in_size);
  const auto numbers = static_cast<uint64_t>(count * (1 + axis.row_));
  GRAFT_ASSIGN_OR_RETURN(axis.memory_,
                         PageMemory::Allocate(numbers * sizeof(int32_t), "resizing an image"));
  axis.Fill(in_size, out_size, first, filter);
  return axis;
}

void AxisWeights::Fill(int64_t in_size, int64_t out_size, int64_t first, ImageFilter filter) {
  const double step = static_cast<double>(in_size) / static_cast<double>(out_size);
  if (filter == ImageFilter::kNearest) {
    double place = step * 0.5;  // adding up, as Pillow does, is not quite multiplying
    for (int64_t i = 0; i < first + count_; ++i, place += step) {
      if (i < first) continue;
      int32_t* row = begins() + count_ + (i - first) * row_;
      begins()[i - first] = static_cast<int32_t>(
          std::min<int64_t>(in_size - 1, in_size == out_size ? i : static_cast<int64_t>(place)));
      row[0] = 1;
      row[1] = 1 << kWeightBits;
    }
    return;
  }
  const double scale = std::max(step, 1.0);
  const double support = Support(filter) * scale;
  const double inverse = 1.0 / scale;
  const auto weight_at = [&](int64_t pixel, double center) {
    const double x = (static_cast<double>(pixel) - center + 0.5) * inverse;
    return WeightAt(x, filter);
  };
  for (int64_t i = 0; i < count_; ++i) {
    const double center = (static_cast<double>(first + i) + 0.5) * step;
    const auto begin = std::max<int64_t>(0, Rounded(center - support));
    const auto end = std::min(in_size, Rounded(center + support));
    double total = 0.0;
    for (int64_t pixel = begin; pixel < end; ++pixel) total += weight_at(pixel, center);
    int32_t* row = begins() + count_ + i * row_;
    begins()[i] = static_cast<int32_t>(begin);
    row[0] = static_cast<int32_t>(end - begin);
    for (int64_t pixel = begin; pixel < end; ++pixel) {
      const double weight = weight_at(pixel, center);
      row[1 + pixel - begin] = WholeWeight(total != 0.0 ? weight / total : weight);
    }
    widest_ = std::max(widest_, end - begin);
  }
}

}  // namespace graft::runtime
