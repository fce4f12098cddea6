// SPDX-License-Identifier: Apache-2.0
#include "converter/probes/answer_probes.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <utility>

#include "converter/base/parallel.h"
#include "converter/calibrate/graph_runner.h"
#include "converter/calibrate/numbers/products.h"
#include "converter/calibrate/round_inputs.h"
#include "converter/quantize/encode.h"
#include "converter/tensors/float_kernels.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr int64_t kProbeTokens = 32;

/// Which weights a pass takes.
enum class Weights : uint8_t { kStored, kMerged, kBase, kStoredBase };

// Changes numbers by more than another order of sums changes them, up or down. Where one then rounds
// to another code, the difference grows from layer to layer; how far is measured so. A hundredth of
// a code makes sure that some do, in the smallest of models, too: a device may meet just those.
void Disturb(std::span<float> numbers) {
  constexpr float kChange = 0x1p-14f;
  uint32_t state = 1;
  for (float& number : numbers) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' generator: any signs will do
    number *= state >> 31 != 0 ? 1 + kChange : 1 - kChange;
  }
}

class Prober {
 public:
  Prober(const ModelDescription& description, const fb::Model& model,
         std::span<const WrittenTensor> stored, const TensorSource& source, bool rounds_base,
         int threads, const std::function<void(int64_t, int64_t)>& progress);

  Result<ProbeAnswers> Run();

 private:
  Status ReadRows(size_t tensor, int64_t begin, int64_t end, std::vector<float>* numbers) const;
  void DecodeStored(size_t tensor, int64_t begin, int64_t end, bool of_base,
                    std::vector<double>* numbers) const;
  Status ReadStoredBase(size_t tensor, int64_t begin, int64_t end,
                        std::vector<double>* numbers) const;
  bool HasStoredBase(size_t tensor) const;
  Status ReadSmall();
  Status MultiplyRows(const OpCall& call) const;
  Result<std::vector<float>> Pass(Weights weights, size_t copies);
  std::vector<uint32_t> ChooseTokens(std::span<const float> merged,
                                     std::span<const float> base) const;

  const ModelDescription& description_;
  const fb::Model& model_;
  std::span<const WrittenTensor> stored_;
  const TensorSource& source_;
  const bool rounds_base_;
  const int threads_;
  bool has_stored_base_ = false;
  const std::function<void(int64_t done, int64_t total)>& progress_;
  mutable std::atomic<int64_t> done_ = 0;  // weights that were multiplied
  int64_t total_ = 0;

  std::vector<const ProbeText*> probes_;
  size_t rows_each_ = 0;
  std::vector<uint32_t> known_ids_;  // of all probes, ascending: tables are read for these alone
  size_t vocabulary_ = 0;

  Weights weights_ = Weights::kMerged;
  bool disturbs_ = false;  // the second half of the rows
  std::vector<std::vector<float>> small_;
  TensorNumbers tensors_;
};

Prober::Prober(const ModelDescription& description, const fb::Model& model,
               std::span<const WrittenTensor> stored, const TensorSource& source, bool rounds_base,
               int threads, const std::function<void(int64_t, int64_t)>& progress)
    : description_(description),
      model_(model),
      stored_(stored),
      source_(source),
      rounds_base_(rounds_base),
      threads_(threads),
      progress_(progress) {
  for (const ProbeText& probe : description.probes) {
    if (probe.answered_ids == 0) continue;
    probes_.push_back(&probe);
    rows_each_ = std::max(rows_each_, size_t{probe.answered_ids});
    known_ids_.insert(known_ids_.end(), probe.ids.begin(), probe.ids.begin() + probe.answered_ids);
  }
  std::sort(known_ids_.begin(), known_ids_.end());
  known_ids_.erase(std::unique(known_ids_.begin(), known_ids_.end()), known_ids_.end());
  const auto output = static_cast<unsigned>(model.graph()->outputs()->Get(0));
  for (const fb::Op* op : *model.graph()->ops()) {
    const fb::Linear* linear = op->attributes_as_Linear();
    if (linear == nullptr) continue;
    const Constant& constant = description.constants[static_cast<size_t>(linear->weight())];
    total_ += constant.rows() * constant.row_elements();
  }
  has_stored_base_ = !description.adapters.empty();
  for (size_t i = 0; i < stored.size(); ++i) has_stored_base_ &= HasStoredBase(i);
  total_ *= 2 + (description.adapters.empty() ? 0 : 1) + (has_stored_base_ ? 1 : 0);
  vocabulary_ = static_cast<size_t>(model.graph()->values()->Get(output)->shape()->Get(1)->size());
}

// What is stored of this model, or of the base.
void Prober::DecodeStored(size_t tensor, int64_t begin, int64_t end, bool of_base,
                          std::vector<double>* numbers) const {
  const WrittenTensor& stored = stored_[tensor];
  const int64_t width = description_.constants[tensor].row_elements();
  const auto part = [&](std::span<const uint8_t> bytes, int64_t row_bytes) {
    return bytes.subspan(static_cast<size_t>(begin * row_bytes),
                         static_cast<size_t>((end - begin) * row_bytes));
  };
  const std::span<const uint8_t> data =
      part(of_base ? stored.base_data : stored.data, stored.format.RowDataBytes(width));
  if (stored.format.quantized()) {
    const std::span<const uint8_t> scales = of_base ? stored.base_scales : stored.scales;
    return DecodeRows(stored.format, data, part(scales, stored.format.RowScaleBytes(width)), width,
                      *numbers);
  }
  const DType dtype = stored.format.kind == StorageKind::kFloat32   ? DType::kFloat32
                      : stored.format.kind == StorageKind::kFloat16 ? DType::kFloat16
                                                                    : DType::kBFloat16;
  Widen(dtype, data.data(), numbers->size(), numbers->data());
}

bool Prober::HasStoredBase(size_t tensor) const {
  return !stored_[tensor].base_data.empty() || rounds_base_ ||
         !stored_[tensor].format.quantized() ||
         description_.AdaptedOf(description_.constants[tensor]) == nullptr;
}

// As a file of the base has it; what no adapter changes is in this file.
Status Prober::ReadStoredBase(size_t tensor, int64_t begin, int64_t end,
                              std::vector<double>* numbers) const {
  const Constant& constant = description_.constants[tensor];
  const WrittenTensor& stored = stored_[tensor];
  if (!stored.base_data.empty() || description_.AdaptedOf(constant) == nullptr) {
    DecodeStored(tensor, begin, end, !stored.base_data.empty(), numbers);
    return OkStatus();
  }
  thread_local std::vector<double> merged, base;
  thread_local std::vector<uint8_t> data, scales;
  merged.resize(numbers->size());
  base.resize(numbers->size());
  GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source_, begin, end, merged, base));
  const int64_t width = constant.row_elements();
  data.resize(static_cast<size_t>((end - begin) * stored.format.RowDataBytes(width)));
  scales.resize(static_cast<size_t>((end - begin) * stored.format.RowScaleBytes(width)));
  return EncodeRows(stored.format, base, width, data.data(), scales.data(), *numbers);
}

Status Prober::ReadRows(size_t tensor, int64_t begin, int64_t end,
                        std::vector<float>* numbers) const {
  thread_local std::vector<double> rows, base;
  const Constant& constant = description_.constants[tensor];
  rows.resize(static_cast<size_t>((end - begin) * constant.row_elements()));
  if (weights_ == Weights::kStored) {
    DecodeStored(tensor, begin, end, /*of_base=*/false, &rows);
  } else if (weights_ == Weights::kStoredBase) {
    GRAFT_RETURN_IF_ERROR(ReadStoredBase(tensor, begin, end, &rows));
  } else {
    base.resize(weights_ == Weights::kBase ? rows.size() : 0);
    GRAFT_RETURN_IF_ERROR(ReadConstant(constant, source_, begin, end, rows, base));
    if (weights_ == Weights::kBase) rows.swap(base);
  }
  numbers->resize(rows.size());
  std::transform(rows.begin(), rows.end(), numbers->begin(),
                 [](double number) { return static_cast<float>(number); });
  return OkStatus();
}

// All but the matrices of linear ops: of tables the rows that are looked up.
Status Prober::ReadSmall() {
  const auto& ops = *model_.graph()->ops();
  std::map<size_t, bool> tables;  // whether each is looked up by ids
  std::vector<bool> streamed(description_.constants.size());
  for (const fb::Op* op : ops) {
    if (const fb::Linear* linear = op->attributes_as_Linear()) {
      streamed[static_cast<size_t>(linear->weight())] = true;
    }
    const fb::Embedding* embedding = op->attributes_as_Embedding();
    if (embedding == nullptr) continue;
    bool by_ids = true;
    for (const fb::GraphInput* input : *model_.graph()->inputs()) {
      if (input->value() == op->inputs()->Get(0)) by_ids = input->role() == fb::InputRole::TokenIds;
    }
    tables[static_cast<size_t>(embedding->table())] = by_ids;
  }
  small_.assign(streamed.size(), {});
  tensors_.assign(streamed.size(), {});
  std::vector<float> row;
  for (size_t i = 0; i < streamed.size(); ++i) {
    const int64_t rows = description_.constants[i].rows();
    const auto table = tables.find(i);
    if (table == tables.end()) {
      if (!streamed[i]) GRAFT_RETURN_IF_ERROR(ReadRows(i, 0, rows, &small_[i]));
    } else if (!table->second) {
      const int64_t last = std::min(rows, static_cast<int64_t>(rows_each_));
      GRAFT_RETURN_IF_ERROR(ReadRows(i, 0, last, &small_[i]));
    } else {
      for (const uint32_t id : known_ids_) {
        GRAFT_RETURN_IF_ERROR(ReadRows(i, id, int64_t{id} + 1, &row));
        small_[i].insert(small_[i].end(), row.begin(), row.end());
      }
    }
    tensors_[i] = small_[i];
  }
  return OkStatus();
}

// A linear op, some rows of its matrix at a time, which nothing keeps.
Status Prober::MultiplyRows(const OpCall& call) const {
  const fb::Linear& linear = *call.op.attributes_as_Linear();
  const auto tensor = static_cast<size_t>(linear.weight());
  const std::span<const float> bias = call.tensor(linear.bias());
  const size_t rows = call.batch.rows(), width = call.in[0].width;
  std::vector<float> input(call.in[0].numbers, call.in[0].numbers + rows * width);
  if (disturbs_) Disturb(std::span(input).subspan(rows / 2 * width));
  const bool are_stored = weights_ == Weights::kStored || weights_ == Weights::kStoredBase;
  if (are_stored && stored_[tensor].format.quantized()) {
    RoundInputs(input, width);
  }
  const int64_t step = RowsPerRead(description_.constants[tensor]);
  const auto features = static_cast<int64_t>(call.out_width);
  return ParallelFor(threads_, (features + step - 1) / step, [&](int64_t task) {
    thread_local std::vector<float> weights;
    const int64_t begin = task * step, end = std::min(features, begin + step);
    GRAFT_RETURN_IF_ERROR(ReadRows(tensor, begin, end, &weights));
    float* out = call.out + begin;
    const auto count = static_cast<size_t>(end - begin);
    MultiplyTransposed(input.data(), weights.data(), rows, width, count, out, call.out_width);
    for (size_t row = 0; row < rows && !bias.empty(); ++row) {
      for (size_t i = 0; i < count; ++i) {
        out[row * call.out_width + i] += bias[static_cast<size_t>(begin) + i];
      }
    }
    if (progress_) progress_(done_ += (end - begin) * static_cast<int64_t>(width), total_);
    return OkStatus();
  });
}

// The logits of each probe's last answered id, for all tokens: [copies, probes, vocabulary].
Result<std::vector<float>> Prober::Pass(Weights weights, size_t copies) {
  weights_ = weights;
  disturbs_ = copies > 1;
  GRAFT_RETURN_IF_ERROR(ReadSmall());
  const size_t texts = copies * probes_.size();
  std::vector<int32_t> ids(texts * rows_each_);
  GraphRunner::Options options{{}, threads_, /*in_memory=*/true, {}, {}};
  for (size_t text = 0; text < texts; ++text) {
    const ProbeText& probe = *probes_[text % probes_.size()];
    for (size_t i = 0; i < probe.answered_ids; ++i) {
      const auto found = std::lower_bound(known_ids_.begin(), known_ids_.end(), probe.ids[i]);
      ids[text * rows_each_ + i] = static_cast<int32_t>(found - known_ids_.begin());
    }
    options.selected_rows.push_back(text * rows_each_ + probe.answered_ids - 1);
  }
  options.linear = [this](const OpCall& call) { return MultiplyRows(call); };
  const std::vector<size_t> selected = options.selected_rows;
  GraphRunner runner(*model_.graph(), tensors_, std::move(options));
  GRAFT_RETURN_IF_ERROR(runner.Run(Batch{texts, rows_each_, 0, rows_each_, ids.data()}, {},
                                   std::numeric_limits<size_t>::max()));
  const std::span<const float> output = runner.output();
  std::vector<float> logits;
  for (size_t text = 0; text < texts; ++text) {
    // A graph without SelectRows gives all rows.
    const size_t row = output.size() == texts * vocabulary_ ? text : selected[text];
    const auto found = output.subspan(row * vocabulary_, vocabulary_);
    logits.insert(logits.end(), found.begin(), found.end());
  }
  return logits;
}

// The likeliest tokens of one and of the other in turn, each once; of equal ones the first.
std::vector<uint32_t> Prober::ChooseTokens(std::span<const float> merged,
                                           std::span<const float> base) const {
  const size_t wanted = description_.probe_tokens;
  const auto ranked = [&](std::span<const float> logits) {
    std::vector<uint32_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0u);
    std::partial_sort(order.begin(),
                      order.begin() + static_cast<ptrdiff_t>(std::min(wanted, order.size())),
                      order.end(), [&](uint32_t a, uint32_t b) {
                        return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
                      });
    order.resize(std::min(wanted, order.size()));
    return order;
  };
  const std::vector<uint32_t> first = ranked(merged), second = ranked(base.empty() ? merged : base);
  std::vector<uint32_t> tokens;
  for (size_t i = 0; i < first.size(); ++i) {
    for (const uint32_t token : {first[i], second[i]}) {
      const bool is_new = std::find(tokens.begin(), tokens.end(), token) == tokens.end();
      if (is_new && tokens.size() < wanted) tokens.push_back(token);
    }
  }
  return tokens;
}

Result<ProbeAnswers> Prober::Run() {
  ProbeAnswers answers;
  if (probes_.empty()) return answers;
  const bool is_adapted = !description_.adapters.empty();
  GRAFT_ASSIGN_OR_RETURN(const std::vector<float> merged, Pass(Weights::kMerged, 1));
  std::vector<float> base, stored_base;
  if (is_adapted) {
    GRAFT_ASSIGN_OR_RETURN(base, Pass(Weights::kBase, 1));
  }
  bool has_stored_base = has_stored_base_;
  if (has_stored_base) {
    Result<std::vector<float>> found = Pass(Weights::kStoredBase, 1);
    // The format cannot hold the base's numbers: they were read before.
    has_stored_base = found.ok() || found.status().code() != StatusCode::kCorrupt;
    if (has_stored_base) {
      GRAFT_ASSIGN_OR_RETURN(stored_base, std::move(found));
    }
  }
  GRAFT_ASSIGN_OR_RETURN(const std::vector<float> stored, Pass(Weights::kStored, 2));
  for (const auto& logits : {std::span<const float>(merged), std::span<const float>(base),
                             std::span<const float>(stored_base), std::span(stored)}) {
    const bool finite =
        std::all_of(logits.begin(), logits.end(), [](float logit) { return std::isfinite(logit); });
    if (!finite) return answers;
  }
  double squares = 0;
  for (size_t i = 0; i < probes_.size(); ++i) {
    const auto of = [&](const std::vector<float>& logits) {
      return logits.empty() ? std::span<const float>()
                            : std::span(logits).subspan(i * vocabulary_, vocabulary_);
    };
    ProbeNumbers numbers;
    numbers.tokens = ChooseTokens(of(merged), of(base));
    const auto disturbed =
        std::span(stored).subspan((probes_.size() + i) * vocabulary_, vocabulary_);
    for (const uint32_t token : numbers.tokens) {
      numbers.logits.push_back(of(stored)[token]);
      numbers.adapted.push_back(of(merged)[token]);
      if (is_adapted) numbers.base.push_back(of(base)[token]);
      if (has_stored_base) numbers.stored_base.push_back(of(stored_base)[token]);
      const double change = static_cast<double>(disturbed[token]) - of(stored)[token];
      squares += change * change;
    }
    answers.probes.push_back(std::move(numbers));
  }
  const auto count = static_cast<double>(probes_.size() * description_.probe_tokens);
  answers.noise = static_cast<float>(std::sqrt(squares / count));
  return answers;
}

}  // namespace

void PlanAnswers(const fb::Graph& graph, int64_t most_ids, ModelDescription* description) {
  if (description->task.task != Task::kTextGeneration || !GraphRunner::Check(graph).ok()) return;
  const auto output = static_cast<unsigned>(graph.outputs()->Get(0));
  const int64_t vocabulary = graph.values()->Get(output)->shape()->Get(1)->size();
  description->probe_tokens = static_cast<uint32_t>(std::min(kProbeTokens, vocabulary));
  const int64_t context = description->task.context_tokens;
  const auto most = static_cast<size_t>(context > 0 ? std::min(most_ids, context) : most_ids);
  for (ProbeText& probe : description->probes) {
    probe.answered_ids = static_cast<uint32_t>(std::min(most, probe.ids.size()));
  }
}

Result<ProbeAnswers> AnswerProbes(const ModelDescription& description, const fb::Model& model,
                                  std::span<const WrittenTensor> stored, const TensorSource& source,
                                  bool rounds_base, int threads,
                                  const std::function<void(int64_t, int64_t)>& progress) {
  return Prober(description, model, stored, source, rounds_base, threads, progress).Run();
}

}  // namespace graft::converter
