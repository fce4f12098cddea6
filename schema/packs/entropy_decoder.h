// SPDX-License-Identifier: Apache-2.0
// Reads bytes that were coded near their zero-order entropy, in Huffman codes or by a static range
// coder (rANS), with a table of its own for each run of bytes. PACK_FORMAT.md, "Coded bytes", gives
// the format.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "schema/packs/huffman_decoder.h"
#include "schema/status.h"

namespace graft::schema {

/// What coder and decoder agree on: each symbol has so many of 2^14 slots, four states take turns,
/// and a state below 2^16 takes in two more bytes.
inline constexpr uint32_t kSlotBits = 14;
inline constexpr uint32_t kSlots = 1u << kSlotBits;
inline constexpr size_t kCoderStates = 4;
inline constexpr uint32_t kLowestState = 1u << 16;

enum class CodedMode : uint8_t {
  kStored = 0,    ///< the bytes themselves
  kConstant = 1,  ///< one byte, which all are
  kCoded = 2,     ///< a table, four states, words of 16 bits
  kSparse = 3,    ///< sparse_bytes.h reads them
  kHuffman = 4,   ///< huffman_decoder.h reads them
};

/// The tables of one run of coded bytes; it stays allocated from run to run.
class EntropyDecoder {
 public:
  EntropyDecoder();

  /// Fills `out` with exactly the bytes that `coded` stands for.
  /// Errors   kCorrupt: it stands for something else, or is sparse. `out` is then unspecified.
  /// Cost     linear in both sizes; allocates nothing.
  Status Decode(std::span<const uint8_t> coded, std::span<uint8_t> out);

 private:
  struct Symbol {
    uint16_t slots = 0;
    uint16_t first_slot = 0;
  };

  Status ReadTable(std::span<const uint8_t>* coded);
  Status DecodeStates(std::span<const uint8_t> coded, std::span<uint8_t> out) const;

  std::unique_ptr<HuffmanDecoder> huffman_;
  std::unique_ptr<std::array<uint8_t, kSlots>> symbol_of_slot_;
  std::array<Symbol, 256> symbols_;
};

}  // namespace graft::schema
