// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/page_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cinttypes>
#include <limits>
#include <utility>

namespace graft::runtime {

uint64_t PageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

PageMemory::PageMemory(PageMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

PageMemory& PageMemory::operator=(PageMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

PageMemory::~PageMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

Result<PageMemory> PageMemory::Allocate(uint64_t bytes, const char* purpose, Pages pages) {
  if (bytes == 0) bytes = 1;
  void* data = MAP_FAILED;
  if (bytes <= std::numeric_limits<size_t>::max() / 2) {
    data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (data == MAP_FAILED) {
    return Error(StatusCode::kOutOfMemory, "cannot allocate %" PRIu64 " bytes for %s", bytes,
                 purpose);
  }
#ifdef MADV_HUGEPAGE
  if (pages == Pages::kHuge) madvise(data, static_cast<size_t>(bytes), MADV_HUGEPAGE);
#endif
  PageMemory memory;
  memory.data_ = static_cast<uint8_t*>(data);
  memory.size_ = static_cast<size_t>(bytes);
  return memory;
}

void PageMemory::Discard(size_t offset, size_t bytes) const {
  const auto page = static_cast<size_t>(PageBytes());
  const size_t begin = (offset + page - 1) / page * page;
  const size_t end = (offset + bytes) / page * page;
  if (data_ != nullptr && begin < end) madvise(data_ + begin, end - begin, MADV_DONTNEED);
}

}  // namespace graft::runtime
