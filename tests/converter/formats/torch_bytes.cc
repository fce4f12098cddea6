// SPDX-License-Identifier: Apache-2.0
// Records in the order of the formats' own descriptions.
#include "tests/converter/formats/torch_bytes.h"

#include <doctest/doctest.h>

#include "converter/tensors/float_kernels.h"

namespace graft::converter {
namespace {

template <typename T>
std::string LittleEndian(T value) {
  std::string bytes;
  for (size_t i = 0; i < sizeof(T); ++i) bytes += static_cast<char>(value >> (8 * i) & 0xFF);
  return bytes;
}

}  // namespace

std::string Bytes16(uint16_t value) { return LittleEndian(value); }
std::string Bytes32(uint32_t value) { return LittleEndian(value); }
std::string Bytes64(uint64_t value) { return LittleEndian(value); }

void Put(std::string* text, size_t offset, std::string_view bytes) {
  REQUIRE(offset + bytes.size() <= text->size());
  text->replace(offset, bytes.size(), bytes);
}

std::string MakeZip(const ZipParts& parts, ZipPlaces* places, bool zip64) {
  ZipPlaces made;
  std::string zip;
  const uint32_t saturated = 0xFFFFFFFF;
  const auto narrow = [&](size_t value) {
    return Bytes32(zip64 ? saturated : static_cast<uint32_t>(value));
  };
  for (const auto& [name, data] : parts) {
    made.headers.push_back(zip.size());
    const std::string extra =
        zip64 ? Bytes16(1) + Bytes16(16) + Bytes64(data.size()) + Bytes64(data.size()) : "";
    // Signature; version, flags, method, time, date; checksum; sizes; lengths.
    zip += Bytes32(0x04034b50) + std::string(10, '\0') + Bytes32(0) + narrow(data.size()) +
           narrow(data.size()) + Bytes16(static_cast<uint16_t>(name.size())) +
           Bytes16(static_cast<uint16_t>(extra.size())) + name + extra + data;
  }
  made.directory = zip.size();
  for (size_t i = 0; i < parts.size(); ++i) {
    const auto& [name, data] = parts[i];
    made.listed.push_back(zip.size());
    const std::string extra = zip64 ? Bytes16(0x4246) + Bytes16(1) + "Z" + Bytes16(1) +
                                          Bytes16(24) + Bytes64(data.size()) +
                                          Bytes64(data.size()) + Bytes64(made.headers[i])
                                    : "";
    // Signature; versions, flags, method, time, date; checksum; sizes; lengths; disk and
    // attributes; offset.
    zip += Bytes32(0x02014b50) + std::string(12, '\0') + Bytes32(0) + narrow(data.size()) +
           narrow(data.size()) + Bytes16(static_cast<uint16_t>(name.size())) +
           Bytes16(static_cast<uint16_t>(extra.size())) + Bytes16(0) + std::string(8, '\0') +
           narrow(made.headers[i]) + name + extra;
  }
  const size_t directory_bytes = zip.size() - made.directory;
  if (zip64) {
    const size_t record = zip.size();
    zip += Bytes32(0x06064b50) + Bytes64(44) + Bytes16(45) + Bytes16(45) + Bytes64(0) +
           Bytes64(parts.size()) + Bytes64(parts.size()) + Bytes64(directory_bytes) +
           Bytes64(made.directory);
    zip += Bytes32(0x07064b50) + Bytes32(0) + Bytes64(record) + Bytes32(1);
  }
  made.end = zip.size();
  const auto count = Bytes16(zip64 ? 0xFFFF : static_cast<uint16_t>(parts.size()));
  zip += Bytes32(0x06054b50) + Bytes32(0) + count + count + narrow(directory_bytes) +
         narrow(made.directory) + Bytes16(0);
  if (places != nullptr) *places = made;
  return zip;
}

namespace pickled {

std::string Text(std::string_view text) {
  return "X" + Bytes32(static_cast<uint32_t>(text.size())) + std::string(text);
}

std::string Number(int64_t number) {
  return std::string("\x8a\x08") + Bytes64(static_cast<uint64_t>(number));
}

std::string Numbers(const std::vector<int64_t>& numbers) {
  std::string tuple = "(";
  for (const int64_t number : numbers) tuple += Number(number);
  return tuple + "t";
}

std::string Global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}

std::string Storage(std::string_view type, std::string_view key, int64_t elements) {
  return "(" + Text("storage") + Global("torch", type) + Text(key) + Text("cpu") +
         Number(elements) + "tQ";
}

std::string Tensor(std::string_view storage, int64_t offset, const std::vector<int64_t>& sizes,
                   const std::vector<int64_t>& strides) {
  return Global("torch._utils", "_rebuild_tensor_v2") + "(" + std::string(storage) +
         Number(offset) + Numbers(sizes) + Numbers(strides) + "\x89" +
         Global("collections", "OrderedDict") + ")RtR";
}

std::string Dict(std::string_view items) { return "\x80\x02}(" + std::string(items) + "u."; }

}  // namespace pickled

std::string TorchBytes(std::string_view pickle, const std::vector<std::string>& storages,
                       std::string_view byte_order) {
  ZipParts parts = {{"model/data.pkl", std::string(pickle)}};
  if (!byte_order.empty()) parts.emplace_back("model/byteorder", std::string(byte_order));
  for (size_t i = 0; i < storages.size(); ++i) {
    parts.emplace_back("model/data/" + std::to_string(i), storages[i]);
  }
  parts.emplace_back("model/version", "3\n");
  return MakeZip(parts);
}

void WriteTorch(const std::filesystem::path& file, const SmallTensors& tensors) {
  std::string items;
  std::vector<std::string> storages;
  for (const auto& [name, tensor] : tensors) {
    REQUIRE(tensor.dtype == DType::kFloat32);
    std::vector<int64_t> strides(tensor.shape.size(), 1);
    for (size_t i = strides.size(); i-- > 1;) strides[i - 1] = strides[i] * tensor.shape[i];
    const size_t count = tensor.values.size();
    items += pickled::Text(name) +
             pickled::Tensor(pickled::Storage("FloatStorage", std::to_string(storages.size()),
                                              static_cast<int64_t>(count)),
                             0, tensor.shape, strides);
    std::vector<uint8_t> stored(4 * count);
    Narrow(DType::kFloat32, tensor.values.data(), count, stored.data());
    storages.emplace_back(stored.begin(), stored.end());
  }
  WriteText(file, TorchBytes(pickled::Dict(items), storages));
}

}  // namespace graft::converter
