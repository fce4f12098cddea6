// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/session_memory.h"

#include <algorithm>
#include <cinttypes>
#include <limits>
#include <string>

#include "runtime/executor/attention_scratch.h"
#include "runtime/model/model.h"
#include "runtime/model/pack_layout.h"
#include "runtime/plan/schedule.h"
#include "runtime/platform/cpus.h"
#include "runtime/platform/data_source.h"
#include "runtime/threads/worker_team.h"
#include "runtime/xnn/linear_weights.h"
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
    const int32_t weight = WeightOf(model, *op).weight;
    if (weight < 0) continue;
    const fb::Tensor& tensor = *model.model().tensors()->Get(static_cast<uint32_t>(weight));
    if (tensor.format() != fb::TensorFormat::Float32) return false;
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

Status LayOutCaches(const fb::Graph& graph, uint32_t context_tokens, const SessionSizes& sizes,
                    SessionMemory* memory) {
  constexpr uint64_t kCacheAlignment = 64;
  const auto too_large = [&] {
    return Error(StatusCode::kOutOfMemory, "the cache of %u tokens does not fit the address space",
                 context_tokens);
  };
  if (graph.kv_caches() != nullptr) {
    for (const fb::KvCache* cache : *graph.kv_caches()) {
      KvView view;
      view.kv_heads = cache->kv_heads();
      view.head_dim = cache->head_dim();
      view.of_source = cache->of_source();
      const size_t rows = view.of_source ? sizes.source_rows : context_tokens;
      view.capacity = (rows + kKeyBlock - 1) / kKeyBlock * kKeyBlock;
      view.element = sizes.kv_element;
      // Heads are at most 2^16 of 2^14, positions at most 2^30: the product fits 64 bits, the sum
      // may not.
      uint64_t offset = 0;
      if (!CheckedAlignUp(memory->cache_bytes, kCacheAlignment, &offset) ||
          !CheckedAdd<uint64_t>(offset, view.bytes(), &memory->cache_bytes)) {
        return too_large();
      }
      memory->cache_offsets.push_back(offset);
      memory->caches.push_back(view);
    }
  }
  if (!CheckedAdd<uint64_t>(memory->cache_bytes, kReadableTailBytes, &memory->cache_bytes))
    return too_large();
  return OkStatus();
}

// The longest context whose caches and ids take at most `bytes`; 0 if none does.
uint32_t LongestContext(const fb::Graph& graph, const SessionSizes& sizes, uint64_t bytes) {
  uint32_t fits = 0;
  for (uint32_t refused = sizes.context_tokens; refused - fits > 1;) {
    const uint32_t middle = fits + (refused - fits) / 2;
    SessionMemory memory;
    const Status status = LayOutCaches(graph, middle, sizes, &memory);
    const bool small = status.ok() && memory.cache_bytes <= bytes &&
                       uint64_t{middle} * sizeof(int32_t) <= bytes - memory.cache_bytes;
    (small ? fits : refused) = middle;
  }
  return fits;
}

std::string WhatFits(uint32_t context_tokens) {
  if (context_tokens == 0) return "no context fits";
  return "a context of " + std::to_string(context_tokens) + " fits";
}

// Of the largest image, whose rows fit the context.
uint64_t MostPatches(const fb::Pictures& pictures, const SessionSizes& sizes) {
  const uint64_t all = uint64_t{pictures.side()} * pictures.side();
  const uint64_t merged = uint64_t{pictures.merge()} * pictures.merge();
  const uint64_t most = pictures.most_patches() == 0 ? all : pictures.most_patches();
  return std::min(most, std::max<uint64_t>(1, sizes.context_tokens) * merged);
}

Result<uint64_t> ArenaBytes(const Plan& plan, const SessionSizes& sizes) {
  if (!plan.can_chunk() && plan.symbols() > 0) return uint64_t{0};
  Binding binding(plan.symbols(), 0);
  const auto bind = [&](int32_t value, int64_t size) {
    if (value < 0) return;
    const PlanDimension& dimension = plan.values()[static_cast<size_t>(value)].shape[0];
    if (dimension.symbol >= 0) binding[static_cast<size_t>(dimension.symbol)] = size;
  };
  Schedule schedule;
  uint64_t other_pass_bytes = 0;
  uint64_t chunk = sizes.prefill_chunk;
  if (plan.takes_pictures()) {
    const uint64_t patches = MostPatches(*plan.model().model().task()->pictures(), sizes);
    SetImageRows(plan, static_cast<size_t>(patches), &binding);
    GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, binding, &schedule));
    other_pass_bytes = schedule.arena_bytes;
    SetImageRows(plan, 0, &binding);
    // The tokens of a picture that see each other are one pass.
    const schema::GraphFacts& facts = plan.model().facts();
    if (facts.has_image_runs) {
      chunk =
          std::min<uint64_t>(sizes.context_tokens, std::max(chunk, patches / facts.merged_patches));
    }
  }
  bind(plan.token_ids(), static_cast<int64_t>(chunk));
  bind(plan.positions(), static_cast<int64_t>(chunk));
  if (plan.has_source()) {
    GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, SourceBinding(plan, sizes.source_rows), &schedule));
    other_pass_bytes = schedule.arena_bytes;
  }
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, binding, &schedule));
  if (plan.output_rows() < 0) return std::max(other_pass_bytes, schedule.arena_bytes);
  // What has a row for each output may find a gap between what has one for each token, and may not
  // find it with a token less: counted behind all else, it is enough for every chunk.
  uint64_t arena_bytes = schedule.arena_bytes;
  bind(plan.output_rows(), 1);
  GRAFT_RETURN_IF_ERROR(MakeSchedule(plan, binding, &schedule));
  const auto symbol_of = [&](size_t value) {
    const auto& shape = plan.values()[value].shape;
    return shape.empty() ? -1 : shape[0].symbol;
  };
  const int32_t symbol = symbol_of(static_cast<size_t>(plan.output_rows()));
  for (size_t value = 0; value < plan.values().size(); ++value) {
    if (symbol >= 0 && symbol_of(value) == symbol)
      arena_bytes = SaturatingAdd(arena_bytes, schedule.places[value].bytes);
  }
  return std::max({other_pass_bytes, arena_bytes, schedule.arena_bytes});
}

// Threads beyond the CPUs that they may run on, or the big ones among these, would take work and
// then make the others wait for it. Numbers that no team can have stay, to be refused.
unsigned ThreadsOf(const SessionOptions& options, unsigned model_threads) {
  const auto given = static_cast<unsigned>(std::min<size_t>(options.cpus.size(), kMaxCpus));
  if (options.threads > WorkerTeam::kMaxWorkers) return options.threads;
  unsigned threads = options.threads != 0 ? options.threads : given != 0 ? given : model_threads;
  if (threads > 1) threads = std::min(threads, given != 0 ? given : DefaultThreads());
  return std::min(threads, WorkerTeam::kMaxWorkers);
}

}  // namespace

Binding SourceBinding(const Plan& plan, size_t rows) {
  Binding binding(plan.symbols(), 0);
  binding[plan.source_pass()] = 1;
  if (plan.source_ids() >= 0)
    binding[plan.rows_symbol(plan.source_ids())] = static_cast<int64_t>(rows);
  return binding;
}

void SetImageRows(const Plan& plan, size_t patches, Binding* binding) {
  const schema::GraphFacts& facts = plan.model().facts();
  const auto symbol = static_cast<size_t>(facts.image_rows->shape()->Get(0)->symbol());
  (*binding)[plan.rows_symbol(plan.image_patches())] = static_cast<int64_t>(patches);
  (*binding)[symbol] = static_cast<int64_t>(patches / facts.merged_patches);
}

KvFormat FormatOf(KvElement element) {
  switch (element) {
    case KvElement::kFloat32:
      return KvFormat::kFloat32;
    case KvElement::kFloat16:
      return KvFormat::kFloat16;
    case KvElement::kInt8:
      return KvFormat::kInt8;
  }
  return KvFormat::kAuto;
}

uint32_t MostPositions(const schema::VerifiedModel& model) {
  const uint64_t positions = model.facts().positions;
  return positions == 0 ? std::numeric_limits<uint32_t>::max() : static_cast<uint32_t>(positions);
}

Result<SessionSizes> SizesOf(const schema::VerifiedModel& model, const SessionOptions& options,
                             unsigned model_threads) {
  const uint32_t most_positions = MostPositions(model);
  SessionSizes sizes;
  sizes.context_tokens = options.context_tokens;
  if (sizes.context_tokens == 0) {
    const uint32_t trained = model.model().task()->context_tokens();
    sizes.context_tokens =
        trained == 0 ? kDefaultContextTokens : std::min(trained, kDefaultContextTokens);
    sizes.context_tokens = std::min(sizes.context_tokens, most_positions);
  }
  if (sizes.context_tokens > most_positions) {
    return Error(StatusCode::kInvalidArgument,
                 "a context of %u tokens asked for; the model has positions for %u",
                 sizes.context_tokens, most_positions);
  }
  if (sizes.context_tokens > kMaxContextTokens) {
    return Error(StatusCode::kInvalidArgument,
                 "a context of %u tokens asked for; at most %u are possible", sizes.context_tokens,
                 kMaxContextTokens);
  }
  sizes.prefill_chunk =
      std::min(options.prefill_chunk == 0 ? kDefaultPrefillChunk : options.prefill_chunk,
               sizes.context_tokens);
  sizes.threads = ThreadsOf(options, model_threads);
  sizes.kv_element = ElementOf(options.kv_format, model);
  const schema::GraphFacts& facts = model.facts();
  if (facts.source_features != nullptr) {
    sizes.source_rows = static_cast<uint32_t>(facts.source_rows);
  } else if (facts.source_ids != nullptr) {
    sizes.source_rows = sizes.context_tokens;
    if (facts.source_positions != 0 && facts.source_positions < sizes.source_rows)
      sizes.source_rows = static_cast<uint32_t>(facts.source_positions);
  }
  return sizes;
}

Result<SessionMemory> LayOutSession(const Plan& plan, const SessionSizes& sizes) {
  SessionMemory memory;
  GRAFT_RETURN_IF_ERROR(
      LayOutCaches(*plan.model().model().graph(), sizes.context_tokens, sizes, &memory));
  GRAFT_ASSIGN_OR_RETURN(memory.states, LayOutStates(*plan.model().model().graph()));
  memory.id_bytes = uint64_t{sizes.context_tokens} * sizeof(int32_t);
  memory.scratch_bytes = ScratchOf(plan).bytes(sizes.threads);
  GRAFT_ASSIGN_OR_RETURN(memory.arena_bytes, ArenaBytes(plan, sizes));
  return memory;
}

Result<MemoryBudget> MakeMemoryBudget(const Plan& plan, const SessionSizes& sizes,
                                      const SessionMemory& memory, uint64_t packed_bytes,
                                      uint64_t limit_bytes) {
  const fb::Graph& graph = *plan.model().model().graph();
  const uint64_t activations = SaturatingAdd(memory.arena_bytes, memory.scratch_bytes);
  const uint64_t by_context = SaturatingAdd(memory.cache_bytes, memory.id_bytes);
  const uint64_t states = memory.states.all_bytes();
  const uint64_t kept = SaturatingAdd(memory.cache_bytes, states);
  const uint64_t others = SaturatingAdd(SaturatingAdd(packed_bytes, activations), states);
  const uint64_t needed = SaturatingAdd(others, by_context);
  if (limit_bytes != 0 && needed > limit_bytes) {
    const uint64_t left = limit_bytes > others ? limit_bytes - others : 0;
    return Error(StatusCode::kOutOfMemory,
                 "a context of %u tokens needs %" PRIu64 " bytes (weights %" PRIu64
                 ", cache %" PRIu64 ", activations %" PRIu64 "), the memory limit is %" PRIu64
                 ": %s",
                 sizes.context_tokens, needed, packed_bytes, kept, activations, limit_bytes,
                 WhatFits(LongestContext(graph, sizes, left)).c_str());
  }
  const uint64_t available = AvailableMemory();
  if (kept > available) {
    const uint64_t left = available > states ? available - states : 0;
    return Error(StatusCode::kOutOfMemory,
                 "the cache of %u tokens takes %" PRIu64 " bytes, the machine has %" PRIu64
                 " available: %s",
                 sizes.context_tokens, kept, available,
                 WhatFits(LongestContext(graph, sizes, left)).c_str());
  }
  const uint64_t fixed = SaturatingAdd(SaturatingAdd(packed_bytes, by_context), states);
  return MemoryBudget(SaturatingAdd(fixed, memory.scratch_bytes), limit_bytes);
}

}  // namespace graft::runtime
