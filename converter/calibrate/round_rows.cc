// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/round_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "converter/calibrate/products.h"
#include "converter/quantize/encode.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

/// Rows as codes under one choice of scales.
struct Attempt {
  std::vector<float> scales;  ///< One for each group of each row.
  std::vector<int8_t> codes;
  std::vector<double> losses;  ///< One for each row: eᵀ H e.
};

class RowRounder {
 public:
  RowRounder(const Hessian& hessian, const StoredFormat& format, std::span<const double> numbers)
      : hessian_(hessian),
        format_(format),
        numbers_(numbers),
        width_(hessian.width),
        rows_(numbers.size() / hessian.width),
        group_(format.kind == StorageKind::kInt4Block ? format.block_size : hessian.width),
        lowest_(format.is_int4() ? -8.0 : -127.0),
        highest_(format.is_int4() ? 7.0 : 127.0) {}

  /// Rounds under attempt->scales, with or without making up for errors.
  void Round(bool makes_up, Attempt* attempt);
  /// Scales that the diagonal of H weighs, each the best of some near `searched`.
  std::vector<float> WeighedScales(const std::vector<float>& searched) const;
  size_t groups() const { return rows_ * width_ / group_; }

 private:
  float Representable(double scale) const {
    const auto narrow = static_cast<float>(scale);
    return format_.kind == StorageKind::kInt4Block ? Bf16BitsToFloat(FloatToBf16Bits(narrow))
                                                   : narrow;
  }
  double CodeOf(double number, double scale) const {
    return std::clamp(std::nearbyint(number / scale), lowest_, highest_);
  }
  /// The best scale for the codes that `scale` gives, and what it leaves of the weighed error.
  std::pair<float, double> Refine(size_t begin, double scale) const;

  const Hessian& hessian_;
  const StoredFormat& format_;
  std::span<const double> numbers_;
  const size_t width_, rows_, group_;
  const double lowest_, highest_;
  std::vector<double> carried_;  // [rows, width]: the errors made so far, as later columns see them
};

void RowRounder::Round(bool makes_up, Attempt* attempt) {
  attempt->codes.resize(numbers_.size());
  attempt->losses.assign(rows_, 0.0);
  carried_.assign(numbers_.size(), 0.0);
  for (size_t i = 0; i < width_; ++i) {
    const size_t column = hessian_.order[i];
    const double* feedback = hessian_.feedback.data() + i * width_ + i + 1;
    for (size_t row = 0; row < rows_; ++row) {
      const size_t at = row * width_ + column;
      const double scale = attempt->scales[at / group_];
      double* carried = carried_.data() + row * width_ + i;
      const double code = CodeOf(numbers_[at] + (makes_up ? *carried : 0.0), scale);
      const double error = numbers_[at] - code * scale;
      const double left = hessian_.pivots[i] * (error + *carried);
      attempt->codes[at] = static_cast<int8_t>(code);
      attempt->losses[row] += left * left;
      AddScaled(error, feedback, width_ - i - 1, carried + 1);
    }
  }
}

std::pair<float, double> RowRounder::Refine(size_t begin, double scale) const {
  const double* weights = hessian_.diagonal.data() + begin % width_;
  double code_number = 0, code_code = 0;
  for (size_t i = 0; i < group_; ++i) {
    const double code = CodeOf(numbers_[begin + i], scale);
    code_number += weights[i] * code * numbers_[begin + i];
    code_code += weights[i] * code * code;
  }
  const float refined =
      Representable(code_code > 0 && code_number > 0 ? code_number / code_code : scale);
  double loss = 0;
  for (size_t i = 0; i < group_; ++i) {
    const double error = numbers_[begin + i] - CodeOf(numbers_[begin + i], refined) * refined;
    loss += weights[i] * error * error;
  }
  return {refined, loss};
}

std::vector<float> RowRounder::WeighedScales(const std::vector<float>& searched) const {
  std::vector<float> scales = searched;
  for (size_t g = 0; g < scales.size(); ++g) {
    auto [best, least] = Refine(g * group_, scales[g]);
    for (int step = -10; step <= 10; ++step) {
      const auto [scale, loss] = Refine(g * group_, scales[g] * (1 + 0.03 * step));
      if (loss < least && std::isnormal(scale)) best = scale, least = loss;
    }
    scales[g] = best;
  }
  return scales;
}

float ScaleAt(const StoredFormat& format, const uint8_t* scales, size_t index) {
  if (format.kind == StorageKind::kInt4Block) {
    uint16_t bits = 0;
    std::memcpy(&bits, scales + index * sizeof(bits), sizeof(bits));
    return Bf16BitsToFloat(bits);
  }
  float scale = 0;
  std::memcpy(&scale, scales + index * sizeof(scale), sizeof(scale));
  return scale;
}

/// One row of an attempt, as the file has it.
void Store(const StoredFormat& format, const Attempt& attempt, size_t row, size_t width,
           uint8_t* data, uint8_t* scales, double* stored) {
  const size_t groups = attempt.scales.size() * width / attempt.codes.size();
  const size_t group = width / groups;
  const int8_t* codes = attempt.codes.data() + row * width;
  for (size_t i = 0; i < width; ++i)
    stored[i] = codes[i] * double{attempt.scales[row * groups + i / group]};
  for (size_t g = 0; g < groups; ++g) {
    const float scale = attempt.scales[row * groups + g];
    if (format.kind == StorageKind::kInt4Block) {
      const uint16_t bits = FloatToBf16Bits(scale);
      std::memcpy(scales + g * sizeof(bits), &bits, sizeof(bits));
    } else {
      std::memcpy(scales + g * sizeof(scale), &scale, sizeof(scale));
    }
  }
  if (!format.is_int4()) {
    std::memcpy(data, codes, width);
    return;
  }
  for (size_t i = 0; i < width; i += 2) {
    data[i / 2] = static_cast<uint8_t>((codes[i] + 8) | (codes[i + 1] + 8) << 4);
  }
}

}  // namespace

Status RoundRows(const Hessian& hessian, const StoredFormat& format,
                 std::span<const double> numbers, uint8_t* data, uint8_t* scales,
                 std::span<double> stored) {
  const size_t width = hessian.width;
  const auto row_elements = static_cast<int64_t>(width);
  GRAFT_RETURN_IF_ERROR(EncodeRows(format, numbers, row_elements, data, scales, stored));
  RowRounder rounder(hessian, format, numbers);
  Attempt plain;
  for (size_t i = 0; i < rounder.groups(); ++i) plain.scales.push_back(ScaleAt(format, scales, i));
  Attempt searched = plain, weighed;
  rounder.Round(false, &plain);
  rounder.Round(true, &searched);
  weighed.scales = rounder.WeighedScales(plain.scales);
  rounder.Round(true, &weighed);
  const auto row_data = static_cast<size_t>(format.RowDataBytes(row_elements));
  const auto row_scales = static_cast<size_t>(format.RowScaleBytes(row_elements));
  for (size_t row = 0; row < numbers.size() / width; ++row) {
    const Attempt& best = weighed.losses[row] < searched.losses[row] ? weighed : searched;
    if (!(best.losses[row] < plain.losses[row])) continue;
    Store(format, best, row, width, data + row * row_data, scales + row * row_scales,
          stored.data() + row * width);
  }
  return OkStatus();
}

void RoundInputs(std::span<float> rows, size_t width) {
  for (size_t at = 0; at < rows.size(); at += width) {
    const std::span<float> row = rows.subspan(at, width);
    const auto [low, high] = std::minmax_element(row.begin(), row.end());
    const float least = std::min(*low, 0.0f), most = std::max(*high, 0.0f);
    if (least == most) continue;
    const float inverse = 255.0f / (most - least);
    const float scale = 1.0f / inverse;
    const float zero = std::clamp(std::nearbyint(-128.0f - least * inverse), -128.0f, 127.0f);
    for (float& x : row) {
      const float code = std::clamp(std::nearbyint(x * inverse + zero), -128.0f, 127.0f);
      x = (code - zero) * scale;
    }
  }
}

}  // namespace graft::converter
