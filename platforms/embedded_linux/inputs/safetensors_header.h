// SPDX-License-Identifier: Apache-2.0
// The JSON header of a safetensors file: which tensors it holds, and where.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace graft_run {

struct TensorEntry {
  std::string name;
  std::string dtype;  ///< "F32", "I64", ...
  std::vector<int64_t> shape;
  uint64_t begin = 0;  ///< first byte, counted from the end of the header
  uint64_t end = 0;
};

/// Reads a header and checks it against the `data_bytes` that follow it: ranges inside, sizes as
/// dtype and shape say. Returns an empty string, or what is wrong.
std::string ParseSafetensorsHeader(std::string_view json, uint64_t data_bytes,
                                   std::vector<TensorEntry>* tensors);

/// The header, without its length, padded to a multiple of 8 bytes.
std::string MakeSafetensorsHeader(const std::vector<TensorEntry>& tensors);

/// Bytes of one element; 0 for a dtype that is not known.
uint64_t ElementBytes(std::string_view dtype);

}  // namespace graft_run
