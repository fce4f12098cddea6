// SPDX-License-Identifier: Apache-2.0
// Writes what schema::EntropyDecoder reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace graft::converter {

/// Appends `symbols`, coded near their zero-order entropy, or as they are if that is shorter.
/// Requires fewer than 2^32 symbols.
void EncodeBytes(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded);

/// Appends a number as schema::TakeNumber reads it.
void PutNumber(uint64_t number, std::vector<uint8_t>* out);
/// The same for schema::TakeSigned.
void PutSigned(int64_t number, std::vector<uint8_t>* out);

}  // namespace graft::converter
