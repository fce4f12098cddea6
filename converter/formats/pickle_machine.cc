// SPDX-License-Identifier: Apache-2.0
// Every instruction checks the stack, the limits and the types it needs before it changes anything.
#include "converter/formats/pickle_machine.h"

#include <algorithm>
#include <limits>

#include "converter/base/little_endian.h"

namespace graft::converter {
namespace {

constexpr uint8_t kOldestProtocol = 2;
constexpr uint8_t kNewestProtocol = 5;
constexpr size_t kMaxGlobalBytes = 256;
constexpr PickleId kNoMemo = std::numeric_limits<PickleId>::max();

}  // namespace

Status PickleMachine::Fail(StatusCode code, const std::string& what) const {
  return Error(code, "%s: pickle, byte %zu: %s", context_.c_str(), instruction_, what.c_str());
}

Result<PickleId> PickleMachine::Run() {
  if (pickle_.size() > limits_.max_bytes) {
    return Corrupt("has " + std::to_string(pickle_.size()) + " bytes; the limit is " +
                   std::to_string(limits_.max_bytes));
  }
  auto header = Take(2);
  if (!header.ok() || (*header)[0] != static_cast<uint8_t>(PickleOpcode::kProto)) {
    return Corrupt("does not begin with its protocol, as protocols 2 to 5 do");
  }
  if (const uint8_t protocol = (*header)[1];
      protocol < kOldestProtocol || protocol > kNewestProtocol) {
    return Fail(StatusCode::kUnsupported,
                "is of protocol " + std::to_string(protocol) + "; graft reads 2 to 5");
  }
  while (true) {
    instruction_ = position_;
    GRAFT_ASSIGN_OR_RETURN(const auto opcode, Take(1));
    if (opcode[0] == static_cast<uint8_t>(PickleOpcode::kStop)) break;
    GRAFT_RETURN_IF_ERROR(Step(static_cast<PickleOpcode>(opcode[0])));
  }
  if (stack_.size() != 1 || !marks_.empty()) {
    return Corrupt("STOP leaves " + std::to_string(stack_.size()) + " values and " +
                   std::to_string(marks_.size()) + " marks instead of one value");
  }
  if (position_ != pickle_.size()) {
    return Corrupt(std::to_string(pickle_.size() - position_) + " bytes follow STOP");
  }
  return stack_[0];
}

Status PickleMachine::Step(PickleOpcode opcode) {
  switch (opcode) {
    case PickleOpcode::kMark:
      return Mark();
    case PickleOpcode::kPop:
      return Pop().status();
    case PickleOpcode::kNone:
    case PickleOpcode::kNewTrue:
    case PickleOpcode::kNewFalse:
    case PickleOpcode::kBinFloat:
      return Literal(opcode);
    case PickleOpcode::kBinInt:
    case PickleOpcode::kBinInt1:
    case PickleOpcode::kBinInt2:
    case PickleOpcode::kLong1:
      return Integer(opcode);
    case PickleOpcode::kBinUnicode:
    case PickleOpcode::kShortBinUnicode:
      return String(opcode);
    case PickleOpcode::kBinGet:
    case PickleOpcode::kLongBinGet:
      return Get(opcode);
    case PickleOpcode::kBinPut:
    case PickleOpcode::kLongBinPut:
    case PickleOpcode::kMemoize:
      return Put(opcode);
    case PickleOpcode::kEmptyTuple:
    case PickleOpcode::kTuple1:
    case PickleOpcode::kTuple2:
    case PickleOpcode::kTuple3:
    case PickleOpcode::kTuple:
      return Tuple(opcode);
    case PickleOpcode::kEmptyDict:
      GRAFT_RETURN_IF_ERROR(CheckRoom(1));
      return Push(values_.AddDict(false));
    case PickleOpcode::kSetItem:
      return SetItem();
    case PickleOpcode::kSetItems:
      return SetItems();
    case PickleOpcode::kGlobal:
      return Global();
    case PickleOpcode::kStackGlobal:
      return StackGlobal();
    case PickleOpcode::kBinPersId:
      return Persistent();
    case PickleOpcode::kReduce:
      return Reduce();
    case PickleOpcode::kBuild:
      return Build();
    case PickleOpcode::kFrame:
      return Frame();
    case PickleOpcode::kProto:
    case PickleOpcode::kStop:
      break;
  }
  return Fail(StatusCode::kUnsupported, "the instruction " +
                                            PickleOpcodeName(static_cast<uint8_t>(opcode)) +
                                            " makes more than a dict of tensors; " + kPickleAdvice);
}

Status PickleMachine::Mark() {
  if (marks_.size() >= limits_.max_marks) {
    return Corrupt("nests deeper than " + std::to_string(limits_.max_marks));
  }
  marks_.push_back(stack_.size());
  return OkStatus();
}

Status PickleMachine::Literal(PickleOpcode opcode) {
  if (opcode == PickleOpcode::kBinFloat) {
    GRAFT_RETURN_IF_ERROR(Take(8).status());
    return PushNew({.kind = PickleKind::kFloat});
  }
  if (opcode == PickleOpcode::kNone) return PushNew({.kind = PickleKind::kNone});
  return PushNew({.kind = PickleKind::kBool, .number = opcode == PickleOpcode::kNewTrue ? 1 : 0});
}

Result<std::span<const uint8_t>> PickleMachine::Take(uint64_t bytes) {
  const size_t left = pickle_.size() - position_;
  if (bytes > left) {
    return Corrupt("wants " + std::to_string(bytes) + " bytes, of which " + std::to_string(left) +
                   " are there");
  }
  const std::span<const uint8_t> taken = pickle_.subspan(position_, bytes);
  position_ += bytes;
  return taken;
}

Result<std::string_view> PickleMachine::TakeLine() {
  const auto rest = pickle_.subspan(position_);
  const auto window = rest.first(std::min(rest.size(), kMaxGlobalBytes + 1));
  const auto end = std::find(window.begin(), window.end(), static_cast<uint8_t>('\n'));
  if (end == window.end()) {
    return Corrupt("names a global in more than " + std::to_string(kMaxGlobalBytes) +
                   " bytes, or is cut short in it");
  }
  const size_t bytes = static_cast<size_t>(end - window.begin());
  position_ += bytes + 1;
  return std::string_view(reinterpret_cast<const char*>(window.data()), bytes);
}

Status PickleMachine::CheckRoom(size_t count) const {
  if (values_.HasRoom(count)) return OkStatus();
  return Corrupt("makes more than " + std::to_string(limits_.max_values) + " values");
}

Status PickleMachine::Push(PickleId id) {
  if (stack_.size() >= limits_.max_stack) {
    return Corrupt("puts more than " + std::to_string(limits_.max_stack) + " values on the stack");
  }
  stack_.push_back(id);
  return OkStatus();
}

Status PickleMachine::PushNew(const PickleValue& value) {
  GRAFT_RETURN_IF_ERROR(CheckRoom(1));
  return Push(values_.Add(value));
}

Result<PickleId> PickleMachine::Pop() {
  if (Available() == 0) return Corrupt("takes a value where the stack has none");
  const PickleId id = stack_.back();
  stack_.pop_back();
  return id;
}

Result<size_t> PickleMachine::PopMark() {
  if (marks_.empty()) return Corrupt("refers to a mark where there is none");
  const size_t mark = marks_.back();
  marks_.pop_back();
  return mark;
}

Status PickleMachine::Integer(PickleOpcode opcode) {
  int64_t number = 0;
  if (opcode == PickleOpcode::kBinInt) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(4));
    number = static_cast<int32_t>(LoadLittleEndian<uint32_t>(bytes.data()));
  } else if (opcode == PickleOpcode::kBinInt1) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(1));
    number = bytes[0];
  } else if (opcode == PickleOpcode::kBinInt2) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(2));
    number = LoadLittleEndian<uint16_t>(bytes.data());
  } else {
    GRAFT_ASSIGN_OR_RETURN(const auto length, Take(1));
    if (length[0] > 8) {
      return Corrupt("an integer of " + std::to_string(length[0]) + " bytes; 8 are allowed");
    }
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(length[0]));
    // Two's complement of that many bytes.
    uint64_t value = !bytes.empty() && bytes.back() >= 0x80 ? ~uint64_t{0} : 0;
    for (size_t i = bytes.size(); i-- > 0;) value = value << 8 | bytes[i];
    number = static_cast<int64_t>(value);
  }
  return PushNew({.kind = PickleKind::kInt, .number = number});
}

Status PickleMachine::String(PickleOpcode opcode) {
  uint64_t length = 0;
  if (opcode == PickleOpcode::kShortBinUnicode) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(1));
    length = bytes[0];
  } else {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(4));
    length = LoadLittleEndian<uint32_t>(bytes.data());
  }
  if (length > limits_.max_string_bytes) {
    return Corrupt("a string of " + std::to_string(length) + " bytes; the limit is " +
                   std::to_string(limits_.max_string_bytes));
  }
  GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(length));
  return PushNew(
      {.kind = PickleKind::kString,
       .text = std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size())});
}

Status PickleMachine::Get(PickleOpcode opcode) {
  uint32_t index = 0;
  if (opcode == PickleOpcode::kBinGet) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(1));
    index = bytes[0];
  } else {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(4));
    index = LoadLittleEndian<uint32_t>(bytes.data());
  }
  if (index >= memo_.size() || memo_[index] == kNoMemo) {
    return Corrupt("refers to memo place " + std::to_string(index) + ", which is empty");
  }
  return Push(memo_[index]);
}

Status PickleMachine::Put(PickleOpcode opcode) {
  size_t index = memo_.size();
  if (opcode == PickleOpcode::kBinPut) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(1));
    index = bytes[0];
  } else if (opcode == PickleOpcode::kLongBinPut) {
    GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(4));
    index = LoadLittleEndian<uint32_t>(bytes.data());
  }
  if (index >= limits_.max_values) {
    return Corrupt("memo place " + std::to_string(index) + "; the limit is " +
                   std::to_string(limits_.max_values));
  }
  if (Available() == 0) return Corrupt("remembers a value where the stack has none");
  if (index >= memo_.size()) memo_.resize(index + 1, kNoMemo);
  memo_[index] = stack_.back();
  return OkStatus();
}

Status PickleMachine::Tuple(PickleOpcode opcode) {
  size_t count = 0;
  if (opcode == PickleOpcode::kTuple) {
    GRAFT_ASSIGN_OR_RETURN(const size_t mark, PopMark());
    count = stack_.size() - mark;
  } else if (opcode != PickleOpcode::kEmptyTuple) {
    count = static_cast<size_t>(opcode) - static_cast<size_t>(PickleOpcode::kTuple1) + 1;
  }
  if (Available() < count) {
    return Corrupt("a tuple of " + std::to_string(count) + " where the stack has fewer values");
  }
  GRAFT_RETURN_IF_ERROR(CheckRoom(count + 1));
  const PickleId tuple = values_.AddTuple(std::span(stack_).last(count));
  stack_.resize(stack_.size() - count);
  return Push(tuple);
}

Status PickleMachine::AddItems(PickleId dict, std::span<const PickleId> keys_and_values) {
  if (!Is(dict, PickleKind::kDict)) {
    return Corrupt(std::string("sets items of ") + PickleKindName(values_.at(dict).kind) +
                   ", not of a dict");
  }
  GRAFT_RETURN_IF_ERROR(CheckRoom(keys_and_values.size() / 2));
  for (size_t i = 0; i < keys_and_values.size(); i += 2) {
    if (!Is(keys_and_values[i], PickleKind::kString)) {
      return Fail(StatusCode::kUnsupported,
                  std::string("a dict has ") + PickleKindName(values_.at(keys_and_values[i]).kind) +
                      " as a key where a name should be; " + kPickleAdvice);
    }
    values_.AddItem(dict, keys_and_values[i], keys_and_values[i + 1]);
  }
  return OkStatus();
}

Status PickleMachine::SetItem() {
  if (Available() < 3) return Corrupt("sets an item where the stack has too few values");
  const std::span<const PickleId> top = std::span(stack_).last(3);
  GRAFT_RETURN_IF_ERROR(AddItems(top[0], top.subspan(1)));
  stack_.resize(stack_.size() - 2);
  return OkStatus();
}

Status PickleMachine::SetItems() {
  GRAFT_ASSIGN_OR_RETURN(const size_t mark, PopMark());
  const size_t count = stack_.size() - mark;
  if (count % 2 != 0 || Available() < count + 1) {
    return Corrupt("sets items where the stack does not have a dict and pairs");
  }
  GRAFT_RETURN_IF_ERROR(AddItems(stack_[mark - 1], std::span(stack_).last(count)));
  stack_.resize(mark);
  return OkStatus();
}

Status PickleMachine::Frame() {
  GRAFT_ASSIGN_OR_RETURN(const auto bytes, Take(8));
  const uint64_t length = LoadLittleEndian<uint64_t>(bytes.data());
  const size_t left = pickle_.size() - position_;
  if (length <= left) return OkStatus();
  return Corrupt("a frame of " + std::to_string(length) + " bytes, of which " +
                 std::to_string(left) + " are there");
}

}  // namespace graft::converter
