// SPDX-License-Identifier: Apache-2.0
#include "converter/calibrate/scratch.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <string>

namespace graft::converter {
namespace {

// A file is worth its making where it takes memory that counts.
constexpr size_t kFew = size_t{1} << 20;

int OpenNameless(const std::filesystem::path& folder) {
#ifdef O_TMPFILE
  const int descriptor = open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
#endif
  std::string path = (folder / ".graft-scratch-XXXXXX").string();
  const int named = mkostemp(path.data(), O_CLOEXEC);
  if (named >= 0) unlink(path.c_str());
  return named;
}

}  // namespace

Scratch Scratch::InMemory(size_t count) {
  Scratch scratch;
  scratch.few_.resize(count);
  scratch.numbers_ = scratch.few_;
  return scratch;
}

Result<Scratch> Scratch::Create(const std::filesystem::path& folder, size_t count) {
  if (count <= kFew) return InMemory(count);
  Scratch scratch;
  const std::filesystem::path place = folder.empty() ? std::filesystem::path(".") : folder;
  const int descriptor = OpenNameless(place);
  if (descriptor < 0) {
    return Error(StatusCode::kIo, "%s: no scratch file can be made there: %s", place.c_str(),
                 std::strerror(errno));
  }
  const size_t size_bytes = count * sizeof(float);
  void* mapping = MAP_FAILED;
  // Room is reserved, so that a full disk is an error here and not a signal later.
  const int failure = posix_fallocate(descriptor, 0, static_cast<off_t>(size_bytes));
  if (failure == 0) {
    mapping = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
  }
  const int error = failure != 0 ? failure : errno;
  close(descriptor);
  if (mapping == MAP_FAILED) {
    return Error(StatusCode::kIo, "%s: no room for %zu bytes of scratch: %s", place.c_str(),
                 size_bytes, std::strerror(error));
  }
  scratch.numbers_ = {static_cast<float*>(mapping), count};
  return scratch;
}

void Scratch::Free() {
  if (!numbers_.empty() && few_.empty()) munmap(numbers_.data(), numbers_.size_bytes());
  numbers_ = {};
  few_ = std::vector<float>();  // "= {}" would keep the memory
}

}  // namespace graft::converter
