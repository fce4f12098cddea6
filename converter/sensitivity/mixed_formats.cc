// SPDX-License-Identifier: Apache-2.0
#include "converter/sensitivity/mixed_formats.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <utility>

#include "converter/calibrate/graph_runner.h"
#include "converter/calibrate/write_texts.h"
#include "converter/sensitivity/measure_sensitivity.h"
#include "converter/sensitivity/merged_numbers.h"
#include "converter/sensitivity/spend_bits.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

// What sensitivities are measured on: this many texts, and of each no more than so many tokens.
constexpr size_t kMeasuredTexts = 4;
constexpr size_t kMeasuredTokens = 128;

// What calibration leaves of the divergence that plain rounding to int4 causes, measured on whole
// models. Tables, which it does not round, keep all of theirs.
constexpr double kLeftByCalibration = 0.65;

// Rows of which formats' errors are compared.
constexpr size_t kRowStride = 16;

constexpr double kCurveStep = 0.25;

// Parts of the graph that are measured.
constexpr size_t kMostParts = 32;

constexpr int64_t kProgressSteps = 1000, kTextSteps = 200;

const StoredFormat kMeasured{StorageKind::kInt4Block, 32};
const std::array<StoredFormat, 4> kFormats = {
    StoredFormat{StorageKind::kInt4Block, 128}, StoredFormat{StorageKind::kInt4Block, 64},
    StoredFormat{StorageKind::kInt4Block, 32}, StoredFormat{StorageKind::kInt8PerChannel}};

int64_t BytesOf(const Constant& constant, const StoredFormat& format) {
  const int64_t width = constant.row_elements();
  return constant.rows() * (format.RowDataBytes(width) + format.RowScaleBytes(width));
}

MeasuredTexts SomeOf(const CalibrationOptions& texts) {
  const auto count = static_cast<size_t>(texts.texts);
  const auto tokens = static_cast<size_t>(texts.tokens_each);
  MeasuredTexts some{std::min(count, kMeasuredTexts), std::min(tokens, kMeasuredTokens), {}};
  for (size_t i = 0; i < some.texts; ++i) {
    const auto begin = texts.ids.begin() + static_cast<ptrdiff_t>(i * count / some.texts * tokens);
    some.ids.insert(some.ids.end(), begin, begin + static_cast<ptrdiff_t>(some.tokens_each));
  }
  return some;
}

// Of some rows, the squared errors of `format`.
Result<double> SquaredError(std::span<const float> some_rows, size_t width,
                            const StoredFormat& format, int threads) {
  std::vector<float> stored(some_rows.size());
  GRAFT_RETURN_IF_ERROR(RoundNumbers(some_rows, width, format, threads, stored));
  double sum = 0;
  for (size_t i = 0; i < stored.size(); ++i) {
    const double error = static_cast<double>(stored[i]) - static_cast<double>(some_rows[i]);
    sum += error * error;
  }
  return sum;
}

class Chooser {
 public:
  Chooser(const ModelDescription& description, const fb::Model& model,
          std::span<const StoredFormat> formats, const TensorSource& source,
          const CalibrationOptions& texts, const MixedOptions& options)
      : description_(description),
        model_(model),
        source_(source),
        texts_(texts),
        options_(options),
        formats_(formats.begin(), formats.end()) {}

  Result<MixedFormats> Run();

 private:
  void Show(int64_t part_begin, int64_t part_end, int64_t done, int64_t total) const;
  Status WriteTextsIfNone();
  Status ListChoices();
  Result<MixedFormats> Choose() const;
  double BitsOf(int64_t bytes) const {
    return 8.0 * static_cast<double>(bytes) / static_cast<double>(elements_);
  }
  MixedFormats Within(int64_t bytes) const;

  const ModelDescription& description_;
  const fb::Model& model_;
  const TensorSource& source_;
  CalibrationOptions texts_;
  const MixedOptions& options_;
  std::vector<StoredFormat> formats_;

  std::vector<Scratch> numbers_;
  std::vector<double> sensitivities_;
  std::vector<size_t> matrices_;                     // tensors that there is a choice for
  std::vector<std::vector<StoredFormat>> possible_;  // of each of these
  std::vector<std::vector<StorageChoice>> choices_;  // likewise
  int64_t other_bytes_ = 0, elements_ = 0;
};

// Of all that is to do, the writing of texts and then measuring take about such parts.
void Chooser::Show(int64_t part_begin, int64_t part_end, int64_t done, int64_t total) const {
  if (!options_.progress) return;
  options_.progress(part_begin + (part_end - part_begin) * done / total, kProgressSteps);
}

Status Chooser::WriteTextsIfNone() {
  if (!texts_.ids.empty()) return OkStatus();
  TensorNumbers tensors;
  for (const Scratch& tensor : numbers_) tensors.push_back(tensor.numbers());
  GraphRunner writer(*model_.graph(), tensors, {options_.folder, options_.threads});
  const TextPlan plan{static_cast<size_t>(texts_.texts), static_cast<size_t>(texts_.tokens_each),
                      texts_.seed, texts_.chat};
  const auto show = [this](int64_t done) { Show(0, kTextSteps, done, texts_.tokens_each); };
  GRAFT_ASSIGN_OR_RETURN(texts_.ids, WriteTexts(model_, &writer, plan, options_.threads, show));
  return OkStatus();
}

Status Chooser::ListChoices() {
  std::set<int32_t> tables;
  for (const fb::Op* op : *model_.graph()->ops()) {
    if (const fb::Embedding* embedding = op->attributes_as_Embedding()) {
      tables.insert(embedding->table());
    }
  }
  for (size_t i = 0; i < formats_.size(); ++i) {
    const Constant& constant = description_.constants[i];
    elements_ += constant.rows() * constant.row_elements();
    if (!(formats_[i] == kMeasured) || sensitivities_[i] <= 0) {
      other_bytes_ += BytesOf(constant, formats_[i]);
      continue;
    }
    const auto width = static_cast<size_t>(constant.row_elements());
    std::vector<float> some_rows;
    for (size_t row = 0; row < static_cast<size_t>(constant.rows()); row += kRowStride) {
      const auto numbers = numbers_[i].numbers().subspan(row * width, width);
      some_rows.insert(some_rows.end(), numbers.begin(), numbers.end());
    }
    const bool is_calibrated = options_.calibrated && !tables.contains(static_cast<int32_t>(i));
    GRAFT_ASSIGN_OR_RETURN(const double measured,
                           SquaredError(some_rows, width, kMeasured, options_.threads));
    matrices_.push_back(i);
    possible_.emplace_back();
    choices_.emplace_back();
    for (const StoredFormat& format : kFormats) {
      if (!(FormatFor(format, constant.row_elements()) == format)) continue;
      GRAFT_ASSIGN_OR_RETURN(const double error,
                             SquaredError(some_rows, width, format, options_.threads));
      const double part = measured > 0 ? error / measured : 0;
      const double left = is_calibrated && format.is_int4() ? kLeftByCalibration : 1.0;
      possible_.back().push_back(format);
      choices_.back().push_back({BytesOf(constant, format), sensitivities_[i] * part * left});
    }
  }
  return OkStatus();
}

MixedFormats Chooser::Within(int64_t bytes) const {
  MixedFormats mixed;
  mixed.formats = formats_;
  const Spending spending = Spend(choices_, bytes - other_bytes_);
  for (size_t m = 0; m < matrices_.size(); ++m) {
    mixed.formats[matrices_[m]] = possible_[m][spending.chosen[m]];
  }
  mixed.bits = BitsOf(other_bytes_ + spending.bytes);
  mixed.divergence = spending.divergence;
  return mixed;
}

Result<MixedFormats> Chooser::Choose() const {
  const auto bytes_for = [&](double bits) {
    return static_cast<int64_t>(bits * static_cast<double>(elements_) / 8);
  };
  MixedFormats mixed = Within(bytes_for(options_.bits));
  if (mixed.bits > options_.bits) {
    return Error(StatusCode::kInvalidArgument,
                 "weights take %.2f bits at the least, where %.2f are asked for", mixed.bits,
                 options_.bits);
  }
  mixed.sensitivities = sensitivities_;
  const auto add_point = [&](int64_t bytes) {
    const MixedFormats point = Within(bytes);
    if (mixed.curve.empty() || point.bits > mixed.curve.back().bits) {
      mixed.curve.push_back({point.bits, point.divergence});
    }
  };
  add_point(0);
  int64_t most = other_bytes_;
  for (const std::vector<StorageChoice>& choices : choices_) most += choices.back().bytes;
  // Not one that is all but the first.
  const auto first =
      static_cast<int>(std::floor((mixed.curve.front().bits + 0.05) / kCurveStep)) + 1;
  for (int i = first; i * kCurveStep < BitsOf(most); ++i) add_point(bytes_for(i * kCurveStep));
  add_point(most);
  return mixed;
}

Result<MixedFormats> Chooser::Run() {
  GRAFT_RETURN_IF_ERROR(GraphRunner::Check(*model_.graph()));
  GRAFT_ASSIGN_OR_RETURN(numbers_, ReadMergedNumbers(description_.constants, source_,
                                                     options_.folder, options_.threads));
  GRAFT_RETURN_IF_ERROR(WriteTextsIfNone());
  std::vector<StoredFormat> rounding(formats_.size());
  for (size_t i = 0; i < formats_.size(); ++i) {
    if (formats_[i] == kMeasured) rounding[i] = kMeasured;
  }
  const SensitivityOptions measuring{
      options_.folder, options_.threads, kMostParts,
      [this](int64_t done, int64_t total) { Show(kTextSteps, kProgressSteps, done, total); }};
  GRAFT_ASSIGN_OR_RETURN(sensitivities_,
                         MeasureSensitivity(*model_.graph(), description_.constants, numbers_,
                                            rounding, SomeOf(texts_), measuring));
  GRAFT_RETURN_IF_ERROR(ListChoices());
  return Choose();
}

}  // namespace

Result<MixedFormats> ChooseMixedFormats(const ModelDescription& description, const fb::Model& model,
                                        std::span<const StoredFormat> formats,
                                        const TensorSource& source, const CalibrationOptions& texts,
                                        const MixedOptions& options) {
  return Chooser(description, model, formats, source, texts, options).Run();
}

std::string DescribeMixed(const MixedFormats& mixed) {
  std::array<char, 64> piece{};
  std::snprintf(piece.data(), piece.size(),
                "%.2f bits a weight, KL by measure %.4f; by bits:", mixed.bits, mixed.divergence);
  std::string text = piece.data();
  for (const CurvePoint& point : mixed.curve) {
    std::snprintf(piece.data(), piece.size(), " %.2f: %.4f", point.bits, point.divergence);
    text += piece.data();
    if (&point != &mixed.curve.back()) text += ",";
  }
  return text;
}

}  // namespace graft::converter
