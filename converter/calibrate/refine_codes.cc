// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/refine_codes.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "converter/calibrate/numbers/products.h"

namespace graft::converter {
namespace {

constexpr int kTriesOfBlock = 3;
constexpr size_t kColumnsTogether = 32;  // where a whole row shares a scale

class Refiner {
 public:
  Refiner(const Hessian& hessian, const CodeRange& range, size_t group,
          std::span<const double> numbers, Attempt* attempt)
      : hessian_(hessian),
        range_(range),
        width_(hessian.width),
        rows_(numbers.size() / hessian.width),
        group_(group),
        block_(range.is_block ? group : kColumnsTogether),
        numbers_(numbers),
        attempt_(*attempt) {}

  void Run(int sweeps);

 private:
  void FindGradients();
  void Sweep();
  void LoadBlock(size_t begin, size_t count);
  bool FitScale(size_t row, size_t begin, size_t count);
  bool FitCodes(size_t row, size_t begin, size_t count);
  void FitRowScale(size_t row, const double* of_rounded);
  void FitRowScales();

  float& ScaleOf(size_t row, size_t column) {
    return attempt_.scales[(row * width_ + column) / group_];
  }

  const Hessian& hessian_;
  const CodeRange& range_;
  const size_t width_, rows_, group_, block_;
  const std::span<const double> numbers_;
  Attempt& attempt_;
  std::vector<double> errors_, gradients_;  // [rows, width]: e, and H e
  std::vector<double> corner_;              // of H: [block, block]
  std::vector<double> here_;                // gradients of one row's block, while it changes
  std::vector<double> of_codes_;            // corner_ times codes
  std::vector<double> changes_;             // of a block's rows: what is added to e
};

void Refiner::FindGradients() {
  errors_.resize(numbers_.size());
  for (size_t i = 0; i < numbers_.size(); ++i) {
    errors_[i] = numbers_[i] - attempt_.codes[i] * double{attempt_.scales[i / group_]};
  }
  gradients_.assign(numbers_.size(), 0.0);
  AddProducts(errors_.data(), width_, hessian_.damped.data(), width_, rows_, width_, width_,
              gradients_.data(), width_);
}

void Refiner::LoadBlock(size_t begin, size_t count) {
  corner_.resize(count * count);
  for (size_t i = 0; i < count; ++i) {
    std::copy_n(hessian_.damped.data() + (begin + i) * width_ + begin, count,
                corner_.data() + i * count);
  }
}

// The scale that fits a block's codes best, given all that other blocks leave.
bool Refiner::FitScale(size_t row, size_t begin, size_t count) {
  const int8_t* codes = attempt_.codes.data() + row * width_ + begin;
  of_codes_.assign(count, 0.0);
  for (size_t i = 0; i < count; ++i) {
    if (codes[i] != 0) AddScaled(codes[i], corner_.data() + i * count, count, of_codes_.data());
  }
  double slope = 0, curvature = 0;
  for (size_t i = 0; i < count; ++i) {
    slope += codes[i] * here_[i];
    curvature += codes[i] * of_codes_[i];
  }
  float& scale = ScaleOf(row, begin);
  if (!(curvature > 0)) return false;
  const float fitted = range_.Representable(scale + slope / curvature);
  const double change = double{fitted} - scale;
  if (!std::isnormal(fitted) || fitted < 0 || !(change * (2 * slope - change * curvature) > 0)) {
    return false;
  }
  scale = fitted;
  for (size_t i = 0; i < count; ++i) errors_[row * width_ + begin + i] -= change * codes[i];
  AddScaled(-change, of_codes_.data(), count, here_.data());
  return true;
}

bool Refiner::FitCodes(size_t row, size_t begin, size_t count) {
  int8_t* codes = attempt_.codes.data() + row * width_ + begin;
  const double scale = ScaleOf(row, begin);
  bool changes = false;
  for (size_t i = 0; i < count; ++i) {
    const double curvature = corner_[i * count + i];
    const double code = range_.CodeOf(codes[i] * scale + here_[i] / curvature, scale);
    const double change = (code - codes[i]) * scale;
    if (!(change * (2 * here_[i] - change * curvature) > 0)) continue;
    codes[i] = static_cast<int8_t>(code);
    errors_[row * width_ + begin + i] -= change;
    AddScaled(-change, corner_.data() + i * count, count, here_.data());
    changes = true;
  }
  return changes;
}

void Refiner::Sweep() {
  for (size_t begin = 0; begin < width_; begin += block_) {
    const size_t count = std::min(block_, width_ - begin);
    LoadBlock(begin, count);
    changes_.resize(rows_ * count);
    bool any = false;
    for (size_t row = 0; row < rows_; ++row) {
      const size_t at = row * width_ + begin;
      here_.assign(gradients_.begin() + static_cast<std::ptrdiff_t>(at),
                   gradients_.begin() + static_cast<std::ptrdiff_t>(at + count));
      std::copy_n(errors_.data() + at, count, changes_.data() + row * count);
      for (int i = 0; i < kTriesOfBlock; ++i) {
        const bool scale_changes = range_.is_block && FitScale(row, begin, count);
        const bool codes_change = FitCodes(row, begin, count);
        any = any || scale_changes || codes_change;
        if (!codes_change) break;
      }
      for (size_t i = 0; i < count; ++i) {
        changes_[row * count + i] = errors_[at + i] - changes_[row * count + i];
      }
    }
    if (!any) continue;
    AddProducts(changes_.data(), count, hessian_.damped.data() + begin * width_, width_, rows_,
                count, width_, gradients_.data(), width_);
  }
}

// As FitScale; of_rounded is H times the row as it was rounded.
void Refiner::FitRowScale(size_t row, const double* of_rounded) {
  float& scale = attempt_.scales[row];
  double slope = 0, curvature = 0;
  for (size_t i = row * width_; i < (row + 1) * width_; ++i) {
    slope += attempt_.codes[i] * gradients_[i];
    curvature += attempt_.codes[i] * of_rounded[i] / scale;
  }
  if (!(curvature > 0)) return;
  const float fitted = range_.Representable(scale + slope / curvature);
  const double change = double{fitted} - scale;
  if (!std::isnormal(fitted) || fitted < 0 || !(change * (2 * slope - change * curvature) > 0)) {
    return;
  }
  for (size_t i = row * width_; i < (row + 1) * width_; ++i) {
    errors_[i] -= change * attempt_.codes[i];
    gradients_[i] -= change * of_rounded[i] / scale;
  }
  scale = fitted;
}

void Refiner::FitRowScales() {
  std::vector<double> rounded(numbers_.size()), of_rounded(numbers_.size(), 0.0);
  for (size_t i = 0; i < rounded.size(); ++i) {
    rounded[i] = attempt_.codes[i] * double{attempt_.scales[i / group_]};
  }
  AddProducts(rounded.data(), width_, hessian_.damped.data(), width_, rows_, width_, width_,
              of_rounded.data(), width_);
  for (size_t row = 0; row < rows_; ++row) FitRowScale(row, of_rounded.data());
}

void Refiner::Run(int sweeps) {
  FindGradients();
  for (int sweep = 0; sweep < sweeps; ++sweep) {
    if (!range_.is_block) FitRowScales();
    Sweep();
  }
  attempt_.losses.resize(rows_);
  for (size_t row = 0; row < rows_; ++row) {
    attempt_.losses[row] =
        Dot(errors_.data() + row * width_, gradients_.data() + row * width_, width_);
  }
}

}  // namespace

void RefineCodes(const Hessian& hessian, const CodeRange& range, size_t group,
                 std::span<const double> numbers, int sweeps, Attempt* attempt) {
  Refiner(hessian, range, group, numbers, attempt).Run(sweeps);
}

}  // namespace graft::converter
