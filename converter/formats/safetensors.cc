// SPDX-License-Identifier: Apache-2.0
// Opening in named steps: length, header text, entries, tiling.
#include "converter/formats/safetensors.h"

#include <algorithm>

#include "converter/base/foreign_file.h"
#include "converter/json/json.h"

namespace graft::converter {
namespace {

Status Corrupt(const std::string& file, std::string_view tensor, const std::string& what) {
  const std::string name(tensor.substr(0, 200));
  return Error(StatusCode::kCorrupt, "%s: tensor '%s' %s", file.c_str(), name.c_str(),
               what.c_str());
}

Result<SafetensorsFile::Entry> ParseEntry(const std::string& file, std::string_view name,
                                          JsonValue value, uint64_t data_begin,
                                          uint64_t data_bytes) {
  if (!value.IsObject()) return Corrupt(file, name, "is not described by an object");
  if (name.size() > kMaxNameBytes) return Corrupt(file, name, "has a name longer than 4096 bytes");
  SafetensorsFile::Entry entry;
  entry.info.name = name;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value.key(i) != "dtype" && value.key(i) != "shape" && value.key(i) != "data_offsets") {
      return Corrupt(file, name,
                     "has the unknown field '" + std::string(value.key(i).substr(0, 100)) + "'");
    }
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string dtype, value.GetString("dtype"));
  auto parsed = DTypeFromName(dtype);
  if (!parsed.ok()) {
    return Error(parsed.status().code(),
                 "%s: tensor '%s' has the element type '%s', which graft does not read",
                 file.c_str(), entry.info.name.c_str(), dtype.substr(0, 40).c_str());
  }
  entry.info.dtype = *parsed;

  GRAFT_ASSIGN_OR_RETURN(const JsonValue shape, value.Get("shape", JsonKind::kArray));
  if (shape.size() > kMaxDimensions) return Corrupt(file, name, "has more than 16 dimensions");
  for (size_t i = 0; i < shape.size(); ++i) {
    GRAFT_ASSIGN_OR_RETURN(const int64_t dimension, shape.at(i).AsInt());
    entry.info.shape.push_back(dimension);
  }
  auto needed = TensorBytes(entry.info);
  if (!needed.ok()) return needed.status().WithContext(file);

  GRAFT_ASSIGN_OR_RETURN(const JsonValue offsets, value.Get("data_offsets", JsonKind::kArray));
  if (offsets.size() != 2) return Corrupt(file, name, "must have two data_offsets");
  GRAFT_ASSIGN_OR_RETURN(const int64_t begin, offsets.at(0).AsInt());
  GRAFT_ASSIGN_OR_RETURN(const int64_t end, offsets.at(1).AsInt());
  if (begin < 0 || end < begin) {
    return Corrupt(file, name,
                   "has the data_offsets " + std::to_string(begin) + " to " + std::to_string(end));
  }
  entry.size_bytes = static_cast<uint64_t>(end) - static_cast<uint64_t>(begin);
  if (static_cast<uint64_t>(end) > data_bytes) {
    return Corrupt(file, name,
                   "ends at byte " + std::to_string(end) + " of the data, which has " +
                       std::to_string(data_bytes) + " bytes");
  }
  if (entry.size_bytes != *needed) {
    return Corrupt(file, name,
                   "of type " + dtype + " and shape " + entry.info.ShapeText() + " needs " +
                       std::to_string(*needed) + " bytes, but its data_offsets span " +
                       std::to_string(entry.size_bytes));
  }
  entry.file_offset = data_begin + static_cast<uint64_t>(begin);
  return entry;
}

// Tensors must lie one after another from the first byte of data to the last.
Status CheckTiling(const std::string& file, std::span<const SafetensorsFile::Entry> entries,
                   uint64_t data_begin, uint64_t file_bytes) {
  std::vector<const SafetensorsFile::Entry*> by_offset;
  for (const SafetensorsFile::Entry& entry : entries) by_offset.push_back(&entry);
  std::sort(by_offset.begin(), by_offset.end(), [](const auto* a, const auto* b) {
    return std::pair(a->file_offset, a->size_bytes) < std::pair(b->file_offset, b->size_bytes);
  });
  uint64_t position = data_begin;
  const SafetensorsFile::Entry* previous = nullptr;
  for (const SafetensorsFile::Entry* entry : by_offset) {
    if (entry->file_offset < position) {
      return Corrupt(file, entry->info.name, "overlaps tensor '" + previous->info.name + "'");
    }
    if (entry->file_offset > position) {
      return Corrupt(
          file, entry->info.name,
          "leaves a gap of " + std::to_string(entry->file_offset - position) + " bytes before it");
    }
    position += entry->size_bytes;
    previous = entry;
  }
  if (position != file_bytes) {
    return Error(StatusCode::kCorrupt, "%s: %llu bytes after the last tensor belong to none",
                 file.c_str(), static_cast<unsigned long long>(file_bytes - position));
  }
  return OkStatus();
}

}  // namespace

Result<DType> DTypeFromName(std::string_view name) {
  for (const DType dtype :
       {DType::kFloat64, DType::kFloat32, DType::kFloat16, DType::kBFloat16, DType::kInt64,
        DType::kInt32, DType::kInt16, DType::kInt8, DType::kUInt8, DType::kBool, DType::kUInt32,
        DType::kFloat8E4M3, DType::kFloat8E5M2, DType::kFloat8E8M0}) {
    if (name == DTypeName(dtype)) return dtype;
  }
  return Status(StatusCode::kUnsupported, "unknown element type");
}

Result<std::unique_ptr<SafetensorsFile>> SafetensorsFile::Open(const std::filesystem::path& path) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<InputFile> file, InputFile::Open(path));
  std::unique_ptr<SafetensorsFile> opened(new SafetensorsFile(std::move(file)));
  GRAFT_RETURN_IF_ERROR(opened->ParseHeader());
  return opened;
}

// A file of another kind, which the first bytes of a safetensors file cannot be mistaken for.
Status SafetensorsFile::CheckKind() const {
  GRAFT_ASSIGN_OR_RETURN(const char* what, WhatFileIs(*file_));
  if (what != nullptr) return Error(StatusCode::kUnsupported, "%s: %s", path().c_str(), what);
  constexpr uint8_t kZipStart[] = {'P', 'K', 3, 4};
  uint8_t start[sizeof kZipStart] = {};
  if (file_->size_bytes() >= sizeof start) GRAFT_RETURN_IF_ERROR(file_->ReadAt(0, start));
  if (!std::equal(std::begin(start), std::end(start), kZipStart)) return OkStatus();
  return Error(StatusCode::kUnsupported,
               "%s: is a zip file and no safetensors file; unpack it, or, if torch.save wrote it, "
               "call it .bin or .pt",
               path().c_str());
}

Status SafetensorsFile::ParseHeader() {
  GRAFT_RETURN_IF_ERROR(CheckKind());
  const uint64_t file_bytes = file_->size_bytes();
  uint8_t length[8];
  if (file_bytes < sizeof length) {
    return Error(StatusCode::kCorrupt, "%s: %llu bytes are too few for a safetensors file",
                 path().c_str(), static_cast<unsigned long long>(file_bytes));
  }
  GRAFT_RETURN_IF_ERROR(file_->ReadAt(0, length));
  uint64_t header_bytes = 0;
  for (int i = 7; i >= 0; --i) header_bytes = header_bytes << 8 | length[i];
  if (header_bytes > kMaxSafetensorsHeaderBytes || header_bytes > file_bytes - sizeof length) {
    return Error(
        StatusCode::kCorrupt,
        "%s: a header of %llu bytes does not fit in the file's %llu bytes or the limit of %llu",
        path().c_str(), static_cast<unsigned long long>(header_bytes),
        static_cast<unsigned long long>(file_bytes),
        static_cast<unsigned long long>(kMaxSafetensorsHeaderBytes));
  }
  std::string text(header_bytes, '\0');
  GRAFT_RETURN_IF_ERROR(file_->ReadAt(
      sizeof length, std::span(reinterpret_cast<uint8_t*>(text.data()), text.size())));

  JsonLimits limits;
  limits.max_bytes = kMaxSafetensorsHeaderBytes;
  limits.max_depth = 4;
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<JsonDocument> header,
                         JsonDocument::Parse(text, path() + ": header", limits));
  const JsonValue root = header->root();
  if (!root.IsObject()) return root.Fail("must be an object");
  if (root.size() > kMaxTensors) return root.Fail("lists more than 1000000 tensors");

  const uint64_t data_begin = sizeof length + header_bytes;
  for (size_t i = 0; i < root.size(); ++i) {
    if (root.key(i) == "__metadata__") {
      const JsonValue metadata = root.at(i);
      if (!metadata.IsObject()) return metadata.Fail("must be an object");
      for (size_t k = 0; k < metadata.size(); ++k) {
        GRAFT_ASSIGN_OR_RETURN(const std::string_view value, metadata.at(k).AsString());
        metadata_.emplace_back(metadata.key(k), value);
      }
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(Entry entry, ParseEntry(path(), root.key(i), root.at(i), data_begin,
                                                   file_bytes - data_begin));
    entries_.push_back(std::move(entry));
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
  return CheckTiling(path(), entries_, data_begin, file_bytes);
}

}  // namespace graft::converter
