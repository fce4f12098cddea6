// SPDX-License-Identifier: Apache-2.0
#include "converter/sign/file_digests.h"

#include <algorithm>
#include <cinttypes>
#include <vector>

#include "converter/base/output_file.h"
#include "converter/base/parallel.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"
#include "schema/verify.h"

namespace graft::converter {
namespace {

constexpr uint64_t kMostPartBytes = uint64_t{16} << 20;

// Where parts may not go on: segments begin there.
Result<std::vector<uint64_t>> FindBounds(std::span<const uint8_t> file) {
  std::vector<uint64_t> bounds;
  const auto& magic = schema::kMagic;
  if (file.size() >= magic.size() && std::equal(magic.begin(), magic.end(), file.begin())) {
    GRAFT_ASSIGN_OR_RETURN(const schema::VerifiedModel model, schema::Verify(file));
    for (const auto* segment : *model.model().segments()) bounds.push_back(segment->offset());
  }
  bounds.push_back(file.size());
  return bounds;
}

}  // namespace

Result<schema::FileDigests> DigestFile(std::span<const uint8_t> file, int threads) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint64_t> bounds, FindBounds(file));
  schema::FileDigests digests;
  digests.file_bytes = file.size();
  std::vector<uint64_t> offsets;
  uint64_t at = 0;
  for (const uint64_t bound : bounds) {
    while (at < bound) {
      const uint64_t bytes = std::min(bound - at, kMostPartBytes);
      offsets.push_back(at);
      digests.parts.push_back({bytes, {}});
      at += bytes;
    }
  }
  if (digests.parts.size() > schema::kMaxSignedParts) {
    return Error(StatusCode::kUnsupported, "has %zu parts; a signature holds at most %u",
                 digests.parts.size(), schema::kMaxSignedParts);
  }
  GRAFT_RETURN_IF_ERROR(
      ParallelFor(threads, static_cast<int64_t>(offsets.size()), [&](int64_t task) {
        const auto i = static_cast<size_t>(task);
        digests.parts[i].digest = schema::Sha256Of(file.subspan(
            static_cast<size_t>(offsets[i]), static_cast<size_t>(digests.parts[i].bytes)));
        return OkStatus();
      }));
  return digests;
}

Status CompareDigests(const schema::FileDigests& digests, std::span<const uint8_t> file,
                      int threads) {
  if (digests.file_bytes != file.size()) {
    return Error(StatusCode::kMismatch,
                 "the signature is of a file of %" PRIu64 " bytes, this one has %zu",
                 digests.file_bytes, file.size());
  }
  std::vector<uint64_t> offsets;
  uint64_t at = 0;
  for (const schema::SignedPart& part : digests.parts) {
    offsets.push_back(at);
    at += part.bytes;
  }
  return ParallelFor(threads, static_cast<int64_t>(offsets.size()), [&](int64_t task) -> Status {
    const auto i = static_cast<size_t>(task);
    const schema::SignedPart& part = digests.parts[i];
    const auto bytes =
        file.subspan(static_cast<size_t>(offsets[i]), static_cast<size_t>(part.bytes));
    if (schema::Sha256Of(bytes) == part.digest) return OkStatus();
    return Error(StatusCode::kMismatch,
                 "bytes %" PRIu64 " to %" PRIu64 " are not those that were signed", offsets[i],
                 offsets[i] + part.bytes);
  });
}

Status WriteSignature(const schema::FileDigests& digests, const PrivateKey& key,
                      const std::filesystem::path& path) {
  std::vector<uint8_t> bytes = digests.Encode();
  const schema::PublicKey& public_key = key.ed25519_public();
  const auto message = schema::SignedMessage(schema::Sha256Of(bytes));
  const auto signature = key.SignEd25519(message);
  bytes.insert(bytes.end(), public_key.begin(), public_key.end());
  bytes.insert(bytes.end(), signature.begin(), signature.end());
  GRAFT_ASSIGN_OR_RETURN(const auto file, OutputFile::Create(path, bytes.size()));
  GRAFT_RETURN_IF_ERROR(file->WriteAt(0, bytes));
  return file->Commit();
}

}  // namespace graft::converter
