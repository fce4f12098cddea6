// SPDX-License-Identifier: Apache-2.0
// Files written beside their place and renamed into it, on file systems of POSIX.
#include "runtime/platform/file_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

namespace graft::runtime {
namespace {

constexpr size_t kMostAtOnce = size_t{1} << 30;  // some systems refuse 2 GiB in one call

Status SystemError(const std::string& path, const char* what) {
  const int reason = errno;
  const bool is_missing = reason == ENOENT || reason == ENOTDIR;
  return Error(is_missing ? StatusCode::kNotFound : StatusCode::kIo, "%.300s: %s: %s", path.c_str(),
               what, std::strerror(reason));
}

class Writer final : public FileWriter {
 public:
  Writer(std::string path, std::string temporary, int descriptor)
      : path_(std::move(path)), temporary_(std::move(temporary)), descriptor_(descriptor) {}
  ~Writer() override {
    if (descriptor_ >= 0) close(descriptor_);
    if (!temporary_.empty()) unlink(temporary_.c_str());
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Status Write(std::span<const uint8_t> bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = write(descriptor_, bytes.data(), std::min(bytes.size(), kMostAtOnce));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return SystemError(path_, "cannot be written");
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return OkStatus();
  }

  Status Commit() override {
    if (fsync(descriptor_) != 0) return SystemError(path_, "cannot be written");
    if (close(std::exchange(descriptor_, -1)) != 0) return SystemError(path_, "cannot be written");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
      return SystemError(path_, "cannot be replaced");
    temporary_.clear();
    // The name, too, should outlast a loss of power. Not every file system can do that.
    const size_t slash = path_.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
    const int descriptor = open(folder.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY);
    if (descriptor >= 0) {
      fsync(descriptor);
      close(descriptor);
    }
    return OkStatus();
  }

 private:
  const std::string path_;
  std::string temporary_;
  int descriptor_;
};

class Reader final : public FileReader {
 public:
  Reader(std::string path, int descriptor) : path_(std::move(path)), descriptor_(descriptor) {}
  ~Reader() override { close(descriptor_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  Status Measure() {
    struct stat facts {};
    if (fstat(descriptor_, &facts) != 0) return SystemError(path_, "cannot be looked at");
    if (!S_ISREG(facts.st_mode))
      return Error(StatusCode::kIo, "%.300s: is not a plain file", path_.c_str());
    size_ = static_cast<uint64_t>(facts.st_size);
    return OkStatus();
  }

  uint64_t size() const override { return size_; }

  Status Read(uint64_t offset, std::span<uint8_t> bytes) override {
    while (!bytes.empty()) {
      const ssize_t count = pread(descriptor_, bytes.data(), std::min(bytes.size(), kMostAtOnce),
                                  static_cast<off_t>(offset));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return SystemError(path_, "cannot be read");
      if (count == 0) {
        return Error(StatusCode::kIo, "%.300s: ends after %" PRIu64 " bytes", path_.c_str(),
                     offset);
      }
      offset += static_cast<uint64_t>(count);
      bytes = bytes.subspan(static_cast<size_t>(count));
    }
    return OkStatus();
  }

 private:
  const std::string path_;
  const int descriptor_;
  uint64_t size_ = 0;
};

}  // namespace

Result<std::unique_ptr<FileWriter>> CreateFileAt(const char* path) {
  std::string temporary = std::string(path) + ".XXXXXX";
  const int descriptor = mkostemp(temporary.data(), O_CLOEXEC);  // for this user alone
  if (descriptor < 0) return SystemError(path, "cannot be written");
  std::unique_ptr<FileWriter> writer(new (std::nothrow) Writer(path, temporary, descriptor));
  if (writer == nullptr) {
    close(descriptor);
    unlink(temporary.c_str());
    return Status(StatusCode::kOutOfMemory, "no memory for a file's record");
  }
  return writer;
}

Result<std::unique_ptr<FileReader>> OpenFileAt(const char* path) {
  // Not blocking: a named pipe is turned away below rather than waited for.
  const int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) return SystemError(path, "cannot be opened");
  std::unique_ptr<Reader> reader(new (std::nothrow) Reader(path, descriptor));
  if (reader == nullptr) {
    close(descriptor);
    return Status(StatusCode::kOutOfMemory, "no memory for a file's record");
  }
  GRAFT_RETURN_IF_ERROR(reader->Measure());
  return std::unique_ptr<FileReader>(std::move(reader));
}

}  // namespace graft::runtime
