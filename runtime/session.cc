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
#include "runtime/schedule.h"
#include "runtime/session_impl.h"
#include "runtime/worker_team.h"
#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

constexpr uint32_t kDefaultContextTokens = 4096;
constexpr uint32_t kDefaultPrefillChunk = 128;
// Positions are i32 in the graph, and rows times a width must stay addressable.
constexpr uint32_t kMaxContextTokens = 1u << 30;

bool AllFloat32(const schema::VerifiedModel& model) {
  for (const fb::Op* op : *model.model().graph()->ops()) {
    const fb::Linear* linear = op->attributes_as_Linear();
    if (linear == nullptr) continue;
    const fb::Tensor& weight =
        *model.model().tensors()->Get(static_cast<uint32_t>(linear->weight()));
    if (weight.format() != fb::TensorFormat::Float32) return false;
  }
  return true;
}

KvElement ElementOf(KvFormat format, const schema::VerifiedModel& model) {
  switch (format) {
    case KvFormat::kFloat32:
      return KvElement::kFloat32;
    case KvFormat::kFloat16:
      return KvElement::kFloat16;
    case KvFormat::kInt8:
      return KvElement::kInt8;
    case KvFormat::kAuto:
      break;
  }
  return AllFloat32(model) ? KvElement::kFloat32 : KvElement::kFloat16;
}

// Where each cache lies in one run of memory.
struct CacheLayout {
  std::vector<KvView> views;
  std::vector<uint64_t> offsets;
  uint64_t bytes = 0;
};

Result<CacheLayout> LayOutCaches(const fb::Graph& graph, uint32_t context_tokens,
                                 KvElement element) {
  constexpr uint64_t kCacheAlignment = 64;
  CacheLayout layout;
  if (graph.kv_caches() != nullptr) {
    for (const fb::KvCache* cache : *graph.kv_caches()) {
      KvView view;
      view.kv_heads = cache->kv_heads();
      view.head_dim = cache->head_dim();
      view.capacity = (context_tokens + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
      view.element = element;
      // Heads are at most 2^16 of 2^14, positions at most 2^30: the product fits 64 bits, the sum
      // may not.
      uint64_t offset = 0;
      if (!CheckedAlignUp(layout.bytes, kCacheAlignment, &offset) ||
          !CheckedAdd<uint64_t>(offset, view.bytes(), &layout.bytes)) {
        return Error(StatusCode::kOutOfMemory,
                     "the cache of %u tokens does not fit the address space", context_tokens);
      }
      layout.offsets.push_back(offset);
      layout.views.push_back(view);
    }
  }
  if (!CheckedAdd<uint64_t>(layout.bytes, kReadableTailBytes, &layout.bytes)) {
    return Error(StatusCode::kOutOfMemory, "the cache of %u tokens does not fit the address space",
                 context_tokens);
  }
  return layout;
}

// The longest context whose caches take at most `bytes`; 0 if none does.
uint32_t LongestContext(const fb::Graph& graph, KvElement element, uint32_t below, uint64_t bytes) {
  uint32_t fits = 0;
  for (uint32_t refused = below; refused - fits > 1;) {
    const uint32_t middle = fits + (refused - fits) / 2;
    const Result<CacheLayout> layout = LayOutCaches(graph, middle, element);
    const bool small = layout.ok() && layout->bytes <= bytes &&
                       uint64_t{middle} * sizeof(int32_t) <= bytes - layout->bytes;
    (small ? fits : refused) = middle;
  }
  return fits;
}

std::string WhatFits(uint32_t context_tokens) {
  if (context_tokens == 0) return "no context fits";
  return "a context of " + std::to_string(context_tokens) + " fits";
}

}  // namespace

Status Session::Impl::Initialize(const SessionOptions& options) {
  context_tokens = options.context_tokens;
  if (context_tokens == 0) {
    const uint32_t trained = model->context_tokens();
    context_tokens =
        trained == 0 ? kDefaultContextTokens : std::min(trained, kDefaultContextTokens);
    context_tokens = std::min(context_tokens, most_positions);
  }
  if (context_tokens > most_positions) {
    return Error(StatusCode::kInvalidArgument,
                 "a context of %u tokens asked for; the model has embeddings for %u positions",
                 context_tokens, most_positions);
  }
  if (context_tokens > kMaxContextTokens) {
    return Error(StatusCode::kInvalidArgument,
                 "a context of %u tokens asked for; at most %u are possible", context_tokens,
                 kMaxContextTokens);
  }
  prefill_chunk = std::min(
      options.prefill_chunk == 0 ? kDefaultPrefillChunk : options.prefill_chunk, context_tokens);
  kv_element = ElementOf(options.kv_format, model->verified());
  GRAFT_ASSIGN_OR_RETURN(CacheLayout layout, LayOutCaches(*model->verified().model().graph(),
                                                          context_tokens, kv_element));
  GRAFT_RETURN_IF_ERROR(CheckMemory(layout.bytes, options.memory_limit_bytes == 0
                                                      ? model->memory_limit_bytes()
                                                      : options.memory_limit_bytes));
  unsigned threads = options.threads;
  if (threads == 0) {
    threads = options.cpus.empty() ? model->threads() : static_cast<unsigned>(options.cpus.size());
    threads = std::min(threads, WorkerTeam::kMaxWorkers);
  }
  GRAFT_ASSIGN_OR_RETURN(team, WorkerTeam::Create(threads, options.cpus));
  GRAFT_ASSIGN_OR_RETURN(cache_memory, PageMemory::Allocate(layout.bytes, "the key/value cache"));
  caches = std::move(layout.views);
  for (size_t i = 0; i < caches.size(); ++i)
    caches[i].Place(cache_memory.data() + layout.offsets[i]);
  GRAFT_ASSIGN_OR_RETURN(executor, Executor::Create(plan, model->packed_weights(), caches, *team));
  GRAFT_ASSIGN_OR_RETURN(
      id_memory, PageMemory::Allocate(uint64_t{context_tokens} * sizeof(int32_t), "token ids"));
  ids = {reinterpret_cast<int32_t*>(id_memory.data()), context_tokens};
  binding.assign(plan.symbols(), 0);
  return OkStatus();
}

// Of a prompt's whole chunk, with one row out. Other graphs say only with their inputs what they
// need.
Result<uint64_t> Session::Impl::ActivationBytes() const {
  if (!model->is_text_generation() || !plan.can_chunk()) return uint64_t{0};
  Binding sizes(plan.symbols(), 0);
  const auto bind = [&](int32_t value, int64_t size) {
    if (value < 0) return;
    const PlanDimension& dimension = plan.values()[static_cast<size_t>(value)].shape[0];
    if (dimension.symbol >= 0) sizes[static_cast<size_t>(dimension.symbol)] = size;
  };
  bind(plan.output_rows(), 1);
  bind(plan.token_ids(), prefill_chunk);
  bind(plan.positions(), prefill_chunk);
  Schedule schedule;
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, sizes, &schedule));
  return schedule.arena_bytes;
}

// Memory is handed out without being there: what does not fit must be refused here, or the process
// is killed once it is touched.
Status Session::Impl::CheckMemory(uint64_t cache_bytes, uint64_t limit_bytes) const {
  const fb::Graph& graph = *model->verified().model().graph();
  const uint64_t id_bytes = uint64_t{context_tokens} * sizeof(int32_t);
  if (limit_bytes != 0) {
    GRAFT_ASSIGN_OR_RETURN(const uint64_t activations, ActivationBytes());
    const uint64_t packed = model->packed_weights().bytes();
    uint64_t fixed = 0, needed = 0;
    if (!CheckedAdd(packed, activations, &fixed) || !CheckedAdd(fixed, id_bytes, &needed) ||
        !CheckedAdd(needed, cache_bytes, &needed))
      needed = std::numeric_limits<uint64_t>::max();
    if (needed > limit_bytes) {
      const uint64_t left = limit_bytes > fixed ? limit_bytes - fixed : 0;
      return Error(StatusCode::kOutOfMemory,
                   "a context of %u tokens needs %" PRIu64 " bytes (weights %" PRIu64
                   ", cache %" PRIu64 ", activations %" PRIu64 "), the memory limit is %" PRIu64
                   ": %s",
                   context_tokens, needed, packed, cache_bytes, activations, limit_bytes,
                   WhatFits(LongestContext(graph, kv_element, context_tokens, left)).c_str());
    }
  }
  const uint64_t available = AvailableMemory();
  if (cache_bytes <= available) return OkStatus();
  return Error(StatusCode::kOutOfMemory,
               "the cache of %u tokens takes %" PRIu64 " bytes, the machine has %" PRIu64
               " available: %s",
               context_tokens, cache_bytes, available,
               WhatFits(LongestContext(graph, kv_element, context_tokens, available)).c_str());
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

KvFormat Session::kv_format() const {
  switch (impl_->kv_element) {
    case KvElement::kFloat32:
      return KvFormat::kFloat32;
    case KvElement::kFloat16:
      return KvFormat::kFloat16;
    case KvElement::kInt8:
      return KvFormat::kInt8;
  }
  return KvFormat::kAuto;
}

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
