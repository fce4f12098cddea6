// SPDX-License-Identifier: Apache-2.0
#include "converter/sign/keys.h"

#include <fcntl.h>
#include <mbedtls/base64.h>
#include <mbedtls/ecp.h>
#include <mbedtls/pem.h>
#include <mbedtls/pk.h>
#include <mbedtls/platform_util.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "converter/base/output_file.h"
#include "converter/json/json.h"

namespace graft::converter {

struct EcKey {
  EcKey() { mbedtls_pk_init(&context); }
  ~EcKey() { mbedtls_pk_free(&context); }
  EcKey(const EcKey&) = delete;
  EcKey& operator=(const EcKey&) = delete;

  mutable mbedtls_pk_context context;  // what signs and verifies takes it so, and changes nothing
};

void EcKeyDeleter::operator()(EcKey* key) const { delete key; }

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxKeyFileBytes = 1 << 14;
constexpr size_t kSeedBytes = crypto_sign_ed25519_SEEDBYTES;
constexpr char kBeginPrivate[] = "-----BEGIN PRIVATE KEY-----";
constexpr char kEndPrivate[] = "-----END PRIVATE KEY-----";
constexpr char kBeginPublic[] = "-----BEGIN PUBLIC KEY-----";
constexpr char kEndPublic[] = "-----END PUBLIC KEY-----";
// What stands before the 32 bytes of an Ed25519 key (RFC 8410).
constexpr std::array<uint8_t, 16> kPrivatePrefix = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
                                                    0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
constexpr std::array<uint8_t, 12> kPublicPrefix = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                                   0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

int FillRandom(void*, unsigned char* out, size_t count) {
  while (count > 0) {
    const ssize_t got = getrandom(out, count, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return -1;
    out += got;
    count -= static_cast<size_t>(got);
  }
  return 0;
}

/// The 32 bytes of an Ed25519 key, if the text holds one.
bool ReadEd25519(const std::string& text, const char* begin, const char* end,
                 std::span<const uint8_t> prefix, std::span<uint8_t> key) {
  mbedtls_pem_context pem;
  mbedtls_pem_init(&pem);
  size_t used = 0;
  bool found = mbedtls_pem_read_buffer(&pem, begin, end,
                                       reinterpret_cast<const unsigned char*>(text.c_str()),
                                       nullptr, 0, &used) == 0;
  found = found && pem.buflen == prefix.size() + key.size() &&
          std::equal(prefix.begin(), prefix.end(), pem.buf);
  if (found) std::copy_n(pem.buf + prefix.size(), key.size(), key.begin());
  mbedtls_pem_free(&pem);
  return found;
}

std::string PemText(const char* begin, const char* end, std::span<const uint8_t> der) {
  return std::string(begin) + "\n" + EncodeBase64(der) + "\n" + end + "\n";
}

bool IsP256(const EcKey& key) {
  return mbedtls_pk_can_do(&key.context, MBEDTLS_PK_ECKEY) != 0 &&
         mbedtls_pk_ec(key.context)->grp.id == MBEDTLS_ECP_DP_SECP256R1;
}

Result<std::string> EcText(const EcKey& key,
                           int (*write)(mbedtls_pk_context*, unsigned char*, size_t)) {
  std::array<unsigned char, 1024> text{};
  const int failure = write(&key.context, text.data(), text.size());
  if (failure != 0) return Error(StatusCode::kInternal, "a key cannot be written: %d", failure);
  return std::string(reinterpret_cast<const char*>(text.data()));
}

Status FailFile(const fs::path& path) {
  return Error(errno == EEXIST   ? StatusCode::kFailedPrecondition
               : errno == ENOENT ? StatusCode::kNotFound
                                 : StatusCode::kIo,
               "%s: %s", path.c_str(), std::strerror(errno));
}

// A file that was not there before, with these rights from the start.
Status WriteNewFile(const fs::path& path, mode_t mode, const std::string& text) {
  const int file = open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, mode);
  if (file < 0) return FailFile(path);
  const ssize_t written = write(file, text.data(), text.size());
  const bool done = written == static_cast<ssize_t>(text.size()) && fsync(file) == 0;
  Status failure = done ? OkStatus() : FailFile(path);
  close(file);
  if (!done) unlink(path.c_str());
  return failure;
}

}  // namespace

std::string EncodeBase64(std::span<const uint8_t> bytes) {
  std::string text(bytes.size() / 3 * 4 + 5, '\0');
  size_t size = 0;
  mbedtls_base64_encode(reinterpret_cast<unsigned char*>(text.data()), text.size(), &size,
                        bytes.data(), bytes.size());
  text.resize(size);
  return text;
}

Result<std::vector<uint8_t>> DecodeBase64(std::string_view text) {
  std::vector<uint8_t> bytes(text.size() / 4 * 3 + 3);
  size_t size = 0;
  if (mbedtls_base64_decode(bytes.data(), bytes.size(), &size,
                            reinterpret_cast<const unsigned char*>(text.data()),
                            text.size()) != 0) {
    return Status(StatusCode::kCorrupt, "is not base64");
  }
  bytes.resize(size);
  return bytes;
}

PrivateKey::~PrivateKey() { mbedtls_platform_zeroize(secret_.data(), secret_.size()); }

PrivateKey::PrivateKey(PrivateKey&& other) noexcept
    : secret_(other.secret_), public_(other.public_), ec_(std::move(other.ec_)) {
  mbedtls_platform_zeroize(other.secret_.data(), other.secret_.size());
}

Result<PrivateKey> PrivateKey::Read(const fs::path& path) {
  GRAFT_ASSIGN_OR_RETURN(std::string text, ReadTextFile(path, kMaxKeyFileBytes));
  PrivateKey key;
  std::array<uint8_t, kSeedBytes> seed{};
  bool is_key = ReadEd25519(text, kBeginPrivate, kEndPrivate, kPrivatePrefix, seed);
  if (is_key) {
    crypto_sign_ed25519_seed_keypair(key.public_.data(), key.secret_.data(), seed.data());
  } else {
    key.ec_.reset(new EcKey);
    is_key = mbedtls_pk_parse_key(&key.ec_->context,
                                  reinterpret_cast<const unsigned char*>(text.c_str()),
                                  text.size() + 1, nullptr, 0) == 0 &&
             IsP256(*key.ec_);
  }
  mbedtls_platform_zeroize(seed.data(), seed.size());
  mbedtls_platform_zeroize(text.data(), text.size());
  if (is_key) return key;
  return Error(StatusCode::kUnsupported,
               "%s: is no private key of Ed25519 or P-256 in PEM without a password", path.c_str());
}

Result<PrivateKey> PrivateKey::Generate(KeyKind kind) {
  PrivateKey key;
  bool made = false;
  if (kind == KeyKind::kEd25519) {
    std::array<uint8_t, kSeedBytes> seed{};
    made = FillRandom(nullptr, seed.data(), seed.size()) == 0;
    crypto_sign_ed25519_seed_keypair(key.public_.data(), key.secret_.data(), seed.data());
    mbedtls_platform_zeroize(seed.data(), seed.size());
  } else {
    key.ec_.reset(new EcKey);
    mbedtls_pk_context* context = &key.ec_->context;
    made = mbedtls_pk_setup(context, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)) == 0 &&
           mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*context), FillRandom,
                               nullptr) == 0;
  }
  if (!made) return Error(StatusCode::kInternal, "the system gives no random numbers");
  return key;
}

Ed25519Signature PrivateKey::SignEd25519(std::span<const uint8_t> message) const {
  Ed25519Signature signature{};
  crypto_sign_ed25519_detached(signature.data(), nullptr, message.data(), message.size(),
                               secret_.data());
  return signature;
}

Result<std::vector<uint8_t>> PrivateKey::SignP256(std::span<const uint8_t> message) const {
  const schema::Sha256Digest hash = schema::Sha256Of(message);
  std::vector<uint8_t> signature(MBEDTLS_PK_SIGNATURE_MAX_SIZE);
  size_t size = 0;
  const int failure = mbedtls_pk_sign(&ec_->context, MBEDTLS_MD_SHA256, hash.data(), hash.size(),
                                      signature.data(), &size, FillRandom, nullptr);
  if (failure != 0) return Error(StatusCode::kInternal, "signing failed: %d", failure);
  signature.resize(size);
  return signature;
}

Result<std::string> PrivateKey::PrivateText() const {
  if (ec_ != nullptr) return EcText(*ec_, mbedtls_pk_write_key_pem);
  std::vector<uint8_t> der(kPrivatePrefix.begin(), kPrivatePrefix.end());
  der.insert(der.end(), secret_.begin(), secret_.begin() + kSeedBytes);
  return PemText(kBeginPrivate, kEndPrivate, der);
}

Result<std::string> PrivateKey::PublicText() const {
  if (ec_ != nullptr) return EcText(*ec_, mbedtls_pk_write_pubkey_pem);
  std::vector<uint8_t> der(kPublicPrefix.begin(), kPublicPrefix.end());
  der.insert(der.end(), public_.begin(), public_.end());
  return PemText(kBeginPublic, kEndPublic, der);
}

Result<PublicKeyFile> PublicKeyFile::Read(const fs::path& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxKeyFileBytes));
  return Parse(text, path.string());
}

Result<PublicKeyFile> PublicKeyFile::Parse(const std::string& text, const std::string& name) {
  PublicKeyFile key;
  if (ReadEd25519(text, kBeginPublic, kEndPublic, kPublicPrefix, key.ed25519_)) return key;
  key.ec_.reset(new EcKey);
  if (mbedtls_pk_parse_public_key(&key.ec_->context,
                                  reinterpret_cast<const unsigned char*>(text.c_str()),
                                  text.size() + 1) == 0 &&
      IsP256(*key.ec_)) {
    return key;
  }
  return Error(StatusCode::kUnsupported, "%s: is no public key of Ed25519 or P-256 in PEM",
               name.c_str());
}

bool PublicKeyFile::VerifyP256(std::span<const uint8_t> message,
                               std::span<const uint8_t> signature) const {
  const schema::Sha256Digest hash = schema::Sha256Of(message);
  return mbedtls_pk_verify(&ec_->context, MBEDTLS_MD_SHA256, hash.data(), hash.size(),
                           signature.data(), signature.size()) == 0;
}

Result<std::string> PublicKeyFile::Text() const {
  if (ec_ != nullptr) return EcText(*ec_, mbedtls_pk_write_pubkey_pem);
  std::vector<uint8_t> der(kPublicPrefix.begin(), kPublicPrefix.end());
  der.insert(der.end(), ed25519_.begin(), ed25519_.end());
  return PemText(kBeginPublic, kEndPublic, der);
}

Status WriteNewKeys(KeyKind kind, const fs::path& path) {
  GRAFT_ASSIGN_OR_RETURN(const PrivateKey key, PrivateKey::Generate(kind));
  GRAFT_ASSIGN_OR_RETURN(std::string secret, key.PrivateText());
  GRAFT_ASSIGN_OR_RETURN(const std::string open_text, key.PublicText());
  const fs::path public_path = path.string() + ".pub";
  Status status = WriteNewFile(path, 0600, secret);
  mbedtls_platform_zeroize(secret.data(), secret.size());
  GRAFT_RETURN_IF_ERROR(std::move(status));
  status = WriteNewFile(public_path, 0644, open_text);
  if (!status.ok()) unlink(path.c_str());
  SyncFolder(path.parent_path());
  return status;
}

}  // namespace graft::converter
