// SPDX-License-Identifier: Apache-2.0
// End record, directory, entry headers, overlaps: in that order, each believed only after its
// check.
#include "converter/formats/zip_archive.h"

#include <algorithm>
#include <utility>

#include "converter/base/little_endian.h"
#include "converter/base/sanitize.h"
#include "schema/checked_math.h"

namespace graft::converter {
namespace {

constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kLocatorSignature = 0x07064b50;
constexpr uint32_t kEnd64Signature = 0x06064b50;
constexpr uint32_t kDirectorySignature = 0x02014b50;
constexpr uint32_t kLocalSignature = 0x04034b50;
constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kEnd64Bytes = 56;
constexpr uint64_t kDirectoryEntryBytes = 46;
constexpr uint64_t kLocalBytes = 30;
constexpr uint64_t kMaxCommentBytes = 65535;
constexpr uint64_t kMaxEntryNameBytes = 4096;
constexpr uint16_t kZip64ExtraId = 1;
constexpr uint32_t kSaturated32 = 0xFFFFFFFF;  // "see the 64-bit field"
constexpr uint16_t kSaturated16 = 0xFFFF;
constexpr uint16_t kEncryptedFlags = 1 | 1 << 6 | 1 << 13;
constexpr uint16_t kSizesFollowFlag = 1 << 3;

uint16_t Load16(const uint8_t* bytes) { return LoadLittleEndian<uint16_t>(bytes); }
uint32_t Load32(const uint8_t* bytes) { return LoadLittleEndian<uint32_t>(bytes); }
uint64_t Load64(const uint8_t* bytes) { return LoadLittleEndian<uint64_t>(bytes); }

struct Directory {
  uint64_t entries = 0;
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// An entry as the directory tells of it.
struct Listed {
  std::string name;
  uint16_t flags = 0;
  uint64_t size_bytes = 0;
  uint64_t header_offset = 0;
  uint64_t data_offset = 0;
};

Status Corrupt(const InputFile& file, const std::string& what) {
  return Error(StatusCode::kCorrupt, "%s: %s", file.path().c_str(), what.c_str());
}

Status CorruptEntry(const InputFile& file, std::string_view name, const std::string& what) {
  return Corrupt(file, "entry '" + Sanitize(name) + "' " + what);
}

// The end record lies before a comment of at most 64 KiB that reaches the end of the file.
Result<uint64_t> FindEnd(const InputFile& file, std::vector<uint8_t>* tail) {
  const uint64_t tail_bytes = std::min(file.size_bytes(), kEndBytes + kMaxCommentBytes);
  tail->resize(tail_bytes);
  GRAFT_RETURN_IF_ERROR(file.ReadAt(file.size_bytes() - tail_bytes, *tail));
  for (uint64_t comment = 0; comment + kEndBytes <= tail_bytes; ++comment) {
    const uint8_t* record = tail->data() + (tail_bytes - kEndBytes - comment);
    if (Load32(record) == kEndSignature && Load16(record + 20) == comment) {
      tail->erase(tail->begin(), tail->end() - static_cast<ptrdiff_t>(kEndBytes + comment));
      return file.size_bytes() - kEndBytes - comment;
    }
  }
  return Corrupt(file, "has no directory of a zip file at its end; it is cut short or not one");
}

// Replaces what the end record says by the zip64 record, if there is one before it.
Result<uint64_t> ReadZip64End(const InputFile& file, uint64_t end_offset, Directory* directory) {
  if (end_offset < kLocatorBytes) return end_offset;
  uint8_t locator[kLocatorBytes];
  GRAFT_RETURN_IF_ERROR(file.ReadAt(end_offset - kLocatorBytes, locator));
  if (Load32(locator) != kLocatorSignature) return end_offset;
  const uint64_t offset = Load64(locator + 8);
  const uint64_t limit = end_offset - kLocatorBytes;
  if (!RangeFits(offset, kEnd64Bytes, limit)) {
    return Corrupt(file, "its zip64 record at offset " + std::to_string(offset) +
                             " does not lie before the end record");
  }
  uint8_t record[kEnd64Bytes];
  GRAFT_RETURN_IF_ERROR(file.ReadAt(offset, record));
  if (Load32(record) != kEnd64Signature) {
    return Corrupt(file, "has no zip64 record at offset " + std::to_string(offset));
  }
  if (Load32(record + 16) != 0 || Load32(record + 20) != 0) {
    return Error(StatusCode::kUnsupported, "%s: is one of several parts of a zip file",
                 file.path().c_str());
  }
  const Directory wide{Load64(record + 32), Load64(record + 48), Load64(record + 40)};
  const auto agrees = [](uint64_t narrow, uint64_t saturated, uint64_t value) {
    return narrow == saturated || narrow == value;
  };
  if (Load64(record + 24) != wide.entries ||
      !agrees(directory->entries, kSaturated16, wide.entries) ||
      !agrees(directory->offset, kSaturated32, wide.offset) ||
      !agrees(directory->size_bytes, kSaturated32, wide.size_bytes)) {
    return Corrupt(file, "its end record and its zip64 record contradict each other");
  }
  *directory = wide;
  return offset;
}

Result<Directory> FindDirectory(const InputFile& file) {
  std::vector<uint8_t> end;
  GRAFT_ASSIGN_OR_RETURN(const uint64_t end_offset, FindEnd(file, &end));
  if (Load16(end.data() + 4) != 0 || Load16(end.data() + 6) != 0 ||
      Load16(end.data() + 8) != Load16(end.data() + 10)) {
    return Error(StatusCode::kUnsupported, "%s: is one of several parts of a zip file",
                 file.path().c_str());
  }
  Directory directory{Load16(end.data() + 10), Load32(end.data() + 16), Load32(end.data() + 12)};
  GRAFT_ASSIGN_OR_RETURN(const uint64_t after, ReadZip64End(file, end_offset, &directory));
  if (!RangeFits(directory.offset, directory.size_bytes, after) ||
      directory.offset + directory.size_bytes != after) {
    return Corrupt(file, "its directory of " + std::to_string(directory.size_bytes) +
                             " bytes at offset " + std::to_string(directory.offset) +
                             " does not end where the end record begins, at " +
                             std::to_string(after));
  }
  if (directory.size_bytes > kMaxZipDirectoryBytes || directory.entries > kMaxZipEntries) {
    return Corrupt(file, "its directory has " + std::to_string(directory.size_bytes) +
                             " bytes and " + std::to_string(directory.entries) +
                             " entries; the limits are " + std::to_string(kMaxZipDirectoryBytes) +
                             " and " + std::to_string(kMaxZipEntries));
  }
  if (directory.entries > directory.size_bytes / kDirectoryEntryBytes) {
    return Corrupt(file, "its directory of " + std::to_string(directory.size_bytes) +
                             " bytes is too small for " + std::to_string(directory.entries) +
                             " entries");
  }
  return directory;
}

// Fills in those of the sizes and the offset that the directory leaves to the zip64 extra field.
bool ReadZip64Extra(std::span<const uint8_t> extra, std::span<uint64_t*> saturated) {
  while (extra.size() >= 4) {
    const uint16_t id = Load16(extra.data());
    const size_t bytes = Load16(extra.data() + 2);
    extra = extra.subspan(4);
    if (bytes > extra.size()) return false;
    if (id == kZip64ExtraId) {
      if (bytes < saturated.size() * 8) return false;
      for (size_t i = 0; i < saturated.size(); ++i) *saturated[i] = Load64(extra.data() + 8 * i);
      return true;
    }
    extra = extra.subspan(bytes);
  }
  return false;
}

Status CheckMethod(const InputFile& file, std::string_view name, uint16_t flags, uint16_t method) {
  if ((flags & kEncryptedFlags) != 0) {
    return Error(StatusCode::kUnsupported, "%s: entry '%s' is encrypted", file.path().c_str(),
                 Sanitize(name).c_str());
  }
  if (method != 0) {
    return Error(StatusCode::kUnsupported,
                 "%s: entry '%s' is compressed (method %u); graft reads stored entries only, as "
                 "torch.save writes them",
                 file.path().c_str(), Sanitize(name).c_str(), method);
  }
  return OkStatus();
}

// Takes one entry off the front of the directory.
Result<Listed> TakeListed(const InputFile& file, const Directory& directory,
                          std::span<const uint8_t>* rest) {
  const uint8_t* record = rest->data();
  if (rest->size() < kDirectoryEntryBytes || Load32(record) != kDirectorySignature) {
    return Corrupt(file, "its directory has no entry " + std::to_string(rest->size()) +
                             " bytes before its end, where one should be");
  }
  const uint64_t name_bytes = Load16(record + 28);
  const uint64_t extra_bytes = Load16(record + 30);
  const uint64_t total = kDirectoryEntryBytes + name_bytes + extra_bytes + Load16(record + 32);
  if (total > rest->size()) return Corrupt(file, "an entry of its directory goes beyond it");
  Listed entry;
  entry.name.assign(reinterpret_cast<const char*>(record) + kDirectoryEntryBytes, name_bytes);
  if (name_bytes == 0 || name_bytes > kMaxEntryNameBytes) {
    return Corrupt(file, "an entry of its directory has a name of " + std::to_string(name_bytes) +
                             " bytes; 1 to " + std::to_string(kMaxEntryNameBytes) + " are allowed");
  }
  entry.flags = Load16(record + 8);
  GRAFT_RETURN_IF_ERROR(CheckMethod(file, entry.name, entry.flags, Load16(record + 10)));
  uint64_t stored_bytes = Load32(record + 20);
  entry.size_bytes = Load32(record + 24);
  entry.header_offset = Load32(record + 42);
  std::vector<uint64_t*> saturated;
  for (uint64_t* field : {&entry.size_bytes, &stored_bytes, &entry.header_offset}) {
    if (*field == kSaturated32) saturated.push_back(field);
  }
  if (!saturated.empty() &&
      !ReadZip64Extra(rest->subspan(kDirectoryEntryBytes + name_bytes, extra_bytes), saturated)) {
    return CorruptEntry(file, entry.name, "lacks the zip64 field its directory entry refers to");
  }
  if (stored_bytes != entry.size_bytes) {
    return CorruptEntry(file, entry.name,
                        "is stored in " + std::to_string(stored_bytes) + " bytes but has " +
                            std::to_string(entry.size_bytes) + ", uncompressed");
  }
  if (entry.header_offset > directory.offset || entry.size_bytes > directory.offset) {
    return CorruptEntry(file, entry.name,
                        "of " + std::to_string(entry.size_bytes) + " bytes at offset " +
                            std::to_string(entry.header_offset) +
                            " does not lie before the directory at " +
                            std::to_string(directory.offset));
  }
  *rest = rest->subspan(total);
  return entry;
}

// Reads the header in front of an entry's data, which must say what the directory says.
Status ReadLocalHeader(const InputFile& file, const Directory& directory, Listed* entry) {
  const uint64_t header_bytes = kLocalBytes + entry->name.size();
  std::vector<uint8_t> header(header_bytes);
  if (!RangeFits(entry->header_offset, header_bytes, directory.offset)) {
    return CorruptEntry(file, entry->name, "begins too close to the directory");
  }
  GRAFT_RETURN_IF_ERROR(file.ReadAt(entry->header_offset, header));
  if (Load32(header.data()) != kLocalSignature ||
      Load16(header.data() + 26) != entry->name.size() ||
      !std::equal(entry->name.begin(), entry->name.end(), header.begin() + kLocalBytes,
                  [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; })) {
    return CorruptEntry(file, entry->name,
                        "has no header of its name at offset " +
                            std::to_string(entry->header_offset) + ", where the directory says");
  }
  const uint16_t flags = Load16(header.data() + 6);
  GRAFT_RETURN_IF_ERROR(CheckMethod(file, entry->name, flags, Load16(header.data() + 8)));
  if ((flags & kSizesFollowFlag) == 0) {
    for (const size_t at : {18, 22}) {
      const uint32_t size_bytes = Load32(header.data() + at);
      if (size_bytes != kSaturated32 && size_bytes != entry->size_bytes) {
        return CorruptEntry(file, entry->name,
                            "has " + std::to_string(size_bytes) + " bytes by its header and " +
                                std::to_string(entry->size_bytes) + " by the directory");
      }
    }
  }
  entry->data_offset = entry->header_offset + header_bytes + Load16(header.data() + 28);
  if (!RangeFits(entry->data_offset, entry->size_bytes, directory.offset)) {
    return CorruptEntry(file, entry->name,
                        "of " + std::to_string(entry->size_bytes) + " bytes at offset " +
                            std::to_string(entry->data_offset) + " goes beyond the directory at " +
                            std::to_string(directory.offset));
  }
  return OkStatus();
}

}  // namespace

Result<ZipArchive> ZipArchive::Read(const InputFile& file) {
  GRAFT_ASSIGN_OR_RETURN(const Directory directory, FindDirectory(file));
  std::vector<uint8_t> bytes(directory.size_bytes);
  GRAFT_RETURN_IF_ERROR(file.ReadAt(directory.offset, bytes));
  std::span<const uint8_t> rest(bytes);
  std::vector<Listed> listed;
  for (uint64_t i = 0; i < directory.entries; ++i) {
    GRAFT_ASSIGN_OR_RETURN(Listed entry, TakeListed(file, directory, &rest));
    GRAFT_RETURN_IF_ERROR(ReadLocalHeader(file, directory, &entry));
    listed.push_back(std::move(entry));
  }
  if (!rest.empty()) {
    return Corrupt(file,
                   std::to_string(rest.size()) + " bytes of its directory belong to no entry");
  }
  std::sort(listed.begin(), listed.end(),
            [](const Listed& a, const Listed& b) { return a.header_offset < b.header_offset; });
  for (size_t i = 1; i < listed.size(); ++i) {
    if (listed[i].header_offset < listed[i - 1].data_offset + listed[i - 1].size_bytes) {
      return CorruptEntry(file, listed[i].name,
                          "overlaps entry '" + Sanitize(listed[i - 1].name) + "'");
    }
  }
  ZipArchive archive;
  for (Listed& entry : listed) {
    archive.entries_.push_back({std::move(entry.name), entry.data_offset, entry.size_bytes});
  }
  std::sort(archive.entries_.begin(), archive.entries_.end(),
            [](const Entry& a, const Entry& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(archive.entries_.begin(), archive.entries_.end(),
                         [](const Entry& a, const Entry& b) { return a.name == b.name; });
  if (twice != archive.entries_.end()) return CorruptEntry(file, twice->name, "is there twice");
  return archive;
}

const ZipArchive::Entry* ZipArchive::Find(std::string_view name) const {
  const auto found =
      std::lower_bound(entries_.begin(), entries_.end(), name,
                       [](const Entry& e, std::string_view n) { return e.name < n; });
  return found != entries_.end() && found->name == name ? &*found : nullptr;
}

}  // namespace graft::converter
