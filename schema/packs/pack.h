// SPDX-License-Identifier: Apache-2.0
// Pack: the bytes of a .graftpack file, which turn a base's .graft file into another one, exactly.
// PACK_FORMAT.md describes the file.
//
// The result is a list of steps, from its first byte to its last: so many bytes of the base as they
// are, so many zeros, or so many bytes of the base with differences added. Differences lie in
// blocks, each coded and checked by itself, so that blocks can be decoded in any order, on any
// thread, or not at all.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/container.h"
#include "schema/packs/entropy_decoder.h"
#include "schema/packs/sparse_bytes.h"
#include "schema/result.h"
#include "schema/verify.h"

namespace graft::schema {

inline constexpr std::array<uint8_t, 8> kPackMagic = {0x89, 'G', 'R', 'F', 'P', 'K', '\r', '\n'};
/// What is written. Version 2, which has no Huffman codes of whole planes, and version 1, which has no
/// sparse bytes either, are read as well.
inline constexpr uint32_t kPackVersion = 3;
inline constexpr uint32_t kOldestPackVersion = 1;
inline constexpr uint32_t kFirstSparseVersion = 2;
inline constexpr uint32_t kFirstHuffmanVersion = 3;
inline constexpr uint64_t kPackPreambleBytes = 128;
/// Bytes of the result that one block covers at most.
inline constexpr uint32_t kMaxBlockBytes = 1u << 18;
inline constexpr uint64_t kMaxPackSteps = uint64_t{1} << 20;
inline constexpr uint64_t kMaxPackIndexBytes = uint64_t{32} << 20;
/// The result may be so many times as large as the base, and this: a model of 4-bit codes has an
/// eighth of the bytes that it has in f32.
inline constexpr uint64_t kMaxGrowth = 16;
inline constexpr uint64_t kFreeGrowthBytes = uint64_t{256} << 20;

/// The first 128 bytes.
struct PackPreamble {
  uint32_t version = kPackVersion;
  uint64_t pack_bytes = 0;
  uint64_t base_bytes = 0;  ///< of the base's file
  Hash128 base_identity;
  uint64_t result_bytes = 0;
  Hash128 result_identity;
  Hash128 result_hash;  ///< XXH3-128 of the whole result
  uint64_t index_offset = 0;
  uint64_t index_bytes = 0;
  uint64_t index_checksum = 0;
};

/// What a step's differences are counted in. The numbers are the file's.
enum class PackUnit : uint8_t {
  kNone = 0,     ///< no differences
  kNibbles = 1,  ///< two to a byte, each modulo 16
  kBytes = 2,
  kPairs = 3,  ///< 16 bits
  kQuads = 4,  ///< 32 bits
};

/// Bytes of a unit that are coded apart from each other: 1, 2 or 4.
constexpr size_t PlanesOf(PackUnit unit) {
  return unit == PackUnit::kPairs ? 2 : unit == PackUnit::kQuads ? 4 : 1;
}

inline constexpr uint64_t kZeros = UINT64_MAX;
inline constexpr uint32_t kNoBlock = UINT32_MAX;

struct PackStep {
  uint64_t offset = 0;  ///< in the result
  uint64_t bytes = 0;
  uint64_t base_offset = kZeros;  ///< kZeros: there is nothing of the base in it
  uint32_t block = kNoBlock;      ///< kNoBlock: nothing is added
  uint32_t block_offset = 0;      ///< of its first byte among those of its block
  PackUnit unit = PackUnit::kNone;
};

/// Steps whose differences are coded together: those of first_step to end_step that name it.
struct PackBlock {
  uint64_t coded_offset = 0;  ///< in the pack
  uint64_t checksum = 0;
  uint32_t coded_bytes = 0;
  uint32_t result_bytes = 0;
  uint32_t first_step = 0;
  uint32_t end_step = 0;
  PackUnit unit = PackUnit::kNone;
};

/// What decoding blocks takes beside the result; it stays allocated from block to block.
struct PackWorkspace {
  EntropyDecoder decoder;
  SparseDecoder sparse;
  std::vector<uint8_t> plane;
  std::vector<uint8_t> differences;
};

using CodedPlanes = std::array<std::span<const uint8_t>, 4>;

/// The most bytes that a pack may make of a base of so many.
uint64_t MostResultBytes(uint64_t base_bytes);

std::array<uint8_t, kPackPreambleBytes> EncodePackPreamble(const PackPreamble& preamble);

/// A pack that fits its base. Borrows the pack's bytes.
class Pack {
 public:
  /// Checks preamble and index, and that the pack is made for `base`.
  /// Errors   kCorrupt, kUnsupportedVersion;
  ///          kMismatch: it is made for another base.
  /// Cost     linear in the index; reads no block.
  static Result<Pack> Open(std::span<const uint8_t> bytes, const VerifiedModel& base);

  const PackPreamble& preamble() const { return preamble_; }
  std::span<const PackStep> steps() const { return steps_; }
  std::span<const PackBlock> blocks() const { return blocks_; }

  /// Makes what the steps of block `index` make, one after another: `result_bytes` of the block.
  /// Requires index < blocks().size(); `base`: all bytes of the base that the pack was opened with.
  /// Errors   kCorrupt: the block's bytes do not have their checksum, or are not coded as they
  ///          must be. `out` is then unspecified.
  /// Cost     linear in the coded bytes and those made; takes at most 8 * kMaxBlockBytes in
  ///          `workspace`.
  Status MakeBlock(size_t index, std::span<const uint8_t> base, uint8_t* out,
                   PackWorkspace* workspace) const;

  /// The planes of block `index`, coded: PlanesOf its unit, the others empty.
  /// Errors   kCorrupt: the block's bytes do not have their checksum, or are not so many planes.
  Result<CodedPlanes> PlanesOfBlock(size_t index) const;

 private:
  explicit Pack(std::span<const uint8_t> bytes) : bytes_(bytes) {}
  Status ReadIndex();
  Status TakeStep(std::span<const uint8_t>* index, PackStep* step);
  Status AddToBlock(bool begins, std::span<const uint8_t>* index, PackStep* step);
  Status CheckTotals() const;
  Status MakePlanes(size_t index, std::span<const uint8_t> base, uint8_t* out,
                    PackWorkspace* workspace) const;
  Result<std::span<const uint8_t>> TakePlane(std::span<const uint8_t>* coded) const;
  static Status InBlock(size_t index, const Status& status);
  void AddToSteps(size_t index, std::span<const uint8_t> base, std::span<const uint8_t> differences,
                  uint8_t* out) const;

  std::span<const uint8_t> bytes_;
  PackPreamble preamble_;
  std::vector<PackStep> steps_;
  std::vector<PackBlock> blocks_;
  std::array<uint32_t, 5> open_blocks_ = {kNoBlock, kNoBlock, kNoBlock, kNoBlock,
                                          kNoBlock};  // by unit
  uint64_t result_end_ = 0;                           // of the steps read so far
  uint64_t base_end_ = 0;                             // of the last one's bytes of the base
  uint64_t coded_end_ = kPackPreambleBytes;
};

/// What a step takes of the base's bytes; empty if nothing.
/// Requires a step of a pack that was opened with that base.
inline std::span<const uint8_t> BaseBytesOf(const PackStep& step, std::span<const uint8_t> base) {
  if (step.base_offset == kZeros) return {};
  return base.subspan(static_cast<size_t>(step.base_offset), static_cast<size_t>(step.bytes));
}

}  // namespace graft::schema
