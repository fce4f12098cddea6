// SPDX-License-Identifier: Apache-2.0
#include "runtime/pack_cache.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "runtime/chunked_writer.h"
#include "runtime/pack_job.h"
#include "runtime/page_memory.h"
#include "runtime/parallel_tasks.h"
#include "schema/container.h"

namespace graft::runtime {
namespace {

/// Puts slices into a file by way of buffers: writing from a core's cache takes less time than
/// touching the file's pages one by one, and a full disk is an error, not a signal.
class FileTarget final : public SliceTarget {
 public:
  FileTarget(const PackFile& file, const PackLayout& layout, CacheWriter& writer)
      : file_(file),
        layout_(layout),
        writer_(writer, file.file_bytes()),
        checksums_(layout.slices.size()) {}

  Status Prepare(unsigned threads) {
    uint64_t largest = 0;
    for (size_t i = 0; i < layout_.slices.size(); ++i) largest = std::max(largest, RoomOf(i));
    for (unsigned worker = 0; worker < threads; ++worker) {
      GRAFT_ASSIGN_OR_RETURN(PageMemory buffer,
                             PageMemory::Allocate(largest, "a slice of packed weights"));
      buffers_.push_back(std::move(buffer));
    }
    return OkStatus();
  }

  uint8_t* Room(const PackedSlice&, unsigned worker) override { return buffers_[worker].data(); }

  Status Done(size_t slice, uint8_t* packed) override {
    const PackedSlice& place = layout_.slices[slice];
    checksums_[slice] = schema::Checksum64({packed, static_cast<size_t>(place.bytes)});
    const uint64_t room = RoomOf(slice);
    std::memset(packed + place.bytes, 0, static_cast<size_t>(room - place.bytes));
    return writer_.Write(file_.data_offset() + place.offset, {packed, static_cast<size_t>(room)});
  }

  Status WriteHead() { return writer_.Write(0, file_.Head(checksums_)); }

 private:
  /// Bytes of a slice, with those that belong to none up to the next.
  uint64_t RoomOf(size_t slice) const {
    const uint64_t end =
        slice + 1 < layout_.slices.size() ? layout_.slices[slice + 1].offset : layout_.bytes;
    return end - layout_.slices[slice].offset;
  }

  const PackFile& file_;
  const PackLayout& layout_;
  ChunkedWriter writer_;
  std::vector<PageMemory> buffers_;
  std::vector<uint64_t> checksums_;
};

}  // namespace

Result<std::unique_ptr<DataSource>> FindPacked(const CacheSettings& settings, const PackFile& file,
                                               const PackLayout& layout, unsigned threads) {
  GRAFT_ASSIGN_OR_RETURN(auto source, OpenCacheFile(settings, file.name()));
  const std::string path = settings.folder + "/" + file.name();
  const Result<std::vector<uint64_t>> checksums = file.ReadHead(source->bytes());
  if (!checksums.ok()) return checksums.status().WithContext(path);
  // All of it, each time: the first token reads every byte anyway, and this brings them in. Without
  // WillRead: what a fault reads from the disk comes in huge pages where there are some, what is
  // announced in small ones.
  GRAFT_RETURN_IF_ERROR(RunTasks(threads, layout.slices.size(), [&](size_t index, unsigned) {
    const PackedSlice& slice = layout.slices[index];
    const uint64_t offset = file.data_offset() + slice.offset;
    if (schema::Checksum64(source->bytes().subspan(offset, slice.bytes)) == (*checksums)[index]) {
      return OkStatus();
    }
    return Error(StatusCode::kCorrupt, "%.300s: checksum of slice %zu differs", path.c_str(),
                 index);
  }));
  return source;
}

Result<std::unique_ptr<CacheWriter>> StorePacked(const CacheSettings& settings,
                                                 const PackFile& file,
                                                 const schema::VerifiedModel& model,
                                                 const DataSource& source, const PackLayout& layout,
                                                 unsigned threads) {
  GRAFT_ASSIGN_OR_RETURN(auto writer, CreateCacheFile(settings, file.name(), file.file_bytes()));
  FileTarget target(file, layout, *writer);
  GRAFT_RETURN_IF_ERROR(target.Prepare(threads));
  GRAFT_RETURN_IF_ERROR(PackSlices(model, source, layout, threads, ContentCheck::kHashes, target));
  GRAFT_RETURN_IF_ERROR(target.WriteHead());
  return writer;
}

Publisher::Publisher(std::unique_ptr<CacheWriter> writer) : writer_(std::move(writer)) {
  has_thread_ = pthread_create(
                    &thread_, nullptr,
                    [](void* self) -> void* {
                      static_cast<Publisher*>(self)->Run();
                      return nullptr;
                    },
                    this) == 0;
  if (!has_thread_) Run();
}

Publisher::~Publisher() {
  if (has_thread_) pthread_join(thread_, nullptr);
}

void Publisher::Run() {
  failure_ = writer_->Publish();
  writer_.reset();
  state_.store(failure_.ok() ? State::kDone : State::kFailed, std::memory_order_release);
}

}  // namespace graft::runtime
