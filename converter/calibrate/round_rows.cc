// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/round_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "converter/calibrate/attempt.h"
#include "converter/calibrate/numbers/products.h"
#include "converter/calibrate/refine_codes.h"
#include "converter/quantize/encode.h"
#include "converter/tensors/float_formats.h"

namespace graft::converter {
namespace {

constexpr int kSweeps = 3;

class RowRounder {
 public:
  RowRounder(const Hessian& hessian, const StoredFormat& format, std::span<const double> numbers)
      : hessian_(hessian),
        range_(format),
        numbers_(numbers),
        width_(hessian.width),
        rows_(numbers.size() / hessian.width),
        group_(range_.is_block ? format.block_size : hessian.width) {}

  /// Rounds under attempt->scales, with or without making up for errors.
  void Round(bool makes_up, Attempt* attempt);
  /// Scales that the diagonal of H weighs, each the best of some near `searched`.
  std::vector<float> WeighedScales(const std::vector<float>& searched) const;
  /// Makes up for errors, and fits scales and codes to each other. Of a scale for a whole row some
  /// others near it are tried, too, and each row takes the best.
  Attempt BestAttempt(const std::vector<float>& scales);
  size_t groups() const { return rows_ * width_ / group_; }

 private:
  void RoundColumns(size_t begin, size_t end, bool makes_up, Attempt* attempt);
  /// The best scale for the codes that `scale` gives, and what it leaves of the weighed error.
  std::pair<float, double> FitScale(size_t begin, double scale) const;

  // Columns whose errors are made up for in those behind them at once.
  static constexpr size_t kColumnsTogether = 64;

  const Hessian& hessian_;
  const CodeRange range_;
  std::span<const double> numbers_;
  const size_t width_, rows_, group_;
  std::vector<double> carried_;  // [rows, width]: the errors made so far, as later columns see them
  std::vector<double> errors_;   // [rows, kColumnsTogether]
};

void RowRounder::RoundColumns(size_t begin, size_t end, bool makes_up, Attempt* attempt) {
  for (size_t i = begin; i < end; ++i) {
    const size_t column = hessian_.order[i];
    const double* feedback = hessian_.feedback.data() + i * width_ + i + 1;
    for (size_t row = 0; row < rows_; ++row) {
      const size_t at = row * width_ + column;
      const double scale = attempt->scales[at / group_];
      double* carried = carried_.data() + row * width_ + i;
      const double code = range_.CodeOf(numbers_[at] + (makes_up ? *carried : 0.0), scale);
      const double error = numbers_[at] - code * scale;
      const double left = hessian_.pivots[i] * (error + *carried);
      attempt->codes[at] = static_cast<int8_t>(code);
      attempt->losses[row] += left * left;
      errors_[row * kColumnsTogether + i - begin] = error;
      AddScaled(error, feedback, end - i - 1, carried + 1);
    }
  }
}

void RowRounder::Round(bool makes_up, Attempt* attempt) {
  attempt->codes.resize(numbers_.size());
  attempt->losses.assign(rows_, 0.0);
  carried_.assign(numbers_.size(), 0.0);
  errors_.resize(rows_ * kColumnsTogether);
  for (size_t begin = 0; begin < width_; begin += kColumnsTogether) {
    const size_t end = std::min(begin + kColumnsTogether, width_);
    RoundColumns(begin, end, makes_up, attempt);
    AddProducts(errors_.data(), kColumnsTogether, hessian_.feedback.data() + begin * width_ + end,
                width_, rows_, end - begin, width_ - end, carried_.data() + end, width_);
  }
}

std::pair<float, double> RowRounder::FitScale(size_t begin, double scale) const {
  const double* weights = hessian_.diagonal.data() + begin % width_;
  double code_number = 0, code_code = 0;
  for (size_t i = 0; i < group_; ++i) {
    const double code = range_.CodeOf(numbers_[begin + i], scale);
    code_number += weights[i] * code * numbers_[begin + i];
    code_code += weights[i] * code * code;
  }
  const float fitted =
      range_.Representable(code_code > 0 && code_number > 0 ? code_number / code_code : scale);
  double loss = 0;
  for (size_t i = 0; i < group_; ++i) {
    const double error = numbers_[begin + i] - range_.CodeOf(numbers_[begin + i], fitted) * fitted;
    loss += weights[i] * error * error;
  }
  return {fitted, loss};
}

std::vector<float> RowRounder::WeighedScales(const std::vector<float>& searched) const {
  std::vector<float> scales = searched;
  for (size_t g = 0; g < scales.size(); ++g) {
    const double middle = scales[g];
    auto [best, least] = FitScale(g * group_, middle);
    for (int step = -10; step <= 10; ++step) {
      const auto [scale, loss] = FitScale(g * group_, middle * (1 + 0.03 * step));
      if (loss < least && std::isnormal(scale)) best = scale, least = loss;
    }
    scales[g] = best;
  }
  return scales;
}

Attempt RowRounder::BestAttempt(const std::vector<float>& scales) {
  Attempt best;
  for (const double factor : {1.0, 0.9, 1.1}) {
    Attempt attempt;
    for (const float scale : scales) attempt.scales.push_back(range_.Representable(scale * factor));
    Round(true, &attempt);
    RefineCodes(hessian_, range_, group_, numbers_, kSweeps, &attempt);
    if (range_.is_block) return attempt;
    if (best.losses.empty()) best = attempt;
    for (size_t row = 0; row < rows_; ++row) {
      if (!(attempt.losses[row] < best.losses[row])) continue;
      best.losses[row] = attempt.losses[row];
      best.scales[row] = attempt.scales[row];
      std::copy_n(attempt.codes.data() + row * width_, width_, best.codes.data() + row * width_);
    }
  }
  return best;
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
  for (size_t i = 0; i < rounder.groups(); ++i)
    plain.scales.push_back(StoredScale(format, scales, i));
  rounder.Round(false, &plain);
  const Attempt best = rounder.BestAttempt(rounder.WeighedScales(plain.scales));
  const auto row_data = static_cast<size_t>(format.RowDataBytes(row_elements));
  const auto row_scales = static_cast<size_t>(format.RowScaleBytes(row_elements));
  for (size_t row = 0; row < numbers.size() / width; ++row) {
    if (!(best.losses[row] < plain.losses[row])) continue;
    Store(format, best, row, width, data + row * row_data, scales + row * row_scales,
          stored.data() + row * width);
  }
  return OkStatus();
}

}  // namespace graft::converter
