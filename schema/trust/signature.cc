// SPDX-License-Identifier: Apache-2.0
#include "schema/trust/signature.h"

#include <sodium/crypto_sign_ed25519.h>

#include <algorithm>
#include <cinttypes>

#include "schema/checked_math.h"

namespace graft::schema {
namespace {

void AppendNumber(uint64_t number, size_t bytes, std::vector<uint8_t>* to) {
  for (size_t i = 0; i < bytes; ++i) to->push_back(static_cast<uint8_t>(number >> (8 * i)));
}

uint64_t ReadNumber(std::span<const uint8_t> from, size_t bytes) {
  uint64_t number = 0;
  for (size_t i = 0; i < bytes; ++i) number |= uint64_t{from[i]} << (8 * i);
  return number;
}

Status CheckPreamble(std::span<const uint8_t> signature) {
  if (signature.size() < kSignaturePreambleBytes ||
      !std::equal(kSignatureMagic.begin(), kSignatureMagic.end(), signature.begin())) {
    return Error(StatusCode::kCorrupt, "the signature does not begin as one of graft's");
  }
  const uint64_t version = ReadNumber(signature.subspan(8), 4);
  if (version != kSignatureVersion) {
    return Error(StatusCode::kUnsupportedVersion,
                 "the signature has version %" PRIu64 "; this build reads %u", version,
                 kSignatureVersion);
  }
  const uint64_t parts = ReadNumber(signature.subspan(12), 4);
  const uint64_t expected =
      kSignaturePreambleBytes + parts * kSignedPartBytes + kPublicKeyBytes + kEd25519SignatureBytes;
  if (parts > kMaxSignedParts || signature.size() != expected) {
    return Error(StatusCode::kCorrupt,
                 "the signature has %zu bytes, not as many as its %" PRIu64 " parts need",
                 signature.size(), parts);
  }
  return OkStatus();
}

}  // namespace

std::vector<uint8_t> FileDigests::Encode() const {
  std::vector<uint8_t> bytes(kSignatureMagic.begin(), kSignatureMagic.end());
  AppendNumber(kSignatureVersion, 4, &bytes);
  AppendNumber(parts.size(), 4, &bytes);
  AppendNumber(file_bytes, 8, &bytes);
  for (const SignedPart& part : parts) {
    AppendNumber(part.bytes, 8, &bytes);
    bytes.insert(bytes.end(), part.digest.begin(), part.digest.end());
  }
  return bytes;
}

std::array<uint8_t, 48> SignedMessage(const Sha256Digest& root) {
  std::array<uint8_t, 48> message = {'g', 'r', 'a', 'f', 't', ' ', 's', 'i',
                                     'g', 'n', 'a', 't', 'u', 'r', 'e', 0};
  std::copy(root.begin(), root.end(), message.begin() + 16);
  return message;
}

bool VerifyEd25519(const PublicKey& key, std::span<const uint8_t> message,
                   std::span<const uint8_t, kEd25519SignatureBytes> signature) {
  return crypto_sign_ed25519_verify_detached(signature.data(), message.data(), message.size(),
                                             key.data()) == 0;
}

Result<FileDigests> ReadSignature(std::span<const uint8_t> signature,
                                  std::span<const PublicKey> trusted) {
  GRAFT_RETURN_IF_ERROR(CheckPreamble(signature));
  const auto count = static_cast<size_t>(ReadNumber(signature.subspan(12), 4));
  const size_t signed_bytes = kSignaturePreambleBytes + count * kSignedPartBytes;
  PublicKey key;
  std::copy_n(signature.begin() + static_cast<ptrdiff_t>(signed_bytes), key.size(), key.begin());
  if (std::find(trusted.begin(), trusted.end(), key) == trusted.end()) {
    return Error(StatusCode::kMismatch, "the signature's key is none that is trusted");
  }
  const auto message = SignedMessage(Sha256Of(signature.first(signed_bytes)));
  if (!VerifyEd25519(key, message, signature.last<kEd25519SignatureBytes>())) {
    return Error(StatusCode::kCorrupt, "the signature does not hold");
  }
  FileDigests digests;
  digests.file_bytes = ReadNumber(signature.subspan(16), 8);
  uint64_t sum = 0;
  for (size_t i = 0; i < count; ++i) {
    const auto from = signature.subspan(kSignaturePreambleBytes + i * kSignedPartBytes);
    SignedPart part;
    part.bytes = ReadNumber(from, 8);
    std::copy_n(from.begin() + 8, part.digest.size(), part.digest.begin());
    if (!CheckedAdd(sum, part.bytes, &sum)) break;
    digests.parts.push_back(part);
  }
  if (sum != digests.file_bytes || digests.parts.size() != count) {
    return Error(StatusCode::kCorrupt, "the signature's parts are not the whole file");
  }
  return digests;
}

}  // namespace graft::schema
