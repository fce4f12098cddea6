// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/session.h"

#include <algorithm>
#include <atomic>
#include <cinttypes>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "runtime/base/page_memory.h"
#include "runtime/executor/executor.h"
#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_weights.h"
#include "runtime/plan/plan.h"
#include "runtime/session/saved_session.h"
#include "runtime/session/session_impl.h"
#include "runtime/session/session_memory.h"
#include "runtime/threads/worker_team.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

// Of an image row where tokens take it.
size_t PlacedWidth(const Plan& plan) {
  for (const schema::fb::Op* op : *plan.model().model().graph()->ops()) {
    if (op->attributes_type() != schema::fb::OpAttributes::PlaceImages) continue;
    const PlanValue& placed = plan.values()[static_cast<size_t>(op->outputs()->Get(0))];
    return static_cast<size_t>(placed.shape[1].size);
  }
  return 0;
}

}  // namespace

Status Session::Impl::Initialize(const SessionOptions& options) {
  const schema::VerifiedModel& verified = model->verified();
  GRAFT_ASSIGN_OR_RETURN(const SessionSizes sizes, SizesOf(verified, options, model->threads()));
  context_tokens = sizes.context_tokens;
  prefill_chunk = sizes.prefill_chunk;
  kv_element = sizes.kv_element;
  source_capacity = sizes.source_rows;
  GRAFT_ASSIGN_OR_RETURN(SessionMemory memory, LayOutSession(plan, sizes));
  const uint64_t limit_bytes =
      options.memory_limit_bytes == 0 ? model->memory_limit_bytes() : options.memory_limit_bytes;
  GRAFT_ASSIGN_OR_RETURN(
      budget, MakeMemoryBudget(plan, sizes, memory, model->packed_weights().bytes(), limit_bytes));
  GRAFT_ASSIGN_OR_RETURN(team, WorkerTeam::Create(sizes.threads, options.cpus));
  GRAFT_ASSIGN_OR_RETURN(cache_memory,
                         PageMemory::Allocate(memory.cache_bytes, "the key/value cache"));
  caches = std::move(memory.caches);
  for (size_t i = 0; i < caches.size(); ++i)
    caches[i].Place(cache_memory.data() + memory.cache_offsets[i]);
  GRAFT_RETURN_IF_ERROR(states.Create(memory.states));
  GRAFT_ASSIGN_OR_RETURN(executor,
                         Executor::Create(plan, model->packed_weights(), caches, states.views(),
                                          model->lookup_tables(), *team, budget));
  GRAFT_ASSIGN_OR_RETURN(id_memory, PageMemory::Allocate(memory.id_bytes, "token ids"));
  ids = {reinterpret_cast<int32_t*>(id_memory.data()), context_tokens};
  binding.assign(plan.symbols(), 0);
  if (plan.takes_pictures()) {
    const schema::GraphFacts& facts = verified.facts();
    pictures.Create(verified.model().task()->pictures(), PlacedWidth(plan), facts.has_image_runs,
                    facts.has_axes);
  }
  return OkStatus();
}

void Session::Impl::ClearOutputs() {
  views.clear();
  for (const PageMemory& memory : gathered) budget.Release(memory.size());
  gathered.clear();
}

// Pages of keys, values and ids behind what is held: they are zeros again, as at the start.
void Session::Impl::DiscardUnheld() const {
  const auto discard = [this](const uint8_t* begin, const uint8_t* end) {
    cache_memory.Discard(static_cast<size_t>(begin - cache_memory.data()),
                         static_cast<size_t>(end - begin));
  };
  for (const KvView& view : caches) {
    const size_t rows = view.of_source ? source.rows : position;
    const size_t held = (rows + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
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
  gathered.reserve(gathered.size() + 1);  // before the budget counts what would be lost again
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
  return Error(StatusCode::kOutOfRange, "%zu tokens; the model has positions for %u", end,
               most_positions);
}

// What was prepared, of `tokens` tokens after what is held. States that a failed pass leaves behind
// are of no position.
Status Session::Impl::RunPass(size_t tokens, bool copy_states) {
  states.Begin();
  GRAFT_RETURN_IF_ERROR(executor->Run(position, cancelled));
  states.Finish(position + tokens, copy_states);
  return OkStatus();
}

// Brings the states to `position`, which may have been moved: from the last copy on, what is held
// is computed again.
Status Session::Impl::CatchUpStates() {
  if (states.empty()) return OkStatus();
  const size_t end = position;
  const PositionGuard guard(&position, end);
  states.GoBack(end);
  for (position = states.position(); position < end;) {
    const size_t count =
        pictures.Chunk(held(), ids.subspan(position, end - position), prefill_chunk);
    GRAFT_RETURN_IF_ERROR(RunChunk(ids.subspan(position, count), 0));
  }
  return OkStatus();
}

// Computes ids after what the caches hold, with the last `outputs` rows out.
Status Session::Impl::RunChunk(std::span<const int32_t> chunk, size_t outputs, bool copy_states,
                               bool singly) {
  GRAFT_RETURN_IF_ERROR(RequireSource());
  GRAFT_RETURN_IF_ERROR(CheckPositions(position + chunk.size()));
  const auto rows = static_cast<int64_t>(chunk.size());
  const auto bind = [&](int32_t value, int64_t size) {
    if (value >= 0) binding[plan.rows_symbol(value)] = size;
  };
  if (plan.takes_pictures()) SetImageRows(plan, 0, &binding);
  bind(plan.output_rows(), static_cast<int64_t>(outputs));
  bind(plan.token_ids(), rows);
  bind(plan.positions(), rows);
  GRAFT_RETURN_IF_ERROR(executor->Prepare(binding, singly && chunk.size() > 1));
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
  if (pictures.taken()) {
    GRAFT_ASSIGN_OR_RETURN(const SessionPictures::Pass pass, pictures.PassOver(held(), chunk));
    executor->set_images({.rows = pass.rows, .runs = pass.runs, .axes = pass.axes});
  }
  const Status status = RunPass(chunk.size(), copy_states);
  executor->set_images({});
  GRAFT_RETURN_IF_ERROR(status);
  // A model that keeps no cache can go beyond the context, and nothing is held of it.
  const bool fits = chunk.size() <= ids.size() - std::min(position, ids.size());
  if (fits && chunk.data() != ids.data() + position)
    std::copy(chunk.begin(), chunk.end(), ids.begin() + static_cast<ptrdiff_t>(position));
  position += chunk.size();
  return OkStatus();
}

Status Session::Impl::RequireText() const {
  if (model->is_text_generation() && plan.can_chunk()) return OkStatus();
  return Error(StatusCode::kUnsupported, "the model does not generate text: use forward");
}

SavedSessionTarget Session::Impl::SavedTarget() {
  SavedSessionTarget target{model->identity(), kv_element, vocabulary, caches, ids, states.all()};
  if (plan.has_source()) target.source = &source;
  target.source_capacity = source_capacity;
  if (pictures.taken()) target.pictures = pictures.saved();
  return target;
}

// outputs: last rows of the last chunk that *logits gets.
Status Session::Impl::Append(std::span<const int32_t> given, size_t outputs, bool singly,
                             const float** logits) {
  GRAFT_RETURN_IF_ERROR(RequireText());
  if (given.empty()) return Error(StatusCode::kInvalidArgument, "no tokens to append");
  if (given.size() > context_tokens - position) {
    return Error(StatusCode::kOutOfRange, "%zu tokens after %zu do not fit the context of %u",
                 given.size(), position, context_tokens);
  }
  GRAFT_RETURN_IF_ERROR(CheckIds(given));
  GRAFT_RETURN_IF_ERROR(pictures.CheckStart(held(), given[0]));
  GRAFT_RETURN_IF_ERROR(CatchUpStates());
  if (outputs > 1) states.KeepHere();
  PositionGuard guard(&position, position);
  for (size_t done = 0; done < given.size();) {
    const size_t count = pictures.Chunk(held(), given.subspan(done), prefill_chunk);
    const bool last = done + count == given.size();
    GRAFT_RETURN_IF_ERROR(RunChunk(given.subspan(done, count), last ? outputs : 0,
                                   last && given.size() > 1 && outputs <= 1, singly));
    done += count;
  }
  guard.Keep();
  if (logits != nullptr) {
    const int32_t output = plan.outputs()[0];
    const size_t first_row = plan.rows(output, binding) - outputs;
    *logits = static_cast<const float*>(executor->data(output)) +
              first_row * plan.row_elements(output, binding);
  }
  return OkStatus();
}

Session::Session(SessionOptions options) : options_(std::move(options)) {}
Session::~Session() = default;

Result<std::unique_ptr<Session>> Session::Create(std::shared_ptr<const Model> model,
                                                 const SessionOptions& options) {
  if (model == nullptr) return Error(StatusCode::kInvalidArgument, "no model");
  std::unique_ptr<Session> session(new (std::nothrow) Session(options));
  if (!session) return Error(StatusCode::kOutOfMemory, "cannot allocate a session");
  GRAFT_RETURN_IF_ERROR(session->Attach(std::move(model)));
  return session;
}

void Session::Detach() { impl_.reset(); }

Status Session::Attach(std::shared_ptr<const Model> model) {
  impl_.reset();
  std::unique_ptr<Impl> impl(new (std::nothrow) Impl(std::move(model), cancelled_));
  if (!impl) return Error(StatusCode::kOutOfMemory, "cannot allocate a session");
  GRAFT_RETURN_IF_ERROR(impl->Initialize(options_));
  impl_ = std::move(impl);
  return OkStatus();
}

const Model& Session::model() const { return *impl_->model; }
uint32_t Session::context_tokens() const { return impl_->context_tokens; }
size_t Session::position() const { return impl_ == nullptr ? 0 : impl_->position; }
unsigned Session::threads() const { return impl_->team->size(); }

uint64_t Session::weight_bytes() const {
  const auto& ops = *impl_->model->verified().model().graph()->ops();
  uint64_t bytes = 0;
  for (uint32_t op = 0; op < ops.size(); ++op) {
    if (WeightOf(impl_->model->verified(), *ops.Get(op)).weight < 0) continue;
    const uint64_t matrix_bytes = impl_->model->packed_weights().linear(op).packed_bytes;
    bytes += matrix_bytes * impl_->plan.ChoicesOf(op);
  }
  return bytes;
}

KvFormat Session::kv_format() const { return FormatOf(impl_->kv_element); }

uint64_t Session::cache_bytes_per_token() const {
  uint64_t bytes = 0;
  for (const KvView& view : impl_->caches) {
    if (!view.of_source) bytes += view.bytes() / view.capacity;
  }
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
  impl_->position = impl_->pictures.StartOfRun(ids, static_cast<size_t>(differs - ids.begin()));
  return impl_->position;
}

Status Session::Save(const char* path) const {
  GRAFT_RETURN_IF_ERROR(impl_->RequireText());
  GRAFT_RETURN_IF_ERROR(impl_->CatchUpStates());
  return WriteSavedSession(path, impl_->SavedTarget(), impl_->position);
}

Status Session::Restore(const char* path) {
  GRAFT_RETURN_IF_ERROR(impl_->RequireText());
  Status status = ReadSavedSession(path, impl_->SavedTarget(), &impl_->position);
  if (impl_->pictures.taken() && (status.ok() || impl_->position == 0))
    impl_->pictures.Lose(&impl_->budget);
  if (status.ok()) {
    impl_->states.Assign(impl_->position);
  } else if (impl_->position == 0) {
    impl_->states.Lose();
  }
  impl_->executor->set_source_rows(impl_->source.rows);
  return status;
}

void Session::Trim() {
  impl_->ClearOutputs();
  impl_->executor->Trim();
  impl_->DiscardUnheld();
  impl_->states.Trim();
}

Status Session::Append(std::span<const int32_t> ids, const float** logits) {
  return impl_->Append(ids, logits == nullptr ? 0 : 1, false, logits);
}

Status Session::AppendSingly(std::span<const int32_t> ids, size_t rows, const float** logits) {
  return impl_->Append(ids, std::max<size_t>(rows, 1), true, logits);
}

size_t Session::most_rows() const { return impl_->prefill_chunk; }
bool Session::keeps_states() const { return !impl_->states.empty(); }
std::span<const int32_t> Session::tokens() const {
  return impl_->ids.first(std::min(impl_->position, impl_->ids.size()));
}

Status Session::SetSource(const TensorView& source) { return impl_->SetSource(source); }
size_t Session::source_rows() const { return impl_->source.rows; }

Status Session::SetPictures(std::span<PictureImages* const> pictures) {
  return impl_->SetPictures(pictures);
}
Status Session::CheckPictureTokens(std::span<const int32_t> ids) const {
  return impl_->pictures.CheckCount(ids);
}

Result<std::span<const TensorView>> Session::Forward(std::span<const TensorView> inputs) {
  return impl_->Forward(inputs);
}

Result<std::span<const TensorView>> Session::Forward(const TextBatch& texts) {
  return impl_->Forward(texts);
}

void Session::Cancel() { cancelled_.store(true, std::memory_order_relaxed); }
void Session::ClearCancel() { cancelled_.store(false, std::memory_order_relaxed); }
bool Session::cancelled() const { return cancelled_.load(std::memory_order_relaxed); }
const std::atomic<bool>& Session::cancel() const { return cancelled_; }

void Session::MeasureSteps(bool on) {
  if (on) impl_->profile.Clear(impl_->plan.steps().size());
  impl_->executor->set_profile(on ? &impl_->profile : nullptr);
}

std::vector<StepTime> Session::step_times() const {
  std::vector<StepTime> times;
  const std::span<const StepTotals> totals = impl_->profile.totals();
  for (size_t step = 0; step < totals.size(); ++step) {
    if (totals[step].calls == 0) continue;
    const char* kind = impl_->plan.steps()[step].kind->name;
    auto time = std::find_if(times.begin(), times.end(),
                             [kind](const StepTime& t) { return t.kind == kind; });
    if (time == times.end()) time = times.insert(time, {kind, {}});
    time->totals.calls += totals[step].calls;
    time->totals.wall_ns += totals[step].wall_ns;
    time->totals.busy_ns += totals[step].busy_ns;
    time->totals.weight_bytes += totals[step].weight_bytes;
  }
  std::sort(times.begin(), times.end(), [](const StepTime& a, const StepTime& b) {
    return a.totals.wall_ns > b.totals.wall_ns;
  });
  return times;
}

}  // namespace graft::runtime
