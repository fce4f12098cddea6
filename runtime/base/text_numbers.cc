// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/text_numbers.h"

namespace graft::runtime {

TextNumbers::Entry* TextNumbers::Insert(std::string_view key, uint32_t number, bool* is_new) {
  auto place = map_.lower_bound(key);
  *is_new = place == map_.end() || place->first != key;
  if (*is_new) place = map_.emplace_hint(place, key, number);
  return &*place;
}

const uint32_t* TextNumbers::Find(std::string_view key) const {
  const auto found = map_.find(key);
  return found == map_.end() ? nullptr : &found->second;
}

void TextNumbers::Clear() { map_.clear(); }

}  // namespace graft::runtime
