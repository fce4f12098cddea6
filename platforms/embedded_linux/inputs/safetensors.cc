// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/inputs/safetensors.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <utility>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

static_assert(std::endian::native == std::endian::little, "the file format's order of bytes");

constexpr uint64_t kMaxHeaderBytes = uint64_t{16} << 20;
// A tensor that is read whole; prompts and inputs of layers are far smaller.
constexpr uint64_t kMaxInputBytes = uint64_t{1} << 31;

bool ReadAt(int descriptor, uint64_t offset, void* to, uint64_t bytes) {
  auto* at = static_cast<char*>(to);
  while (bytes > 0) {
    const ssize_t count = pread(descriptor, at, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count == 0) errno = EIO;  // the file became shorter
    if (count <= 0) return false;
    at += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return true;
}

bool WriteAt(int descriptor, uint64_t offset, const void* from, uint64_t bytes) {
  const auto* at = static_cast<const char*>(from);
  while (bytes > 0) {
    const ssize_t count = pwrite(descriptor, at, bytes, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    at += count;
    offset += static_cast<uint64_t>(count);
    bytes -= static_cast<uint64_t>(count);
  }
  return true;
}

bool FailFile(const std::string& file, std::string_view message) {
  Fail(file, message);
  return false;
}

}  // namespace

SafetensorsReader::~SafetensorsReader() {
  if (descriptor_ >= 0) close(descriptor_);
}

bool SafetensorsReader::Open(const std::string& file) {
  file_ = file;
  descriptor_ = open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat facts {};
  if (descriptor_ < 0 || fstat(descriptor_, &facts) != 0) {
    return FailFile(file_, std::strerror(errno));
  }
  if (!S_ISREG(facts.st_mode)) return FailFile(file_, "is not a file");
  const auto file_bytes = static_cast<uint64_t>(facts.st_size);
  uint64_t header_bytes = 0;
  if (file_bytes < sizeof(header_bytes)) {
    return FailFile(file_, Format("is no safetensors file: it has %" PRIu64 " bytes", file_bytes));
  }
  if (!ReadAt(descriptor_, 0, &header_bytes, sizeof(header_bytes))) {
    return FailFile(file_, std::strerror(errno));
  }
  if (header_bytes > file_bytes - sizeof(header_bytes) || header_bytes > kMaxHeaderBytes) {
    return FailFile(
        file_, Format("is no safetensors file: a header of %" PRIu64 " bytes in a file of %" PRIu64,
                      header_bytes, file_bytes));
  }
  data_start_ = sizeof(header_bytes) + header_bytes;
  std::string json(header_bytes, '\0');
  if (!ReadAt(descriptor_, sizeof(header_bytes), json.data(), header_bytes)) {
    return FailFile(file_, std::strerror(errno));
  }
  const std::string problem = ParseSafetensorsHeader(json, file_bytes - data_start_, &tensors_);
  return problem.empty() || FailFile(file_, problem);
}

const TensorEntry* SafetensorsReader::Find(const std::string& name) const {
  for (const TensorEntry& entry : tensors_) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

bool SafetensorsReader::ReadBytes(const TensorEntry& entry, void* to) const {
  if (ReadAt(descriptor_, data_start_ + entry.begin, to, entry.end - entry.begin)) return true;
  return FailFile(file_, std::strerror(errno));
}

bool SafetensorsReader::ReadIntegers(const TensorEntry& entry, std::vector<int32_t>* values) const {
  const uint64_t bytes = entry.end - entry.begin;
  if (bytes > kMaxInputBytes) return FailFile(file_, "tensor " + entry.name + " is too large");
  if (entry.dtype == "I32") {
    values->resize(bytes / 4);
    return ReadBytes(entry, values->data());
  }
  if (entry.dtype != "I64") {
    return FailFile(file_, "tensor " + entry.name + " is " + entry.dtype + ", not I64 or I32");
  }
  std::vector<int64_t> wide(bytes / 8);
  if (!ReadBytes(entry, wide.data())) return false;
  values->clear();
  values->reserve(wide.size());
  for (const int64_t value : wide) {
    if (value < INT32_MIN || value > INT32_MAX) {
      return FailFile(file_, Format("tensor %s holds %" PRId64 ", which does not fit in 32 bits",
                                    entry.name.c_str(), value));
    }
    values->push_back(static_cast<int32_t>(value));
  }
  return true;
}

bool SafetensorsReader::ReadReals(const TensorEntry& entry, std::vector<float>* values) const {
  const uint64_t bytes = entry.end - entry.begin;
  if (bytes > kMaxInputBytes) return FailFile(file_, "tensor " + entry.name + " is too large");
  if (entry.dtype != "F32") {
    return FailFile(file_, "tensor " + entry.name + " is " + entry.dtype + ", not F32");
  }
  values->resize(bytes / 4);
  return ReadBytes(entry, values->data());
}

SafetensorsWriter::~SafetensorsWriter() {
  if (descriptor_ < 0) return;
  close(descriptor_);
  unlink(temporary_.c_str());
}

bool SafetensorsWriter::FailSystem() { return FailFile(file_, std::strerror(errno)); }

bool SafetensorsWriter::Open(const std::string& file, std::vector<TensorEntry> tensors) {
  file_ = file;
  tensors_ = std::move(tensors);
  uint64_t at = 0;
  for (TensorEntry& entry : tensors_) {
    uint64_t bytes = ElementBytes(entry.dtype);
    for (const int64_t size : entry.shape) {
      if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
        return FailFile(file_, "output " + entry.name + " is too large");
      }
    }
    entry.begin = at;
    entry.end = at += bytes;
  }
  struct stat facts {};
  if (stat(file.c_str(), &facts) == 0 && !S_ISREG(facts.st_mode))
    return FailFile(file_, "is not a plain file");
  temporary_ = file + Format(".%ld.tmp", static_cast<long>(getpid()));
  descriptor_ = open(temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (descriptor_ < 0) return FailSystem();
  const std::string json = MakeSafetensorsHeader(tensors_);
  const uint64_t header_bytes = json.size();
  data_start_ = sizeof(header_bytes) + header_bytes;
  return (WriteAt(descriptor_, 0, &header_bytes, sizeof(header_bytes)) &&
          WriteAt(descriptor_, sizeof(header_bytes), json.data(), json.size())) ||
         FailSystem();
}

bool SafetensorsWriter::Write(size_t index, uint64_t offset, const void* data, uint64_t bytes) {
  const TensorEntry& entry = tensors_[index];
  return WriteAt(descriptor_, data_start_ + entry.begin + offset, data, bytes) || FailSystem();
}

bool SafetensorsWriter::Commit() {
  const bool is_stored = fsync(descriptor_) == 0;
  const bool is_closed = close(std::exchange(descriptor_, -1)) == 0;
  if (is_stored && is_closed && std::rename(temporary_.c_str(), file_.c_str()) == 0) return true;
  FailSystem();
  unlink(temporary_.c_str());
  return false;
}

}  // namespace graft_run
