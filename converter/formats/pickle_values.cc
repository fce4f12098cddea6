// SPDX-License-Identifier: Apache-2.0
// Additions count against the limit; a value's number finds its row in the table of its kind.
#include "converter/formats/pickle_values.h"

namespace graft::converter {

const char* PickleKindName(PickleKind kind) {
  switch (kind) {
    case PickleKind::kNone:
      return "None";
    case PickleKind::kBool:
      return "a bool";
    case PickleKind::kInt:
      return "an integer";
    case PickleKind::kFloat:
      return "a float";
    case PickleKind::kString:
      return "a string";
    case PickleKind::kTuple:
      return "a tuple";
    case PickleKind::kDict:
      return "a dict";
    case PickleKind::kGlobal:
      return "a class or function";
    case PickleKind::kStorage:
      return "a storage";
    case PickleKind::kTensor:
      return "a tensor";
  }
  return "?";
}

PickleId PickleValues::Add(PickleValue value) {
  ++used_;
  values_.push_back(value);
  return static_cast<PickleId>(values_.size() - 1);
}

PickleId PickleValues::AddTuple(std::span<const PickleId> members) {
  PickleValue value{.kind = PickleKind::kTuple};
  value.number = static_cast<int64_t>(members_.size());
  value.count = static_cast<uint32_t>(members.size());
  used_ += members.size();
  members_.insert(members_.end(), members.begin(), members.end());
  return Add(value);
}

PickleId PickleValues::AddDict(bool ordered) {
  dicts_.emplace_back();
  return Add({.kind = PickleKind::kDict,
              .ordered = ordered,
              .number = static_cast<int64_t>(dicts_.size() - 1)});
}

PickleId PickleValues::AddStorage(PickledStorage storage) {
  storages_.push_back(storage);
  return Add({.kind = PickleKind::kStorage, .number = static_cast<int64_t>(storages_.size() - 1)});
}

PickleId PickleValues::AddTensor(PickledView tensor) {
  tensors_.push_back(tensor);
  return Add({.kind = PickleKind::kTensor, .number = static_cast<int64_t>(tensors_.size() - 1)});
}

void PickleValues::AddItem(PickleId dict, PickleId key, PickleId value) {
  ++used_;
  dicts_[static_cast<size_t>(values_[dict].number)].emplace_back(key, value);
}

std::span<const PickleId> PickleValues::members(PickleId tuple) const {
  const PickleValue& value = values_[tuple];
  return std::span(members_).subspan(static_cast<size_t>(value.number), value.count);
}

std::span<const PickleValues::Item> PickleValues::items(PickleId dict) const {
  return dicts_[static_cast<size_t>(values_[dict].number)];
}

const PickledStorage& PickleValues::storage(PickleId id) const {
  return storages_[static_cast<size_t>(values_[id].number)];
}

const PickledView& PickleValues::tensor(PickleId id) const {
  return tensors_[static_cast<size_t>(values_[id].number)];
}

}  // namespace graft::converter
