// SPDX-License-Identifier: Apache-2.0
// Settings are kept as the bytes of the header, and read when they are asked for.
#include "converter/formats/gguf/gguf_header.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <limits>

#include "converter/base/little_endian.h"
#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

using Type = GgufValueType;

bool IsInteger(Type type) {
  return type != Type::kFloat32 && type != Type::kFloat64 && type != Type::kBool &&
         type != Type::kString && type != Type::kList;
}

size_t BytesOf(Type type) {
  switch (type) {
    case Type::kUInt8:
    case Type::kInt8:
    case Type::kBool:
      return 1;
    case Type::kUInt16:
    case Type::kInt16:
      return 2;
    case Type::kUInt32:
    case Type::kInt32:
    case Type::kFloat32:
      return 4;
    case Type::kUInt64:
    case Type::kInt64:
    case Type::kFloat64:
    case Type::kString:
    case Type::kList:
      return 8;
  }
  return 8;
}

// A u64 beyond int64 becomes the largest int64: no setting means one.
int64_t IntegerAt(Type type, const uint8_t* bytes) {
  switch (type) {
    case Type::kInt8:
      return static_cast<int8_t>(bytes[0]);
    case Type::kUInt16:
      return LoadLittleEndian<uint16_t>(bytes);
    case Type::kInt16:
      return static_cast<int16_t>(LoadLittleEndian<uint16_t>(bytes));
    case Type::kUInt32:
      return LoadLittleEndian<uint32_t>(bytes);
    case Type::kInt32:
      return static_cast<int32_t>(LoadLittleEndian<uint32_t>(bytes));
    case Type::kUInt64:
      return static_cast<int64_t>(
          std::min<uint64_t>(LoadLittleEndian<uint64_t>(bytes),
                             static_cast<uint64_t>(std::numeric_limits<int64_t>::max())));
    case Type::kInt64:
      return static_cast<int64_t>(LoadLittleEndian<uint64_t>(bytes));
    default:
      return bytes[0];
  }
}

// The shortest decimal number that rounds to this float: what its writer meant by it.
double Shortest(float number) {
  std::array<char, 32> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  double shortest = number;
  if (end.ec == std::errc()) std::from_chars(digits.data(), end.ptr, shortest);
  return shortest;
}

double NumberAt(Type type, const uint8_t* bytes) {
  if (type == Type::kFloat32) return std::bit_cast<float>(LoadLittleEndian<uint32_t>(bytes));
  if (type == Type::kFloat64) return std::bit_cast<double>(LoadLittleEndian<uint64_t>(bytes));
  return static_cast<double>(IntegerAt(type, bytes));
}

}  // namespace

Status GgufHeader::Fail(std::string_view key, const std::string& what, StatusCode code) const {
  return Error(code, "%s: setting '%s' %s", path_.c_str(), Sanitize(key).c_str(), what.c_str());
}

void GgufHeader::ForgetSettings() {
  // "= {}" would keep their memory.
  std::vector<uint8_t>().swap(bytes_);
  std::vector<Setting>().swap(settings_);
  std::vector<size_t>().swap(by_key_);
}

std::vector<std::string_view> GgufHeader::keys() const {
  std::vector<std::string_view> keys;
  for (const Setting& setting : settings_) keys.emplace_back(setting.key);
  return keys;
}

const GgufHeader::Setting* GgufHeader::Find(std::string_view key) const {
  const auto found =
      std::lower_bound(by_key_.begin(), by_key_.end(), key,
                       [this](size_t i, std::string_view k) { return settings_[i].key < k; });
  return found != by_key_.end() && settings_[*found].key == key ? &settings_[*found] : nullptr;
}

Result<const GgufHeader::Setting*> GgufHeader::Get(std::string_view key) const {
  const Setting* setting = Find(key);
  if (setting == nullptr) return Fail(key, "is missing", StatusCode::kNotFound);
  return setting;
}

std::string_view GgufHeader::StringAt(size_t* position) const {
  const auto size = static_cast<size_t>(LoadLittleEndian<uint64_t>(&bytes_[*position]));
  const std::string_view text(reinterpret_cast<const char*>(bytes_.data()) + *position + 8, size);
  *position += 8 + size;
  return text;
}

Result<std::vector<int64_t>> GgufHeader::GetInts(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  // Lists of whether something holds are written as such, or as integers.
  if (!IsInteger(setting->type) && setting->type != Type::kBool)
    return Fail(key, "must be an integer");
  std::vector<int64_t> values;
  values.reserve(static_cast<size_t>(setting->count));
  for (size_t at = setting->begin; at < setting->end; at += BytesOf(setting->type)) {
    values.push_back(IntegerAt(setting->type, &bytes_[at]));
  }
  return values;
}

Result<std::vector<double>> GgufHeader::GetNumbers(std::string_view key,
                                                   bool may_be_infinite) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->type == Type::kString || setting->type == Type::kBool)
    return Fail(key, "must be a number");
  std::vector<double> values;
  values.reserve(static_cast<size_t>(setting->count));
  for (size_t at = setting->begin; at < setting->end; at += BytesOf(setting->type)) {
    values.push_back(NumberAt(setting->type, &bytes_[at]));
    const bool is_allowed =
        std::isfinite(values.back()) || (may_be_infinite && std::isinf(values.back()));
    if (!is_allowed) return Fail(key, "must be finite");
  }
  return values;
}

Result<std::vector<std::string_view>> GgufHeader::GetStrings(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->type != Type::kString) return Fail(key, "must be text");
  std::vector<std::string_view> values;
  values.reserve(static_cast<size_t>(setting->count));
  for (size_t at = setting->begin; at < setting->end;) values.push_back(StringAt(&at));
  return values;
}

Result<std::string_view> GgufHeader::GetBytes(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (!IsInteger(setting->type) || BytesOf(setting->type) != 1)
    return Fail(key, "must be a list of bytes");
  return std::string_view(reinterpret_cast<const char*>(bytes_.data()) + setting->begin,
                          setting->end - setting->begin);
}

Result<int64_t> GgufHeader::GetInt(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->is_list || !IsInteger(setting->type)) return Fail(key, "must be one integer");
  return IntegerAt(setting->type, &bytes_[setting->begin]);
}

Result<double> GgufHeader::GetNumber(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->is_list) return Fail(key, "must be one number");
  GRAFT_ASSIGN_OR_RETURN(const std::vector<double> values, GetNumbers(key));
  return setting->type == Type::kFloat32 ? Shortest(static_cast<float>(values[0])) : values[0];
}

Result<bool> GgufHeader::GetBool(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->is_list || setting->type != Type::kBool) return Fail(key, "must be true or false");
  return bytes_[setting->begin] != 0;
}

Result<std::string_view> GgufHeader::GetString(std::string_view key) const {
  GRAFT_ASSIGN_OR_RETURN(const Setting* setting, Get(key));
  if (setting->is_list || setting->type != Type::kString) return Fail(key, "must be text");
  size_t at = setting->begin;
  return StringAt(&at);
}

}  // namespace graft::converter
