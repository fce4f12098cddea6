// SPDX-License-Identifier: Apache-2.0
// PageMemory: zeroed memory straight from the system, for everything whose size follows a model's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "schema/result.h"

namespace graft::runtime {

/// Bytes of a page of memory.
uint64_t PageBytes();

/// Owns a run of pages. Untouched pages cost nothing. Move-only.
class PageMemory {
 public:
  enum class Pages : uint8_t {
    kDefault,
    kHuge,  ///< a hint, for what is read from end to end
  };

  PageMemory() = default;
  PageMemory(PageMemory&& other) noexcept;
  PageMemory& operator=(PageMemory&& other) noexcept;
  ~PageMemory();

  /// `bytes` zeros, aligned to a page.
  /// Errors   kOutOfMemory, with the size and `purpose`.
  static Result<PageMemory> Allocate(uint64_t bytes, const char* purpose,
                                     Pages pages = Pages::kDefault);

  /// Gives the pages that lie wholly in [offset, offset + bytes) back to the system. They read as
  /// zeros from then on, or as they were if the system does not take them.
  /// Requires a range inside.
  void Discard(size_t offset, size_t bytes) const;

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace graft::runtime
