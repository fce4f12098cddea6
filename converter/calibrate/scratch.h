// SPDX-License-Identifier: Apache-2.0
// Numbers that may be more than memory holds: they lie in a file without a name, which the system
// writes out where it needs the memory, and which is gone when the process is.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <utility>
#include <vector>

#include "schema/result.h"

namespace graft::converter {

class Scratch {
 public:
  /// `count` zeros, in a file in `folder` if they are more than a few.
  /// Errors   kIo: the folder cannot hold it.
  static Result<Scratch> Create(const std::filesystem::path& folder, size_t count);

  /// The same in memory, however many they are.
  static Scratch InMemory(size_t count);

  Scratch() = default;
  ~Scratch() { Free(); }
  Scratch(Scratch&& other) noexcept
      : numbers_(std::exchange(other.numbers_, {})), few_(std::move(other.few_)) {}
  Scratch& operator=(Scratch&& other) noexcept {
    std::swap(numbers_, other.numbers_);
    std::swap(few_, other.few_);
    return *this;
  }

  void Free();
  bool empty() const { return numbers_.empty(); }
  std::span<float> numbers() const { return numbers_; }

 private:
  std::span<float> numbers_;
  std::vector<float> few_;  // where they lie if not in a file
};

}  // namespace graft::converter
