// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/flat_vector.h"

#include <cstring>
#include <new>

namespace graft::runtime {

void FlatStorage::Swap(FlatStorage& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(capacity_, other.capacity_);
}

void FlatStorage::Grow(size_t count, size_t width) { ::operator delete(Enlarge(count, width)); }

void* FlatStorage::Enlarge(size_t count, size_t width) {
  const size_t most = PTRDIFF_MAX / width;
  if (count > most - size_) throw std::bad_alloc();
  const size_t needed = size_ + count;
  if (needed <= capacity_) return nullptr;
  const size_t capacity = std::max(needed, std::min(capacity_ * 2, most));
  void* const data = ::operator new(capacity* width);
  if (size_ != 0) std::memcpy(data, data_, size_ * width);
  capacity_ = capacity;
  return std::exchange(data_, data);
}

void FlatStorage::PushNumber(uint32_t number) {
  if (size_ == capacity_) Grow(1, sizeof number);
  static_cast<uint32_t*>(data_)[size_++] = number;
}

void FlatStorage::Add(const void* from, size_t count, size_t width) {
  if (count == 0) return;
  void* const old = Enlarge(count, width);  // what is copied may be of these
  void* const to = static_cast<char*>(data_) + size_ * width;
  if (from == nullptr) {
    std::memset(to, 0, count * width);
  } else {
    std::memcpy(to, from, count * width);
  }
  size_ += count;
  ::operator delete(old);
}

void FlatStorage::Resize(size_t count, size_t width) {
  if (count > size_) Add(nullptr, count - size_, width);
  size_ = count;
}

}  // namespace graft::runtime
