// SPDX-License-Identifier: Apache-2.0
// Files written beside their place and renamed into it, on file systems of POSIX.
#include "runtime/platform/file_stream.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>
#include <utility>

#include "platforms/posix/descriptor.h"

namespace graft::runtime {
namespace {

using platform::Descriptor;

Status SystemError(const std::string& path, const char* what) {
  const int reason = errno;
  const bool is_missing = reason == ENOENT || reason == ENOTDIR;
  return Error(is_missing ? StatusCode::kNotFound : StatusCode::kIo, "%.300s: %s: %s", path.c_str(),
               what, std::strerror(reason));
}

class Writer final : public FileWriter {
 public:
  explicit Writer(const char* path) : path_(path), temporary_(path_ + ".XXXXXX") {
    const size_t slash = path_.rfind('/');
    folder_ = slash == std::string::npos ? "." : path_.substr(0, slash + 1);
  }
  ~Writer() override {
    if (exists_) unlink(temporary_.c_str());
  }
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  Status Create() {
    file_ = Descriptor(mkostemp(temporary_.data(), O_CLOEXEC));  // for this user alone
    if (!file_.ok()) return SystemError(path_, "cannot be written");
    exists_ = true;
    return OkStatus();
  }

  Status Write(std::span<const uint8_t> bytes) override {
    if (!platform::WriteAt(file_.get(), written_, bytes))
      return SystemError(path_, "cannot be written");
    written_ += bytes.size();
    return OkStatus();
  }

  Status Commit() override {
    if (!platform::Sync(file_.get()) || !file_.Close())
      return SystemError(path_, "cannot be written");
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0)
      return SystemError(path_, "cannot be replaced");
    exists_ = false;
    // The name, too, should outlast a loss of power. Not every file system can do that.
    const Descriptor opened(open(folder_.c_str(), O_RDONLY | O_CLOEXEC | O_DIRECTORY));
    if (opened.ok()) platform::Sync(opened.get());
    return OkStatus();
  }

 private:
  const std::string path_;
  std::string temporary_;
  std::string folder_;
  bool exists_ = false;  // under its temporary name
  Descriptor file_;
  uint64_t written_ = 0;
};

class Reader final : public FileReader {
 public:
  Reader(std::string path, Descriptor file) : path_(std::move(path)), file_(std::move(file)) {}

  Status Measure() {
    struct stat facts {};
    if (fstat(file_.get(), &facts) != 0) return SystemError(path_, "cannot be looked at");
    if (!S_ISREG(facts.st_mode))
      return Error(StatusCode::kIo, "%.300s: is not a plain file", path_.c_str());
    size_ = static_cast<uint64_t>(facts.st_size);
    return OkStatus();
  }

  uint64_t size() const override { return size_; }

  Status Read(uint64_t offset, std::span<uint8_t> bytes) override {
    const int64_t count = platform::ReadAt(file_.get(), offset, bytes);
    if (count < 0) return SystemError(path_, "cannot be read");
    if (static_cast<uint64_t>(count) == bytes.size()) return OkStatus();
    return Error(StatusCode::kIo, "%.300s: ends after %" PRIu64 " bytes", path_.c_str(),
                 offset + static_cast<uint64_t>(count));
  }

 private:
  const std::string path_;
  const Descriptor file_;
  uint64_t size_ = 0;
};

}  // namespace

Result<std::unique_ptr<FileWriter>> CreateFileAt(const char* path) {
  struct stat facts {};
  if (stat(path, &facts) == 0 && !S_ISREG(facts.st_mode))
    return Error(StatusCode::kIo, "%.300s: is not a plain file", path);
  auto writer = std::make_unique<Writer>(path);
  GRAFT_RETURN_IF_ERROR(writer->Create());
  return std::unique_ptr<FileWriter>(std::move(writer));
}

Result<std::unique_ptr<FileReader>> OpenFileAt(const char* path) {
  // Not blocking: a named pipe is turned away below rather than waited for.
  Descriptor file(open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!file.ok()) return SystemError(path, "cannot be opened");
  std::unique_ptr<Reader> reader(new (std::nothrow) Reader(path, std::move(file)));
  if (reader == nullptr) return Status(StatusCode::kOutOfMemory, "no memory for a file's record");
  GRAFT_RETURN_IF_ERROR(reader->Measure());
  return std::unique_ptr<FileReader>(std::move(reader));
}

}  // namespace graft::runtime
