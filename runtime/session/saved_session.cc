// SPDX-License-Identifier: Apache-2.0
#include "runtime/session/saved_session.h"

#include <array>
#include <bit>
#include <cinttypes>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "runtime/platform/file_stream.h"

namespace graft::runtime {
namespace {

static_assert(std::endian::native == std::endian::little, "parts are written as they lie");

constexpr std::array<uint8_t, 8> kMagic = {0x89, 'G', 'R', 'F', 'T', 'K', 'V', '\n'};
constexpr uint32_t kVersion = 1;

struct Header {
  std::array<uint8_t, 8> magic = kMagic;
  uint32_t version = kVersion;
  uint32_t kv_format = 0;
  uint64_t identity_high = 0;
  uint64_t identity_low = 0;
  uint32_t tokens = 0;
  uint32_t source_rows = 0;
  uint64_t payload_bytes = 0;
  uint64_t payload_checksum = 0;
  uint64_t header_checksum = 0;
};
static_assert(sizeof(Header) == 64);

std::span<const uint8_t> BytesOf(const Header& header) {
  return {reinterpret_cast<const uint8_t*>(&header), sizeof(header)};
}

uint64_t ChecksumOf(const Header& header) {
  return schema::Checksum64(BytesOf(header).first(offsetof(Header, header_checksum)));
}

uint32_t NumberOf(KvElement element) { return static_cast<uint32_t>(element) + 1; }

const char* NameOf(uint32_t kv_format) {
  constexpr const char* kNames[] = {"f32", "f16", "int8"};
  return kv_format >= 1 && kv_format <= 3 ? kNames[kv_format - 1] : "unknown";
}

using Part = std::span<uint8_t>;

// Where the ids and everything of the first `tokens` positions lie, in the order of the file.
// Requires tokens and rows of the source to fit: the sizes are then parts of sizes that were
// allocated.
std::vector<Part> PartsOf(const SavedSessionTarget& session, size_t tokens, size_t source_rows) {
  std::vector<Part> parts;
  if (session.source != nullptr)
    parts.emplace_back(reinterpret_cast<uint8_t*>(&session.source->hash), sizeof(schema::Hash128));
  if (session.pictures != nullptr) {
    parts.emplace_back(reinterpret_cast<uint8_t*>(session.pictures->entries.data()),
                       source_rows * sizeof(SavedPicture));
  }
  parts.emplace_back(reinterpret_cast<uint8_t*>(session.ids.data()), tokens * sizeof(int32_t));
  for (const KvView& view : session.caches) {
    const size_t rows = view.of_source ? source_rows : tokens;
    const size_t blocks = (rows + kKeyBlock - 1) / kKeyBlock;
    const size_t key_bytes = view.head_dim * view.element_bytes();
    const size_t value_bytes = view.padded_dim() * view.element_bytes();
    for (size_t head = 0; head < view.kv_heads; ++head) {
      const size_t first = head * view.capacity;
      parts.emplace_back(view.keys + first * key_bytes, blocks * kKeyBlock * key_bytes);
      parts.emplace_back(view.values + first * value_bytes, rows * value_bytes);
      if (view.element != KvElement::kInt8) continue;
      for (float* scales : {view.key_scales, view.value_scales})
        parts.emplace_back(reinterpret_cast<uint8_t*>(scales + first), rows * sizeof(float));
    }
  }
  if (!session.states.empty()) parts.push_back(session.states);
  return parts;
}

uint64_t BytesOf(const std::vector<Part>& parts) {
  uint64_t bytes = 0;
  for (const Part& part : parts) bytes += part.size();
  return bytes;
}

// Positions after `tokens` in the last block of keys hold what was rewound, which is nobody's.
void ClearLastBlock(const KvView& view, size_t tokens) {
  const size_t column = tokens % kKeyBlock;
  if (column == 0) return;
  const size_t element = view.element_bytes();
  for (size_t head = 0; head < view.kv_heads; ++head) {
    uint8_t* block = view.keys + (head * view.capacity + tokens - column) * view.head_dim * element;
    for (size_t k = 0; k < view.head_dim; ++k) {
      std::memset(block + (k * kKeyBlock + column) * element, 0, (kKeyBlock - column) * element);
    }
  }
}

class ChecksumOfParts {
 public:
  explicit ChecksumOfParts(size_t parts) { sums_.reserve(parts); }
  void Add(const Part& part) { sums_.push_back(schema::Checksum64(part)); }
  uint64_t value() const {
    return schema::Checksum64(
        {reinterpret_cast<const uint8_t*>(sums_.data()), sums_.size() * sizeof(uint64_t)});
  }

 private:
  std::vector<uint64_t> sums_;
};

Status CheckHeader(const Header& header, uint64_t file_bytes, const SavedSessionTarget& target) {
  if (header.magic != kMagic) return Error(StatusCode::kCorrupt, "is no saved session");
  if (header.header_checksum != ChecksumOf(header))
    return Error(StatusCode::kCorrupt, "the header does not match its checksum");
  if (header.version != kVersion) {
    return Error(StatusCode::kUnsupportedVersion, "has format version %u, this build reads %u",
                 header.version, kVersion);
  }
  if (schema::Hash128{header.identity_high, header.identity_low} != target.identity) {
    return Error(StatusCode::kMismatch,
                 "was saved with another model: %016" PRIx64 "%016" PRIx64
                 ", this one is %016" PRIx64 "%016" PRIx64,
                 header.identity_high, header.identity_low, target.identity.high,
                 target.identity.low);
  }
  if (header.kv_format != NumberOf(target.element)) {
    return Error(StatusCode::kMismatch, "holds keys and values in %s, this session's are %s",
                 NameOf(header.kv_format), NameOf(NumberOf(target.element)));
  }
  if (header.tokens > target.ids.size()) {
    return Error(StatusCode::kOutOfRange, "holds %" PRIu32 " tokens, the context has room for %zu",
                 header.tokens, target.ids.size());
  }
  if (target.pictures != nullptr) {
    if (header.source_rows > kMaxPictures) {
      return Error(StatusCode::kOutOfRange, "holds %" PRIu32 " pictures, there is room for %zu",
                   header.source_rows, kMaxPictures);
    }
  } else if (header.source_rows > target.source_capacity) {
    return Error(StatusCode::kOutOfRange,
                 "holds a source of %" PRIu32 " rows, there is room for %u", header.source_rows,
                 target.source_capacity);
  }
  if (header.tokens > 0 && target.source != nullptr && header.source_rows == 0)
    return Error(StatusCode::kCorrupt, "holds tokens without the source they are about");
  const uint64_t payload = BytesOf(PartsOf(target, header.tokens, header.source_rows));
  if (header.payload_bytes != payload || file_bytes - sizeof(Header) != payload) {
    return Error(StatusCode::kCorrupt,
                 "has %" PRIu64 " bytes and says %" PRIu64 "; %" PRIu32 " tokens take %" PRIu64,
                 file_bytes, header.payload_bytes + sizeof(Header), header.tokens,
                 payload + sizeof(Header));
  }
  return OkStatus();
}

// *held is 0 from the first byte that changes.
Status ReadParts(FileReader& file, const Header& header, const SavedSessionTarget& target,
                 size_t* held) {
  const size_t tokens = header.tokens;
  const std::vector<Part> parts = PartsOf(target, tokens, header.source_rows);
  ChecksumOfParts checksum(parts.size());
  uint64_t offset = sizeof(Header);
  *held = 0;
  if (target.source != nullptr) target.source->rows = 0;
  if (target.pictures != nullptr) target.pictures->count = 0;
  for (const Part& part : parts) {
    GRAFT_RETURN_IF_ERROR(file.Read(offset, part));
    checksum.Add(part);
    offset += part.size();
  }
  if (checksum.value() != header.payload_checksum)
    return Error(StatusCode::kCorrupt, "the contents do not match their checksum");
  for (size_t i = 0; i < tokens; ++i) {
    const int32_t id = target.ids[i];
    if (id < 0 || static_cast<uint32_t>(id) >= target.vocabulary) {
      return Error(StatusCode::kCorrupt, "token %zu is id %" PRId32 ", the vocabulary has %u", i,
                   id, target.vocabulary);
    }
  }
  if (target.pictures == nullptr) return OkStatus();
  for (size_t i = 0; i < header.source_rows; ++i) {
    const SavedPicture& picture = target.pictures->entries[i];
    if (picture.rows >= 1 && picture.rows <= target.ids.size() &&
        (picture.columns == 0 || picture.rows % picture.columns == 0)) {
      continue;
    }
    return Error(StatusCode::kCorrupt,
                 "picture %zu takes %" PRIu32 " tokens, %" PRIu32
                 " beside each other, of a context of %zu",
                 i, picture.rows, picture.columns, target.ids.size());
  }
  target.pictures->count = header.source_rows;
  return OkStatus();
}

}  // namespace

Status WriteSavedSession(const char* path, const SavedSessionTarget& session, size_t tokens) {
  const size_t source_rows = session.source != nullptr     ? session.source->rows
                             : session.pictures != nullptr ? session.pictures->count
                                                           : 0;
  for (const KvView& view : session.caches)
    ClearLastBlock(view, view.of_source ? source_rows : tokens);
  const std::vector<Part> parts = PartsOf(session, tokens, source_rows);
  ChecksumOfParts checksum(parts.size());
  for (const Part& part : parts) checksum.Add(part);
  Header header;
  header.kv_format = NumberOf(session.element);
  header.identity_high = session.identity.high;
  header.identity_low = session.identity.low;
  header.tokens = static_cast<uint32_t>(tokens);
  header.source_rows = static_cast<uint32_t>(source_rows);
  header.payload_bytes = BytesOf(parts);
  header.payload_checksum = checksum.value();
  header.header_checksum = ChecksumOf(header);
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<FileWriter> file, CreateFileAt(path));
  GRAFT_RETURN_IF_ERROR(file->Write(BytesOf(header)));
  for (const Part& part : parts) GRAFT_RETURN_IF_ERROR(file->Write(part));
  return file->Commit();
}

Status ReadSavedSession(const char* path, const SavedSessionTarget& target, size_t* tokens) {
  GRAFT_ASSIGN_OR_RETURN(const std::unique_ptr<FileReader> file, OpenFileAt(path));
  Header header;
  if (file->size() < sizeof(header)) {
    return Error(StatusCode::kCorrupt, "%.300s: has %" PRIu64 " bytes, too few for a saved session",
                 path, file->size());
  }
  GRAFT_RETURN_IF_ERROR(file->Read(0, {reinterpret_cast<uint8_t*>(&header), sizeof(header)}));
  const std::string name(path);
  if (const Status status = CheckHeader(header, file->size(), target); !status.ok())
    return status.WithContext(name.substr(0, 300));
  if (const Status status = ReadParts(*file, header, target, tokens); !status.ok()) {
    return status.message().find(name) == std::string_view::npos
               ? status.WithContext(name.substr(0, 300))
               : status;
  }
  *tokens = header.tokens;
  if (target.source != nullptr) target.source->rows = header.source_rows;
  return OkStatus();
}

}  // namespace graft::runtime
