// SPDX-License-Identifier: Apache-2.0
#include "schema/container.h"

#include <algorithm>
#include <cinttypes>
#include <cstring>
#include <memory>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "schema/checked_math.h"
#include "schema/little_endian.h"

namespace graft::schema {
namespace {

// XXH3 prefetches some lines ahead of where it reads; bringing the next step into the second-level
// cache meanwhile lets a core wait for more lines at once.
constexpr size_t kStepBytes = 4096;
constexpr size_t kLineBytes = 64;

struct StreamDeleter {
  void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
};

}  // namespace

uint64_t Checksum64(std::span<const uint8_t> bytes) {
  if (bytes.size() <= kStepBytes) return XXH3_64bits(bytes.data(), bytes.size());
  XXH3_state_t state;
  XXH3_64bits_reset(&state);
  while (!bytes.empty()) {
    const size_t step = std::min(bytes.size(), kStepBytes);
    const size_t ahead = std::min(bytes.size(), 2 * kStepBytes);
    for (size_t i = step; i < ahead; i += kLineBytes) {
      __builtin_prefetch(bytes.data() + i, /*rw=*/0, /*locality=*/2);
    }
    XXH3_64bits_update(&state, bytes.data(), step);
    bytes = bytes.subspan(step);
  }
  return XXH3_64bits_digest(&state);
}

Hash128 ContentHash(std::span<const uint8_t> first, std::span<const uint8_t> second) {
  XXH128_hash_t hash;
  if (second.empty()) {
    hash = XXH3_128bits(first.data(), first.size());
  } else {
    const std::unique_ptr<XXH3_state_t, StreamDeleter> state(XXH3_createState());
    if (state == nullptr) return Hash128{};
    XXH3_128bits_reset(state.get());
    XXH3_128bits_update(state.get(), first.data(), first.size());
    XXH3_128bits_update(state.get(), second.data(), second.size());
    hash = XXH3_128bits_digest(state.get());
  }
  return Hash128{hash.high64, hash.low64};
}

std::array<uint8_t, kPreambleBytes> EncodePreamble(const Preamble& preamble) {
  std::array<uint8_t, kPreambleBytes> bytes{};
  std::memcpy(bytes.data(), kMagic.data(), kMagic.size());
  PutU32(&bytes[8], preamble.format_version);
  PutU32(&bytes[12], static_cast<uint32_t>(kPreambleBytes));
  PutU64(&bytes[16], preamble.file_bytes);
  PutU64(&bytes[24], preamble.header_offset);
  PutU64(&bytes[32], preamble.header_bytes);
  PutU64(&bytes[40], preamble.header_checksum);
  PutU64(&bytes[48], 0);
  PutU64(&bytes[56], Checksum64(std::span(bytes).first(56)));
  return bytes;
}

Result<Preamble> DecodePreamble(std::span<const uint8_t> bytes, uint64_t available_bytes) {
  if (bytes.size() < kPreambleBytes || available_bytes < kPreambleBytes) {
    return Error(StatusCode::kCorrupt,
                 "file is %" PRIu64 " bytes, shorter than the %" PRIu64 "-byte preamble",
                 available_bytes, kPreambleBytes);
  }
  if (std::memcmp(bytes.data(), kMagic.data(), kMagic.size()) != 0) {
    constexpr char kPack[] = "\x89GRFPK";
    constexpr char kGguf[] = "GGUF";
    const char* what = "";
    if (std::memcmp(bytes.data(), kPack, sizeof(kPack) - 1) == 0)
      what = " (it is a pack, which is given beside its base)";
    if (std::memcmp(bytes.data(), kGguf, sizeof(kGguf) - 1) == 0)
      what = " (it is a GGUF file, of which graft-convert makes one)";
    return Error(StatusCode::kCorrupt,
                 "not a .graft file: the first 8 bytes are not the magic number%s", what);
  }
  const uint64_t stored = GetU64(&bytes[56]);
  const uint64_t computed = Checksum64(bytes.first(56));
  if (stored != computed) {
    return Error(StatusCode::kCorrupt,
                 "preamble checksum is %016" PRIx64 ", its bytes give %016" PRIx64, stored,
                 computed);
  }
  Preamble preamble;
  preamble.format_version = GetU32(&bytes[8]);
  if (preamble.format_version != kFormatVersion) {
    return Error(StatusCode::kUnsupportedVersion,
                 "format version %" PRIu32 "; this build reads version %" PRIu32,
                 preamble.format_version, kFormatVersion);
  }
  preamble.file_bytes = GetU64(&bytes[16]);
  preamble.header_offset = GetU64(&bytes[24]);
  preamble.header_bytes = GetU64(&bytes[32]);
  preamble.header_checksum = GetU64(&bytes[40]);
  if (GetU32(&bytes[12]) != kPreambleBytes || preamble.header_offset != kPreambleBytes ||
      GetU64(&bytes[48]) != 0) {
    return Error(StatusCode::kCorrupt,
                 "preamble has sizes or reserved bytes that version %" PRIu32 " does not allow",
                 kFormatVersion);
  }
  if (preamble.file_bytes != available_bytes) {
    return Error(StatusCode::kCorrupt, "file is %" PRIu64 " bytes, its preamble says %" PRIu64,
                 available_bytes, preamble.file_bytes);
  }
  if (preamble.header_bytes > kMaxHeaderBytes) {
    return Error(StatusCode::kCorrupt,
                 "header of %" PRIu64 " bytes is larger than the limit of %" PRIu64,
                 preamble.header_bytes, kMaxHeaderBytes);
  }
  if (!RangeFits(preamble.header_offset, preamble.header_bytes, available_bytes)) {
    return Error(StatusCode::kCorrupt,
                 "header of %" PRIu64 " bytes at %" PRIu64 " ends past the file's %" PRIu64
                 " bytes",
                 preamble.header_bytes, preamble.header_offset, available_bytes);
  }
  return preamble;
}

}  // namespace graft::schema
