// SPDX-License-Identifier: Apache-2.0
#include "platforms/posix/descriptor.h"

#include <sys/resource.h>

#include <algorithm>
#include <cerrno>

namespace graft::platform {
namespace {

constexpr size_t kMostAtOnce = size_t{1} << 30;  // some systems refuse 2 GiB in one call

}  // namespace

bool FitsFileLimit(uint64_t bytes) {
  rlimit most{};
  if (getrlimit(RLIMIT_FSIZE, &most) != 0 || most.rlim_cur == RLIM_INFINITY ||
      bytes <= most.rlim_cur) {
    return true;
  }
  errno = EFBIG;
  return false;
}

bool WriteAt(int descriptor, uint64_t offset, std::span<const uint8_t> bytes) {
  if (!FitsFileLimit(offset + bytes.size())) return false;
  while (!bytes.empty()) {
    const ssize_t count = pwrite(descriptor, bytes.data(), std::min(bytes.size(), kMostAtOnce),
                                 static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    offset += static_cast<uint64_t>(count);
    bytes = bytes.subspan(static_cast<size_t>(count));
  }
  return true;
}

int64_t ReadAt(int descriptor, uint64_t offset, std::span<uint8_t> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count =
        pread(descriptor, bytes.data() + done, std::min(bytes.size() - done, kMostAtOnce),
              static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return -1;
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return static_cast<int64_t>(done);
}

bool Sync(int descriptor) {
  int failed = 0;
  do failed = fsync(descriptor);
  while (failed != 0 && errno == EINTR);
  return failed == 0;
}

}  // namespace graft::platform
