// SPDX-License-Identifier: Apache-2.0
// One loop around pread for short reads, interrupts and files that shrink.
#include "converter/base/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>
#include <system_error>
#include <vector>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "converter/base/cancellation.h"
#include "schema/checked_math.h"

namespace graft::converter {

namespace {

// Copies of the hub's cache that were made where there are no links hold their texts instead:
// "../../blobs/" and a hash. Where such a file leads; empty if it is none.
std::filesystem::path LinkedBlob(const std::filesystem::path& path, const InputFile& file) {
  char text[128];
  const size_t size = static_cast<size_t>(std::min<uint64_t>(file.size_bytes(), sizeof text));
  if (size == sizeof text ||
      !file.ReadAt(0, std::span(reinterpret_cast<uint8_t*>(text), size)).ok()) {
    return {};
  }
  const std::string_view link(text, size);
  std::string_view rest = link;
  while (rest.starts_with("../")) rest.remove_prefix(3);
  if (rest.size() == link.size() || !rest.starts_with("blobs/")) return {};
  rest.remove_prefix(std::string_view("blobs/").size());
  const bool hash = rest.size() >= 40 && rest.find_first_not_of("0123456789abcdef") == rest.npos;
  return hash ? path.parent_path() / link : std::filesystem::path();
}

}  // namespace

Result<std::unique_ptr<InputFile>> InputFile::Open(const std::filesystem::path& path) {
  GRAFT_ASSIGN_OR_RETURN(auto file, OpenPlain(path));
  const std::filesystem::path blob = LinkedBlob(path, *file);
  if (blob.empty()) return file;
  return OpenPlain(blob);
}

Result<std::unique_ptr<InputFile>> InputFile::OpenPlain(const std::filesystem::path& path) {
  const std::string name = path.string();
  // Not blocking: a named pipe is turned away below rather than waited for.
  const int descriptor = open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const StatusCode code = errno == ENOENT ? StatusCode::kNotFound : StatusCode::kIo;
    return Error(code, "%s: cannot be opened: %s", name.c_str(), std::strerror(errno));
  }
  struct stat info = {};
  if (fstat(descriptor, &info) != 0 || !S_ISREG(info.st_mode)) {
    close(descriptor);
    return Error(StatusCode::kIo, "%s: is not a regular file", name.c_str());
  }
  return std::unique_ptr<InputFile>(
      new InputFile(name, descriptor, static_cast<uint64_t>(info.st_size)));
}

InputFile::~InputFile() { close(descriptor_); }

Status InputFile::ReadAt(uint64_t offset, std::span<uint8_t> out) const {
  if (!RangeFits(offset, out.size(), size_bytes_)) {
    return Error(StatusCode::kOutOfRange, "%s: %zu bytes at offset %llu lie beyond its %llu bytes",
                 path_.c_str(), out.size(), static_cast<unsigned long long>(offset),
                 static_cast<unsigned long long>(size_bytes_));
  }
  while (!out.empty()) {
    const ssize_t got = pread(descriptor_, out.data(), out.size(), static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      return Error(StatusCode::kIo, "%s: reading at offset %llu failed: %s", path_.c_str(),
                   static_cast<unsigned long long>(offset), std::strerror(errno));
    }
    if (got == 0) {
      return Error(StatusCode::kIo, "%s: ends at offset %llu, though it had %llu bytes when opened",
                   path_.c_str(), static_cast<unsigned long long>(offset),
                   static_cast<unsigned long long>(size_bytes_));
    }
    offset += static_cast<uint64_t>(got);
    out = out.subspan(static_cast<size_t>(got));
  }
  return OkStatus();
}

Result<schema::Hash128> HashFiles(std::span<const InputFile* const> files,
                                  const std::atomic<bool>* stop) {
  // Still in the cache when it is hashed.
  constexpr uint64_t kChunkBytes = uint64_t{256} << 10;
  std::vector<uint8_t> chunk(kChunkBytes);
  XXH3_state_t state;
  XXH3_128bits_reset(&state);
  for (const InputFile* file : files) {
    for (uint64_t offset = 0; offset < file->size_bytes();) {
      GRAFT_RETURN_IF_ERROR(CheckCancelled());
      if (stop != nullptr && stop->load(std::memory_order_relaxed)) {
        return Status(StatusCode::kCancelled, "nobody waits for the hash any more");
      }
      const uint64_t bytes = std::min(kChunkBytes, file->size_bytes() - offset);
      GRAFT_RETURN_IF_ERROR(file->ReadAt(offset, std::span(chunk).first(bytes)));
      XXH3_128bits_update(&state, chunk.data(), bytes);
      offset += bytes;
    }
  }
  const XXH128_hash_t hash = XXH3_128bits_digest(&state);
  return schema::Hash128{hash.high64, hash.low64};
}

bool Exists(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

}  // namespace graft::converter
