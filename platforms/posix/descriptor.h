// SPDX-License-Identifier: Apache-2.0
// Open files of POSIX: who closes them, and reads and writes that are whole.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <span>
#include <utility>

namespace graft::platform {

/// Closes a descriptor. A negative one is none.
class Descriptor {
 public:
  explicit Descriptor(int descriptor = -1) : descriptor_(descriptor) {}
  Descriptor(Descriptor&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~Descriptor() {
    if (ok()) close(descriptor_);
  }

  int get() const { return descriptor_; }
  bool ok() const { return descriptor_ >= 0; }
  /// Closes it now. False: it failed, and errno says why.
  bool Close() { return close(std::exchange(descriptor_, -1)) == 0; }

 private:
  int descriptor_;
};

/// Whether a file may become `bytes` long. False: errno is EFBIG. Writing beyond the limit would
/// end the process with a signal, which a library must not catch.
bool FitsFileLimit(uint64_t bytes);

/// Writes all of `bytes` at `offset`. False: it failed, and errno says why.
bool WriteAt(int descriptor, uint64_t offset, std::span<const uint8_t> bytes);

/// Fills `bytes` from `offset` on.
/// Returns  how many bytes there were, fewer only where the file ends;
///          -1: it failed, and errno says why.
int64_t ReadAt(int descriptor, uint64_t offset, std::span<uint8_t> bytes);

/// Waits until what was written is on the disk. False: it failed, and errno says why.
bool Sync(int descriptor);

}  // namespace graft::platform
