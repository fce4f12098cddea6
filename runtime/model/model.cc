// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/model.h"

#include <algorithm>
#include <new>
#include <utility>

#include "runtime/model/lookup_tables.h"
#include "runtime/model/packed_weights.h"
#include "runtime/platform/cpus.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;

uint64_t HeaderEndOf(const schema::VerifiedModel& model) {
  const std::span<const uint8_t> bytes = model.file_bytes();
  const Result<schema::Preamble> preamble = schema::DecodePreamble(bytes, bytes.size());
  return preamble.ok() ? preamble->header_offset + preamble->header_bytes : 0;
}

Model::Model(std::unique_ptr<DataSource> source, schema::VerifiedModel verified)
    : source_(std::move(source)), verified_(verified) {}

Model::~Model() = default;

Result<std::shared_ptr<const Model>> Model::Open(std::unique_ptr<DataSource> source,
                                                 const ModelOptions& options) {
  GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel verified, schema::Verify(source->bytes()));
  if (options.verify_contents) GRAFT_RETURN_IF_ERROR(schema::VerifyContents(verified));
  std::unique_ptr<Model> model(new (std::nothrow) Model(std::move(source), verified));
  if (!model) return Error(StatusCode::kOutOfMemory, "cannot allocate a model");
  model->threads_ = std::max(1u, options.threads != 0 ? options.threads : DefaultThreads());
  model->memory_limit_bytes_ = options.memory_limit_bytes;
  GRAFT_ASSIGN_OR_RETURN(model->packed_weights_,
                         PackedWeights::Load(verified, *model->source_, model->threads_,
                                             options.cache, options.memory_limit_bytes));
  model->lookup_tables_.reset(new (std::nothrow) LookupTables(verified, *model->source_));
  if (!model->lookup_tables_) return Error(StatusCode::kOutOfMemory, "cannot allocate a model");
  // What was read to check and pack is not needed again, nor are its neighbours that came along.
  // What is needed comes back, page by page.
  const uint64_t header_bytes = HeaderEndOf(verified);
  model->source_->Release(header_bytes, verified.file_bytes().size() - header_bytes);
  return std::shared_ptr<const Model>(std::move(model));
}

bool Model::is_text_generation() const {
  return verified_.model().task()->kind() == fb::TaskKind::TextGeneration;
}

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
