// SPDX-License-Identifier: Apache-2.0
// A signature beside a .graft file or a pack: the SHA-256 of each part of the file, and one key's
// word for them. SIGNATURE_FORMAT.md describes the bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/result.h"
#include "schema/trust/sha256.h"

namespace graft::schema {

inline constexpr std::array<uint8_t, 8> kSignatureMagic = {0x89, 'G', 'R',  'F',
                                                           'S',  'G', '\r', '\n'};
inline constexpr uint32_t kSignatureVersion = 1;
inline constexpr size_t kSignaturePreambleBytes = 24;
inline constexpr size_t kSignedPartBytes = 40;
inline constexpr size_t kPublicKeyBytes = 32;
inline constexpr size_t kEd25519SignatureBytes = 64;
inline constexpr uint32_t kMaxSignedParts = 1 << 16;

using PublicKey = std::array<uint8_t, kPublicKeyBytes>;

/// So many bytes of a file, and their digest.
struct SignedPart {
  uint64_t bytes = 0;
  Sha256Digest digest{};
};

/// What a file's bytes are, from the first to the last.
struct FileDigests {
  uint64_t file_bytes = 0;
  std::vector<SignedPart> parts;

  /// Their encoding, and its digest: one number for the whole file.
  std::vector<uint8_t> Encode() const;
  Sha256Digest Root() const { return Sha256Of(Encode()); }
};

/// The 48 bytes that a key signs for a root.
std::array<uint8_t, 48> SignedMessage(const Sha256Digest& root);

/// A signature file, if one of `trusted` has made it.
/// Errors   kCorrupt: it is no such file, or the key's word does not hold;
///          kMismatch: the key is none of `trusted`;
///          kUnsupportedVersion.
/// Cost     nothing is allocated before its size was held against the bytes there are.
Result<FileDigests> ReadSignature(std::span<const uint8_t> signature,
                                  std::span<const PublicKey> trusted);

/// Ed25519 (RFC 8032), by libsodium: keys and signatures in any but their one form are refused.
bool VerifyEd25519(const PublicKey& key, std::span<const uint8_t> message,
                   std::span<const uint8_t, kEd25519SignatureBytes> signature);

}  // namespace graft::schema
