// SPDX-License-Identifier: Apache-2.0
// A session's Forward: the whole graph from position 0, on inputs by name.
#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/session/session_impl.h"
#include "runtime/session/text_batch.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"
#include "schema/ops/resize_images.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

// All but `padding` at the end; of padding alone the first.
std::span<const int32_t> WithoutPadding(std::span<const int32_t> ids, int32_t padding) {
  while (ids.size() > 1 && ids.back() == padding) ids = ids.first(ids.size() - 1);
  return ids;
}

// What is checked of an input must hold of what is copied: no two may share a name.
Status CheckNamedOnce(std::span<const TensorView> inputs) {
  std::vector<std::string_view> names;
  for (const TensorView& input : inputs) names.push_back(input.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice == names.end()) return OkStatus();
  return Error(StatusCode::kInvalidArgument, "input %.200s is given twice",
               std::string(*twice).c_str());
}

}  // namespace

// Copies what the last chunk computed behind the rows gathered so far.
Status Session::Impl::CollectOutputs(size_t rows_before, size_t rows_all) {
  for (size_t i = 0; i < plan.outputs().size(); ++i) {
    const int32_t output = plan.outputs()[i];
    const size_t rows = plan.rows(output, binding);
    const size_t row_bytes = plan.row_elements(output, binding) * sizeof(float);
    if (rows_before == 0) {
      GRAFT_ASSIGN_OR_RETURN(const uint8_t* const room, MakeOutput(row_bytes, rows_all));
      TensorView view;
      view.name = plan.values()[static_cast<size_t>(output)].name;
      view.shape = plan.shape(output, binding);
      view.shape[0] = static_cast<int64_t>(rows_all);
      view.data = room;
      views.push_back(std::move(view));
    }
    std::memcpy(gathered[i].data() + rows_before * row_bytes, executor->data(output),
                rows * row_bytes);
  }
  return OkStatus();
}

// A decoder that classifies or embeds says what it thinks of a text at the text's last token.
bool Session::Impl::WantsLastRow() const {
  const fb::TaskKind task = model->verified().model().task()->kind();
  if (task != fb::TaskKind::Classification && task != fb::TaskKind::Embedding) return false;
  if (plan.output_rows() < 0) return false;
  const size_t rows = plan.rows_symbol(plan.output_rows());
  return std::all_of(plan.outputs().begin(), plan.outputs().end(),
                     [&](int32_t output) { return plan.rows_symbol(output) == rows; });
}

Status Session::Impl::ForwardTokens(std::span<const int32_t> given, bool last_only) {
  for (size_t done = 0; done < given.size();) {
    const size_t count = pictures.Chunk(held(), given.subspan(done), prefill_chunk);
    const bool last = done + count == given.size();
    GRAFT_RETURN_IF_ERROR(RunChunk(given.subspan(done, count), last_only ? (last ? 1 : 0) : count));
    if (!last_only) GRAFT_RETURN_IF_ERROR(CollectOutputs(done, given.size()));
    done += count;
  }
  return last_only ? CollectOutputs(0, 1) : OkStatus();
}

// Checks the caller's tensors against the graph's inputs and learns the symbols' sizes from them.
Status Session::Impl::BindInputs(std::span<const TensorView> inputs) {
  std::fill(binding.begin(), binding.end(), int64_t{-1});
  if (plan.has_source()) {
    binding[plan.source_pass()] = 0;
    if (plan.source_ids() >= 0) binding[plan.rows_symbol(plan.source_ids())] = 0;
  }
  if (plan.takes_pictures()) SetImageRows(plan, 0, &binding);
  std::vector<int32_t> expected(plan.tensor_inputs().begin(), plan.tensor_inputs().end());
  if (plan.token_ids() >= 0) expected.push_back(plan.token_ids());
  for (const TensorView& input : inputs) {
    const auto named = [&](int32_t value) {
      return plan.values()[static_cast<size_t>(value)].name == input.name;
    };
    if (std::none_of(expected.begin(), expected.end(), named)) {
      std::string names;
      for (const int32_t value : expected) {
        names += (names.empty() ? "" : ", ") +
                 std::string(plan.values()[static_cast<size_t>(value)].name);
      }
      return Error(StatusCode::kInvalidArgument, "the model has no input %.200s; it has %.300s",
                   input.name.c_str(), names.c_str());
    }
  }
  for (const int32_t value : expected) {
    const PlanValue& planned = plan.values()[static_cast<size_t>(value)];
    const auto input = std::find_if(inputs.begin(), inputs.end(), [&](const TensorView& view) {
      return view.name == planned.name;
    });
    const std::string name(planned.name);
    if (input == inputs.end()) {
      return Error(StatusCode::kInvalidArgument, "input %.200s is missing", name.c_str());
    }
    const ElementType type =
        planned.kind == ValueKind::kInt ? ElementType::kInt32 : ElementType::kFloat32;
    if (input->type != type) {
      return Error(StatusCode::kInvalidArgument, "input %.200s must be %s", name.c_str(),
                   type == ElementType::kInt32 ? "i32" : "f32");
    }
    bool fits = input->shape.size() == planned.shape.size() && input->data != nullptr;
    std::string wanted = "[";
    for (size_t d = 0; d < planned.shape.size(); ++d) {
      const PlanDimension& dimension = planned.shape[d];
      const int64_t given = d < input->shape.size() ? input->shape[d] : -1;
      int64_t size = dimension.size;
      if (dimension.symbol >= 0) {
        int64_t& bound = binding[static_cast<size_t>(dimension.symbol)];
        if (bound < 0 && given > 0 && given <= std::numeric_limits<int32_t>::max()) bound = given;
        size = bound;
      }
      fits = fits && given == size && given > 0;
      wanted += (d == 0 ? "" : ", ") + (size > 0 ? std::to_string(size) : std::string("any"));
    }
    if (!fits) {
      return Error(StatusCode::kInvalidArgument, "input %.200s must have the shape %s], not %s",
                   name.c_str(), wanted.c_str(), ShapeText(input->shape).c_str());
    }
  }
  return OkStatus();
}

// The sizes that the caller's tensors do not give follow from the number of tokens.
Status Session::Impl::BindOtherSizes(int64_t tokens) {
  if (plan.positions() >= 0 && binding[plan.rows_symbol(plan.positions())] < 0)
    binding[plan.rows_symbol(plan.positions())] = tokens;
  if (plan.output_rows() >= 0 && binding[plan.rows_symbol(plan.output_rows())] < 0)
    binding[plan.rows_symbol(plan.output_rows())] = WantsLastRow() ? 1 : tokens;
  for (size_t symbol = 0; symbol < binding.size(); ++symbol) {
    if (binding[symbol] < 0) {
      const auto* names = model->verified().model().graph()->symbols();
      return Error(StatusCode::kInvalidArgument, "no input gives the size of %.200s",
                   names->Get(static_cast<uint32_t>(symbol))->c_str());
    }
  }
  return OkStatus();
}

Status Session::Impl::CheckSizes(int64_t tokens) const {
  if (plan.positions() >= 0)
    GRAFT_RETURN_IF_ERROR(CheckPositions(plan.rows(plan.positions(), binding)));
  if (plan.has_state()) {
    const size_t rows =
        plan.positions() >= 0 ? plan.rows(plan.positions(), binding) : static_cast<size_t>(tokens);
    if (rows > context_tokens) {
      return Error(StatusCode::kOutOfRange, "%zu tokens do not fit the context of %u", rows,
                   context_tokens);
    }
  }
  if (plan.output_rows() >= 0 &&
      plan.rows(plan.output_rows(), binding) > static_cast<size_t>(tokens)) {
    return Error(StatusCode::kInvalidArgument, "%zu output rows asked for of %" PRId64 " tokens",
                 plan.rows(plan.output_rows(), binding), tokens);
  }
  return OkStatus();
}

// Copies the caller's tensors into the arena, and counts positions and output rows there.
void Session::Impl::FillInputs(std::span<const TensorView> inputs, int64_t tokens) {
  const auto values = plan.values();
  for (const TensorView& input : inputs) {
    for (size_t value = 0; value < values.size(); ++value) {
      if (values[value].name != input.name) continue;
      const auto index = static_cast<int32_t>(value);
      const bool is_input = index == plan.token_ids() ||
                            std::find(plan.tensor_inputs().begin(), plan.tensor_inputs().end(),
                                      index) != plan.tensor_inputs().end();
      void* to = is_input ? executor->data(index) : nullptr;
      if (to == nullptr) continue;
      std::memcpy(to, input.data,
                  plan.rows(index, binding) * plan.row_elements(index, binding) * sizeof(float));
    }
  }
  for (const int32_t counting : {plan.positions(), plan.output_rows()}) {
    if (counting < 0) continue;
    auto* to = static_cast<int32_t*>(executor->data(counting));
    const size_t count = plan.rows(counting, binding);
    const size_t first =
        counting == plan.output_rows() && WantsLastRow() ? static_cast<size_t>(tokens) - count : 0;
    for (size_t i = 0; to != nullptr && i < count; ++i) to[i] = static_cast<int32_t>(first + i);
  }
}

// All of the graph in one pass; the outputs stay in the arena.
Status Session::Impl::ForwardAtOnce(std::span<const TensorView> inputs) {
  const int64_t tokens = plan.token_ids() >= 0 ? binding[plan.rows_symbol(plan.token_ids())] : 1;
  GRAFT_RETURN_IF_ERROR(BindOtherSizes(tokens));
  GRAFT_RETURN_IF_ERROR(CheckSizes(tokens));
  GRAFT_RETURN_IF_ERROR(executor->Prepare(binding));
  FillInputs(inputs, tokens);
  states.Begin();
  GRAFT_RETURN_IF_ERROR(executor->Run(0, cancelled));
  for (const int32_t output : plan.outputs()) {
    const PlanValue& planned = plan.values()[static_cast<size_t>(output)];
    TensorView view;
    view.name = planned.name;
    view.shape = plan.shape(output, binding);
    view.data = executor->data(output);
    views.push_back(std::move(view));
  }
  return OkStatus();
}

// Whether the inputs have a dimension before those of a graph whose sizes are all fixed.
bool Session::Impl::IsBatchOfItems(std::span<const TensorView> inputs) const {
  if (plan.symbols() > 0 || inputs.empty()) return false;
  return std::all_of(inputs.begin(), inputs.end(), [&](const TensorView& input) {
    return std::any_of(
        plan.tensor_inputs().begin(), plan.tensor_inputs().end(), [&](int32_t value) {
          const PlanValue& planned = plan.values()[static_cast<size_t>(value)];
          return planned.name == input.name && input.shape.size() == planned.shape.size() + 1 &&
                 input.shape[0] > 0 && input.shape[0] == inputs[0].shape[0];
        });
  });
}

// Item by item, so that memory does not grow with their number.
Status Session::Impl::ForwardItems(std::span<const TensorView> inputs) {
  const auto items = static_cast<size_t>(inputs[0].shape[0]);
  std::vector<TensorView> item(inputs.begin(), inputs.end());
  for (TensorView& input : item) input.shape.erase(input.shape.begin());
  GRAFT_RETURN_IF_ERROR(BindInputs(item));
  std::vector<TensorView> results;
  for (size_t i = 0; i < items; ++i) {
    for (size_t k = 0; k < item.size(); ++k) {
      uint64_t bytes = sizeof(float);
      for (const int64_t size : item[k].shape) bytes *= static_cast<uint64_t>(size);
      item[k].data = static_cast<const uint8_t*>(inputs[k].data) + i * bytes;
    }
    views.clear();
    GRAFT_RETURN_IF_ERROR(ForwardAtOnce(item));
    for (size_t k = 0; k < views.size(); ++k) {
      uint64_t bytes = sizeof(float);
      for (const int64_t size : views[k].shape) bytes *= static_cast<uint64_t>(size);
      if (i == 0) {
        GRAFT_ASSIGN_OR_RETURN(const uint8_t* const room, MakeOutput(bytes, items));
        TensorView result = views[k];
        if (result.shape.size() == 2 && result.shape[0] == 1)
          result.shape.erase(result.shape.begin());  // a row for each item
        result.shape.insert(result.shape.begin(), static_cast<int64_t>(items));
        result.data = room;
        results.push_back(std::move(result));
      }
      std::memcpy(gathered[k].data() + i * bytes, views[k].data, bytes);
    }
  }
  views = std::move(results);
  return OkStatus();
}

Result<std::span<const TensorView>> Session::Impl::Forward(const TextBatch& texts) {
  ClearOutputs();
  position = 0;
  if (plan.text_ends() < 0 || !plan.tensor_inputs().empty() || texts.ends.empty())
    return Error(StatusCode::kUnsupported, "the model does not take several texts at once");
  GRAFT_RETURN_IF_ERROR(ForwardTexts(plan, *executor, cancelled, texts, &views, &gathered));
  return std::span<const TensorView>(views);
}

// An image of another size than the last one's: the plan and its steps are made again.
Status Session::Impl::TakeImageSize(std::span<const TensorView> inputs) {
  if (inputs.size() != 1 || plan.tensor_inputs().size() != 1 || inputs[0].shape.size() < 3)
    return OkStatus();
  const PlanValue& planned = plan.values()[static_cast<size_t>(plan.tensor_inputs()[0])];
  const std::vector<int64_t>& shape = inputs[0].shape;
  const size_t last = shape.size();
  if (planned.shape.size() != 3 || inputs[0].name != planned.name ||
      shape[last - 3] != planned.shape[0].size ||
      (shape[last - 2] == planned.shape[1].size && shape[last - 1] == planned.shape[2].size)) {
    return OkStatus();
  }
  std::vector<uint64_t> header;
  const Result<schema::VerifiedModel> resized =
      schema::ResizeImages(model->verified(), {shape[last - 2], shape[last - 1]}, &header);
  if (resized.status().code() == StatusCode::kInvalidArgument)
    return OkStatus();  // the shape does not fit, which is said where shapes are checked
  GRAFT_RETURN_IF_ERROR(resized.status());
  ClearOutputs();
  executor->Trim();
  Plan other = MakePlan(*resized);
  std::swap(plan, other);
  auto made = Executor::Create(plan, model->packed_weights(), caches, states.views(),
                               model->lookup_tables(), *team, budget);
  if (!made.ok()) {
    std::swap(plan, other);
    return made.status();
  }
  executor = std::move(made).value();
  resized_header = std::move(header);
  return OkStatus();
}

Result<std::span<const TensorView>> Session::Impl::Forward(std::span<const TensorView> inputs) {
  GRAFT_RETURN_IF_ERROR(CheckNamedOnce(inputs));
  GRAFT_RETURN_IF_ERROR(TakeImageSize(inputs));
  if (plan.has_source()) return ForwardWithSource(inputs);
  if (plan.takes_pictures()) {
    std::vector<TensorView> others;
    GRAFT_RETURN_IF_ERROR(TakePictures(inputs, &others));
    return ForwardOnTokens(others);
  }
  return ForwardOnTokens(inputs);
}

Result<std::span<const TensorView>> Session::Impl::ForwardOnTokens(
    std::span<const TensorView> inputs) {
  if (plan.text_ends() >= 0 && plan.tensor_inputs().empty()) {
    GRAFT_ASSIGN_OR_RETURN(const TextBatch texts, PackTexts(plan, inputs));
    return Forward(texts);
  }
  ClearOutputs();
  if (IsBatchOfItems(inputs)) {
    position = 0;
    GRAFT_RETURN_IF_ERROR(ForwardItems(inputs));
    return std::span<const TensorView>(views);
  }
  GRAFT_RETURN_IF_ERROR(BindInputs(inputs));
  std::span<const int32_t> given;
  if (plan.token_ids() >= 0) {
    const PlanValue& planned = plan.values()[static_cast<size_t>(plan.token_ids())];
    const auto input = std::find_if(inputs.begin(), inputs.end(), [&](const TensorView& view) {
      return view.name == planned.name;
    });
    given = {static_cast<const int32_t*>(input->data), static_cast<size_t>(input->shape[0])};
    GRAFT_RETURN_IF_ERROR(CheckIds(given));
    GRAFT_RETURN_IF_ERROR(pictures.CheckCount(given));
    if (plan.has_state() && given.size() > context_tokens) {
      return Error(StatusCode::kOutOfRange, "%zu tokens do not fit the context of %u", given.size(),
                   context_tokens);
    }
    given = WithoutPadding(given, model->verified().model().task()->pad_token());
    binding[plan.rows_symbol(plan.token_ids())] = static_cast<int64_t>(given.size());
  }
  position = 0;
  states.GoBack(0);
  PositionGuard guard(&position, 0);
  // Outputs that keep one row for each token can be put together from chunks.
  const bool chunked =
      plan.can_chunk() &&
      std::all_of(plan.outputs().begin(), plan.outputs().end(), [&](int32_t output) {
        const int32_t symbol = plan.values()[static_cast<size_t>(output)].shape[0].symbol;
        const auto is_of = [&](int32_t value) {
          return value >= 0 && symbol == plan.values()[static_cast<size_t>(value)].shape[0].symbol;
        };
        return symbol >= 0 && (is_of(plan.token_ids()) || is_of(plan.output_rows()));
      });
  GRAFT_RETURN_IF_ERROR(chunked ? ForwardTokens(given, WantsLastRow()) : ForwardAtOnce(inputs));
  if (position <= context_tokens) guard.Keep();
  return std::span<const TensorView>(views);
}

}  // namespace graft::runtime
