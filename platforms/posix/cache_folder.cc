// SPDX-License-Identifier: Apache-2.0
// Cache folders on file systems of POSIX: temporary files under a lock, synced, then renamed.
#include "runtime/platform/cache_folder.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <ctime>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "platforms/posix/descriptor.h"

namespace graft::runtime {
namespace {

using platform::Descriptor;

constexpr char kTemporarySuffix[] = ".graftcache-tmp";
constexpr int kNameAttempts = 8;

Status SystemError(const std::string& path, const char* what) {
  const int reason = errno;
  return Error(StatusCode::kIo, "%.300s: %s: %s", path.c_str(), what, std::strerror(reason));
}

Status MakeFolder(const std::string& path) {
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (mkdir(part.c_str(), 0700) != 0 && errno != EEXIST) {
      // A parent that exists may refuse with another reason (read-only, not ours): look.
      const int reason = errno;
      struct stat facts {};
      if (stat(part.c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode)) {
        errno = reason;
        return SystemError(part, "cannot be made");
      }
    }
    if (end == std::string::npos) return OkStatus();
  }
}

struct CachedFile {
  std::string name;
  uint64_t bytes = 0;
  timespec used{};
};

/// The folder's finished files. Removes temporary ones that no living process holds.
std::vector<CachedFile> ListAndSweep(int descriptor) {
  std::vector<CachedFile> files;
  const int copy = openat(descriptor, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const std::unique_ptr<DIR, int (*)(DIR*)> listing(copy < 0 ? nullptr : fdopendir(copy), closedir);
  if (listing == nullptr) {
    if (copy >= 0) close(copy);
    return files;
  }
  while (const dirent* found = readdir(listing.get())) {
    const std::string_view name = found->d_name;
    if (name.ends_with(kTemporarySuffix)) {
      // Its writer holds a lock from the file's first moments to its end.
      const Descriptor left(
          openat(descriptor, found->d_name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
      if (left.ok() && flock(left.get(), LOCK_EX | LOCK_NB) == 0) {
        unlinkat(descriptor, found->d_name, 0);
      }
    } else if (name.ends_with(kCacheSuffix)) {
      struct stat facts {};
      if (fstatat(descriptor, found->d_name, &facts, AT_SYMLINK_NOFOLLOW) != 0) continue;
      if (!S_ISREG(facts.st_mode)) continue;
      files.push_back({std::string(name), static_cast<uint64_t>(facts.st_size), facts.st_mtim});
    }
  }
  return files;
}

/// Removes files, used longest ago first, until `bytes` more fit under the limit.
void Evict(std::vector<CachedFile> files, int descriptor, const std::string& name, uint64_t bytes,
           uint64_t limit_bytes) {
  uint64_t total = 0;
  // The file of this name will be replaced: it does not count.
  files.erase(std::remove_if(files.begin(), files.end(),
                             [&](const CachedFile& file) { return file.name == name; }),
              files.end());
  for (const CachedFile& file : files) total += file.bytes;
  std::sort(files.begin(), files.end(), [](const CachedFile& a, const CachedFile& b) {
    return a.used.tv_sec != b.used.tv_sec ? a.used.tv_sec < b.used.tv_sec
                                          : a.used.tv_nsec < b.used.tv_nsec;
  });
  for (const CachedFile& file : files) {
    if (total <= limit_bytes - bytes) return;
    // Whoever has it mapped keeps it until done.
    unlinkat(descriptor, file.name.c_str(), 0);
    total -= file.bytes;
  }
}

/// A name no other file has: names of files that are gone may come back.
std::string TemporaryName(const std::string& name) {
  static std::atomic<uint64_t> count{0};
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return name + "." + std::to_string(getpid()) + "-" + std::to_string(count.fetch_add(1)) + "-" +
         std::to_string(now.tv_nsec) + kTemporarySuffix;
}

class TemporaryFile final : public CacheWriter {
 public:
  TemporaryFile(std::string path, std::string name, Descriptor folder)
      : path_(std::move(path)), name_(std::move(name)), folder_(std::move(folder)) {}
  ~TemporaryFile() override {
    if (exists_) unlinkat(folder_.get(), temporary_name_.c_str(), 0);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  /// Makes an empty file under a name of its own, locked.
  Status Create() {
    for (int attempt = 0; attempt < kNameAttempts; ++attempt) {
      temporary_name_ = TemporaryName(name_);
      file_ = Descriptor(openat(folder_.get(), temporary_name_.c_str(),
                                O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
      if (!file_.ok()) {
        if (errno == EEXIST) continue;
        return SystemError(path_, "cannot be written to");
      }
      exists_ = true;
      // Another process may have taken the file for a leftover before the lock was ours.
      struct stat facts {};
      if (flock(file_.get(), LOCK_EX | LOCK_NB) == 0 && fstat(file_.get(), &facts) == 0 &&
          facts.st_nlink > 0) {
        return OkStatus();
      }
      unlinkat(folder_.get(), temporary_name_.c_str(), 0);
      exists_ = false;
    }
    return Error(StatusCode::kIo, "%.300s: no name for a file is free", path_.c_str());
  }

  Status Reserve(uint64_t bytes) {
    // Now, so that a full disk is noticed before the work; and again by Write, where a file system
    // cannot reserve.
    int reason = 0;
    do reason = posix_fallocate(file_.get(), 0, static_cast<off_t>(bytes));
    while (reason == EINTR);
    if (reason == EOPNOTSUPP || reason == EINVAL) {
      reason = ftruncate(file_.get(), static_cast<off_t>(bytes)) == 0 ? 0 : errno;
    }
    if (reason == 0) return OkStatus();
    errno = reason;
    return Error(StatusCode::kIo, "%.300s: no room for %" PRIu64 " bytes: %s", path_.c_str(), bytes,
                 std::strerror(reason));
  }

  Status Write(uint64_t offset, std::span<const uint8_t> bytes) override {
    if (platform::WriteAt(file_.get(), offset, bytes)) return OkStatus();
    return SystemError(path_, "cannot be written");
  }

  Status Publish() override {
    // The data before the name: after a crash there is a whole file or none. The folder itself is
    // not synced, since losing the name costs only another packing.
    if (!platform::Sync(file_.get())) return SystemError(path_, "cannot be synced");
    if (renameat(folder_.get(), temporary_name_.c_str(), folder_.get(), name_.c_str()) != 0) {
      return SystemError(path_, "cannot be renamed");
    }
    exists_ = false;
    return OkStatus();
  }

 private:
  const std::string path_;
  const std::string name_;
  const Descriptor folder_;
  std::string temporary_name_;
  Descriptor file_;
  bool exists_ = false;  // under its temporary name
};

/// Maps an open cache file, in huge pages where the system has them for files.
Result<std::unique_ptr<DataSource>> MapWhole(int descriptor) {
  Result<std::unique_ptr<DataSource>> source = OpenDescriptor(descriptor, 0, 0);
#ifdef MADV_HUGEPAGE
  if (source.ok()) {
    const std::span<const uint8_t> bytes = (*source)->bytes();
    madvise(const_cast<uint8_t*>(bytes.data()), bytes.size(), MADV_HUGEPAGE);  // a hint
  }
#endif
  return source;
}

}  // namespace

Result<std::unique_ptr<DataSource>> OpenCacheFile(const CacheSettings& settings,
                                                  const std::string& name) {
  const std::string path = settings.folder + "/" + name;
  const Descriptor file(open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file.ok()) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return Error(StatusCode::kNotFound, "%.300s: no such file", path.c_str());
    }
    return SystemError(path, "cannot be opened");
  }
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0) return SystemError(path, "cannot be looked at");
  // Whoever may write it could make it say anything.
  if (!S_ISREG(facts.st_mode) || (facts.st_uid != geteuid() && facts.st_uid != 0)) {
    return Error(StatusCode::kMismatch, "%.300s: is not a plain file of this user's", path.c_str());
  }
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Error(StatusCode::kMismatch, "%.300s: others may write it", path.c_str());
  }
  Result<std::unique_ptr<DataSource>> source = MapWhole(file.get());
  if (!source.ok()) return source.status().WithContext(path);
  // The time of its last use, for Evict. On read-only media nothing is evicted either.
  const timespec now[2] = {{0, UTIME_OMIT}, {0, UTIME_NOW}};
  futimens(file.get(), now);
  return source;
}

Result<std::unique_ptr<CacheWriter>> CreateCacheFile(const CacheSettings& settings,
                                                     const std::string& name, uint64_t bytes) {
  if (bytes > settings.limit_bytes) {
    return Error(StatusCode::kUnsupported,
                 "%.300s: %" PRIu64 " packed bytes exceed the cache's limit of %" PRIu64,
                 settings.folder.c_str(), bytes, settings.limit_bytes);
  }
  if (!platform::FitsFileLimit(bytes)) {
    return Error(StatusCode::kIo, "%.300s: no room for %" PRIu64 " bytes: %s",
                 settings.folder.c_str(), bytes, std::strerror(errno));
  }
  GRAFT_RETURN_IF_ERROR(MakeFolder(settings.folder));
  Descriptor folder(open(settings.folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!folder.ok()) return SystemError(settings.folder, "cannot be opened");
  Evict(ListAndSweep(folder.get()), folder.get(), name, bytes, settings.limit_bytes);
  auto writer = std::make_unique<TemporaryFile>(settings.folder, name, std::move(folder));
  GRAFT_RETURN_IF_ERROR(writer->Create());
  GRAFT_RETURN_IF_ERROR(writer->Reserve(bytes));
  return std::unique_ptr<CacheWriter>(std::move(writer));
}

}  // namespace graft::runtime
