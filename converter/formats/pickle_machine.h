// SPDX-License-Identifier: Apache-2.0
// PickleMachine: runs the instructions of one pickle on its own stack of values; calling the four
// allowed globals is the only thing it can do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/formats/pickle.h"
#include "converter/formats/pickle_values.h"

namespace graft::converter {

/// What a refused file's owner can do.
inline constexpr const char* kPickleAdvice =
    "graft executes nothing and reads tensors only; if you trust the file, load it in Python and "
    "save its state_dict with safetensors.torch.save_file";

class PickleMachine {
 public:
  /// `pickle` must outlive the machine, whose strings point into it.
  PickleMachine(std::span<const uint8_t> pickle, const std::string& context,
                const PickleLimits& limits)
      : pickle_(pickle), context_(context), limits_(limits), values_(limits.max_values) {}

  /// Runs to STOP, which must be the last byte, and returns the one value that is left.
  /// Errors   as ReadPickledTensors.
  Result<PickleId> Run();

  const PickleValues& values() const { return values_; }

 private:
  // One instruction, or a family of them that differ in their operand only.
  Status Step(PickleOpcode opcode);
  Status Mark();
  Status Literal(PickleOpcode opcode);
  Status Integer(PickleOpcode opcode);
  Status String(PickleOpcode opcode);
  Status Get(PickleOpcode opcode);
  Status Put(PickleOpcode opcode);
  Status Tuple(PickleOpcode opcode);
  Status SetItem();
  Status SetItems();
  Status Global();
  Status StackGlobal();
  Status Persistent();
  Status Reduce();
  Status Build();
  Status Frame();
  Status RebuildTensor(std::span<const PickleId> arguments);
  Status RebuildParameter(std::span<const PickleId> arguments);

  Result<std::span<const uint8_t>> Take(uint64_t bytes);
  Result<std::string_view> TakeLine();
  Status Push(PickleId id);
  Status PushNew(const PickleValue& value);
  Result<PickleId> Pop();
  /// Takes the last mark and gives the place it stood at.
  Result<size_t> PopMark();
  Status PushGlobal(std::string_view module, std::string_view name);
  Status CheckRoom(size_t count) const;
  Status AddItems(PickleId dict, std::span<const PickleId> keys_and_values);

  bool Is(PickleId id, PickleKind kind) const { return values_.at(id).kind == kind; }
  /// A tuple of integers, no more of them than a tensor may have dimensions.
  bool IsDimensions(PickleId tuple) const;
  bool IsEmptyDict(PickleId id) const;
  // What stands on the stack above the last mark.
  size_t Available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  Status Fail(StatusCode code, const std::string& what) const;
  Status Corrupt(const std::string& what) const { return Fail(StatusCode::kCorrupt, what); }

  std::span<const uint8_t> pickle_;
  const std::string& context_;
  PickleLimits limits_;
  size_t position_ = 0;
  size_t instruction_ = 0;  // where the current one began
  PickleValues values_;
  std::vector<PickleId> stack_;
  std::vector<size_t> marks_;
  std::vector<PickleId> memo_;
};

}  // namespace graft::converter
