// SPDX-License-Identifier: Apache-2.0
// PackedSlot: the packed bytes of one weight. Models hold slots one by one, and what nobody holds
// any more is given back, whatever else lies beside it.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "runtime/base/page_memory.h"
#include "runtime/platform/data_source.h"

namespace graft::runtime {

class PackedSlot {
 public:
  /// `bytes` bytes at `offset` of memory, which may be written to.
  PackedSlot(std::shared_ptr<const PageMemory> memory, uint64_t offset, uint64_t bytes)
      : memory_(std::move(memory)), offset_(offset), bytes_(bytes) {}
  /// The same of a file.
  PackedSlot(std::shared_ptr<const DataSource> file, uint64_t offset, uint64_t bytes)
      : file_(std::move(file)), offset_(offset), bytes_(bytes) {}
  ~PackedSlot() {
    if (file_ != nullptr) {
      file_->Release(offset_, bytes_);
    } else {
      memory_->Discard(static_cast<size_t>(offset_), static_cast<size_t>(bytes_));
    }
  }
  PackedSlot(const PackedSlot&) = delete;
  PackedSlot& operator=(const PackedSlot&) = delete;

  const uint8_t* data() const {
    return (file_ != nullptr ? file_->bytes().data() : memory_->data()) + offset_;
  }
  uint64_t bytes() const { return bytes_; }
  bool is_memory() const { return memory_ != nullptr; }
  /// Requires is_memory().
  uint8_t* memory() const { return memory_->data() + offset_; }

 private:
  std::shared_ptr<const PageMemory> memory_;
  std::shared_ptr<const DataSource> file_;
  uint64_t offset_;
  uint64_t bytes_;
};

}  // namespace graft::runtime
