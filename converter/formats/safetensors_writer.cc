// SPDX-License-Identifier: Apache-2.0
// Header, layout, and the temporary file that becomes the real one only when it is whole.
#include "converter/formats/safetensors_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
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
  writer->path_ = path;
  writer->places_.resize(tensors.size());
  uint64_t offset = 8 + header.size();
  for (const size_t index : order) {
    writer->places_[index] = {offset, sizes[index]};
    offset += sizes[index];
  }

  writer->temporary_ = path;
  writer->temporary_ += ".tmp-" + std::to_string(getpid());
  writer->descriptor_ =
      open(writer->temporary_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (writer->descriptor_ < 0) {
    const int error = errno;
    writer->temporary_.clear();
    return Error(StatusCode::kIo, "%s: cannot be created: %s", name.c_str(), std::strerror(error));
  }
  // Asking for the room now turns a full disk into an error before the work, where the file system
  // can tell.
  const int room = posix_fallocate(writer->descriptor_, 0, static_cast<off_t>(offset));
  if (room == ENOSPC || room == EFBIG) {
    return Error(StatusCode::kIo, "%s: no room for %llu bytes: %s", name.c_str(),
                 static_cast<unsigned long long>(offset), std::strerror(room));
  }
  std::vector<uint8_t> head(8);
  for (int i = 0; i < 8; ++i) head[i] = static_cast<uint8_t>(header.size() >> (8 * i));
  head.insert(head.end(), header.begin(), header.end());
  GRAFT_RETURN_IF_ERROR(writer->WriteAll(0, head));
  return writer;
}

SafetensorsWriter::~SafetensorsWriter() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
}

Status SafetensorsWriter::WriteAll(uint64_t offset, std::span<const uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t put = pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) {
      return Error(StatusCode::kIo, "%s: writing failed: %s", path_.c_str(),
                   put < 0 ? std::strerror(errno) : "no bytes were taken");
    }
    offset += static_cast<uint64_t>(put);
    bytes = bytes.subspan(static_cast<size_t>(put));
  }
  return OkStatus();
}

Status SafetensorsWriter::WriteAt(size_t index, uint64_t offset, std::span<const uint8_t> bytes) {
  if (index >= places_.size() || !RangeFits(offset, bytes.size(), places_[index].size_bytes)) {
    return Error(StatusCode::kOutOfRange, "%s: %zu bytes at %llu lie outside tensor %zu",
                 path_.c_str(), bytes.size(), static_cast<unsigned long long>(offset), index);
  }
  return WriteAll(places_[index].offset + offset, bytes);
}

Status SafetensorsWriter::Finish() {
  if (fsync(descriptor_) != 0) {
    return Error(StatusCode::kIo, "%s: syncing failed: %s", path_.c_str(), std::strerror(errno));
  }
  const int closed = close(descriptor_);
  descriptor_ = -1;
  if (closed != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    return Error(StatusCode::kIo, "%s: cannot be put in place: %s", path_.c_str(),
                 std::strerror(errno));
  }
  temporary_.clear();
  return OkStatus();
}

}  // namespace graft::converter
