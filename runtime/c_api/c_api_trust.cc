// SPDX-License-Identifier: Apache-2.0
// Whether a file is signed by a key that the caller trusts.
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/c_api/c_api_support.h"
#include "runtime/platform/cpus.h"
#include "runtime/threads/parallel_tasks.h"

namespace graft::capi {
namespace {

constexpr size_t kMaxTrustedKeys = 1024;

Status CheckParts(const runtime::DataSource& source, const schema::FileDigests& digests,
                  unsigned threads) {
  const std::span<const uint8_t> bytes = source.bytes();
  if (digests.file_bytes != bytes.size()) {
    return Status(StatusCode::kMismatch, "the signature is of a file of another size");
  }
  std::vector<uint64_t> offsets;
  uint64_t offset = 0;
  for (const schema::SignedPart& part : digests.parts) {
    offsets.push_back(offset);
    offset += part.bytes;
  }
  return runtime::RunTasks(threads, digests.parts.size(), [&](size_t i, unsigned) -> Status {
    const schema::SignedPart& part = digests.parts[i];
    source.WillRead(offsets[i], part.bytes);
    const bool holds =
        schema::Sha256Of(bytes.subspan(static_cast<size_t>(offsets[i]),
                                       static_cast<size_t>(part.bytes))) == part.digest;
    source.Release(offsets[i], part.bytes);
    if (holds) return OkStatus();
    const uint64_t end = offsets[i] + part.bytes;
    return Error(StatusCode::kMismatch, "bytes %llu to %llu are not those that were signed",
                 static_cast<unsigned long long>(offsets[i]), static_cast<unsigned long long>(end));
  });
}

Status CheckSigned(const runtime::DataSource& source, const GivenSignature& signature,
                   std::span<const schema::PublicKey> keys, unsigned threads) {
  std::unique_ptr<runtime::DataSource> file;
  std::span<const uint8_t> bytes(static_cast<const uint8_t*>(signature.data), signature.size);
  if (signature.data == nullptr) {
    if (signature.path == nullptr) {
      return Status(StatusCode::kMismatch, "no signature is given, and keys are asked for");
    }
    const std::string path = std::string(signature.path) + ".sig";
    auto opened = runtime::OpenPath(path.c_str(), runtime::FileAccess::kMap);
    if (!opened.ok()) {
      if (opened.status().code() == StatusCode::kOutOfMemory) return opened.status();
      return Error(StatusCode::kMismatch, "no signature can be read: %.*s",
                   static_cast<int>(opened.status().message().size()),
                   opened.status().message().data());
    }
    file = std::move(opened).value();
    bytes = file->bytes();
  }
  const auto digests = schema::ReadSignature(bytes, keys);
  if (!digests.ok()) return Status(StatusCode::kMismatch, std::string(digests.status().message()));
  return CheckParts(source, *digests, threads);
}

}  // namespace

Status ReadTrustedKeys(const graft_model_options& options, std::vector<schema::PublicKey>* keys) {
  if (options.trusted_key_count == 0) return OkStatus();
  if (options.trusted_keys == nullptr) return NullArgument("options.trusted_keys");
  if (options.trusted_key_count > kMaxTrustedKeys) {
    return Error(StatusCode::kInvalidArgument, "%zu trusted keys are more than %zu",
                 options.trusted_key_count, kMaxTrustedKeys);
  }
  keys->resize(options.trusted_key_count);
  for (size_t i = 0; i < keys->size(); ++i) {
    schema::PublicKey& key = (*keys)[i];
    std::memcpy(key.data(), options.trusted_keys + i * key.size(), key.size());
  }
  return OkStatus();
}

Status CheckSignature(const runtime::DataSource& source, const GivenSignature& signature,
                      std::span<const schema::PublicKey> keys, unsigned threads, const char* name) {
  if (keys.empty()) return OkStatus();
  const Status status =
      CheckSigned(source, signature, keys, threads > 0 ? threads : runtime::DefaultThreads());
  return status.ok() ? status : status.WithContext(name);
}

}  // namespace graft::capi
