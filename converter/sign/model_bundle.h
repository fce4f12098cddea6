// SPDX-License-Identifier: Apache-2.0
// Signatures in the form of OpenSSF Model Signing: a Sigstore bundle with an in-toto statement about
// the SHA-256 of a model's files, signed by a key of P-256.
#pragma once

#include <string>
#include <string_view>

#include "converter/sign/keys.h"
#include "schema/result.h"
#include "schema/trust/sha256.h"

namespace graft::converter {

/// The bundle that `model_signing verify key` takes for one file of that name.
/// Source   model_signing's predicate "signature/v1.0", in-toto's Statement/v1, DSSE v1.
/// Requires key.kind() kP256.
Result<std::string> MakeBundle(const std::string& file_name, const schema::Sha256Digest& digest,
                               const PrivateKey& key);

/// Whether a bundle, of this or of model_signing, was signed by `key` and has a file of that name, or
/// one file alone, with that digest. `name` is what messages call the bundle.
/// Requires key.kind() kP256.
/// Errors   kCorrupt: it is no bundle, or contradicts itself; kUnsupported: files in shards, another
///          kind of hash; kMismatch: another key, another file.
Status CheckBundle(std::string_view bundle, const std::string& name, const std::string& file_name,
                   const schema::Sha256Digest& digest, const PublicKeyFile& key);

/// The part of CheckBundle that comes once the key was found to have signed `statement`.
Status CheckStatementText(std::string_view statement, const std::string& name,
                          const std::string& file_name, const schema::Sha256Digest& digest);

inline constexpr size_t kMaxBundleBytes = size_t{4} << 20;

/// "00ff...".
std::string HexText(std::span<const uint8_t> bytes);

}  // namespace graft::converter
