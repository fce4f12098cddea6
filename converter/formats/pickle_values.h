// SPDX-License-Identifier: Apache-2.0
// The values a pickle makes, in tables that refer to each other by number: however they nest,
// nothing needs recursion to make, to walk or to free.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "converter/formats/pickle_names.h"

namespace graft::converter {

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,
  kFloat,
  kString,
  kTuple,
  kDict,
  kGlobal,
  kStorage,
  kTensor
};

/// "a string", "a tuple", ...: for messages.
const char* PickleKindName(PickleKind kind);

using PickleId = uint32_t;

struct PickleValue {
  PickleKind kind = PickleKind::kNone;
  bool ordered = false;  ///< A dict that is an OrderedDict, and so may carry attributes.
  uint32_t count = 0;    ///< Members of a tuple.
  int64_t number = 0;    ///< The integer; where the members of a tuple begin; which dict, storage
                         ///< or tensor.
  std::string_view text = {};  ///< The string, within the pickle.
  const AllowedGlobal* global = nullptr;
};

/// A storage by reference: its bytes are outside of the pickle.
struct PickledStorage {
  DType dtype = DType::kFloat32;
  std::string_view key;
  int64_t elements = 0;
};

/// A view of a storage. `sizes` and `strides` are tuples of as many integers each.
struct PickledView {
  PickledStorage storage;
  int64_t offset = 0;
  PickleId sizes = 0;
  PickleId strides = 0;
};

class PickleValues {
 public:
  using Item = std::pair<PickleId, PickleId>;  // key, value

  /// `limit` counts values, members of tuples and items of dicts.
  explicit PickleValues(uint32_t limit) : limit_(limit) {}

  /// Whether `count` more fit. Call it before adding any.
  bool HasRoom(size_t count) const { return count <= limit_ - used_; }

  PickleId Add(PickleValue value);
  PickleId AddTuple(std::span<const PickleId> members);
  PickleId AddDict(bool ordered);
  PickleId AddStorage(PickledStorage storage);
  PickleId AddTensor(PickledView tensor);
  void AddItem(PickleId dict, PickleId key, PickleId value);

  const PickleValue& at(PickleId id) const { return values_[id]; }
  /// Each requires a value of that kind.
  std::span<const PickleId> members(PickleId tuple) const;
  std::span<const Item> items(PickleId dict) const;
  const PickledStorage& storage(PickleId id) const;
  const PickledView& tensor(PickleId id) const;

 private:
  size_t limit_;
  size_t used_ = 0;
  std::vector<PickleValue> values_;
  std::vector<PickleId> members_;
  std::vector<std::vector<Item>> dicts_;
  std::vector<PickledStorage> storages_;
  std::vector<PickledView> tensors_;
};

}  // namespace graft::converter
