// SPDX-License-Identifier: Apache-2.0
// Keys in PEM files, as OpenSSL writes and reads them: Ed25519 for signatures that devices check,
// ECDSA on P-256 for bundles of OpenSSF Model Signing.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schema/result.h"
#include "schema/trust/signature.h"

namespace graft::converter {

enum class KeyKind : uint8_t { kEd25519, kP256 };

struct EcKey;  // of P-256, as Mbed TLS holds it
struct EcKeyDeleter {
  void operator()(EcKey* key) const;
};
using EcKeyHandle = std::unique_ptr<EcKey, EcKeyDeleter>;

using Ed25519Signature = std::array<uint8_t, schema::kEd25519SignatureBytes>;

class PrivateKey {
 public:
  /// Errors   kNotFound, kIo; kUnsupported: no key in PEM, or of another kind. Messages name the
  ///          file.
  static Result<PrivateKey> Read(const std::filesystem::path& path);
  static Result<PrivateKey> Generate(KeyKind kind);
  ~PrivateKey();
  PrivateKey(PrivateKey&& other) noexcept;
  PrivateKey& operator=(PrivateKey&&) = delete;

  KeyKind kind() const { return ec_ == nullptr ? KeyKind::kEd25519 : KeyKind::kP256; }
  const schema::PublicKey& ed25519_public() const { return public_; }
  /// Requires kind() of that name. The same bytes for the same message.
  Ed25519Signature SignEd25519(std::span<const uint8_t> message) const;
  /// The signature of the message's SHA-256, in DER. Errors kInternal: no random numbers.
  Result<std::vector<uint8_t>> SignP256(std::span<const uint8_t> message) const;

  /// In PEM.
  Result<std::string> PrivateText() const;
  Result<std::string> PublicText() const;

 private:
  PrivateKey() = default;

  std::array<uint8_t, 64> secret_{};  // libsodium's: the seed, then the public key
  schema::PublicKey public_{};
  EcKeyHandle ec_;
};

class PublicKeyFile {
 public:
  /// Errors   as PrivateKey::Read.
  static Result<PublicKeyFile> Read(const std::filesystem::path& path);
  /// The same of a file's text.
  static Result<PublicKeyFile> Parse(const std::string& text, const std::string& name);

  KeyKind kind() const { return ec_ == nullptr ? KeyKind::kEd25519 : KeyKind::kP256; }
  const schema::PublicKey& ed25519() const { return ed25519_; }
  /// Requires kind() kP256.
  bool VerifyP256(std::span<const uint8_t> message, std::span<const uint8_t> signature) const;
  Result<std::string> Text() const;

 private:
  PublicKeyFile() = default;

  schema::PublicKey ed25519_{};
  EcKeyHandle ec_;
};

/// Makes a new key: the private one at `path`, which nobody but its owner may read from the moment
/// that it exists, and the public one beside it, with .pub behind the name.
/// Errors   kFailedPrecondition: one of the files exists; kIo, kNotFound.
Status WriteNewKeys(KeyKind kind, const std::filesystem::path& path);

std::string EncodeBase64(std::span<const uint8_t> bytes);
/// Errors   kCorrupt.
Result<std::vector<uint8_t>> DecodeBase64(std::string_view text);

}  // namespace graft::converter
