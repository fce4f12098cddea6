// SPDX-License-Identifier: Apache-2.0
// SessionStates: what a session's layers keep beside keys and values, and copies of it at some
// positions. A pass changes states in place, so that going back means taking the last copy before,
// and computing the tokens after it again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/base/page_memory.h"
#include "schema/result.h"

namespace graft::schema::fb {
struct Graph;
}  // namespace graft::schema::fb

namespace graft::runtime {

/// Where the states of a graph lie, one behind the other, and how many copies there is room for.
struct StatesLayout {
  std::vector<uint64_t> offsets;  ///< of each, in bytes
  uint64_t bytes = 0;             ///< of all; 0: the graph has none
  uint64_t copies = 0;

  uint64_t all_bytes() const { return bytes * (1 + copies); }
};

/// Errors   kOutOfMemory: they do not fit the address space.
Result<StatesLayout> LayOutStates(const schema::fb::Graph& graph);

class SessionStates {
 public:
  /// Sets memory aside; states are zeros.
  /// Errors   kOutOfMemory.
  Status Create(const StatesLayout& layout);

  bool empty() const { return bytes_ == 0; }
  std::span<float* const> views() const { return views_; }
  /// All of them, as a saved session holds them.
  std::span<uint8_t> all() const { return {memory_.data(), bytes_}; }

  /// The position that the states are of.
  size_t position() const { return position_; }

  /// Says that a pass begins to change them: until Finish they are of no position.
  void Begin() { position_ = kNowhere; }
  /// Says that they are of `position` now. Keeps a copy if the last one is far back, or if there is
  /// none here and `wanted`.
  void Finish(size_t position, bool wanted);

  /// Keeps a copy here, if there is none.
  void KeepHere();

  /// Makes them those of the last position up to `position` that there is a copy of, unless they
  /// are of that or of a later one already: position() is then where to go on. Forgets the copies
  /// behind it.
  void GoBack(size_t position);
  /// Says that all() was overwritten with the states of `position`.
  void Assign(size_t position);
  /// Says that nobody knows what is in all().
  void Lose() { Begin(), copies_.clear(); }

  /// Gives back the memory of all copies.
  void Trim();

 private:
  static constexpr size_t kNowhere = SIZE_MAX;

  struct Copy {
    size_t position;
    size_t slot;
  };

  uint8_t* SlotData(size_t slot) const { return memory_.data() + bytes_ * (slot + 1); }
  void Keep(size_t position);
  size_t FreeSlot(size_t position);

  PageMemory memory_;  // the states, then the copies
  size_t bytes_ = 0;
  size_t slots_ = 0;
  size_t interval_ = 0;
  std::vector<float*> views_;
  std::vector<Copy> copies_;  // by position, rising
  size_t position_ = 0;
};

}  // namespace graft::runtime
