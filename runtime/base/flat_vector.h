// SPDX-License-Identifier: Apache-2.0
// FlatVector: a vector of values that are plain bytes. Unlike std::vector's, its code is there once for
// all types: what a phone downloads is less.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace graft::runtime {

struct NumberPair {
  uint32_t first;
  uint32_t second;
};

/// What FlatVectors of all types share. Sizes are in elements, of `width` bytes each.
class FlatStorage {
 public:
  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  void clear() { size_ = 0; }
  void pop_back() { --size_; }

 protected:
  FlatStorage() = default;
  FlatStorage(FlatStorage&& other) noexcept { Swap(other); }
  FlatStorage(const FlatStorage&) = delete;
  FlatStorage& operator=(const FlatStorage&) = delete;
  ~FlatStorage() { ::operator delete(data_); }

  void Swap(FlatStorage& other) noexcept;
  /// Makes room for `count` more. Errors   std::bad_alloc.
  void Grow(size_t count, size_t width);
  /// Adds `count` elements, copied from `from`, or zeroed if that is null. It may be of these.
  void Add(const void* from, size_t count, size_t width);
  void Resize(size_t count, size_t width);  ///< what is new is zeroed

  void PushNumber(uint32_t number);
  /// As Grow, but leaves the old memory to the caller, if other was needed.
  void* Enlarge(size_t count, size_t width);

  void* data_ = nullptr;
  size_t size_ = 0;
  size_t capacity_ = 0;
};

/// Named as std::vector names what it does. Elements that resize makes are zeroed.
template <typename T>
class FlatVector : public FlatStorage {
  static_assert(std::is_trivially_copyable_v<T> && alignof(T) <= alignof(std::max_align_t));

 public:
  using value_type = T;

  FlatVector() = default;
  FlatVector(FlatVector&& other) noexcept = default;
  FlatVector(const FlatVector& other) : FlatStorage() { Add(other.data_, other.size_, sizeof(T)); }
  FlatVector(std::initializer_list<T> values) { Add(values.begin(), values.size(), sizeof(T)); }
  explicit FlatVector(std::span<const T> values) { Append(values); }
  explicit FlatVector(size_t count) { resize(count); }
  FlatVector& operator=(FlatVector other) noexcept {
    Swap(other);
    return *this;
  }
  ~FlatVector() = default;

  T* data() { return static_cast<T*>(data_); }
  const T* data() const { return static_cast<const T*>(data_); }
  T* begin() { return data(); }
  T* end() { return data() + size_; }
  const T* begin() const { return data(); }
  const T* end() const { return data() + size_; }
  T& operator[](size_t i) { return data()[i]; }
  const T& operator[](size_t i) const { return data()[i]; }
  T& front() { return data()[0]; }
  const T& front() const { return data()[0]; }
  T& back() { return data()[size_ - 1]; }
  const T& back() const { return data()[size_ - 1]; }

  void push_back(T value) {
    if constexpr (std::is_same_v<T, uint32_t>) {
      PushNumber(value);
    } else {
      // NOLINTNEXTLINE(bugprone-sizeof-expression): also of pointers
      if (size_ == capacity_) Grow(1, sizeof(T));
      data()[size_++] = value;
    }
  }
  /// Adds the elements whose bytes these are.
  void AppendBytes(std::string_view bytes) {
    Add(bytes.data(), bytes.size() / sizeof(T), sizeof(T));
  }
  void Append(std::span<const T> values) { Add(values.data(), values.size(), sizeof(T)); }
  void resize(size_t count) { Resize(count, sizeof(T)); }
  void assign(size_t count, T value) {
    clear();
    Resize(count, sizeof(T));
    std::fill_n(data(), count, value);
  }
  /// Puts `value` before the element at `index`.
  void Insert(size_t index, T value) {
    push_back(value);
    for (size_t i = size_ - 1; i > index; --i) data()[i] = data()[i - 1];
    data()[index] = value;
  }
  void swap(FlatVector& other) noexcept { Swap(other); }
  bool operator==(const FlatVector& other) const {
    return std::equal(begin(), end(), other.begin(), other.end());
  }
};

/// Takes the elements out of which `is_out` is true.
template <typename T, typename Condition>
void EraseIf(FlatVector<T>* values, Condition is_out) {
  values->resize(static_cast<size_t>(std::remove_if(values->begin(), values->end(), is_out) -
                                     values->begin()));
}

}  // namespace graft::runtime
