// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/packed_weights.h"

#include <cinttypes>
#include <new>
#include <utility>

#include "runtime/model/pack_cache.h"
#include "runtime/model/pack_file.h"
#include "runtime/model/pack_job.h"
#include "runtime/xnn/linear_operator.h"

namespace graft::runtime {
PackedWeights::~PackedWeights() = default;

Result<std::unique_ptr<PackedWeights>> PackedWeights::Load(const schema::VerifiedModel& model,
                                                           const DataSource& source,
                                                           unsigned threads,
                                                           const CacheSettings& cache,
                                                           uint64_t limit_bytes) {
  GRAFT_RETURN_IF_ERROR(InitializeKernels());
  std::unique_ptr<PackedWeights> packed(new (std::nothrow) PackedWeights);
  if (!packed) return Error(StatusCode::kOutOfMemory, "cannot allocate packed weights");
  GRAFT_ASSIGN_OR_RETURN(packed->layout_, LayOutWeights(model));
  if (limit_bytes != 0 && packed->layout_.bytes > limit_bytes) {
    return Error(StatusCode::kOutOfMemory,
                 "the packed weights take %" PRIu64 " bytes, the memory limit is %" PRIu64,
                 packed->layout_.bytes, limit_bytes);
  }
  if (!cache.folder.empty() && !packed->layout_.entries.empty()) {
    const Status status = packed->LoadThroughCache(model, source, threads, cache);
    if (status.ok()) return packed;
    packed->Note(status);
    packed->state_ = CacheState::kFailed;
  }
  GRAFT_RETURN_IF_ERROR(packed->PackIntoMemory(model, source, threads, ContentCheck::kNone));
  return packed;
}

Status PackedWeights::PackIntoMemory(const schema::VerifiedModel& model, const DataSource& source,
                                     unsigned threads, ContentCheck check) {
  GRAFT_ASSIGN_OR_RETURN(
      memory_, PageMemory::Allocate(layout_.bytes, "packed weights", PageMemory::Pages::kHuge));
  GRAFT_RETURN_IF_ERROR(PackSlices(model, source, layout_, threads, check, memory_.data()));
  PointInto(memory_.data());
  return OkStatus();
}

Status PackedWeights::LoadThroughCache(const schema::VerifiedModel& model, const DataSource& source,
                                       unsigned threads, const CacheSettings& cache) {
  GRAFT_ASSIGN_OR_RETURN(PackFile file, PackFile::Describe(model, layout_));
  Result<std::unique_ptr<DataSource>> found = FindPacked(cache, file, layout_, threads);
  if (found.ok()) {
    file_ = std::move(found).value();
    state_ = CacheState::kHit;
    PointInto(file_->bytes().data() + file.data_offset());
    return OkStatus();
  }
  if (found.status().code() != StatusCode::kNotFound) Note(found.status());
  GRAFT_ASSIGN_OR_RETURN(auto writer, CreateCacheFile(cache, file.name(), file.file_bytes()));
  // A damaged model must not leave a file under a sound one's name.
  GRAFT_RETURN_IF_ERROR(PackIntoMemory(model, source, threads, ContentCheck::kHashes));
  state_ = CacheState::kStored;
  file_writer_.reset(new (std::nothrow) PackFileWriter(
      std::move(writer), {std::move(file), &layout_, memory_.data()}));
  if (!file_writer_) return Error(StatusCode::kOutOfMemory, "cannot allocate a publisher");
  return OkStatus();
}

void PackedWeights::PointInto(const uint8_t* packed) {
  for (PackedEntry& entry : layout_.entries) entry.weights.packed = packed + entry.offset;
}

void PackedWeights::Trim() const {
  if (file_) file_->Release(0, file_->bytes().size());
}

void PackedWeights::Note(const Status& status) {
  if (!note_.empty()) note_ += "; ";
  note_ += status.message();
}

CacheState PackedWeights::cache_state() const {
  if (file_writer_ && file_writer_->state() == PackFileWriter::State::kFailed)
    return CacheState::kFailed;
  return state_;
}

std::string PackedWeights::cache_note() const {
  if (!file_writer_ || file_writer_->state() != PackFileWriter::State::kFailed) return note_;
  const std::string failure(file_writer_->failure().message());
  return note_.empty() ? failure : note_ + "; " + failure;
}

}  // namespace graft::runtime
