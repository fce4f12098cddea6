// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/trusted_keys.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

namespace graft_run {
namespace {

constexpr size_t kMaxFileBytes = 4096;
constexpr size_t kKeyBytes = 32;
// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410), up to the key.
constexpr std::array<uint8_t, 12> kPrefix = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03,
                                             0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};

// Empty if the text is none.
std::vector<uint8_t> DecodeBase64(std::string_view text) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::vector<uint8_t> bytes;
  uint32_t bits = 0, count = 0;
  for (const char c : text) {
    if (c == '\n' || c == '\r' || c == '=') continue;
    const size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return {};
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<uint8_t>(bits >> count));
  }
  return bytes;
}

std::string ReadFile(const std::string& path, std::string* text) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) return std::strerror(errno);
  text->resize(kMaxFileBytes);
  text->resize(std::fread(text->data(), 1, text->size(), file));
  std::fclose(file);
  return {};
}

}  // namespace

std::string ReadTrustedKeys(const std::vector<std::string>& files, std::vector<uint8_t>* keys) {
  constexpr std::string_view kBegin = "-----BEGIN PUBLIC KEY-----";
  constexpr std::string_view kEnd = "-----END PUBLIC KEY-----";
  for (const std::string& path : files) {
    std::string text;
    if (std::string problem = ReadFile(path, &text); !problem.empty()) {
      return std::string(path).append(": ").append(problem);
    }
    const size_t begin = text.find(kBegin), end = text.find(kEnd);
    std::vector<uint8_t> bytes;
    if (begin != std::string::npos && end != std::string::npos && begin + kBegin.size() <= end) {
      bytes = DecodeBase64(
          std::string_view(text).substr(begin + kBegin.size(), end - begin - kBegin.size()));
    }
    if (bytes.size() != kPrefix.size() + kKeyBytes ||
        !std::equal(kPrefix.begin(), kPrefix.end(), bytes.begin())) {
      return path + ": is no Ed25519 public key in PEM, as graft-convert keygen writes it";
    }
    keys->insert(keys->end(), bytes.begin() + kPrefix.size(), bytes.end());
  }
  return {};
}

}  // namespace graft_run
