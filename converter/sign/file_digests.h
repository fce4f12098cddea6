// SPDX-License-Identifier: Apache-2.0
// The SHA-256 of a file's parts, and the signature file that lies beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>

#include "converter/sign/keys.h"
#include "schema/result.h"
#include "schema/trust/signature.h"

namespace graft::converter {

/// What a signature says of `file`: of a .graft file its header and its segments, each to where the
/// next begins; a part of more than 16 MiB in parts of that size, so that threads share the work.
/// Errors   those of schema::Verify for a file that begins as a .graft file; kUnsupported: too large
///          a file; kCancelled.
Result<schema::FileDigests> DigestFile(std::span<const uint8_t> file, int threads);

/// Whether `file` has these digests.
/// Errors   kMismatch, naming the bytes that are others; kCancelled.
Status CompareDigests(const schema::FileDigests& digests, std::span<const uint8_t> file,
                      int threads);

/// Writes the signature of `digests` to `path`, whole or not at all.
/// Requires an Ed25519 key.
/// Errors   those of OutputFile.
Status WriteSignature(const schema::FileDigests& digests, const PrivateKey& key,
                      const std::filesystem::path& path);

}  // namespace graft::converter
