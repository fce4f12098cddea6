// SPDX-License-Identifier: Apache-2.0
// How keys and values are stored for attention.
//
// Keys of one head lie in blocks of 16 positions, transposed: [position / 16][head_dim][16], so
// that a vector holds one dimension of many positions and scores need no horizontal sums. Values
// lie as [position][padded head_dim].
//
// int8 elements are codes -127..127 with one scale for each position and head, of its key and of
// its value: x = code * scale, scale = max |x| / 127. A code is off by half a step at most, so an
// element by 1/254 of its head's largest. The scales lie as [kv_heads][position], f32.
#pragma once

#include <cstddef>
#include <cstdint>

namespace graft::runtime {

inline constexpr size_t kKeyBlock = 16;

enum class KvElement : uint8_t { kFloat32, kFloat16, kInt8 };

/// Keys and values of one attention op. All heads' keys come first, then all heads' values, then
/// the keys' scales and the values' scales, if there are any.
struct KvView {
  uint8_t* keys = nullptr;
  uint8_t* values = nullptr;
  float* key_scales = nullptr;    ///< kInt8 only
  float* value_scales = nullptr;  ///< kInt8 only
  size_t kv_heads = 0;
  size_t head_dim = 0;
  size_t capacity = 0;  ///< positions there is room for, a multiple of kKeyBlock
  KvElement element = KvElement::kFloat32;
  bool of_source = false;  ///< positions are rows of the source, not tokens

  size_t element_bytes() const {
    return element == KvElement::kInt8 ? 1 : element == KvElement::kFloat16 ? 2 : 4;
  }
  size_t padded_dim() const { return (head_dim + kKeyBlock - 1) / kKeyBlock * kKeyBlock; }
  // 64 bits wide: they are asked for before it is known that an address space holds them.
  uint64_t keys_bytes() const { return uint64_t{kv_heads} * capacity * head_dim * element_bytes(); }
  uint64_t values_bytes() const {
    return uint64_t{kv_heads} * capacity * padded_dim() * element_bytes();
  }
  uint64_t scales_bytes() const {  ///< of keys, and as many of values
    return element == KvElement::kInt8 ? uint64_t{kv_heads} * capacity * sizeof(float) : 0;
  }
  uint64_t bytes() const { return keys_bytes() + values_bytes() + 2 * scales_bytes(); }
  /// Lays everything out from `memory` on: bytes() bytes, aligned to 4.
  void Place(uint8_t* memory) {
    keys = memory;
    values = keys + keys_bytes();
    if (element != KvElement::kInt8) return;
    key_scales = reinterpret_cast<float*>(values + values_bytes());
    value_scales = key_scales + kv_heads * capacity;
  }
};

/// Stores one row's key and value, [kv_heads * head_dim] each, at `position` < view.capacity.
void StoreKv(const KvView& view, size_t position, const float* key, const float* value);

}  // namespace graft::runtime
