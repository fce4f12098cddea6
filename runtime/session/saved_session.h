// SPDX-License-Identifier: Apache-2.0
// A session in a file: the token ids it holds, and their keys and values, so that a prompt need not
// be computed twice.
//
//   bytes   field
//   0-7     magic: 89 47 52 46 54 4B 56 0A ("\x89GRFTKV\n")
//   8-11    format_version, u32
//   12-15   kv_format, u32: 1 f32, 2 f16, 3 int8
//   16-31   identity of the model: high u64, low u64
//   32-35   tokens, u32
//   36-39   source_rows, u32: rows of the source of an encoder-decoder, or pictures of a model that
//           takes any; 0: none
//   40-47   payload_bytes, u64
//   48-55   payload_checksum, u64: XXH3-64 of the XXH3-64 of each part
//   56-63   header_checksum, u64: XXH3-64 of bytes 0-55
//   64-     the parts, one after the other
//
// All numbers are little-endian. If there is a source, the first part is its 128-bit hash, and what
// belongs to a cache of the source is for `source_rows` positions. Of a model that takes pictures it
// is, for each picture, its hash, its image rows and how many of these lie beside each other, u32
// (0: it is of several images). The next part is the ids, i32.
// Then come, for each cache of the graph and each of its key/value heads, the keys, the values, and
// of int8 the keys' scales and the values' scales, each for `tokens` positions, laid out as
// kernels/attention.h says; keys end with a whole block of positions, zero after the last token. Of
// a model with states these are the last part, as runtime/session/session_states.h lays them out.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "runtime/kernels/kv_store.h"
#include "schema/container.h"
#include "schema/result.h"

namespace graft::runtime {

/// What is held of the source of an encoder-decoder.
struct SavedSource {
  size_t rows = 0;  ///< 0: none
  schema::Hash128 hash = {};
};

/// A picture that tokens stand for.
struct SavedPicture {
  schema::Hash128 hash = {};
  uint32_t rows = 0;     ///< as many tokens
  uint32_t columns = 0;  ///< of them beside each other; 0: it is of several images
};

inline constexpr size_t kMaxPictures = 64;

struct SavedPictures {
  size_t count = 0;
  std::array<SavedPicture, kMaxPictures> entries = {};
};

/// What a file must agree with, and where its contents go.
struct SavedSessionTarget {
  schema::Hash128 identity;
  KvElement element = KvElement::kFloat32;
  uint32_t vocabulary = 0;
  std::span<const KvView> caches;
  std::span<int32_t> ids;             ///< room for the whole context
  std::span<uint8_t> states;          ///< of a model that keeps any, as SessionStates has them
  SavedSource* source = nullptr;      ///< of an encoder-decoder
  SavedPictures* pictures = nullptr;  ///< of a model that takes any; it has no source
  uint32_t source_capacity = 0;       ///< rows of a source there is room for
};

/// Writes the first `tokens` positions. Clears what the caches hold after them in their last block
/// of keys.
/// Errors   kNotFound (no such folder), kIo, kOutOfMemory; each names the path.
Status WriteSavedSession(const char* path, const SavedSessionTarget& session, size_t tokens);

/// Reads a file into the target; *tokens becomes how many positions it holds, and target.source what
/// it holds of a source. What the file says of
/// itself is checked before anything of the target changes; *tokens is 0 and no
/// source held if its contents turn out wrong after that.
/// Errors   kNotFound, kIo; kCorrupt; kUnsupportedVersion;
///          kMismatch: of another model, or with another format of keys and values;
///          kOutOfRange: more tokens than the context holds. Each names the path.
Status ReadSavedSession(const char* path, const SavedSessionTarget& target, size_t* tokens);

}  // namespace graft::runtime
