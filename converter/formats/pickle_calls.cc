// SPDX-License-Identifier: Apache-2.0
// What a pickle may ask Python to call, and with which arguments: the rebuilding of tensors, of
// parameters and of dicts, and nothing else.
#include <algorithm>

#include "converter/base/sanitize.h"
#include "converter/formats/pickle_machine.h"
#include "converter/tensors/weight_file.h"

namespace graft::converter {

Status PickleMachine::PushGlobal(std::string_view module, std::string_view name) {
  const AllowedGlobal* global = FindAllowedGlobal(module, name);
  if (global == nullptr) {
    return Fail(StatusCode::kUnsupported,
                "asks for " + Sanitize(module) + "." + Sanitize(name) + "; " + kPickleAdvice);
  }
  return PushNew({.kind = PickleKind::kGlobal, .global = global});
}

Status PickleMachine::Global() {
  GRAFT_ASSIGN_OR_RETURN(const std::string_view module, TakeLine());
  GRAFT_ASSIGN_OR_RETURN(const std::string_view name, TakeLine());
  return PushGlobal(module, name);
}

Status PickleMachine::StackGlobal() {
  GRAFT_ASSIGN_OR_RETURN(const PickleId name, Pop());
  GRAFT_ASSIGN_OR_RETURN(const PickleId module, Pop());
  if (!Is(name, PickleKind::kString) || !Is(module, PickleKind::kString)) {
    return Corrupt("asks for a global by something other than two strings");
  }
  return PushGlobal(values_.at(module).text, values_.at(name).text);
}

Status PickleMachine::Persistent() {
  GRAFT_ASSIGN_OR_RETURN(const PickleId id, Pop());
  if (!Is(id, PickleKind::kTuple)) return Corrupt("a persistent id that is not a tuple");
  // ("storage", type, key, device, elements)
  const std::span<const PickleId> parts = values_.members(id);
  if (parts.size() != 5 || !Is(parts[0], PickleKind::kString) ||
      values_.at(parts[0]).text != "storage" || !Is(parts[1], PickleKind::kGlobal) ||
      values_.at(parts[1]).global->global != PickleGlobal::kStorage ||
      !Is(parts[2], PickleKind::kString) || !Is(parts[3], PickleKind::kString) ||
      !Is(parts[4], PickleKind::kInt)) {
    return Corrupt("a persistent id other than ('storage', type, key, device, elements)");
  }
  if (values_.at(parts[2]).text.size() > limits_.max_storage_key_bytes) {
    return Corrupt("a storage key of " + std::to_string(values_.at(parts[2]).text.size()) +
                   " bytes; the limit is " + std::to_string(limits_.max_storage_key_bytes));
  }
  GRAFT_RETURN_IF_ERROR(CheckRoom(1));
  return Push(values_.AddStorage({values_.at(parts[1]).global->dtype, values_.at(parts[2]).text,
                                  values_.at(parts[4]).number}));
}

Status PickleMachine::Reduce() {
  GRAFT_ASSIGN_OR_RETURN(const PickleId arguments, Pop());
  GRAFT_ASSIGN_OR_RETURN(const PickleId callee, Pop());
  if (!Is(callee, PickleKind::kGlobal) || !Is(arguments, PickleKind::kTuple)) {
    return Corrupt(std::string("calls ") + PickleKindName(values_.at(callee).kind) + " with " +
                   PickleKindName(values_.at(arguments).kind));
  }
  const AllowedGlobal& global = *values_.at(callee).global;
  const std::span<const PickleId> members = values_.members(arguments);
  switch (global.global) {
    case PickleGlobal::kOrderedDict:
      if (!members.empty()) return Corrupt("calls OrderedDict with arguments");
      GRAFT_RETURN_IF_ERROR(CheckRoom(1));
      return Push(values_.AddDict(true));
    case PickleGlobal::kRebuildTensor:
      return RebuildTensor(members);
    case PickleGlobal::kRebuildParameter:
      return RebuildParameter(members);
    case PickleGlobal::kStorage:
      break;
  }
  return Corrupt("calls " + std::string(global.module) + "." + std::string(global.name) +
                 ", which is named in storages only");
}

bool PickleMachine::IsDimensions(PickleId tuple) const {
  if (!Is(tuple, PickleKind::kTuple) || values_.at(tuple).count > kMaxDimensions) return false;
  const std::span<const PickleId> members = values_.members(tuple);
  return std::all_of(members.begin(), members.end(),
                     [this](PickleId id) { return Is(id, PickleKind::kInt); });
}

bool PickleMachine::IsEmptyDict(PickleId id) const {
  return Is(id, PickleKind::kDict) && values_.items(id).empty();
}

Status PickleMachine::RebuildTensor(std::span<const PickleId> arguments) {
  // (storage, offset, sizes, strides, requires_grad, backward_hooks[, metadata]); the metadata says
  // whether the numbers are negated or conjugated when they are read.
  const size_t count = arguments.size();
  const bool plain =
      count == 6 ||
      (count == 7 && (Is(arguments[6], PickleKind::kNone) || IsEmptyDict(arguments[6])));
  if (!plain || !Is(arguments[0], PickleKind::kStorage) || !Is(arguments[1], PickleKind::kInt) ||
      !IsDimensions(arguments[2]) || !IsDimensions(arguments[3]) ||
      !Is(arguments[4], PickleKind::kBool) || !IsEmptyDict(arguments[5]) ||
      values_.at(arguments[2]).count != values_.at(arguments[3]).count) {
    return Corrupt(
        "calls _rebuild_tensor_v2 with other arguments than a storage, an offset, at most " +
        std::to_string(kMaxDimensions) + " sizes, as many strides, requires_grad and no hooks");
  }
  GRAFT_RETURN_IF_ERROR(CheckRoom(1));
  return Push(values_.AddTensor({values_.storage(arguments[0]), values_.at(arguments[1]).number,
                                 arguments[2], arguments[3]}));
}

Status PickleMachine::RebuildParameter(std::span<const PickleId> arguments) {
  if (arguments.size() != 3 || !Is(arguments[0], PickleKind::kTensor) ||
      !Is(arguments[1], PickleKind::kBool) || !IsEmptyDict(arguments[2])) {
    return Corrupt(
        "calls _rebuild_parameter with other arguments than a tensor, requires_grad and no hooks");
  }
  return Push(arguments[0]);
}

Status PickleMachine::Build() {
  GRAFT_ASSIGN_OR_RETURN(const PickleId state, Pop());
  // A state_dict's attribute _metadata: versions of modules, which change no number.
  if (Available() == 0 || !values_.at(stack_.back()).ordered || !Is(state, PickleKind::kDict)) {
    return Fail(StatusCode::kUnsupported,
                std::string("BUILD fills in something other than the attributes of a dict; ") +
                    kPickleAdvice);
  }
  return OkStatus();
}

}  // namespace graft::converter
