// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/pack_cache.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>
#include <vector>

#include "runtime/threads/parallel_tasks.h"
#include "schema/container.h"

namespace graft::runtime {
namespace {

// Linux makes the pages of a file's cache as large as the write that first brings them, and maps
// those of this size as huge pages: those of x86-64, and of ARM with pages of 4 KiB. Decoding reads
// every weight for each token, and is slower by up to a quarter where each page of 4 KiB is looked
// up in a table.
constexpr uint64_t kChunkBytes = uint64_t{2} << 20;

void GiveWayToOthers() {
#ifdef __linux__
  setpriority(PRIO_PROCESS, 0, 19);  // 0: this thread
#endif
}

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

PackFileWriter::PackFileWriter(std::unique_ptr<CacheWriter> writer, PackedBytes packed)
    : writer_(std::move(writer)), packed_(std::move(packed)) {
  has_thread_ = pthread_create(
                    &thread_, nullptr,
                    [](void* self) -> void* {
                      GiveWayToOthers();
                      static_cast<PackFileWriter*>(self)->Run();
                      return nullptr;
                    },
                    this) == 0;
  if (!has_thread_) Run();
}

PackFileWriter::~PackFileWriter() { Wait(); }

void PackFileWriter::Wait() {
  const std::lock_guard<std::mutex> lock(waiting_);
  if (has_thread_) pthread_join(thread_, nullptr);
  has_thread_ = false;
}

// Where the packed bytes begin, if all slots lie in memory as in the file; null: they do not.
const uint8_t* PackFileWriter::RunOfSlots() const {
  const uint8_t* run = packed_.slots.front()->data();
  for (size_t i = 0; i < packed_.slots.size(); ++i) {
    if (packed_.slots[i]->data() != run + packed_.layout->entries[i].offset) return nullptr;
  }
  return run;
}

// Bytes [begin, end) of the file, behind its head. *entry is the first that may lie there.
Status PackFileWriter::WriteChunk(uint64_t begin, uint64_t end, size_t* entry,
                                  std::vector<uint8_t>* chunk) {
  const PackLayout& layout = *packed_.layout;
  const uint64_t head_bytes = packed_.file.data_offset();
  chunk->assign(static_cast<size_t>(end - begin), 0);
  for (size_t i = *entry; i < layout.entries.size(); ++i) {
    const uint64_t first = head_bytes + layout.entries[i].offset;
    const uint64_t last = first + layout.entries[i].bytes();
    if (first >= end) break;
    const uint64_t from = std::max(first, begin), to = std::min(last, end);
    if (from < to) {
      std::memcpy(chunk->data() + (from - begin), packed_.slots[i]->data() + (from - first),
                  static_cast<size_t>(to - from));
    }
    if (last <= end) *entry = i + 1;
  }
  return writer_->Write(begin, *chunk);
}

Status PackFileWriter::Store() {
  const PackFile& file = packed_.file;
  std::vector<uint64_t> checksums;
  for (const PackedSlice& slice : packed_.layout->slices) {
    const uint8_t* data = packed_.slots[slice.entry]->data() +
                          (slice.offset - packed_.layout->entries[slice.entry].offset);
    checksums.push_back(schema::Checksum64({data, static_cast<size_t>(slice.bytes)}));
  }
  const uint64_t head_bytes = file.data_offset();
  GRAFT_RETURN_IF_ERROR(writer_->Write(0, file.Head(checksums)));
  // What shares a chunk with the head's end, then whole chunks.
  const PackedEntry& last = packed_.layout->entries.back();
  const uint64_t run_end = head_bytes + last.offset + last.bytes();
  const uint8_t* run = RunOfSlots();
  size_t entry = 0;
  std::vector<uint8_t> chunk;
  if (run == nullptr) chunk.reserve(static_cast<size_t>(kChunkBytes));
  for (uint64_t begin = head_bytes; begin < file.file_bytes();) {
    uint64_t end = std::min(file.file_bytes(), (begin / kChunkBytes + 1) * kChunkBytes);
    if (run != nullptr && begin < run_end) {
      end = std::min(end, run_end);
      GRAFT_RETURN_IF_ERROR(
          writer_->Write(begin, {run + (begin - head_bytes), static_cast<size_t>(end - begin)}));
    } else {
      GRAFT_RETURN_IF_ERROR(WriteChunk(begin, end, &entry, &chunk));
    }
    begin = end;
  }
  return writer_->Publish();
}

void PackFileWriter::Run() {
  try {  // on a thread of its own
    failure_ = Store();
  } catch (const std::bad_alloc&) {
    failure_ = Status(StatusCode::kOutOfMemory, "out of memory while storing packed weights");
  }
  writer_.reset();
  packed_.slots.clear();
  state_.store(failure_.ok() ? State::kDone : State::kFailed, std::memory_order_release);
}

}  // namespace graft::runtime
