// SPDX-License-Identifier: Apache-2.0
// Signed files: what a key has signed opens, and nothing else does. Signatures are made by the
// converter and checked by the device's code; bundles are those of model_signing.
#include "schema/trust/signature.h"

#include <sys/stat.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <graft/graft.h>
#include "converter/sign/file_digests.h"
#include "converter/sign/keys.h"
#include "converter/sign/model_bundle.h"
#include "tests/support/model_builder.h"
#include "tests/support/small_files.h"
#include "tests/support/some_of_all.h"

namespace graft::test {
namespace {

namespace fs = std::filesystem;
using converter::KeyKind;
using converter::PrivateKey;
using converter::ReadBytes;
using converter::TemporaryFolder;

constexpr int kThreads = 2;

std::span<const uint8_t> BytesOf(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

PrivateKey NewKey(KeyKind kind) {
  auto key = PrivateKey::Generate(kind);
  REQUIRE(key.ok());
  return std::move(key).value();
}

std::string ModelFile(const std::string& name) {
  return std::string(GRAFT_TEST_MODELS) + "/" + name;
}

std::string Sign(std::span<const uint8_t> file, const PrivateKey& key, const fs::path& path) {
  const auto digests = converter::DigestFile(file, kThreads);
  REQUIRE(digests.ok());
  REQUIRE(converter::WriteSignature(*digests, key, path).ok());
  return ReadBytes(path);
}

/// A device that trusts one key.
struct Device {
  schema::PublicKey key;
  std::string message;

  graft_status Open(const AlignedBytes& file, const std::string& signature,
                    const graft_pack* pack = nullptr) {
    graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
    options.threads = 1;
    options.pack = pack;
    options.trusted_keys = key.data();
    options.trusted_key_count = 1;
    options.signature = signature.empty() ? nullptr : signature.data();
    options.signature_size = signature.size();
    graft_model* model = nullptr;
    graft_error error{};
    const graft_status status =
        graft_model_open_memory(file.data(), file.size(), &options, &model, &error);
    graft_model_destroy(model);
    message = error.message;
    return status;
  }
};

TEST_CASE("a signed file opens; one with a flipped bit, no signature or another key does not") {
  const TemporaryFolder folder;
  const std::string bytes = ReadBytes(ModelFile("architecture-llama-int4.graft"));
  const AlignedBytes file(BytesOf(bytes));
  const PrivateKey key = NewKey(KeyKind::kEd25519), other = NewKey(KeyKind::kEd25519);
  const std::string signature = Sign(file.span(), key, folder.path() / "a.sig");
  Device device{key.ed25519_public(), ""};
  CHECK(device.Open(file, signature) == GRAFT_OK);
  CHECK(device.Open(file, "") == GRAFT_MISMATCH);
  CHECK(device.message.find("no signature") != std::string::npos);
  CHECK(device.Open(file, Sign(file.span(), other, folder.path() / "b.sig")) == GRAFT_MISMATCH);
  CHECK(device.message.find("none that is trusted") != std::string::npos);

  size_t opened = 0;
  for (size_t i = 0; i < file.size(); i += 97 * StepOfAll(11)) {
    AlignedBytes flipped(file.span());
    flipped.data()[i] ^= static_cast<uint8_t>(1u << (i % 8));
    opened += device.Open(flipped, signature) == GRAFT_MISMATCH ? 0 : 1;
  }
  for (size_t i = 0; i < signature.size() * 8; i += StepOfAll(7)) {
    std::string flipped = signature;
    flipped[i / 8] = static_cast<char>(flipped[i / 8] ^ (1 << (i % 8)));
    opened += device.Open(file, flipped) == GRAFT_MISMATCH ? 0 : 1;
  }
  for (size_t size = 1; size < signature.size(); size += StepOfAll(7)) {
    opened += device.Open(file, signature.substr(0, size)) == GRAFT_MISMATCH ? 0 : 1;
  }
  CHECK(opened == 0);
  CHECK(device.Open(file, signature + '\0') == GRAFT_MISMATCH);
}

TEST_CASE("a path has its signature beside it, and a swap asks for one, too") {
  const TemporaryFolder folder;
  const PrivateKey key = NewKey(KeyKind::kEd25519);
  const fs::path model_path = folder.path() / "base.graft",
                 pack_path = folder.path() / "p.graftpack";
  fs::copy_file(ModelFile("tales-base-int8.graft"), model_path);
  fs::copy_file(ModelFile("tales-holmes-int8.graftpack"), pack_path);
  graft_model_options options = GRAFT_MODEL_OPTIONS_INIT;
  options.trusted_keys = key.ed25519_public().data();
  options.trusted_key_count = 1;
  graft_model* model = nullptr;
  graft_error error{};
  CHECK(graft_model_open(model_path.c_str(), &options, &model, &error) == GRAFT_MISMATCH);
  CHECK(std::string(error.message).find("base.graft.sig") != std::string::npos);
  Sign(BytesOf(ReadBytes(model_path)), key, model_path.string() + ".sig");
  REQUIRE(graft_model_open(model_path.c_str(), &options, &model, &error) == GRAFT_OK);

  graft_pack pack = GRAFT_PACK_INIT;
  pack.path = pack_path.c_str();
  CHECK(graft_model_swap(model, &pack, &error) == GRAFT_MISMATCH);
  // The signature of another file, for what was swapped in.
  fs::copy_file(model_path.string() + ".sig", pack_path.string() + ".sig");
  CHECK(graft_model_swap(model, &pack, &error) == GRAFT_MISMATCH);
  fs::remove(pack_path.string() + ".sig");
  Sign(BytesOf(ReadBytes(pack_path)), key, pack_path.string() + ".sig");
  CHECK(graft_model_swap(model, &pack, &error) == GRAFT_OK);
  graft_self_test found{};
  found.struct_size = sizeof(found);
  REQUIRE(graft_model_self_test(model, &found, nullptr) == GRAFT_OK);
  CHECK(found.verdict == GRAFT_SELF_TEST_ADAPTED);
  graft_model_destroy(model);
}

TEST_CASE("a private key is its owner's alone, and never takes another one's place") {
  const TemporaryFolder folder;
  for (const KeyKind kind : {KeyKind::kEd25519, KeyKind::kP256}) {
    const fs::path path = folder.path() / (kind == KeyKind::kP256 ? "p256" : "ed25519");
    umask(0);
    REQUIRE(converter::WriteNewKeys(kind, path).ok());
    umask(022);
    struct stat facts {};
    REQUIRE(stat(path.c_str(), &facts) == 0);
    CHECK((facts.st_mode & 0777) == 0600);
    const std::string before = ReadBytes(path);
    CHECK(converter::WriteNewKeys(kind, path).code() == StatusCode::kFailedPrecondition);
    CHECK(ReadBytes(path) == before);
    const auto key = PrivateKey::Read(path);
    const auto open = converter::PublicKeyFile::Read(path.string() + ".pub");
    REQUIRE(key.ok());
    REQUIRE(open.ok());
    CHECK(key->kind() == kind);
    CHECK(*key->PublicText() == *open->Text());
    CHECK(*key->PrivateText() == before);
    CHECK(!converter::PublicKeyFile::Read(path).ok());
    CHECK(!PrivateKey::Read(path.string() + ".pub").ok());
  }
  // A link is not followed.
  fs::create_symlink(folder.path() / "elsewhere", folder.path() / "link");
  CHECK(!converter::WriteNewKeys(KeyKind::kEd25519, folder.path() / "link").ok());
  CHECK(!fs::exists(folder.path() / "elsewhere"));
}

TEST_CASE("bundles of model_signing hold, and ours hold; others do not") {
  const std::string data = std::string(GRAFT_TEST_SIGNATURES) + "/";
  const auto key = converter::PublicKeyFile::Read(data + "p256.pub");
  REQUIRE(key.ok());
  const std::string file = ReadBytes(data + "m.graft");
  const schema::Sha256Digest digest = schema::Sha256Of(BytesOf(file));
  const auto check = [&](const std::string& bundle, const schema::Sha256Digest& of,
                         const converter::PublicKeyFile& by) {
    return converter::CheckBundle(bundle, "bundle", "m.graft", of, by).ok();
  };
  for (const char* name : {"m.graft.sigstore.json", "folder.sigstore.json"}) {
    CAPTURE(name);
    const std::string bundle = ReadBytes(data + name);
    CHECK(check(bundle, digest, *key));
    CHECK_FALSE(check(bundle, schema::Sha256Of(BytesOf(file + "x")), *key));
    // In what is signed, and in the signature, no byte is free; the rest is form.
    for (const char* field : {"\"payload\":\"", "\"sig\":\""}) {
      const size_t begin = bundle.find(field) + std::string(field).size();
      const size_t end = bundle.find('"', begin);
      for (size_t i = begin; i + 4 < end; i += StepOfAll(13)) {
        std::string altered = bundle;
        altered[i] = altered[i] == 'A' ? 'B' : 'A';
        CHECK_FALSE(check(altered, digest, *key));
      }
    }
    for (size_t size = 0; size < bundle.size(); size += 37) {
      CHECK_FALSE(check(bundle.substr(0, size), digest, *key));
    }
  }
  const TemporaryFolder folder;
  REQUIRE(converter::WriteNewKeys(KeyKind::kP256, folder.path() / "k").ok());
  const auto own = PrivateKey::Read(folder.path() / "k");
  const auto own_open = converter::PublicKeyFile::Read(folder.path() / "k.pub");
  REQUIRE(own.ok());
  REQUIRE(own_open.ok());
  const auto bundle = converter::MakeBundle("m.graft", digest, *own);
  REQUIRE(bundle.ok());
  CHECK(check(*bundle, digest, *own_open));
  CHECK_FALSE(check(*bundle, digest, *key));
}

TEST_CASE("SHA-256 is that of FIPS 180-4, with the CPU's instructions and without") {
  CHECK(converter::HexText(schema::Sha256Of({})) ==
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(converter::HexText(schema::Sha256Of(BytesOf("abc"))) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(converter::HexText(schema::Sha256Of(
            BytesOf("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"))) ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  std::vector<uint8_t> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 131 >> 3);
  for (size_t cut = 0; cut <= bytes.size(); cut += 7) {  // in two steps, wherever the second begins
    schema::Sha256 hash;
    hash.Add(std::span(bytes).first(cut)).Add(std::span(bytes).subspan(cut));
    CHECK(hash.Finish() == schema::Sha256Of(bytes));
  }
  std::array<uint32_t, 8> plain = {1, 2, 3, 4, 5, 6, 7, 8}, fast = plain;
  schema::AddSha256Blocks(bytes.data(), 15, false, &plain);
  schema::AddSha256Blocks(bytes.data(), 15, schema::HasSha256Instructions(), &fast);
  CHECK(plain == fast);
}

TEST_CASE("Ed25519 is that of RFC 8032") {  // its section 7.1, test 2
  const auto bytes = [](const std::string& hex) {
    std::vector<uint8_t> made;
    for (size_t i = 0; i < hex.size(); i += 2) {
      made.push_back(static_cast<uint8_t>(std::stoi(hex.substr(i, 2), nullptr, 16)));
    }
    return made;
  };
  schema::PublicKey key{};
  std::ranges::copy(bytes("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"),
                    key.begin());
  std::vector<uint8_t> signature = bytes(
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
      "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00");
  const std::vector<uint8_t> message = {0x72};
  const auto verify = [&] {
    return schema::VerifyEd25519(key, message, std::span<const uint8_t, 64>(signature.data(), 64));
  };
  CHECK(verify());
  signature[63] ^= 0x10;
  CHECK_FALSE(verify());
}

}  // namespace
}  // namespace graft::test
