// SPDX-License-Identifier: Apache-2.0
#include "runtime/session.h"

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "runtime/executor.h"
#include "runtime/packed_weights.h"
#include "runtime/page_memory.h"
#include "runtime/plan.h"
#include "runtime/saved_session.h"
#include "runtime/session_memory.h"
#include "runtime/text_batch.h"
#include "runtime/worker_team.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

std::string ShapeText(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

class Session::Impl {
 public:
  Impl(std::shared_ptr<const Model> model_in)
      : model(std::move(model_in)), plan(model->verified()), vocabulary(model->vocabulary()) {
    if (const uint32_t rows = model->position_rows(); rows != 0) most_positions = rows;
  }

  Status Initialize(const SessionOptions& options);
  void ClearOutputs();
  void DiscardUnheld() const;
  Result<uint8_t*> MakeOutput(uint64_t row_bytes, uint64_t rows);
  Status CheckIds(std::span<const int32_t> given) const;
  Status CheckPositions(size_t end) const;
  Status RunChunk(std::span<const int32_t> chunk, size_t outputs);
  Status Append(std::span<const int32_t> given, const float** logits);
  Result<std::span<const TensorView>> Forward(std::span<const TensorView> inputs);
  Status ForwardTokens(std::span<const int32_t> given, bool last_only);
  bool WantsLastRow() const;
  Status RequireText() const;
  SavedSessionTarget SavedTarget() const;
  Result<std::span<const TensorView>> Forward(const TextBatch& texts);
  Status ForwardItems(std::span<const TensorView> inputs);
  bool IsBatchOfItems(std::span<const TensorView> inputs) const;
  Status BindInputs(std::span<const TensorView> inputs);
  Status ForwardAtOnce(std::span<const TensorView> inputs);
  Status CollectOutputs(size_t rows_before, size_t rows_all);

  std::shared_ptr<const Model> model;
  Plan plan;
  uint32_t vocabulary;
  // Where positions are looked up in a table: its rows.
  uint32_t most_positions = std::numeric_limits<uint32_t>::max();
  uint32_t context_tokens = 0;
  uint32_t prefill_chunk = 0;
  MemoryBudget budget;
  std::unique_ptr<WorkerTeam> team;
  KvElement kv_element = KvElement::kFloat32;
  std::vector<KvView> caches;
  PageMemory cache_memory;
  std::unique_ptr<Executor> executor;
  PageMemory id_memory;
  std::span<int32_t> ids;  // of every position there is room for; those before `position` are held
  size_t position = 0;
  std::atomic<bool> cancelled{false};
  Binding binding;
  Profile profile;

  // Outputs of Forward: gathered over chunks, or left in the executor's arena.
  std::vector<TensorView> views;
  std::vector<PageMemory> gathered;
};

Status Session::Impl::Initialize(const SessionOptions& options) {
  const schema::VerifiedModel& verified = model->verified();
  GRAFT_ASSIGN_OR_RETURN(const SessionSizes sizes, SizesOf(verified, options, model->threads()));
  context_tokens = sizes.context_tokens;
  prefill_chunk = sizes.prefill_chunk;
  kv_element = sizes.kv_element;
  GRAFT_ASSIGN_OR_RETURN(SessionMemory memory, LayOutSession(plan, sizes));
  const uint64_t limit_bytes =
      options.memory_limit_bytes == 0 ? model->memory_limit_bytes() : options.memory_limit_bytes;
  GRAFT_ASSIGN_OR_RETURN(
      budget,
      MemoryBudget::Create(plan, sizes, memory, model->packed_weights().bytes(), limit_bytes));
  GRAFT_ASSIGN_OR_RETURN(team, WorkerTeam::Create(sizes.threads));
  GRAFT_ASSIGN_OR_RETURN(cache_memory,
                         PageMemory::Allocate(memory.cache_bytes, "the key/value cache"));
  caches = std::move(memory.caches);
  for (size_t i = 0; i < caches.size(); ++i)
    caches[i].Place(cache_memory.data() + memory.cache_offsets[i]);
  GRAFT_ASSIGN_OR_RETURN(executor, Executor::Create(plan, model->packed_weights(), caches,
                                                    model->lookup_tables(), *team, budget));
  GRAFT_ASSIGN_OR_RETURN(id_memory, PageMemory::Allocate(memory.id_bytes, "token ids"));
  ids = {reinterpret_cast<int32_t*>(id_memory.data()), context_tokens};
  binding.assign(plan.symbols(), 0);
  return OkStatus();
}

void Session::Impl::ClearOutputs() {
  views.clear();
  for (const PageMemory& memory : gathered) budget.Give(memory.size());
  gathered.clear();
}

// Pages of keys, values and ids behind what is held: they are zeros again, as at the start.
void Session::Impl::DiscardUnheld() const {
  const auto discard = [this](const uint8_t* begin, const uint8_t* end) {
    cache_memory.Discard(static_cast<size_t>(begin - cache_memory.data()),
                         static_cast<size_t>(end - begin));
  };
  for (const KvView& view : caches) {
    const size_t held = (position + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
    if (held >= view.capacity) continue;
    const size_t key_bytes = view.head_dim * view.element_bytes();
    const size_t value_bytes = view.padded_dim() * view.element_bytes();
    for (size_t head = 0; head < view.kv_heads; ++head) {
      const size_t begin = head * view.capacity + held, end = (head + 1) * view.capacity;
      discard(view.keys + begin * key_bytes, view.keys + end * key_bytes);
      discard(view.values + begin * value_bytes, view.values + end * value_bytes);
    }
  }
  const size_t held_bytes = std::min(position, ids.size()) * sizeof(int32_t);
  id_memory.Discard(held_bytes, id_memory.size() - held_bytes);
}

// Zeroed room for an output, kept in `gathered`.
Result<uint8_t*> Session::Impl::MakeOutput(uint64_t row_bytes, uint64_t rows) {
  uint64_t bytes = 0;
  if (!CheckedMultiply(row_bytes, rows, &bytes)) bytes = std::numeric_limits<uint64_t>::max();
  GRAFT_ASSIGN_OR_RETURN(PageMemory memory, budget.Allocate(bytes, "the outputs"));
  gathered.push_back(std::move(memory));
  return gathered.back().data();
}

Status Session::Impl::CheckIds(std::span<const int32_t> given) const {
  for (size_t i = 0; i < given.size(); ++i) {
    if (given[i] < 0 || static_cast<uint32_t>(given[i]) >= vocabulary) {
      return Error(StatusCode::kOutOfRange, "token %zu is id %" PRId32 ", the vocabulary has %u", i,
                   given[i], vocabulary);
    }
  }
  return OkStatus();
}

Status Session::Impl::CheckPositions(size_t end) const {
  if (end <= most_positions) return OkStatus();
  return Error(StatusCode::kOutOfRange, "%zu tokens; the model has embeddings for %u positions",
               end, most_positions);
}

// Computes ids after what the caches hold, with the last `outputs` rows out.
Status Session::Impl::RunChunk(std::span<const int32_t> chunk, size_t outputs) {
  GRAFT_RETURN_IF_ERROR(CheckPositions(position + chunk.size()));
  const auto rows = static_cast<int64_t>(chunk.size());
  const auto bind = [&](int32_t value, int64_t size) {
    if (value < 0) return;
    const PlanDimension& dimension = plan.values()[static_cast<size_t>(value)].shape[0];
    binding[static_cast<size_t>(dimension.symbol)] = size;
  };
  bind(plan.output_rows(), static_cast<int64_t>(outputs));
  bind(plan.token_ids(), rows);
  bind(plan.positions(), rows);
  GRAFT_RETURN_IF_ERROR(executor->Prepare(binding));
  if (auto* to = static_cast<int32_t*>(executor->data(plan.token_ids()))) {
    std::memcpy(to, chunk.data(), chunk.size_bytes());
  }
  if (plan.positions() >= 0) {
    if (auto* to = static_cast<int32_t*>(executor->data(plan.positions()))) {
      for (size_t i = 0; i < chunk.size(); ++i) to[i] = static_cast<int32_t>(position + i);
    }
  }
  if (plan.output_rows() >= 0) {
    if (auto* to = static_cast<int32_t*>(executor->data(plan.output_rows()))) {
      const size_t count = plan.rows(plan.output_rows(), binding);
      for (size_t i = 0; i < count; ++i) to[i] = static_cast<int32_t>(chunk.size() - count + i);
    }
  }
  GRAFT_RETURN_IF_ERROR(executor->Run(position, cancelled));
  // A model that keeps no cache can go beyond the context, and nothing is held of it.
  if (chunk.size() <= ids.size() - std::min(position, ids.size()))
    std::copy(chunk.begin(), chunk.end(), ids.begin() + static_cast<ptrdiff_t>(position));
  position += chunk.size();
  return OkStatus();
}

Status Session::Impl::RequireText() const {
  if (model->is_text_generation() && plan.can_chunk()) return OkStatus();
  return Error(StatusCode::kUnsupported, "the model does not generate text: use forward");
}

SavedSessionTarget Session::Impl::SavedTarget() const {
  return {model->identity(), kv_element, vocabulary, caches, ids};
}

Status Session::Impl::Append(std::span<const int32_t> given, const float** logits) {
  GRAFT_RETURN_IF_ERROR(RequireText());
  if (given.empty()) return Error(StatusCode::kInvalidArgument, "no tokens to append");
  if (given.size() > context_tokens - position) {
    return Error(StatusCode::kOutOfRange, "%zu tokens after %zu do not fit the context of %u",
                 given.size(), position, context_tokens);
  }
  GRAFT_RETURN_IF_ERROR(CheckIds(given));
  const size_t before = position;
  for (size_t done = 0; done < given.size();) {
    const size_t count = std::min<size_t>(prefill_chunk, given.size() - done);
    const bool last = done + count == given.size();
    if (Status status = RunChunk(given.subspan(done, count), last && logits != nullptr ? 1 : 0);
        !status.ok()) {
      position = before;
      return status;
    }
    done += count;
  }
  if (logits != nullptr) {
    const int32_t output = plan.outputs()[0];
    const size_t last_row = plan.rows(output, binding) - 1;
    *logits = static_cast<const float*>(executor->data(output)) +
              last_row * plan.row_elements(output, binding);
  }
  return OkStatus();
}

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
      view.shape = {static_cast<int64_t>(rows_all)};
      for (size_t d = 1; d < plan.values()[static_cast<size_t>(output)].shape.size(); ++d) {
        const PlanDimension& dimension = plan.values()[static_cast<size_t>(output)].shape[d];
        view.shape.push_back(dimension.symbol >= 0 ? binding[static_cast<size_t>(dimension.symbol)]
                                                   : dimension.size);
      }
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
  const int32_t rows = plan.values()[static_cast<size_t>(plan.output_rows())].shape[0].symbol;
  return std::all_of(plan.outputs().begin(), plan.outputs().end(), [&](int32_t output) {
    return plan.values()[static_cast<size_t>(output)].shape[0].symbol == rows;
  });
}

Status Session::Impl::ForwardTokens(std::span<const int32_t> given, bool last_only) {
  for (size_t done = 0; done < given.size();) {
    const size_t count = std::min<size_t>(prefill_chunk, given.size() - done);
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

Status Session::Impl::ForwardAtOnce(std::span<const TensorView> inputs) {
  const auto symbol_of = [&](int32_t value) {
    return static_cast<size_t>(plan.values()[static_cast<size_t>(value)].shape[0].symbol);
  };
  // What the caller does not bring follows from the tokens there are.
  const int64_t tokens = plan.token_ids() >= 0 ? binding[symbol_of(plan.token_ids())] : 1;
  if (plan.positions() >= 0 && binding[symbol_of(plan.positions())] < 0)
    binding[symbol_of(plan.positions())] = tokens;
  if (plan.output_rows() >= 0 && binding[symbol_of(plan.output_rows())] < 0)
    binding[symbol_of(plan.output_rows())] = WantsLastRow() ? 1 : tokens;
  for (size_t symbol = 0; symbol < binding.size(); ++symbol) {
    if (binding[symbol] < 0) {
      const auto* names = model->verified().model().graph()->symbols();
      return Error(StatusCode::kInvalidArgument, "no input gives the size of %.200s",
                   names->Get(static_cast<uint32_t>(symbol))->c_str());
    }
  }
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
  GRAFT_RETURN_IF_ERROR(executor->Prepare(binding));
  for (const TensorView& input : inputs) {
    const auto values = plan.values();
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
  GRAFT_RETURN_IF_ERROR(executor->Run(0, cancelled));
  for (const int32_t output : plan.outputs()) {
    const PlanValue& planned = plan.values()[static_cast<size_t>(output)];
    TensorView view;
    view.name = planned.name;
    for (const PlanDimension& dimension : planned.shape) {
      view.shape.push_back(dimension.symbol >= 0 ? binding[static_cast<size_t>(dimension.symbol)]
                                                 : dimension.size);
    }
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
        if (result.shape[0] == 1) result.shape.erase(result.shape.begin());
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

Result<std::span<const TensorView>> Session::Impl::Forward(std::span<const TensorView> inputs) {
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
    if (plan.has_state() && given.size() > context_tokens) {
      return Error(StatusCode::kOutOfRange, "%zu tokens do not fit the context of %u", given.size(),
                   context_tokens);
    }
  }
  position = 0;
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
  const Status status = chunked ? ForwardTokens(given, WantsLastRow()) : ForwardAtOnce(inputs);
  if (!status.ok()) {
    position = 0;
    return status;
  }
  if (position > context_tokens) position = 0;
  return std::span<const TensorView>(views);
}

Session::Session(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options) {
  if (model == nullptr) return Error(StatusCode::kInvalidArgument, "no model");
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl(std::move(model)));
  if (!impl) return Error(StatusCode::kOutOfMemory, "cannot allocate a session");
  GRAFT_RETURN_IF_ERROR(impl->Initialize(options));
  std::unique_ptr<Session> session(new (std::nothrow) Session(std::move(impl)));
  if (!session) return Error(StatusCode::kOutOfMemory, "cannot allocate a session");
  return session;
}

const Model& Session::model() const { return *impl_->model; }
uint32_t Session::context_tokens() const { return impl_->context_tokens; }
size_t Session::position() const { return impl_->position; }
unsigned Session::threads() const { return impl_->team->size(); }

uint64_t Session::weight_bytes() const {
  const auto& ops = *impl_->model->verified().model().graph()->ops();
  uint64_t bytes = 0;
  for (uint32_t op = 0; op < ops.size(); ++op) {
    if (ops.Get(op)->attributes_as_Linear() != nullptr)
      bytes += impl_->model->packed_weights().linear(op).packed_bytes;
  }
  return bytes;
}

KvFormat Session::kv_format() const { return FormatOf(impl_->kv_element); }

uint64_t Session::cache_bytes_per_token() const {
  uint64_t bytes = 0;
  for (const KvView& view : impl_->caches) bytes += view.bytes() / view.capacity;
  return bytes;
}

Status Session::Rewind(size_t tokens) {
  if (tokens > impl_->position) {
    return Error(StatusCode::kOutOfRange, "cannot go back to %zu tokens, only %zu are held", tokens,
                 impl_->position);
  }
  impl_->position = tokens;
  return OkStatus();
}

size_t Session::KeepPrefix(std::span<const int32_t> ids) {
  const size_t most = std::min(impl_->position, ids.size() - std::min<size_t>(1, ids.size()));
  const auto end = ids.begin() + static_cast<ptrdiff_t>(most);
  const auto [differs, held] = std::mismatch(ids.begin(), end, impl_->ids.begin());
  impl_->position = static_cast<size_t>(differs - ids.begin());
  return impl_->position;
}

Status Session::Save(const char* path) const {
  GRAFT_RETURN_IF_ERROR(impl_->RequireText());
  return WriteSavedSession(path, impl_->SavedTarget(), impl_->position);
}

Status Session::Restore(const char* path) {
  GRAFT_RETURN_IF_ERROR(impl_->RequireText());
  return ReadSavedSession(path, impl_->SavedTarget(), &impl_->position);
}

void Session::Trim() {
  impl_->ClearOutputs();
  impl_->executor->Trim();
  impl_->DiscardUnheld();
}

Status Session::Append(std::span<const int32_t> ids, const float** logits) {
  return impl_->Append(ids, logits);
}

Result<std::span<const TensorView>> Session::Forward(std::span<const TensorView> inputs) {
  return impl_->Forward(inputs);
}

Result<std::span<const TensorView>> Session::Forward(const TextBatch& texts) {
  return impl_->Forward(texts);
}

void Session::Cancel() { impl_->cancelled.store(true, std::memory_order_relaxed); }
void Session::ClearCancel() { impl_->cancelled.store(false, std::memory_order_relaxed); }
bool Session::cancelled() const { return impl_->cancelled.load(std::memory_order_relaxed); }

void Session::MeasureSteps(bool on) {
  if (on) impl_->profile.Clear();
  impl_->executor->set_profile(on ? &impl_->profile : nullptr);
}

std::vector<StepTime> Session::step_times() const {
  std::vector<StepTime> times;
  for (size_t kind = 0; kind < Profile::kKinds; ++kind) {
    const StepTotals& totals = impl_->profile.totals(static_cast<StepKind>(kind));
    if (totals.calls > 0) times.push_back({StepKindName(static_cast<StepKind>(kind)), totals});
  }
  std::sort(times.begin(), times.end(), [](const StepTime& a, const StepTime& b) {
    return a.totals.wall_ns > b.totals.wall_ns;
  });
  return times;
}

}  // namespace graft::runtime
