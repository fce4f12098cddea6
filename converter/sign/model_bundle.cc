// SPDX-License-Identifier: Apache-2.0
#include "converter/sign/model_bundle.h"

#include <cstring>
#include <utility>

#include <nlohmann/json.hpp>

#include "converter/json/json.h"

namespace graft::converter {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kMediaType[] = "application/vnd.dev.sigstore.bundle.v0.3+json";
constexpr char kMediaTypeStart[] = "application/vnd.dev.sigstore.bundle";
constexpr char kPayloadType[] = "application/vnd.in-toto+json";
constexpr char kStatementType[] = "https://in-toto.io/Statement/v1";
constexpr char kPredicateType[] = "https://model_signing/signature/v1.0";

std::span<const uint8_t> BytesOf(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// What is signed: DSSE's pre-authentication encoding.
std::string EncodeForSigning(std::string_view payload) {
  std::string text = "DSSEv1 " + std::to_string(std::strlen(kPayloadType)) + " " + kPayloadType +
                     " " + std::to_string(payload.size()) + " ";
  return text.append(payload);
}

Result<std::vector<uint8_t>> FromHex(std::string_view text) {
  const auto digit = [](char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
  };
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = digit(text[i]), low = i + 1 < text.size() ? digit(text[i + 1]) : -1;
    if (high < 0 || low < 0) return Error(StatusCode::kCorrupt, "a digest is not hexadecimal");
    bytes.push_back(static_cast<uint8_t>(high * 16 + low));
  }
  return bytes;
}

Status Require(const JsonValue& object, const char* key, std::string_view expected) {
  GRAFT_ASSIGN_OR_RETURN(const std::string found, object.GetString(key));
  if (found == expected) return OkStatus();
  return object.Fail(std::string("has a '") + key + "' that is not " + std::string(expected),
                     StatusCode::kUnsupported);
}

// The payload, if the key has signed it.
Result<std::string> ReadEnvelope(const JsonValue& bundle, const PublicKeyFile& key) {
  GRAFT_ASSIGN_OR_RETURN(const std::string media, bundle.GetString("mediaType"));
  if (!media.starts_with(kMediaTypeStart)) {
    return bundle.Fail("is no Sigstore bundle", StatusCode::kUnsupported);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string key_text, key.Text());
  const JsonValue known = bundle.Find("verificationMaterial").Find("publicKey");
  GRAFT_ASSIGN_OR_RETURN(const std::string hint, known.GetString("hint", ""));
  if (!hint.empty() && hint != HexText(schema::Sha256Of(BytesOf(key_text)))) {
    return bundle.Fail("is signed by another key", StatusCode::kMismatch);
  }
  const JsonValue envelope = bundle.Find("dsseEnvelope");
  GRAFT_RETURN_IF_ERROR(Require(envelope, "payloadType", kPayloadType));
  GRAFT_ASSIGN_OR_RETURN(const std::string payload_text, envelope.GetString("payload"));
  const JsonValue signatures = envelope.Find("signatures");
  if (!signatures.IsArray() || signatures.size() != 1) {
    return envelope.Fail("must have one signature", StatusCode::kCorrupt);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string signature_text, signatures.at(0).GetString("sig"));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> payload, DecodeBase64(payload_text));
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> signature, DecodeBase64(signature_text));
  std::string text(payload.begin(), payload.end());
  if (!key.VerifyP256(BytesOf(EncodeForSigning(text)), signature)) {
    return bundle.Fail("is not signed by this key", StatusCode::kMismatch);
  }
  return text;
}

// Whether the statement's digests are what its subject says, and the file's is among them.
Status CheckStatement(const JsonValue& statement, const std::string& file_name,
                      const std::string& digest) {
  GRAFT_RETURN_IF_ERROR(Require(statement, "_type", kStatementType));
  GRAFT_RETURN_IF_ERROR(Require(statement, "predicateType", kPredicateType));
  const JsonValue predicate = statement.Find("predicate");
  const JsonValue serialization = predicate.Find("serialization");
  GRAFT_RETURN_IF_ERROR(Require(serialization, "method", "files"));
  GRAFT_RETURN_IF_ERROR(Require(serialization, "hash_type", "sha256"));
  const JsonValue resources = predicate.Find("resources");
  const JsonValue subjects = statement.Find("subject");
  if (!resources.IsArray() || !subjects.IsArray() || subjects.size() != 1) {
    return statement.Fail("must have resources, and one subject", StatusCode::kCorrupt);
  }
  schema::Sha256 all;
  bool is_there = false;
  for (size_t i = 0; i < resources.size(); ++i) {
    const JsonValue resource = resources.at(i);
    GRAFT_RETURN_IF_ERROR(Require(resource, "algorithm", "sha256"));
    GRAFT_ASSIGN_OR_RETURN(const std::string name, resource.GetString("name"));
    GRAFT_ASSIGN_OR_RETURN(const std::string found, resource.GetString("digest"));
    GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, FromHex(found));
    all.Add(bytes);
    const bool is_named = name == file_name || (name == "." && resources.size() == 1);
    is_there = is_there || (is_named && found == digest);
  }
  GRAFT_ASSIGN_OR_RETURN(const std::string root, subjects.at(0).Find("digest").GetString("sha256"));
  if (root != HexText(all.Finish())) {
    return statement.Fail("has a subject whose digest is not that of the resources",
                          StatusCode::kCorrupt);
  }
  if (is_there) return OkStatus();
  return statement.Fail("holds no file '" + file_name + "' of these bytes", StatusCode::kMismatch);
}

}  // namespace

std::string HexText(std::span<const uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

Result<std::string> MakeBundle(const std::string& file_name, const schema::Sha256Digest& digest,
                               const PrivateKey& key) {
  Json statement;
  statement["_type"] = kStatementType;
  statement["subject"] = Json::array(
      {{{"name", file_name}, {"digest", {{"sha256", HexText(schema::Sha256Of(digest))}}}}});
  statement["predicateType"] = kPredicateType;
  // "." is the model itself where that is one file.
  statement["predicate"] = {
      {"serialization",
       {{"method", "files"},
        {"hash_type", "sha256"},
        {"allow_symlinks", false},
        {"ignore_paths", Json::array()}}},
      {"resources",
       Json::array({{{"name", "."}, {"algorithm", "sha256"}, {"digest", HexText(digest)}}})}};
  const std::string payload = statement.dump(-1, ' ', false, Json::error_handler_t::replace);
  GRAFT_ASSIGN_OR_RETURN(const std::vector<uint8_t> signature,
                         key.SignP256(BytesOf(EncodeForSigning(payload))));
  GRAFT_ASSIGN_OR_RETURN(const std::string key_text, key.PublicText());
  Json bundle;
  bundle["mediaType"] = kMediaType;
  bundle["verificationMaterial"] = {
      {"publicKey", {{"hint", HexText(schema::Sha256Of(BytesOf(key_text)))}}},
      {"tlogEntries", Json::array()}};
  bundle["dsseEnvelope"] = {
      {"payload", EncodeBase64(BytesOf(payload))},
      {"payloadType", kPayloadType},
      {"signatures", Json::array({{{"sig", EncodeBase64(signature)}, {"keyid", ""}}})}};
  return bundle.dump() + "\n";
}

Status CheckBundle(std::string_view bundle, const std::string& name, const std::string& file_name,
                   const schema::Sha256Digest& digest, const PublicKeyFile& key) {
  if (bundle.size() > kMaxBundleBytes) {
    return Error(StatusCode::kCorrupt, "%s: has %zu bytes, more than %zu", name.c_str(),
                 bundle.size(), kMaxBundleBytes);
  }
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Parse(bundle, name));
  GRAFT_ASSIGN_OR_RETURN(const std::string payload, ReadEnvelope(document->root(), key));
  return CheckStatementText(payload, name + ": payload", file_name, digest);
}

Status CheckStatementText(std::string_view statement, const std::string& name,
                          const std::string& file_name, const schema::Sha256Digest& digest) {
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Parse(statement, name));
  return CheckStatement(document->root(), file_name, HexText(digest));
}

}  // namespace graft::converter
