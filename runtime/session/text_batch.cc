// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/text_batch.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "runtime/session/session_memory.h"
#include "schema/checked_math.h"

namespace graft::runtime {
namespace {

// Texts go through the model together up to this many tokens: enough rows for the kernels' best
// speed, few enough for activations to stay small.
constexpr size_t kGroupTokens = 512;
constexpr std::string_view kMaskName = "attention_mask";

const PlanValue& ValueOf(const Plan& plan, int32_t value) {
  return plan.values()[static_cast<size_t>(value)];
}

Status CheckNames(const Plan& plan, std::span<const TensorView> inputs) {
  const std::string ids(ValueOf(plan, plan.token_ids()).name);
  std::string known = ids + ", " + std::string(kMaskName);
  if (plan.token_types() >= 0) known += ", " + std::string(ValueOf(plan, plan.token_types()).name);
  for (const TensorView& input : inputs) {
    const bool is_type =
        plan.token_types() >= 0 && input.name == ValueOf(plan, plan.token_types()).name;
    if (input.name == ids || input.name == kMaskName || is_type) continue;
    return Error(StatusCode::kInvalidArgument, "the model has no input %.200s; it has %.300s",
                 input.name.c_str(), known.c_str());
  }
  return OkStatus();
}

// The numbers of an input of the ids' shape; null if there is none.
Result<const int32_t*> FindNumbers(std::span<const TensorView> inputs, std::string_view name,
                                   const std::vector<int64_t>& shape) {
  for (const TensorView& input : inputs) {
    if (input.name != name) continue;
    if (input.type != ElementType::kInt32 || input.shape != shape || input.data == nullptr) {
      return Error(StatusCode::kInvalidArgument,
                   "input %.200s must be i32 of the same shape as the token ids",
                   input.name.c_str());
    }
    return static_cast<const int32_t*>(input.data);
  }
  return nullptr;
}

Status CheckNumbers(const Plan& plan, const TextBatch& batch) {
  const schema::GraphFacts& facts = plan.model().facts();
  size_t begin = 0;
  for (size_t text = 0; text < batch.ends.size(); ++text) {
    const auto end = static_cast<size_t>(batch.ends[text]);
    if (facts.positions != 0 && end - begin > facts.positions) {
      return Error(StatusCode::kOutOfRange,
                   "text %zu has %zu tokens, the model has positions for %" PRIu64, text,
                   end - begin, facts.positions);
    }
    for (size_t i = begin; i < end; ++i) {
      const int32_t id = batch.ids[i];
      if (id < 0 || static_cast<uint64_t>(id) >= facts.vocabulary) {
        return Error(StatusCode::kOutOfRange,
                     "token %zu of text %zu is id %" PRId32 ", the vocabulary has %" PRIu64,
                     i - begin, text, id, facts.vocabulary);
      }
      const int32_t type = batch.types.empty() ? 0 : batch.types[i];
      if (type < 0 ||
          (facts.token_types != 0 && static_cast<uint64_t>(type) >= facts.token_types)) {
        return Error(StatusCode::kOutOfRange,
                     "token %zu of text %zu has type %" PRId32 ", the model has %" PRIu64,
                     i - begin, text, type, facts.token_types);
      }
    }
    begin = end;
  }
  return OkStatus();
}

// Some texts of a batch, which go through the model together.
struct Group {
  size_t first_text, texts;
  size_t first_row, rows;
};

class TextRun {
 public:
  TextRun(const Plan& plan, Executor& executor, const TextBatch& batch)
      : plan_(plan), executor_(executor), batch_(batch), binding_(plan.symbols(), 0) {}

  Status MakeRoom(std::vector<TensorView>* views, std::vector<PageMemory>* memory) {
    binding_[plan_.rows_symbol(plan_.token_ids())] = static_cast<int64_t>(batch_.ids.size());
    binding_[plan_.rows_symbol(plan_.text_ends())] = static_cast<int64_t>(batch_.ends.size());
    for (const int32_t output : plan_.outputs()) {
      const PlanValue& planned = ValueOf(plan_, output);
      TensorView view;
      view.name = planned.name;
      size_t rows = batch_.ends.size();
      view.shape = {static_cast<int64_t>(rows)};
      if (HasRowsOf(output, plan_.token_ids())) {
        rows = batch_.padded_tokens == 0 ? batch_.ids.size() : rows * batch_.padded_tokens;
        if (batch_.padded_tokens == 0) {
          view.shape[0] = static_cast<int64_t>(rows);
        } else {
          view.shape.push_back(static_cast<int64_t>(batch_.padded_tokens));
        }
      } else if (!HasRowsOf(output, plan_.text_ends())) {
        return Error(StatusCode::kUnsupported,
                     "output %.200s has rows neither for tokens nor for texts", view.name.c_str());
      }
      for (size_t d = 1; d < planned.shape.size(); ++d) view.shape.push_back(planned.shape[d].size);
      uint64_t bytes = 0;
      if (!CheckedMultiply<uint64_t>(plan_.row_elements(output, binding_) * sizeof(float), rows,
                                     &bytes)) {
        bytes = std::numeric_limits<uint64_t>::max();
      }
      memory->reserve(memory->size() + 1);  // before the budget counts what would be lost again
      GRAFT_ASSIGN_OR_RETURN(PageMemory room,
                             executor_.budget().Allocate(bytes, "the outputs of texts"));
      view.data = room.data();
      memory->push_back(std::move(room));
      results_.push_back(memory->back().data());
      views->push_back(std::move(view));
    }
    return OkStatus();
  }

  Status Run(const Group& group, const std::atomic<bool>& cancelled) {
    binding_[plan_.rows_symbol(plan_.token_ids())] = static_cast<int64_t>(group.rows);
    binding_[plan_.rows_symbol(plan_.text_ends())] = static_cast<int64_t>(group.texts);
    GRAFT_RETURN_IF_ERROR(executor_.Prepare(binding_));
    Fill(group);
    GRAFT_RETURN_IF_ERROR(executor_.Run(0, cancelled));
    Collect(group);
    return OkStatus();
  }

 private:
  bool HasRowsOf(int32_t value, int32_t role) const {
    const int32_t symbol = ValueOf(plan_, value).shape[0].symbol;
    return symbol >= 0 && static_cast<size_t>(symbol) == plan_.rows_symbol(role);
  }

  int32_t* Input(int32_t value) const {
    return value < 0 ? nullptr : static_cast<int32_t*>(executor_.data(value));
  }

  void Fill(const Group& group) const {
    if (int32_t* to = Input(plan_.token_ids()))
      std::copy_n(batch_.ids.data() + group.first_row, group.rows, to);
    if (int32_t* to = Input(plan_.token_types())) {
      if (batch_.types.empty()) {
        std::fill_n(to, group.rows, 0);
      } else {
        std::copy_n(batch_.types.data() + group.first_row, group.rows, to);
      }
    }
    int32_t* positions = Input(plan_.positions());
    int32_t* ends = Input(plan_.text_ends());
    size_t row = 0;
    for (size_t i = 0; i < group.texts; ++i) {
      const auto end = static_cast<size_t>(batch_.ends[group.first_text + i]) - group.first_row;
      if (ends != nullptr) ends[i] = static_cast<int32_t>(end);
      for (int32_t position = 0; row < end; ++row, ++position) {
        if (positions != nullptr) positions[row] = position;
      }
    }
  }

  void Collect(const Group& group) const {
    for (size_t i = 0; i < plan_.outputs().size(); ++i) {
      const int32_t output = plan_.outputs()[i];
      const size_t row_bytes = plan_.row_elements(output, binding_) * sizeof(float);
      const auto* from = static_cast<const uint8_t*>(executor_.data(output));
      if (HasRowsOf(output, plan_.text_ends())) {
        std::memcpy(results_[i] + group.first_text * row_bytes, from, group.texts * row_bytes);
      } else if (batch_.padded_tokens == 0) {
        std::memcpy(results_[i] + group.first_row * row_bytes, from, group.rows * row_bytes);
      } else {
        for (size_t row = 0; row < group.rows; ++row) {
          std::memcpy(results_[i] + batch_.places[group.first_row + row] * row_bytes,
                      from + row * row_bytes, row_bytes);
        }
      }
    }
  }

  const Plan& plan_;
  Executor& executor_;
  const TextBatch& batch_;
  Binding binding_;
  std::vector<uint8_t*> results_;
};

}  // namespace

Result<TextBatch> PackTexts(const Plan& plan, std::span<const TensorView> inputs) {
  GRAFT_RETURN_IF_ERROR(CheckNames(plan, inputs));
  const std::string name(ValueOf(plan, plan.token_ids()).name);
  const auto ids = std::find_if(inputs.begin(), inputs.end(),
                                [&](const TensorView& view) { return view.name == name; });
  if (ids == inputs.end())
    return Error(StatusCode::kInvalidArgument, "input %.200s is missing", name.c_str());
  const std::vector<int64_t>& shape = ids->shape;
  const auto fits = [](int64_t size) {
    return size > 0 && size <= std::numeric_limits<int32_t>::max();
  };
  if (ids->type != ElementType::kInt32 || ids->data == nullptr || shape.empty() ||
      shape.size() > 2 || !std::all_of(shape.begin(), shape.end(), fits) ||
      (shape.size() == 2 && !fits(shape[0] * shape[1]))) {
    return Error(StatusCode::kInvalidArgument,
                 "input %.200s must be i32 of [tokens] or [texts, tokens], and not empty",
                 name.c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const int32_t* mask, FindNumbers(inputs, kMaskName, shape));
  const int32_t* types = nullptr;
  if (plan.token_types() >= 0) {
    GRAFT_ASSIGN_OR_RETURN(types,
                           FindNumbers(inputs, ValueOf(plan, plan.token_types()).name, shape));
  }
  TextBatch batch;
  const auto texts = static_cast<size_t>(shape.size() == 2 ? shape[0] : 1);
  const auto tokens = static_cast<size_t>(shape.back());
  // Of one text of [tokens], hidden tokens are missing from what has a row for each token.
  batch.padded_tokens = shape.size() == 2 ? tokens : 0;
  const auto* numbers = static_cast<const int32_t*>(ids->data);
  for (size_t text = 0; text < texts; ++text) {
    const size_t before = batch.ids.size();
    for (size_t i = text * tokens; i < (text + 1) * tokens; ++i) {
      if (mask != nullptr && mask[i] == 0) continue;
      batch.ids.push_back(numbers[i]);
      if (types != nullptr) batch.types.push_back(types[i]);
      if (shape.size() == 2) batch.places.push_back(i);
    }
    if (batch.ids.size() == before) {
      return Error(StatusCode::kInvalidArgument, "attention_mask hides every token of text %zu",
                   text);
    }
    batch.ends.push_back(static_cast<int32_t>(batch.ids.size()));
  }
  return batch;
}

Status ForwardTexts(const Plan& plan, Executor& executor, const std::atomic<bool>& cancelled,
                    const TextBatch& batch, std::vector<TensorView>* views,
                    std::vector<PageMemory>* memory) {
  GRAFT_RETURN_IF_ERROR(CheckNumbers(plan, batch));
  TextRun run(plan, executor, batch);
  GRAFT_RETURN_IF_ERROR(run.MakeRoom(views, memory));
  Group group{0, 0, 0, 0};
  for (size_t text = 0; text < batch.ends.size(); ++text) {
    const auto end = static_cast<size_t>(batch.ends[text]);
    if (group.texts > 0 && end - group.first_row > kGroupTokens) {
      GRAFT_RETURN_IF_ERROR(run.Run(group, cancelled));
      group = {text, 0, group.first_row + group.rows, 0};
    }
    ++group.texts;
    group.rows = end - group.first_row;
  }
  return run.Run(group, cancelled);
}

}  // namespace graft::runtime
