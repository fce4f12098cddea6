// SPDX-License-Identifier: Apache-2.0
// Maps model files, or parts of them, read-only.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <limits>
#include <new>
#include <string>

#include "platforms/posix/descriptor.h"
#include "runtime/platform/data_source.h"
#include "schema/checked_math.h"

namespace graft::runtime {
namespace {

// Files in archives can start anywhere; what DataSource promises is this.
constexpr uint64_t kSourceAlignment = 64;

uint64_t PageBytes() { return static_cast<uint64_t>(sysconf(_SC_PAGESIZE)); }

/// A range of a mapping, given back to the system when it goes.
class MappedSource final : public DataSource {
 public:
  MappedSource(void* mapping, size_t mapping_bytes, std::span<const uint8_t> bytes,
               const ByteOrigin& origin)
      : mapping_(mapping), mapping_bytes_(mapping_bytes), bytes_(bytes), origin_(origin) {}
  ~MappedSource() override { munmap(mapping_, mapping_bytes_); }
  MappedSource(const MappedSource&) = delete;
  MappedSource& operator=(const MappedSource&) = delete;

  std::span<const uint8_t> bytes() const override { return bytes_; }

  void Release(uint64_t offset, uint64_t size) const override {
    // Only pages that lie wholly inside: their neighbours may still be wanted.
    const uint64_t page = PageBytes();
    if (!RangeFits(offset, size, bytes_.size())) return;
    const uint64_t first = OffsetInMapping(offset);
    uint64_t begin = 0;
    if (!CheckedAlignUp(first, page, &begin)) return;
    const uint64_t end = (first + size) / page * page;
    if (begin < end) Advise(begin, end - begin, MADV_DONTNEED);
  }

  void WillRead(uint64_t offset, uint64_t size) const override {
    if (!RangeFits(offset, size, bytes_.size())) return;
    const uint64_t first = OffsetInMapping(offset);
    const uint64_t begin = first / PageBytes() * PageBytes();
    Advise(begin, first + size - begin, MADV_WILLNEED);
  }

  ByteOrigin OriginOf(uint64_t offset, uint64_t) const override {
    ByteOrigin origin = origin_;
    origin.offset += offset;
    return origin;
  }

  bool ShowAt(uint64_t offset, uint64_t size, uint8_t* to) const override {
#ifdef __linux__
    if (!RangeFits(offset, size, bytes_.size())) return false;
    // Of pages that are shared, nothing of the old mapping is moved: a second one is made.
    void* from = static_cast<uint8_t*>(mapping_) + OffsetInMapping(offset);
    return mremap(from, 0, static_cast<size_t>(size), MREMAP_MAYMOVE | MREMAP_FIXED, to) == to;
#else
    return false;
#endif
  }

 private:
  uint64_t OffsetInMapping(uint64_t offset) const {
    return static_cast<uint64_t>(bytes_.data() - static_cast<const uint8_t*>(mapping_)) + offset;
  }
  void Advise(uint64_t begin, uint64_t size, int advice) const {
    madvise(static_cast<uint8_t*>(mapping_) + begin, size, advice);  // a hint: failing is fine
  }

  void* mapping_;
  size_t mapping_bytes_;
  std::span<const uint8_t> bytes_;
  const ByteOrigin origin_;  // of the first byte
};

ByteOrigin OriginOf(const struct stat& facts, uint64_t offset) {
#ifdef __APPLE__
  const timespec written = facts.st_mtimespec;
#else
  const timespec written = facts.st_mtim;
#endif
  const auto version =
      static_cast<uint64_t>(written.tv_sec) * 1000000000 + static_cast<uint64_t>(written.tv_nsec);
  return {static_cast<uint64_t>(facts.st_dev), static_cast<uint64_t>(facts.st_ino), version, offset,
          true};
}

Status SystemError(StatusCode code, const char* what) {
  const int reason = errno;
  return Error(code, "%s: %s", what, std::strerror(reason));
}

/// Bytes read into memory of our own: of a file that may change, or of a range that cannot be mapped
/// with the alignment promised.
class ReadSource final : public DataSource {
 public:
  ReadSource(void* memory, size_t size) : memory_(memory), size_(size) {}
  ~ReadSource() override { munmap(memory_, size_); }
  ReadSource(const ReadSource&) = delete;
  ReadSource& operator=(const ReadSource&) = delete;

  std::span<const uint8_t> bytes() const override {
    return {static_cast<const uint8_t*>(memory_), size_};
  }
  void Release(uint64_t, uint64_t) const override {}
  void WillRead(uint64_t, uint64_t) const override {}
  uint64_t own_bytes() const override { return size_; }

 private:
  void* memory_;
  size_t size_;
};

Result<std::unique_ptr<DataSource>> ReadRange(int descriptor, uint64_t offset, size_t size) {
  if (const uint64_t available = AvailableMemory(); size > available) {
    return Error(StatusCode::kOutOfMemory,
                 "%zu bytes cannot be read into memory, which has %" PRIu64 " left", size,
                 available);
  }
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return SystemError(StatusCode::kOutOfMemory, "cannot be read whole");
  auto* source = new (std::nothrow) ReadSource(memory, size);
  if (source == nullptr) {
    munmap(memory, size);
    return Status(StatusCode::kOutOfMemory, "no memory for a file's record");
  }
  std::unique_ptr<DataSource> owner(source);
  const int64_t count = platform::ReadAt(descriptor, offset, {static_cast<uint8_t*>(memory), size});
  if (count < 0) return SystemError(StatusCode::kIo, "cannot be read");
  if (static_cast<uint64_t>(count) < size)
    return Status(StatusCode::kIo, "became shorter while it was read");
  return owner;
}

}  // namespace

Result<std::unique_ptr<DataSource>> OpenPath(const char* path, FileAccess access) {
  // Not blocking: a named pipe is turned away below rather than waited for.
  const platform::Descriptor descriptor(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!descriptor.ok()) {
    const bool is_missing = errno == ENOENT || errno == ENOTDIR;
    return SystemError(is_missing ? StatusCode::kNotFound : StatusCode::kIo, path);
  }
  Result<std::unique_ptr<DataSource>> source = OpenDescriptor(descriptor.get(), 0, 0, access);
  if (!source.ok()) return source.status().WithContext(path);
  return source;
}

Result<std::unique_ptr<DataSource>> OpenDescriptor(int descriptor, uint64_t offset, uint64_t size,
                                                   FileAccess access) {
  struct stat facts {};
  if (fstat(descriptor, &facts) != 0)
    return SystemError(StatusCode::kIo, "cannot look at the file");
  if (S_ISDIR(facts.st_mode)) return Status(StatusCode::kIo, "is a folder, not a model file");
  if (!S_ISREG(facts.st_mode)) return Status(StatusCode::kIo, "is not a file that can be mapped");
  const auto file_bytes = static_cast<uint64_t>(facts.st_size);
  if (file_bytes == 0) return Status(StatusCode::kCorrupt, "is empty");
  if (size == 0 && offset < file_bytes) size = file_bytes - offset;
  if (size == 0 || !RangeFits(offset, size, file_bytes)) {
    return Error(StatusCode::kInvalidArgument,
                 "%" PRIu64 " bytes at offset %" PRIu64 " lie outside of its %" PRIu64 " bytes",
                 size, offset, file_bytes);
  }
  const uint64_t lead = offset % PageBytes();
  if (size > std::numeric_limits<size_t>::max() - lead) {
    return Error(StatusCode::kOutOfMemory, "%" PRIu64 " bytes exceed the address space", size);
  }
  if (access == FileAccess::kRead || offset % kSourceAlignment != 0) {
    return ReadRange(descriptor, offset, static_cast<size_t>(size));
  }
  const auto mapping_bytes = static_cast<size_t>(lead + size);
  void* mapping = mmap(nullptr, mapping_bytes, PROT_READ, MAP_SHARED, descriptor,
                       static_cast<off_t>(offset - lead));
  if (mapping == MAP_FAILED) {
    return SystemError(errno == ENOMEM ? StatusCode::kOutOfMemory : StatusCode::kIo,
                       "cannot be mapped");
  }
  const std::span bytes(static_cast<const uint8_t*>(mapping) + lead, static_cast<size_t>(size));
  auto* source =
      new (std::nothrow) MappedSource(mapping, mapping_bytes, bytes, OriginOf(facts, offset));
  if (source == nullptr) {
    munmap(mapping, mapping_bytes);
    return Status(StatusCode::kOutOfMemory, "no memory for a mapping's record");
  }
  return std::unique_ptr<DataSource>(source);
}

}  // namespace graft::runtime
