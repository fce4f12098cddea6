// SPDX-License-Identifier: Apache-2.0
// Zip directory, byte order, pickle, and then for each tensor the proof that it lies in its
// storage.
#include "converter/formats/torch_file.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "converter/base/foreign_file.h"
#include "converter/base/sanitize.h"
#include "converter/formats/pickle.h"
#include "converter/formats/zip_archive.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr uint8_t kZipStart[] = {'P', 'K', 3, 4};
// Before 1.6: three pickles in front of the data, the first of them this number.
constexpr uint8_t kLegacyStart[] = {0x80, 0x02, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c,
                                    0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
constexpr std::string_view kPickleEnding = "/data.pkl";
constexpr int kNewestVersion = 10;
// Tied weights are there two or three times; more than this is a trap.
constexpr uint64_t kMaxOverlap = 64;

Status CheckStart(const InputFile& file) {
  uint8_t start[sizeof kLegacyStart] = {};
  const uint64_t bytes = std::min<uint64_t>(sizeof start, file.size_bytes());
  GRAFT_RETURN_IF_ERROR(file.ReadAt(0, std::span(start).first(bytes)));
  if (std::equal(std::begin(kLegacyStart), std::end(kLegacyStart), start)) {
    return Error(StatusCode::kUnsupported,
                 "%s: is in PyTorch's format from before 1.6; load it in Python and save its "
                 "state_dict with safetensors.torch.save_file, or once more with torch.save",
                 file.path().c_str());
  }
  if (std::equal(std::begin(kZipStart), std::end(kZipStart), start)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const char* what, WhatFileIs(file));
  if (what != nullptr) return Error(StatusCode::kUnsupported, "%s: %s", file.path().c_str(), what);
  if (start[8] == '{') {  // after the length of its header
    return Error(StatusCode::kUnsupported,
                 "%s: seems to be a safetensors file; give it that ending", file.path().c_str());
  }
  return Error(StatusCode::kCorrupt, "%s: does not begin as the zip file that torch.save writes",
               file.path().c_str());
}

// The folder that everything lies in, with a slash at its end.
Result<std::string> FindFolder(const InputFile& file, const ZipArchive& archive) {
  std::string folder;
  for (const ZipArchive::Entry& entry : archive.entries()) {
    if (!entry.name.ends_with(kPickleEnding)) continue;
    const std::string found = entry.name.substr(0, entry.name.size() - kPickleEnding.size() + 1);
    if (found.find('/') != found.size() - 1) continue;
    if (!folder.empty()) {
      return Error(StatusCode::kCorrupt, "%s: holds two pickles, in '%s' and '%s'",
                   file.path().c_str(), Sanitize(folder).c_str(), Sanitize(found).c_str());
    }
    folder = found;
  }
  if (!folder.empty()) return folder;
  return Error(StatusCode::kCorrupt, "%s: holds no data.pkl; it is a zip file but not PyTorch's",
               file.path().c_str());
}

// A small entry as text without surrounding white space; empty if it is missing.
Result<std::string> ReadWord(const InputFile& file, const ZipArchive& archive,
                             const std::string& name) {
  const ZipArchive::Entry* entry = archive.Find(name);
  if (entry == nullptr) return std::string();
  uint8_t bytes[16];
  if (entry->size_bytes > sizeof bytes) {
    return Error(StatusCode::kCorrupt, "%s: entry '%s' has %llu bytes where a word is expected",
                 file.path().c_str(), Sanitize(name).c_str(),
                 static_cast<unsigned long long>(entry->size_bytes));
  }
  const std::span<uint8_t> read = std::span(bytes).first(entry->size_bytes);
  GRAFT_RETURN_IF_ERROR(file.ReadAt(entry->data_offset, read));
  std::string word(read.begin(), read.end());
  while (!word.empty() && (word.back() == '\n' || word.back() == ' ')) word.pop_back();
  return word;
}

Status CheckVersion(const InputFile& file, const ZipArchive& archive, const std::string& folder) {
  GRAFT_ASSIGN_OR_RETURN(const std::string order, ReadWord(file, archive, folder + "byteorder"));
  if (order == "big") {
    return Error(StatusCode::kUnsupported,
                 "%s: holds big-endian numbers; save it again on a little-endian machine",
                 file.path().c_str());
  }
  if (!order.empty() && order != "little") {
    return Error(StatusCode::kCorrupt, "%s: has the unknown byte order '%s'", file.path().c_str(),
                 Sanitize(order).c_str());
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string version, ReadWord(file, archive, folder + "version"));
  if (version.empty()) return OkStatus();
  int number = 0;
  const auto [end, error] =
      std::from_chars(version.data(), version.data() + version.size(), number);
  if (error != std::errc() || end != version.data() + version.size() || number < 1) {
    return Error(StatusCode::kCorrupt, "%s: has the version '%s', which is no number",
                 file.path().c_str(), Sanitize(version).c_str());
  }
  if (number <= kNewestVersion) return OkStatus();
  return Error(StatusCode::kUnsupportedVersion, "%s: is of version %d; graft reads up to %d",
               file.path().c_str(), number, kNewestVersion);
}

Status CorruptTensor(const InputFile& file, const std::string& tensor, const std::string& what) {
  return Error(StatusCode::kCorrupt, "%s: tensor '%s' %s", file.path().c_str(), tensor.c_str(),
               what.c_str());
}

// The elements from a tensor's first one to the end of its last one; 0 for a tensor without any.
// False if that overflows.
bool Reach(const PickledTensor& tensor, int64_t* reach) {
  *reach = 1;
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    if (tensor.sizes[i] == 0) {
      *reach = 0;
      return true;
    }
  }
  for (size_t i = 0; i < tensor.sizes.size(); ++i) {
    int64_t steps = 0;
    if (!CheckedMultiply(tensor.sizes[i] - 1, tensor.strides[i], &steps) ||
        !CheckedAdd(*reach, steps, reach)) {
      return false;
    }
  }
  return true;
}

// Whether the elements lie one after another; the strides of single steps say nothing.
bool IsContiguous(const PickledTensor& tensor) {
  int64_t expected = 1;
  for (size_t i = tensor.sizes.size(); i-- > 0;) {
    if (tensor.sizes[i] == 1) continue;
    if (tensor.strides[i] != expected) return false;
    expected *= tensor.sizes[i];
  }
  return true;
}

Result<WeightFile::Entry> Place(const InputFile& file, const ZipArchive& archive,
                                const std::string& folder, PickledTensor tensor) {
  const std::string& name = tensor.name;
  const ZipArchive::Entry* storage = archive.Find(folder + "data/" + tensor.storage_key);
  if (storage == nullptr) {
    return CorruptTensor(
        file, name,
        "lies in storage '" + Sanitize(tensor.storage_key) + "', which the file does not hold");
  }
  const int64_t element_bytes = DTypeBytes(tensor.dtype);
  if (tensor.storage_elements < 0 || storage->size_bytes / static_cast<uint64_t>(element_bytes) !=
                                         static_cast<uint64_t>(tensor.storage_elements)) {
    return CorruptTensor(file, name,
                         "lies in a storage of " + std::to_string(tensor.storage_elements) +
                             " elements of type " + DTypeName(tensor.dtype) + ", but entry '" +
                             Sanitize(storage->name) + "' has " +
                             std::to_string(storage->size_bytes) + " bytes");
  }
  WeightFile::Entry entry;
  entry.info = {name, tensor.dtype, tensor.sizes};
  auto bytes = TensorBytes(entry.info);
  if (!bytes.ok()) return bytes.status().WithContext(file.path());
  entry.size_bytes = *bytes;

  const bool backwards = std::any_of(tensor.strides.begin(), tensor.strides.end(),
                                     [](int64_t stride) { return stride < 0; });
  if (backwards || tensor.offset < 0) {
    return CorruptTensor(file, name, "has a negative stride or offset");
  }
  int64_t reach = 0;
  if (!Reach(tensor, &reach) ||
      !RangeFits(static_cast<uint64_t>(tensor.offset), static_cast<uint64_t>(reach),
                 static_cast<uint64_t>(tensor.storage_elements))) {
    return CorruptTensor(file, name,
                         "of shape " + entry.info.ShapeText() + " at offset " +
                             std::to_string(tensor.offset) + " goes beyond its storage of " +
                             std::to_string(tensor.storage_elements) + " elements");
  }
  entry.file_offset = storage->data_offset + static_cast<uint64_t>(tensor.offset * element_bytes);
  if (reach > 0 && !IsContiguous(tensor)) entry.strides = std::move(tensor.strides);
  return entry;
}

}  // namespace

Result<std::unique_ptr<TorchFile>> TorchFile::Open(const std::filesystem::path& path) {
  GRAFT_ASSIGN_OR_RETURN(std::unique_ptr<InputFile> file, InputFile::Open(path));
  std::unique_ptr<TorchFile> opened(new TorchFile(std::move(file)));
  GRAFT_RETURN_IF_ERROR(opened->ReadTensors());
  return opened;
}

Status TorchFile::ReadTensors() {
  GRAFT_RETURN_IF_ERROR(CheckStart(file()));
  GRAFT_ASSIGN_OR_RETURN(const ZipArchive archive, ZipArchive::Read(file()));
  GRAFT_ASSIGN_OR_RETURN(const std::string folder, FindFolder(file(), archive));
  GRAFT_RETURN_IF_ERROR(CheckVersion(file(), archive, folder));

  const ZipArchive::Entry& entry = *archive.Find(folder + "data.pkl");
  const PickleLimits limits;
  if (entry.size_bytes > limits.max_bytes) {
    return Error(StatusCode::kCorrupt, "%s: its pickle has %llu bytes; the limit is %llu",
                 path().c_str(), static_cast<unsigned long long>(entry.size_bytes),
                 static_cast<unsigned long long>(limits.max_bytes));
  }
  std::vector<uint8_t> pickle(entry.size_bytes);
  GRAFT_RETURN_IF_ERROR(file().ReadAt(entry.data_offset, pickle));
  GRAFT_ASSIGN_OR_RETURN(std::vector<PickledTensor> tensors,
                         ReadPickledTensors(pickle, path(), limits));

  // Small against what a file may claim, so the sum stays far from overflowing.
  uint64_t room = file().size_bytes() > std::numeric_limits<uint64_t>::max() / kMaxOverlap
                      ? std::numeric_limits<uint64_t>::max()
                      : file().size_bytes() * kMaxOverlap;
  for (PickledTensor& tensor : tensors) {
    GRAFT_ASSIGN_OR_RETURN(Entry placed, Place(file(), archive, folder, std::move(tensor)));
    if (placed.size_bytes > room) {
      return CorruptTensor(file(), placed.info.name,
                           "brings the tensors to more than " + std::to_string(kMaxOverlap) +
                               " times the file's " + std::to_string(file().size_bytes()) +
                               " bytes: they overlap or repeat themselves");
    }
    room -= placed.size_bytes;
    entries_.push_back(std::move(placed));
  }
  std::sort(entries_.begin(), entries_.end(),
            [](const Entry& a, const Entry& b) { return a.info.name < b.info.name; });
  return OkStatus();
}

}  // namespace graft::converter
