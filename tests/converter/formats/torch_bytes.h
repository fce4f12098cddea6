// SPDX-License-Identifier: Apache-2.0
// Zip files and pickles put together byte by byte, right or wrong, for tests of what reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/support/small_files.h"

namespace graft::converter {

using ZipParts = std::vector<std::pair<std::string, std::string>>;  // name, data

/// Where the pieces of a zip file that MakeZip made begin.
struct ZipPlaces {
  std::vector<size_t> headers;  ///< Of the parts, in order.
  std::vector<size_t> listed;   ///< Their directory entries.
  size_t directory = 0;
  size_t end = 0;  ///< The end record.
};

/// An uncompressed zip file; with `zip64`, sizes and offsets stand in the 64-bit fields only.
std::string MakeZip(const ZipParts& parts, ZipPlaces* places = nullptr, bool zip64 = false);

/// Little-endian bytes of a number, and putting them over others.
std::string Bytes16(uint16_t value);
std::string Bytes32(uint32_t value);
std::string Bytes64(uint64_t value);
void Put(std::string* text, size_t offset, std::string_view bytes);

/// Pickle instructions of protocol 2.
namespace pickled {
std::string Text(std::string_view text);
std::string Number(int64_t number);
std::string Numbers(const std::vector<int64_t>& numbers);  // a tuple
std::string Global(std::string_view module, std::string_view name);
std::string Storage(std::string_view type, std::string_view key, int64_t elements);
std::string Tensor(std::string_view storage, int64_t offset, const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& strides);
/// A whole pickle: protocol, an empty dict, `items` (keys and values between a mark and SETITEMS),
/// STOP.
std::string Dict(std::string_view items);
}  // namespace pickled

/// A file of torch.save that holds `pickle` and storages from "0" on.
std::string TorchBytes(std::string_view pickle, const std::vector<std::string>& storages,
                       std::string_view byte_order = "little");

/// The same of these tensors (float32), each in a storage of its own and in row-major order.
void WriteTorch(const std::filesystem::path& file, const SmallTensors& tensors);

}  // namespace graft::converter
