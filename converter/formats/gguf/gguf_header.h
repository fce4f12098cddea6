// SPDX-License-Identifier: Apache-2.0
// What stands before the tensors of a GGUF file: settings by key, and where each tensor lies.
//
//   bytes        field, all little-endian
//   0-3          "GGUF"
//   4-7          version, u32: 2 or 3
//   8-15, 16-23  tensors and settings, u64 each
//   24-          settings: key (u64 length, bytes), type (u32), value; a list is its elements' type
//                (u32), their number (u64) and the elements
//                tensors: name, dimensions (u32) and their sizes (u64), the innermost first, type
//                (u32), offset (u64) from the start of the data
//   aligned      data, at a multiple of general.alignment, as each tensor within it
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "converter/base/input_file.h"
#include "converter/formats/gguf/gguf_types.h"
#include "schema/result.h"

namespace graft::converter {

inline constexpr uint64_t kMaxGgufHeaderBytes = uint64_t{256} << 20;
inline constexpr uint64_t kMaxGgufSettings = 65536;
inline constexpr uint64_t kMaxGgufListElements = uint64_t{1} << 24;
inline constexpr size_t kMaxGgufDimensions = 4;

/// Types of settings, as files number them.
enum class GgufValueType : uint32_t {
  kUInt8,
  kInt8,
  kUInt16,
  kInt16,
  kUInt32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kList,
  kUInt64,
  kInt64,
  kFloat64,
};

struct GgufTensor {
  std::string name;
  const GgufType* type = nullptr;
  std::vector<int64_t> shape;  ///< The outermost first.
  uint64_t file_offset = 0;
  uint64_t size_bytes = 0;  ///< As stored.
};

/// Immutable once read.
class GgufHeader {
 public:
  /// Errors   kUnsupported: not a GGUF file, a version or byte order that is not read, a tensor of
  ///          an unknown type;
  ///          kCorrupt: whatever contradicts itself, the limits above or the file's size. Messages
  ///          name the file and the key or tensor.
  static Result<std::unique_ptr<GgufHeader>> Read(const InputFile& file);

  /// In the file's order.
  const std::vector<GgufTensor>& tensors() const { return tensors_; }
  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }

  bool Has(std::string_view key) const { return Find(key) != nullptr; }
  /// Every key, in the file's order.
  std::vector<std::string_view> keys() const;

  /// Each of these is the setting `key`, or kNotFound if there is none; kCorrupt if it is of another
  /// type. Integers may be of any width and sign; so may numbers, which may be integers, too.
  Result<int64_t> GetInt(std::string_view key) const;
  Result<double> GetNumber(std::string_view key) const;
  Result<bool> GetBool(std::string_view key) const;
  Result<std::string_view> GetString(std::string_view key) const;
  /// Lists; a single value is a list of one.
  Result<std::vector<int64_t>> GetInts(std::string_view key) const;
  Result<std::vector<double>> GetNumbers(std::string_view key, bool may_be_infinite = false) const;
  Result<std::vector<std::string_view>> GetStrings(std::string_view key) const;
  /// The elements of a list of bytes, as they are.
  Result<std::string_view> GetBytes(std::string_view key) const;

  /// Lets go of all settings.
  void ForgetSettings();

  /// An error of that key, which names the file.
  Status Fail(std::string_view key, const std::string& what,
              StatusCode code = StatusCode::kCorrupt) const;

 private:
  friend class GgufHeaderReader;
  struct Setting {
    std::string key;
    GgufValueType type = GgufValueType::kUInt8;  // of the elements of a list
    bool is_list = false;
    uint64_t count = 1;
    size_t begin = 0;  // of the first element, in bytes_
    size_t end = 0;
  };
  GgufHeader() = default;
  const Setting* Find(std::string_view key) const;
  Result<const Setting*> Get(std::string_view key) const;
  std::string_view StringAt(size_t* position) const;

  std::string path_;
  uint32_t version_ = 0;
  std::vector<uint8_t> bytes_;  // of the header
  std::vector<Setting> settings_;
  std::vector<size_t> by_key_;  // numbers of settings, in the order of their keys
  std::vector<GgufTensor> tensors_;
};

/// Whether a file begins as GGUF files do.
Result<bool> IsGguf(const InputFile& file);

}  // namespace graft::converter
