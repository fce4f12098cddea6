// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model.h"

#include <algorithm>
#include <new>
#include <utility>
#include <vector>

#include "runtime/model/lookup_tables.h"
#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_weights.h"
#include "runtime/platform/cpus.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;
namespace {

/// Bytes of the file that a tensor's codes or scales take.
struct TensorRange {
  uint64_t begin, end;
  bool is_packed;
};

}  // namespace

uint64_t HeaderEndOf(const schema::VerifiedModel& model) {
  const std::span<const uint8_t> bytes = model.file_bytes();
  const Result<schema::Preamble> preamble = schema::DecodePreamble(bytes, bytes.size());
  return preamble.ok() ? preamble->header_offset + preamble->header_bytes : 0;
}

Status KeepReadInPlace(const schema::VerifiedModel& model, const DataSource& source) {
  std::vector<bool> is_packed(model.model().tensors()->size(), false);
  for (const fb::Op* op : *model.model().graph()->ops()) {
    const int32_t weight = WeightOf(model, *op).weight;
    if (weight >= 0) is_packed[static_cast<size_t>(weight)] = true;
  }
  for (const fb::Op* op : *model.model().graph()->ops()) {
    const fb::Embedding* embedding = op->attributes_as_Embedding();
    const fb::Constant* constant = op->attributes_as_Constant();
    const fb::Convolution* convolution = op->attributes_as_Convolution();
    if (embedding != nullptr) is_packed[static_cast<size_t>(embedding->table())] = false;
    if (convolution != nullptr && IsDepthwise(model, *convolution))
      is_packed[static_cast<size_t>(convolution->weight())] = false;
    if (constant != nullptr) is_packed[static_cast<size_t>(constant->tensor())] = false;
  }
  std::vector<TensorRange> ranges;
  for (uint32_t i = 0; i < is_packed.size(); ++i) {
    const schema::TensorBytes bytes = model.tensor_bytes(*model.model().tensors()->Get(i));
    for (const std::span<const uint8_t> part : {bytes.data, bytes.scales}) {
      if (part.empty()) continue;
      const auto offset = static_cast<uint64_t>(part.data() - model.file_bytes().data());
      ranges.push_back({offset, offset + part.size(), is_packed[i]});
    }
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const TensorRange& a, const TensorRange& b) { return a.begin < b.begin; });
  // Nothing forbids a file to let tensors share bytes, which may then be read after one is packed.
  uint64_t end = 0;
  for (size_t i = 0; i < ranges.size(); ++i) {
    const bool is_shared =
        ranges[i].begin < end || (i + 1 < ranges.size() && ranges[i + 1].begin < ranges[i].end);
    end = std::max(end, ranges[i].end);
    if (ranges[i].is_packed && !is_shared) continue;
    GRAFT_RETURN_IF_ERROR(source.Keep(ranges[i].begin, ranges[i].end - ranges[i].begin));
  }
  return OkStatus();
}

Model::Model(std::shared_ptr<const DataSource> source, schema::VerifiedModel verified)
    : source_(std::move(source)), verified_(verified) {}

Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::Open(std::shared_ptr<const DataSource> source,
                                                 const ModelOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(std::shared_ptr<Model> model, Prepare(std::move(source), options));
  GRAFT_RETURN_IF_ERROR(model->LoadWeights(nullptr));
  return std::shared_ptr<const Model>(std::move(model));
}

Result<std::shared_ptr<Model>> Model::Prepare(std::shared_ptr<const DataSource> source,
                                              const ModelOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel verified, schema::Verify(source->bytes()));
  if (options.check != nullptr) GRAFT_RETURN_IF_ERROR(options.check(verified));
  GRAFT_RETURN_IF_ERROR(KeepReadInPlace(verified, *source));
  if (options.verify_contents) {
    const uint64_t all = source->bytes().size();
    GRAFT_RETURN_IF_ERROR(source->Load(0, all));
    GRAFT_RETURN_IF_ERROR(schema::VerifyContents(verified));
    source->Drop(0, all);
  }
  std::shared_ptr<Model> model(new (std::nothrow) Model(std::move(source), verified));
  if (!model) return Error(StatusCode::kOutOfMemory, "cannot allocate a model");
  model->threads_ = std::max(1u, options.threads != 0 ? options.threads : DefaultThreads());
  model->cache_ = options.cache;
  model->memory_limit_bytes_ = options.memory_limit_bytes;
  model->lookup_tables_.reset(new (std::nothrow) LookupTables(verified, *model->source_));
  if (!model->lookup_tables_) return Error(StatusCode::kOutOfMemory, "cannot allocate a model");
  return model;
}

Status Model::Repair() const {
  return packed_weights_->Repair(verified_, *source_, {threads_, cache_, memory_limit_bytes_});
}

Status Model::LoadWeights(const Model* replaced) {
  const LoadSettings settings{threads_, cache_, memory_limit_bytes_};
  GRAFT_ASSIGN_OR_RETURN(packed_weights_, replaced == nullptr
                                              ? PackedWeights::Load(verified_, *source_, settings)
                                              : replaced->packed_weights_->Replace(
                                                    replaced->verified_, *replaced->source_,
                                                    verified_, *source_, settings));
  // What was read to check and pack is not needed again, nor are its neighbours that came along.
  // What is needed comes back, page by page.
  const uint64_t header_bytes = HeaderEndOf(verified_);
  source_->Settle();
  source_->Release(header_bytes, verified_.file_bytes().size() - header_bytes);
  return OkStatus();
}

bool Model::is_text_generation() const {
  return verified_.model().task()->kind() == fb::TaskKind::TextGeneration;
}

bool Model::takes_source() const { return verified_.facts().has_source(); }

uint32_t Model::context_tokens() const { return verified_.model().task()->context_tokens(); }

uint32_t Model::vocabulary() const { return static_cast<uint32_t>(verified_.facts().vocabulary); }

std::span<const uint32_t> Model::end_tokens() const {
  const auto* tokens = verified_.model().task()->end_tokens();
  return tokens == nullptr ? std::span<const uint32_t>()
                           : std::span(tokens->data(), tokens->size());
}

void Model::Trim() const {
  source_->Release(0, verified_.file_bytes().size());
  packed_weights_->Trim();
}

schema::Hash128 Model::identity() const { return verified_.identity(); }

}  // namespace graft::runtime
