// SPDX-License-Identifier: Apache-2.0
// Writes what schema::SparseDecoder reads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace graft::converter {

/// Appends the bytes of `symbols` that are not zero, and the gaps between them.
/// Requires fewer than 2^31 symbols, one that is not zero.
void EncodeSparse(std::span<const uint8_t> symbols, std::vector<uint8_t>* coded);

}  // namespace graft::converter
