// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/calibrate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "converter/base/parallel.h"
#include "converter/calibrate/graph_runner.h"
#include "converter/calibrate/hessian.h"
#include "converter/calibrate/integer_matrix.h"
#include "converter/calibrate/round_inputs.h"
#include "converter/calibrate/round_rows.h"
#include "converter/calibrate/scratch.h"
#include "converter/calibrate/write_texts.h"
#include "converter/quantize/encode.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

// Rows that one thread rounds together: the feedback of a column is read once for all of them.
constexpr int64_t kRowsTogether = 32;

class Calibrator {
 public:
  Calibrator(const ModelDescription& description, const fb::Model& model,
             std::vector<StoredFormat>* formats, const TensorSource& source,
             const CalibrationOptions& options, const std::filesystem::path& folder, int threads,
             const std::function<void(int64_t, int64_t)>& progress)
      : description_(description),
        model_(model),
        formats_(*formats),
        source_(source),
        options_(options),
        folder_(folder),
        threads_(threads),
        progress_(progress),
        weights_(formats->size()) {}

  Result<CalibratedWeights> Run();

 private:
  Status ReadWeights();
  Status ReadWeight(size_t tensor);
  void PlanLinears();
  Status RoundTables();
  Status RegroupMatrix(size_t tensor);
  Result<std::span<const float>> RoundLinear(size_t op, std::span<const float> input, size_t width);
  Status RoundInput(int32_t value, std::span<const float> input, size_t width);
  Status RoundMatrix(size_t tensor, const Hessian& hessian);
  Status KeepDelta(size_t tensor, const Hessian& hessian);
  Status Multiply(const OpCall& call) const;
  GraphRunner::Options RunnerOptions() {
    return {folder_, threads_, false, {}, [this](const OpCall& call) { return Multiply(call); }};
  }
  void Advance(int64_t steps);

  const ModelDescription& description_;
  const fb::Model& model_;
  std::vector<StoredFormat>& formats_;
  const TensorSource& source_;
  const CalibrationOptions& options_;
  const std::filesystem::path& folder_;
  const int threads_;
  const std::function<void(int64_t, int64_t)>& progress_;

  // Of each tensor that ops read as it is: merged, then as it was rounded.
  std::vector<Scratch> numbers_;
  // Of those that linear ops multiply with: rounded to 8 bits for the writing of texts, then as the
  // file has them.
  std::vector<IntegerMatrix> matrices_;
  std::set<int32_t> multiplied_;  // those tensors
  TensorNumbers tensors_;
  std::set<int32_t> tables_;               // tensors that an embedding reads
  std::map<int32_t, size_t> last_linear_;  // of each value: the last op that is rounded on it
  std::map<int32_t, Hessian> hessians_;    // of values that more such ops wait for
  // The value that linear ops took last, as the device rounds it. Ops of one input lie together.
  int32_t rounded_value_ = -1;
  Scratch rounded_;
  size_t last_op_ = 0;
  int64_t done_ = 0, total_ = 0;
  CalibratedWeights weights_;
};

void Calibrator::Advance(int64_t steps) {
  done_ += steps;
  if (progress_) progress_(done_, total_);
}

Status Calibrator::ReadWeight(size_t tensor) {
  const Constant& constant = description_.constants[tensor];
  const int64_t rows = constant.rows(), width = constant.row_elements();
  const auto index = static_cast<int32_t>(tensor);
  const bool is_multiplied = multiplied_.contains(index);
  const bool is_read = !is_multiplied || tables_.contains(index);
  if (is_read) {
    GRAFT_ASSIGN_OR_RETURN(numbers_[tensor],
                           Scratch::Create(folder_, static_cast<size_t>(rows * width)));
    tensors_[tensor] = numbers_[tensor].numbers();
  }
  if (is_multiplied) {
    GRAFT_ASSIGN_OR_RETURN(
        matrices_[tensor],
        IntegerMatrix::Create(folder_, static_cast<size_t>(rows), static_cast<size_t>(width),
                              static_cast<size_t>(width)));
  }
  const int64_t step = RowsPerRead(constant);
  return ParallelFor(threads_, (rows + step - 1) / step, [&](int64_t task) {
    const int64_t begin = task * step, end = std::min(rows, begin + step);
    std::vector<double> merged(static_cast<size_t>((end - begin) * width));
    GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source_, begin, end, merged, {}));
    for (int64_t row = begin; row < end && is_multiplied; ++row) {
      matrices_[tensor].RoundRow(
          static_cast<size_t>(row),
          std::span(merged).subspan(static_cast<size_t>((row - begin) * width),
                                    static_cast<size_t>(width)));
    }
    if (!is_read) return OkStatus();
    std::transform(merged.begin(), merged.end(), numbers_[tensor].numbers().data() + begin * width,
                   [](double number) { return static_cast<float>(number); });
    return OkStatus();
  });
}

Status Calibrator::ReadWeights() {
  numbers_.resize(formats_.size());
  matrices_.resize(formats_.size());
  tensors_.resize(formats_.size());
  for (size_t i = 0; i < formats_.size(); ++i) GRAFT_RETURN_IF_ERROR(ReadWeight(i));
  return OkStatus();
}

Status Calibrator::Multiply(const OpCall& call) const {
  const auto weight = static_cast<size_t>(call.op.attributes_as_Linear()->weight());
  return matrices_[weight].empty() ? RunOp(call) : matrices_[weight].Multiply(call, folder_);
}

void Calibrator::PlanLinears() {
  const auto& ops = *model_.graph()->ops();
  for (const fb::Op* op : ops) {
    if (const fb::Embedding* embedding = op->attributes_as_Embedding()) {
      tables_.insert(embedding->table());
    }
  }
  for (unsigned i = 0; i < ops.size(); ++i) {
    const fb::Linear* linear = ops.Get(i)->attributes_as_Linear();
    if (linear == nullptr || !formats_[static_cast<size_t>(linear->weight())].quantized()) continue;
    multiplied_.insert(linear->weight());
    if (tables_.contains(linear->weight())) continue;
    last_linear_[ops.Get(i)->inputs()->Get(0)] = i;
    last_op_ = i;
    ++total_;
  }
  if (options_.ids.empty()) total_ += options_.tokens_each - 1;
}

// Tables are read row by row: there is nothing to make up for. Later ops see them rounded.
Status Calibrator::RoundTables() {
  for (const int32_t index : tables_) {
    const auto tensor = static_cast<size_t>(index);
    const StoredFormat& format = formats_[tensor];
    if (!format.quantized()) continue;
    const Constant& constant = description_.constants[tensor];
    const int64_t width = constant.row_elements(), rows = constant.rows();
    const int64_t row_data = format.RowDataBytes(width), row_scales = format.RowScaleBytes(width);
    GRAFT_RETURN_IF_ERROR(RegroupMatrix(tensor));
    const int64_t step = RowsPerRead(constant);
    GRAFT_RETURN_IF_ERROR(ParallelFor(threads_, (rows + step - 1) / step, [&](int64_t task) {
      const int64_t begin = task * step, end = std::min(rows, begin + step);
      std::vector<double> merged(static_cast<size_t>((end - begin) * width)), stored(merged.size());
      std::vector<uint8_t> data(static_cast<size_t>((end - begin) * row_data));
      std::vector<uint8_t> scales(static_cast<size_t>((end - begin) * row_scales));
      GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source_, begin, end, merged, {}));
      GRAFT_RETURN_IF_ERROR(EncodeRows(format, merged, width, data.data(), scales.data(), stored));
      std::transform(stored.begin(), stored.end(),
                     numbers_[tensor].numbers().data() + begin * width,
                     [](double number) { return static_cast<float>(number); });
      for (int64_t row = begin; row < end && multiplied_.contains(index); ++row) {
        matrices_[tensor].SetStoredRow(static_cast<size_t>(row), format,
                                       data.data() + (row - begin) * row_data,
                                       scales.data() + (row - begin) * row_scales);
      }
      return OkStatus();
    }));
  }
  return OkStatus();
}

// Makes room for a matrix as the file will have it.
Status Calibrator::RegroupMatrix(size_t tensor) {
  if (!multiplied_.contains(static_cast<int32_t>(tensor))) return OkStatus();
  const Constant& constant = description_.constants[tensor];
  const auto width = static_cast<size_t>(constant.row_elements());
  GRAFT_ASSIGN_OR_RETURN(matrices_[tensor],
                         IntegerMatrix::Create(folder_, static_cast<size_t>(constant.rows()), width,
                                               IntegerMatrix::GroupOf(formats_[tensor], width)));
  return OkStatus();
}

Status Calibrator::RoundMatrix(size_t tensor, const Hessian& hessian) {
  const Constant& constant = description_.constants[tensor];
  const StoredFormat& format = formats_[tensor];
  const int64_t width = constant.row_elements(), rows = constant.rows();
  const int64_t row_data = format.RowDataBytes(width), row_scales = format.RowScaleBytes(width);
  CalibratedWeights::Rows& codes = weights_.of(tensor);
  codes.data.resize(static_cast<size_t>(rows * row_data));
  codes.scales.resize(static_cast<size_t>(rows * row_scales));
  GRAFT_RETURN_IF_ERROR(RegroupMatrix(tensor));
  const int64_t step = constant.part.transposed ? RowsPerRead(constant) : kRowsTogether;
  const Status status = ParallelFor(threads_, (rows + step - 1) / step, [&](int64_t task) {
    const int64_t begin = task * step, end = std::min(rows, begin + step);
    std::vector<double> merged(static_cast<size_t>((end - begin) * width)), stored(merged.size());
    GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source_, begin, end, merged, {}));
    GRAFT_RETURN_IF_ERROR(RoundRows(hessian, format, merged, codes.data.data() + begin * row_data,
                                    codes.scales.data() + begin * row_scales, stored));
    for (int64_t row = begin; row < end; ++row) {
      matrices_[tensor].SetStoredRow(static_cast<size_t>(row), format,
                                     codes.data.data() + row * row_data,
                                     codes.scales.data() + row * row_scales);
    }
    return OkStatus();
  });
  return status.ok() ? status : status.WithContext("tensor '" + constant.name + "'");
}

// Measures what is left of an adapter, and rounds its matrix again where that is too little.
Status Calibrator::KeepDelta(size_t tensor, const Hessian& hessian) {
  const Constant& constant = description_.constants[tensor];
  if (options_.delta_row_stride <= 0 || description_.AdaptedOf(constant) == nullptr) {
    return OkStatus();
  }
  const CalibratedWeights::Rows& codes = weights_.of(tensor);
  const auto measure = [&]() {
    return MeasureOutputNoise(constant, source_, formats_[tensor], codes.data, codes.scales,
                              rounded_.numbers(), options_.delta_row_stride, threads_);
  };
  GRAFT_ASSIGN_OR_RETURN(weights_.noise(tensor), measure());
  const bool is_drowned = weights_.noise(tensor).NoiseRatio() > 1.0;
  if (!options_.keep_delta || !is_drowned || !formats_[tensor].is_int4()) return OkStatus();
  formats_[tensor] = StoredFormat{StorageKind::kInt8PerChannel};
  GRAFT_RETURN_IF_ERROR(RoundMatrix(tensor, hessian));
  GRAFT_ASSIGN_OR_RETURN(weights_.noise(tensor), measure());
  return OkStatus();
}

Status Calibrator::RoundInput(int32_t value, std::span<const float> input, size_t width) {
  if (rounded_value_ == value) return OkStatus();
  rounded_value_ = value;
  GRAFT_ASSIGN_OR_RETURN(rounded_, Scratch::Create(folder_, input.size()));
  std::copy(input.begin(), input.end(), rounded_.numbers().begin());
  if (!RoundInputs(rounded_.numbers(), width)) {
    return Error(StatusCode::kCorrupt, "the inputs of the layer are not finite");
  }
  return OkStatus();
}

Result<std::span<const float>> Calibrator::RoundLinear(size_t op_index,
                                                       std::span<const float> input, size_t width) {
  const fb::Op& op = *model_.graph()->ops()->Get(static_cast<unsigned>(op_index));
  const int32_t weight = op.attributes_as_Linear()->weight();
  const auto tensor = static_cast<size_t>(weight);
  if (!formats_[tensor].quantized() || tables_.contains(weight)) return input;
  const int32_t value = op.inputs()->Get(0);
  GRAFT_RETURN_IF_ERROR(RoundInput(value, input, width));
  if (!hessians_.contains(value)) {
    Result<Hessian> hessian = MakeHessian(rounded_.numbers(), width, threads_, folder_);
    if (!hessian.ok()) {
      return hessian.status().WithContext("tensor '" + description_.constants[tensor].name + "'");
    }
    hessians_.emplace(value, std::move(hessian).value());
  }
  if (!weights_.Has(tensor)) {
    GRAFT_RETURN_IF_ERROR(RoundMatrix(tensor, hessians_.at(value)));
    GRAFT_RETURN_IF_ERROR(KeepDelta(tensor, hessians_.at(value)));
  }
  if (last_linear_.at(value) == op_index) hessians_.erase(value);
  Advance(1);
  return input;
}

Result<CalibratedWeights> Calibrator::Run() {
  GRAFT_RETURN_IF_ERROR(GraphRunner::Check(*model_.graph()));
  PlanLinears();
  if (last_linear_.empty()) {
    return Error(StatusCode::kInvalidArgument,
                 "no matrix is stored in a format that calibration helps");
  }
  GRAFT_RETURN_IF_ERROR(ReadWeights());
  std::vector<int32_t> ids = options_.ids;
  const auto texts = static_cast<size_t>(options_.texts);
  const auto tokens = static_cast<size_t>(options_.tokens_each);
  if (ids.empty()) {
    GraphRunner writer(*model_.graph(), tensors_, RunnerOptions());
    const TextPlan plan{texts, tokens, options_.seed, options_.chat};
    GRAFT_ASSIGN_OR_RETURN(
        ids, WriteTexts(model_, &writer, plan, threads_, [&](int64_t) { Advance(1); }));
  }
  GRAFT_RETURN_IF_ERROR(RoundTables());
  GraphRunner runner(*model_.graph(), tensors_, RunnerOptions());
  GRAFT_RETURN_IF_ERROR(runner.Run(
      Batch{texts, tokens, 0, tokens, ids.data()},
      [&](size_t op, std::span<const float> input, size_t width) {
        return RoundLinear(op, input, width);
      },
      last_op_));
  return std::move(weights_);
}

}  // namespace

int64_t CalibratedWeights::matrices() const {
  return std::count_if(tensors_.begin(), tensors_.end(),
                       [](const Rows& rows) { return !rows.data.empty(); });
}

Result<CalibratedWeights> Calibrate(
    const ModelDescription& description, const fb::Model& model, std::vector<StoredFormat>* formats,
    const TensorSource& source, const CalibrationOptions& options,
    const std::filesystem::path& folder, int threads,
    const std::function<void(int64_t done, int64_t total)>& progress) {
  return Calibrator(description, model, formats, source, options, folder, threads, progress).Run();
}

}  // namespace graft::converter
