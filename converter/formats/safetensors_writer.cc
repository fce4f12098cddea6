// SPDX-License-Identifier: Apache-2.0
// Header and layout; OutputFile sees to it that the file appears whole or not at all.
#include "converter/formats/safetensors_writer.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "converter/formats/safetensors.h"
#include "converter/json/json.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

std::string HeaderText(std::span<const TensorInfo> tensors, std::span<const size_t> order,
                       std::span<const uint64_t> sizes,
                       std::span<const std::pair<std::string, std::string>> metadata) {
  std::string text = "{";
  if (!metadata.empty()) {
    text += "\"__metadata__\":{";
    for (size_t i = 0; i < metadata.size(); ++i) {
      if (i > 0) text += ',';
      text += JsonQuote(metadata[i].first) + ':' + JsonQuote(metadata[i].second);
    }
    text += '}';
  }
  uint64_t offset = 0;
  for (const size_t index : order) {
    const TensorInfo& info = tensors[index];
    if (text.size() > 1) text += ',';
    text += JsonQuote(info.name) + ":{\"dtype\":\"" + DTypeName(info.dtype) + "\",\"shape\":[";
    for (size_t i = 0; i < info.shape.size(); ++i) {
      if (i > 0) text += ',';
      text += std::to_string(info.shape[i]);
    }
    text += "],\"data_offsets\":[" + std::to_string(offset) + ',' +
            std::to_string(offset + sizes[index]) + "]}";
    offset += sizes[index];
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace

Result<std::unique_ptr<SafetensorsWriter>> SafetensorsWriter::Create(
    const std::filesystem::path& path, std::span<const TensorInfo> tensors,
    std::span<const std::pair<std::string, std::string>> metadata) {
  const std::string name = path.string();
  std::vector<uint64_t> sizes;
  std::set<std::string_view> names;
  uint64_t data_bytes = 0;
  for (const TensorInfo& info : tensors) {
    GRAFT_ASSIGN_OR_RETURN(const uint64_t size, TensorBytes(info));
    if (!names.insert(info.name).second || !CheckedAdd(data_bytes, size, &data_bytes)) {
      return Error(StatusCode::kInvalidArgument, "%s: tensor '%s' is there twice or too large",
                   name.c_str(), info.name.c_str());
    }
    sizes.push_back(size);
  }
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return DTypeBytes(tensors[a].dtype) > DTypeBytes(tensors[b].dtype);
  });
  const std::string header = HeaderText(tensors, order, sizes, metadata);

  std::unique_ptr<SafetensorsWriter> writer(new SafetensorsWriter);
  writer->path_ = name;
  writer->places_.resize(tensors.size());
  uint64_t offset = 8 + header.size();
  for (const size_t index : order) {
    writer->places_[index] = {offset, sizes[index]};
    offset += sizes[index];
  }

  GRAFT_ASSIGN_OR_RETURN(writer->file_, OutputFile::Create(path, offset));
  std::vector<uint8_t> head(8);
  for (int i = 0; i < 8; ++i) head[i] = static_cast<uint8_t>(header.size() >> (8 * i));
  head.insert(head.end(), header.begin(), header.end());
  GRAFT_RETURN_IF_ERROR(writer->file_->WriteAt(0, head));
  return writer;
}

Status SafetensorsWriter::WriteAt(size_t index, uint64_t offset, std::span<const uint8_t> bytes) {
  if (index >= places_.size() || !RangeFits(offset, bytes.size(), places_[index].size_bytes)) {
    return Error(StatusCode::kOutOfRange, "%s: %zu bytes at %llu lie outside tensor %zu",
                 path_.c_str(), bytes.size(), static_cast<unsigned long long>(offset), index);
  }
  return file_->WriteAt(places_[index].offset + offset, bytes);
}

Status SafetensorsWriter::Finish() { return file_->Commit(); }

}  // namespace graft::converter
