// SPDX-License-Identifier: Apache-2.0
#include "converter/sensitivity/measure_sensitivity.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "converter/base/parallel.h"
#include "converter/calibrate/graph_runner.h"
#include "converter/calibrate/numbers/fixed_math.h"
#include "converter/sensitivity/graph_parts.h"
#include "converter/sensitivity/merged_numbers.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

// Logits are looked at in every so manieth row: the head is a large part of a small model.
constexpr size_t kLogitStride = 4;

class Meter {
 public:
  Meter(const fb::Graph& graph, std::span<const Constant> constants, std::span<Scratch> numbers,
        std::span<const StoredFormat> rounding, const MeasuredTexts& texts,
        const SensitivityOptions& options);

  Result<std::vector<double>> Run();

 private:
  std::vector<size_t> MatricesOf(const GraphPart& part) const;
  Status Leave(const GraphPart& part, std::span<const float> given);
  Result<double> DivergenceBehind(size_t part);
  Status MeasurePart(size_t index);
  Status Round(size_t tensor);
  void Advance();

  const fb::Graph& graph_;
  std::span<const Constant> constants_;
  std::span<Scratch> numbers_;
  std::span<const StoredFormat> rounding_;
  const SensitivityOptions& options_;
  const Batch batch_;

  TensorNumbers tensors_;  // what the ops take: numbers_, or what is in rounded_
  std::map<size_t, Scratch> rounded_;
  std::vector<GraphPart> parts_;
  std::vector<Scratch> left_;  // by each part, nothing rounded
  GraphRunner runner_;
  std::vector<double> divergences_;
  int64_t done_ = 0, total_ = 0;
};

GraphRunner::Options RunnerOptions(const MeasuredTexts& texts, const SensitivityOptions& options) {
  GraphRunner::Options runner{options.folder, options.threads, false, {}, {}};
  const size_t rows = texts.texts * texts.tokens_each;
  for (size_t row = kLogitStride - 1; row < rows; row += kLogitStride) {
    runner.selected_rows.push_back(row);
  }
  if (runner.selected_rows.empty()) runner.selected_rows.push_back(rows - 1);
  return runner;
}

Meter::Meter(const fb::Graph& graph, std::span<const Constant> constants,
             std::span<Scratch> numbers, std::span<const StoredFormat> rounding,
             const MeasuredTexts& texts, const SensitivityOptions& options)
    : graph_(graph),
      constants_(constants),
      numbers_(numbers),
      rounding_(rounding),
      options_(options),
      batch_{texts.texts, texts.tokens_each, 0, texts.tokens_each, texts.ids.data()},
      parts_(CutGraph(graph, options.most_parts)),
      left_(parts_.size()),
      runner_(graph, tensors_, RunnerOptions(texts, options)),
      divergences_(constants.size(), 0.0) {
  for (const Scratch& tensor : numbers_) tensors_.push_back(tensor.numbers());
  for (const GraphPart& part : parts_) {
    total_ += 2 + static_cast<int64_t>(MatricesOf(part).size());
  }
}

void Meter::Advance() {
  if (options_.progress) options_.progress(++done_, total_);
}

// Each once, in the order of ops.
std::vector<size_t> Meter::MatricesOf(const GraphPart& part) const {
  std::vector<size_t> matrices;
  for (size_t i = part.begin; i < part.end; ++i) {
    const int32_t matrix = MatrixOf(*graph_.ops()->Get(static_cast<unsigned>(i)));
    if (matrix < 0 || !rounding_[static_cast<size_t>(matrix)].quantized()) continue;
    const auto tensor = static_cast<size_t>(matrix);
    if (std::find(matrices.begin(), matrices.end(), tensor) == matrices.end()) {
      matrices.push_back(tensor);
    }
  }
  return matrices;
}

Status Meter::Round(size_t tensor) {
  const std::span<const float> exact = numbers_[tensor].numbers();
  GRAFT_ASSIGN_OR_RETURN(Scratch stored, Scratch::Create(options_.folder, exact.size()));
  const Constant& constant = constants_[tensor];
  const Status status = RoundNumbers(exact, static_cast<size_t>(constant.row_elements()),
                                     rounding_[tensor], options_.threads, stored.numbers());
  if (!status.ok()) return status.WithContext("tensor '" + constant.name + "'");
  rounded_[tensor] = std::move(stored);
  return OkStatus();
}

Status Meter::Leave(const GraphPart& part, std::span<const float> given) {
  return runner_.RunPart(batch_, part.begin, part.end, part.given, given, part.left);
}

// Of what the runner has just left at the end of a part.
Result<double> Meter::DivergenceBehind(size_t part) {
  std::vector<float> given(runner_.output().begin(), runner_.output().end());
  if (part + 1 < parts_.size()) {
    const GraphPart rest{parts_[part + 1].begin, parts_.back().end, parts_[part].left,
                         parts_.back().left};
    GRAFT_RETURN_IF_ERROR(Leave(rest, given));
  }
  const auto output = static_cast<unsigned>(graph_.outputs()->Get(0));
  const auto vocabulary =
      static_cast<size_t>(graph_.values()->Get(output)->shape()->Get(1)->size());
  const double divergence =
      MeanDivergence(left_.back().numbers(), runner_.output(), vocabulary, options_.threads);
  if (!std::isfinite(divergence)) {
    return Error(StatusCode::kCorrupt, "the model's logits are not finite numbers");
  }
  return divergence;
}

// Squares of what changed, each row relative to its own.
double RelativeChange(std::span<const float> exact, std::span<const float> changed, size_t width) {
  double sum = 0;
  for (size_t at = 0; at < exact.size(); at += width) {
    double change = 0, all = 0;
    for (size_t i = at; i < at + width; ++i) {
      const double difference = static_cast<double>(changed[i]) - static_cast<double>(exact[i]);
      change += difference * difference;
      all += static_cast<double>(exact[i]) * static_cast<double>(exact[i]);
    }
    if (all > 0) sum += change / all;
  }
  return sum;
}

Status Meter::MeasurePart(size_t index) {
  const GraphPart& part = parts_[index];
  const std::span<const float> given =
      index == 0 ? std::span<const float>() : std::span<const float>(left_[index - 1].numbers());
  const auto& shape = *graph_.values()->Get(static_cast<unsigned>(part.left))->shape();
  const auto width = static_cast<size_t>(shape.Get(shape.size() - 1)->size());
  const std::vector<size_t> matrices = MatricesOf(part);
  std::vector<double> changes;
  for (const size_t matrix : matrices) {
    GRAFT_RETURN_IF_ERROR(Round(matrix));
    tensors_[matrix] = rounded_[matrix].numbers();
    GRAFT_RETURN_IF_ERROR(Leave(part, given));
    changes.push_back(RelativeChange(left_[index].numbers(), runner_.output(), width));
    tensors_[matrix] = numbers_[matrix].numbers();
    Advance();
  }
  double all = 0;
  for (const double change : changes) all += change;
  if (all > 0) {
    for (const size_t matrix : matrices) tensors_[matrix] = rounded_[matrix].numbers();
    GRAFT_RETURN_IF_ERROR(Leave(part, given));
    for (const size_t matrix : matrices) tensors_[matrix] = numbers_[matrix].numbers();
    GRAFT_ASSIGN_OR_RETURN(const double divergence, DivergenceBehind(index));
    for (size_t i = 0; i < matrices.size(); ++i) {
      divergences_[matrices[i]] += divergence * changes[i] / all;
    }
  }
  rounded_.clear();
  Advance();
  return OkStatus();
}

Result<std::vector<double>> Meter::Run() {
  GRAFT_RETURN_IF_ERROR(GraphRunner::Check(graph_));
  for (size_t i = 0; i < parts_.size(); ++i) {
    GRAFT_RETURN_IF_ERROR(Leave(parts_[i], i == 0
                                               ? std::span<const float>()
                                               : std::span<const float>(left_[i - 1].numbers())));
    GRAFT_ASSIGN_OR_RETURN(left_[i], Scratch::Create(options_.folder, runner_.output().size()));
    std::copy(runner_.output().begin(), runner_.output().end(), left_[i].numbers().begin());
    Advance();
  }
  for (size_t i = 0; i < parts_.size(); ++i) GRAFT_RETURN_IF_ERROR(MeasurePart(i));
  return std::move(divergences_);
}

/// log of the sum of exponentials.
double LogSum(std::span<const float> logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float logit : logits) sum += FixedExp(static_cast<double>(logit) - top);
  return top + FixedLog(sum);
}

}  // namespace

double MeanDivergence(std::span<const float> reference, std::span<const float> logits, size_t width,
                      int threads) {
  const size_t rows = reference.size() / width;
  std::vector<double> each(rows);
  const Status status = ParallelFor(threads, static_cast<int64_t>(rows), [&](int64_t row) {
    const std::span<const float> p = reference.subspan(static_cast<size_t>(row) * width, width);
    const std::span<const float> q = logits.subspan(static_cast<size_t>(row) * width, width);
    const double log_p = LogSum(p), log_q = LogSum(q);
    double sum = 0;
    for (size_t i = 0; i < width; ++i) {
      const double log_here = static_cast<double>(p[i]) - log_p;
      sum += FixedExp(log_here) * (log_here - static_cast<double>(q[i]) + log_q);
    }
    each[static_cast<size_t>(row)] = sum;
    return OkStatus();
  });
  double sum = 0;
  for (const double divergence : each) sum += divergence;
  return status.ok() ? sum / static_cast<double>(rows) : std::nan("");
}

Result<std::vector<double>> MeasureSensitivity(const fb::Graph& graph,
                                               std::span<const Constant> constants,
                                               std::span<Scratch> numbers,
                                               std::span<const StoredFormat> rounding,
                                               const MeasuredTexts& texts,
                                               const SensitivityOptions& options) {
  return Meter(graph, constants, numbers, rounding, texts, options).Run();
}

}  // namespace graft::converter
