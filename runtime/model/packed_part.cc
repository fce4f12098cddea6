// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/packed_part.h"

#include <new>
#include <utility>

#include "runtime/model/pack_cache.h"
#include "runtime/model/pack_file.h"
#include "runtime/model/pack_job.h"

namespace graft::runtime {

PackedPart::~PackedPart() = default;

Result<std::shared_ptr<PackedPart>> PackedPart::Load(const schema::VerifiedModel& model,
                                                     const DataSource& source, PackLayout layout,
                                                     unsigned threads, const CacheSettings& cache,
                                                     SlotLender* lender) {
  std::unique_ptr<PackedPart> part(new PackedPart);
  part->layout_ = std::move(layout);
  bool is_loaded = false;
  if (!cache.folder.empty() && !part->layout_.entries.empty()) {
    const Status status = part->LoadThroughCache(model, source, threads, cache, lender);
    is_loaded = status.ok();
    if (!is_loaded) {
      part->Note(status);
      part->state_ = CacheState::kFailed;
    }
  }
  if (!is_loaded) {
    GRAFT_RETURN_IF_ERROR(
        part->PackIntoMemory(model, source, threads, ContentCheck::kNone, lender));
  }
  return std::shared_ptr<PackedPart>(std::move(part));
}

// Slots for all entries: borrowed ones, and one run of memory for the rest. What is hashed is read
// as a whole, so that it is as well packed.
Status PackedPart::MakeRoom(ContentCheck check, SlotLender* lender) {
  if (slots_.empty()) slots_.resize(layout_.entries.size());
  patches_.resize(slots_.size());
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i] == nullptr && lender != nullptr && check == ContentCheck::kNone)
      slots_[i] = lender->BorrowLike(layout_.entries[i], &patches_[i]);
  }
  std::vector<uint32_t> missing;
  for (uint32_t i = 0; i < slots_.size(); ++i) {
    if (slots_[i] != nullptr) continue;
    if (lender != nullptr) slots_[i] = lender->Borrow(layout_.entries[i].bytes());
    if (slots_[i] == nullptr) missing.push_back(i);
  }
  if (missing.empty()) return OkStatus();
  const PackLayout rest = PartOf(layout_, missing);
  GRAFT_ASSIGN_OR_RETURN(PageMemory allocated, PageMemory::Allocate(rest.bytes, "packed weights",
                                                                    PageMemory::Pages::kHuge));
  const auto memory = std::make_shared<const PageMemory>(std::move(allocated));
  for (size_t i = 0; i < missing.size(); ++i) {
    const PackedEntry& entry = rest.entries[i];
    slots_[missing[i]] = std::make_shared<PackedSlot>(memory, entry.offset, entry.bytes());
  }
  return OkStatus();
}

Status PackedPart::PackIntoMemory(const schema::VerifiedModel& model, const DataSource& source,
                                  unsigned threads, ContentCheck check, SlotLender* lender) {
  GRAFT_RETURN_IF_ERROR(MakeRoom(check, lender));
  Status status = PackSlices(model, source, layout_, threads, check, slots_, patches_);
  patches_ = {};
  return status;
}

Status PackedPart::LoadThroughCache(const schema::VerifiedModel& model, const DataSource& source,
                                    unsigned threads, const CacheSettings& cache,
                                    SlotLender* lender) {
  GRAFT_ASSIGN_OR_RETURN(PackFile file, PackFile::Describe(model, layout_));
  Result<std::unique_ptr<DataSource>> found = FindPacked(cache, file, layout_, threads);
  if (found.ok()) {
    file_ = std::move(found).value();
    state_ = CacheState::kHit;
    for (const PackedEntry& entry : layout_.entries) {
      slots_.push_back(
          std::make_shared<PackedSlot>(file_, file.data_offset() + entry.offset, entry.bytes()));
    }
    return OkStatus();
  }
  if (found.status().code() != StatusCode::kNotFound) Note(found.status());
  GRAFT_ASSIGN_OR_RETURN(auto writer, CreateCacheFile(cache, file.name(), file.file_bytes()));
  // A damaged model must not leave a file under a sound one's name.
  GRAFT_RETURN_IF_ERROR(PackIntoMemory(model, source, threads, ContentCheck::kHashes, lender));
  state_ = CacheState::kStored;
  file_writer_.reset(new (std::nothrow)
                         PackFileWriter(std::move(writer), {std::move(file), &layout_, slots_}));
  if (!file_writer_) return Error(StatusCode::kOutOfMemory, "cannot allocate a publisher");
  return OkStatus();
}

void PackedPart::Trim() const {
  if (file_) file_->Release(0, file_->bytes().size());
}

void PackedPart::Settle() const {
  if (file_writer_) file_writer_->Wait();
}

void PackedPart::Note(const Status& status) {
  if (!note_.empty()) note_ += "; ";
  note_ += status.message();
}

CacheState PackedPart::cache_state() const {
  if (file_writer_ && file_writer_->state() == PackFileWriter::State::kFailed)
    return CacheState::kFailed;
  return state_;
}

std::string PackedPart::cache_note() const {
  if (!file_writer_ || file_writer_->state() != PackFileWriter::State::kFailed) return note_;
  const std::string failure(file_writer_->failure().message());
  return note_.empty() ? failure : note_ + "; " + failure;
}

}  // namespace graft::runtime
