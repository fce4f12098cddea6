// SPDX-License-Identifier: Apache-2.0
// TextNumbers: a number for each of some texts, or of what is plain bytes. One map for all of these, so
// that its code is there once.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>

namespace graft::runtime {

/// The bytes of `values`, as a key.
template <typename T>
std::string_view KeyOf(std::span<const T> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

class TextNumbers {
 public:
  using Map = std::map<std::string, uint32_t, std::less<>>;

  using Entry = Map::value_type;

  /// `key` and its number, which is `number` if it had none. Valid until Clear.
  Entry* Insert(std::string_view key, uint32_t number, bool* is_new);
  /// True if `key` is new.
  bool Insert(std::string_view key) {
    bool is_new = false;
    Insert(key, 0, &is_new);
    return is_new;
  }
  /// Null if it has none.
  const uint32_t* Find(std::string_view key) const;
  size_t size() const { return map_.size(); }
  void Clear();
  const Map& map() const { return map_; }  ///< in the order of the keys' bytes

 private:
  Map map_;
};

}  // namespace graft::runtime
