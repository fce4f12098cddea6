// SPDX-License-Identifier: Apache-2.0
// The header is read a portion at a time, for it does not say how long it is. Every number in it is
// held against what is left of the file before anything is made from it.
#include <algorithm>
#include <string>
#include <utility>

#include "converter/base/foreign_file.h"
#include "converter/base/little_endian.h"
#include "converter/base/sanitize.h"
#include "converter/formats/gguf/gguf_header.h"
#include "converter/tensors/weight_file.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr uint64_t kPortionBytes = 1 << 20;
constexpr size_t kMaxKeyBytes = 65535;
constexpr uint8_t kMagic[4] = {'G', 'G', 'U', 'F'};
constexpr uint64_t kUsualAlignment = 32;

}  // namespace

class GgufHeaderReader {
 public:
  GgufHeaderReader(const InputFile& file, GgufHeader* header) : file_(file), header_(*header) {}

  Status Read() {
    header_.path_ = file_.path();
    GRAFT_RETURN_IF_ERROR(ReadStart());
    uint64_t tensors = 0;
    uint64_t settings = 0;
    GRAFT_RETURN_IF_ERROR(ReadNumber("the number of tensors", &tensors));
    GRAFT_RETURN_IF_ERROR(ReadNumber("the number of settings", &settings));
    if (tensors > kMaxTensors || settings > kMaxGgufSettings) {
      return Corrupt("it lists " + std::to_string(tensors) + " tensors and " +
                     std::to_string(settings) + " settings, more than " +
                     std::to_string(kMaxTensors) + " and " + std::to_string(kMaxGgufSettings));
    }
    for (uint64_t i = 0; i < settings; ++i) GRAFT_RETURN_IF_ERROR(ReadSetting());
    GRAFT_RETURN_IF_ERROR(SortSettings());
    for (uint64_t i = 0; i < tensors; ++i) GRAFT_RETURN_IF_ERROR(ReadTensor());
    return PlaceTensors();
  }

 private:
  Status Corrupt(const std::string& what) const {
    return Error(StatusCode::kCorrupt, "%s: is not a sound GGUF file: %s", file_.path().c_str(),
                 what.c_str());
  }
  Status TensorError(const std::string& name, const std::string& what,
                     StatusCode code = StatusCode::kCorrupt) const {
    return Error(code, "%s: tensor '%s' %s", file_.path().c_str(), Sanitize(name).c_str(),
                 what.c_str());
  }

  /// Has the next `size` bytes in memory.
  Status Need(uint64_t size, const std::string& what) {
    const uint64_t left = file_.size_bytes() - position_;
    if (size > left) {
      return Corrupt(what + " needs " + std::to_string(size) + " bytes at byte " +
                     std::to_string(position_) + ", where " + std::to_string(left) +
                     " are left of the file");
    }
    if (position_ + size > kMaxGgufHeaderBytes) {
      return Corrupt(what + " lies beyond the " + std::to_string(kMaxGgufHeaderBytes) +
                     " bytes that a header may have");
    }
    std::vector<uint8_t>& bytes = header_.bytes_;
    if (position_ + size <= bytes.size()) return OkStatus();
    const uint64_t more = std::max(size, std::max<uint64_t>(kPortionBytes, bytes.size()));
    const uint64_t end = std::min(file_.size_bytes(), position_ + more);
    const size_t had = bytes.size();
    bytes.resize(static_cast<size_t>(end));
    return file_.ReadAt(had, std::span(bytes).subspan(had));
  }
  const uint8_t* here() const { return header_.bytes_.data() + position_; }

  template <typename T>
  Status ReadNumber(const std::string& what, T* number) {
    GRAFT_RETURN_IF_ERROR(Need(sizeof(T), what));
    *number = LoadLittleEndian<T>(here());
    position_ += sizeof(T);
    return OkStatus();
  }
  /// Moves over a text: a length and its bytes.
  Status SkipText(const std::string& what) {
    uint64_t size = 0;
    GRAFT_RETURN_IF_ERROR(ReadNumber(what, &size));
    GRAFT_RETURN_IF_ERROR(Need(size, what));
    position_ += static_cast<size_t>(size);
    return OkStatus();
  }
  Status ReadName(const std::string& what, size_t most_bytes, std::string* name) {
    uint64_t size = 0;
    GRAFT_RETURN_IF_ERROR(ReadNumber(what, &size));
    if (size == 0 || size > most_bytes) {
      return Corrupt(what + " has " + std::to_string(size) + " bytes; 1 to " +
                     std::to_string(most_bytes) + " may be");
    }
    GRAFT_RETURN_IF_ERROR(Need(size, what));
    name->assign(reinterpret_cast<const char*>(here()), static_cast<size_t>(size));
    position_ += static_cast<size_t>(size);
    return OkStatus();
  }

  Status ReadStart();
  Status ReadSetting();
  Status SortSettings();
  Status ReadTensor();
  Status CheckShape(const GgufTensor& tensor, uint64_t* size_bytes) const;
  Status PlaceTensors();

  const InputFile& file_;
  GgufHeader& header_;
  uint64_t position_ = 0;
};

Status GgufHeaderReader::ReadStart() {
  GRAFT_RETURN_IF_ERROR(Need(sizeof kMagic, "its beginning"));
  if (!std::equal(std::begin(kMagic), std::end(kMagic), here())) {
    GRAFT_ASSIGN_OR_RETURN(const char* what, WhatFileIs(file_));
    return Error(StatusCode::kUnsupported, "%s: %s", file_.path().c_str(),
                 what != nullptr ? what : "is not a GGUF file");
  }
  position_ = sizeof kMagic;
  GRAFT_RETURN_IF_ERROR(ReadNumber("its version", &header_.version_));
  const uint32_t version = header_.version_;
  if (version == 2 || version == 3) return OkStatus();
  if ((version & 0xFFFF) == 0 && version != 0) {
    return Error(StatusCode::kUnsupported,
                 "%s: is a big-endian GGUF file, which graft does not read; gguf-convert-endian "
                 "turns it round",
                 file_.path().c_str());
  }
  return Error(StatusCode::kUnsupported, "%s: is a GGUF file of version %u; graft reads 2 and 3",
               file_.path().c_str(), version);
}

Status GgufHeaderReader::ReadSetting() {
  GgufHeader::Setting setting;
  GRAFT_RETURN_IF_ERROR(ReadName("the key of a setting", kMaxKeyBytes, &setting.key));
  const std::string what = "setting '" + Sanitize(setting.key) + "'";
  uint32_t type = 0;
  GRAFT_RETURN_IF_ERROR(ReadNumber(what, &type));
  if (type == static_cast<uint32_t>(GgufValueType::kList)) {
    setting.is_list = true;
    GRAFT_RETURN_IF_ERROR(ReadNumber(what, &type));
    GRAFT_RETURN_IF_ERROR(ReadNumber(what, &setting.count));
    if (type == static_cast<uint32_t>(GgufValueType::kList))
      return Corrupt(what + " is a list of lists");
    if (setting.count > kMaxGgufListElements) {
      return Corrupt(what + " lists " + std::to_string(setting.count) + " elements, more than " +
                     std::to_string(kMaxGgufListElements));
    }
  }
  if (type > static_cast<uint32_t>(GgufValueType::kFloat64))
    return Corrupt(what + " has the unknown type " + std::to_string(type));
  setting.type = static_cast<GgufValueType>(type);
  setting.begin = static_cast<size_t>(position_);
  if (setting.type == GgufValueType::kString) {
    for (uint64_t i = 0; i < setting.count; ++i) GRAFT_RETURN_IF_ERROR(SkipText(what));
  } else {
    constexpr uint64_t kBytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    const uint64_t size = setting.count * kBytes[type];
    GRAFT_RETURN_IF_ERROR(Need(size, what));
    position_ += size;
  }
  setting.end = static_cast<size_t>(position_);
  header_.settings_.push_back(std::move(setting));
  return OkStatus();
}

Status GgufHeaderReader::SortSettings() {
  const auto& settings = header_.settings_;
  std::vector<size_t>& order = header_.by_key_;
  for (size_t i = 0; i < settings.size(); ++i) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [&settings](size_t a, size_t b) { return settings[a].key < settings[b].key; });
  const auto twice = std::adjacent_find(
      order.begin(), order.end(),
      [&settings](size_t a, size_t b) { return settings[a].key == settings[b].key; });
  if (twice == order.end()) return OkStatus();
  return Corrupt("setting '" + Sanitize(settings[*twice].key) + "' is there twice");
}

Status GgufHeaderReader::ReadTensor() {
  GgufTensor tensor;
  GRAFT_RETURN_IF_ERROR(ReadName("the name of a tensor", kMaxNameBytes, &tensor.name));
  const std::string what = "tensor '" + Sanitize(tensor.name) + "'";
  uint32_t dimensions = 0;
  GRAFT_RETURN_IF_ERROR(ReadNumber(what, &dimensions));
  if (dimensions > kMaxGgufDimensions)
    return TensorError(tensor.name, "has " + std::to_string(dimensions) + " dimensions");
  for (uint32_t i = 0; i < dimensions; ++i) {
    uint64_t size = 0;
    GRAFT_RETURN_IF_ERROR(ReadNumber(what, &size));
    if (size > static_cast<uint64_t>(INT64_MAX))
      return TensorError(tensor.name, "has the impossible size " + std::to_string(size));
    tensor.shape.insert(tensor.shape.begin(), static_cast<int64_t>(size));
  }
  uint32_t type = 0;
  GRAFT_RETURN_IF_ERROR(ReadNumber(what, &type));
  tensor.type = FindGgufType(type);
  if (tensor.type == nullptr) {
    return TensorError(tensor.name,
                       "has the type number " + std::to_string(type) + ", which is not known",
                       StatusCode::kUnsupported);
  }
  GRAFT_RETURN_IF_ERROR(CheckShape(tensor, &tensor.size_bytes));
  GRAFT_RETURN_IF_ERROR(ReadNumber(what, &tensor.file_offset));
  header_.tensors_.push_back(std::move(tensor));
  return OkStatus();
}

Status GgufHeaderReader::CheckShape(const GgufTensor& tensor, uint64_t* size_bytes) const {
  // Whatever is made of it in float64 must have a size, too.
  const TensorInfo widest{tensor.name, DType::kFloat64, tensor.shape};
  auto checked = TensorBytes(widest);
  if (!checked.ok()) return checked.status().WithContext(file_.path());
  const uint64_t elements = *checked / 8;
  const auto block = static_cast<uint64_t>(tensor.type->block_elements);
  const int64_t innermost = tensor.shape.empty() ? 1 : tensor.shape.back();
  if (static_cast<uint64_t>(innermost) % block != 0) {
    return TensorError(tensor.name, "has rows of " + std::to_string(innermost) +
                                        " elements, which are no whole blocks of " +
                                        std::to_string(block) + " (" + tensor.type->name + ")");
  }
  *size_bytes = elements / block * static_cast<uint64_t>(tensor.type->block_bytes);
  return OkStatus();
}

Status GgufHeaderReader::PlaceTensors() {
  int64_t alignment = kUsualAlignment;
  if (header_.Has("general.alignment")) {
    GRAFT_ASSIGN_OR_RETURN(alignment, header_.GetInt("general.alignment"));
  }
  if (alignment < 1 || alignment > (1 << 20) || (alignment & (alignment - 1)) != 0)
    return header_.Fail("general.alignment", "must be a power of two up to 1048576");
  header_.bytes_.resize(static_cast<size_t>(position_));
  header_.bytes_.shrink_to_fit();
  uint64_t data = 0;
  if (!CheckedAlignUp(position_, static_cast<uint64_t>(alignment), &data))
    return Corrupt("its data begin too far");
  std::vector<const GgufTensor*> order;
  for (GgufTensor& tensor : header_.tensors_) {
    if (tensor.file_offset % static_cast<uint64_t>(alignment) != 0) {
      return TensorError(tensor.name, "begins at byte " + std::to_string(tensor.file_offset) +
                                          " of the data, which is no multiple of " +
                                          std::to_string(alignment));
    }
    const uint64_t data_bytes = data < file_.size_bytes() ? file_.size_bytes() - data : 0;
    if (!RangeFits(tensor.file_offset, tensor.size_bytes, data_bytes)) {
      return TensorError(tensor.name,
                         "of " + std::to_string(tensor.size_bytes) + " bytes at byte " +
                             std::to_string(tensor.file_offset) + " of the data ends behind its " +
                             std::to_string(data_bytes) + " bytes; the file may have been cut off");
    }
    tensor.file_offset += data;
    order.push_back(&tensor);
  }
  const auto name_of = [](const auto* a, const auto* b) { return a->name < b->name; };
  std::sort(order.begin(), order.end(), name_of);
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->name == order[i - 1]->name) return TensorError(order[i]->name, "is there twice");
  }
  std::sort(order.begin(), order.end(), [](const auto* a, const auto* b) {
    return std::pair(a->file_offset, a->size_bytes) < std::pair(b->file_offset, b->size_bytes);
  });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i]->file_offset < order[i - 1]->file_offset + order[i - 1]->size_bytes)
      return TensorError(order[i]->name, "overlaps tensor '" + Sanitize(order[i - 1]->name) + "'");
  }
  return OkStatus();
}

Result<std::unique_ptr<GgufHeader>> GgufHeader::Read(const InputFile& file) {
  std::unique_ptr<GgufHeader> header(new GgufHeader);
  GRAFT_RETURN_IF_ERROR(GgufHeaderReader(file, header.get()).Read());
  return header;
}

Result<bool> IsGguf(const InputFile& file) {
  uint8_t start[sizeof kMagic] = {};
  if (file.size_bytes() < sizeof start) return false;
  GRAFT_RETURN_IF_ERROR(file.ReadAt(0, start));
  return std::equal(std::begin(start), std::end(start), kMagic);
}

}  // namespace graft::converter
