// SPDX-License-Identifier: Apache-2.0
// SHA-256, for what others check with their own tools.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace graft::converter {

/// The digest of `bytes` in hexadecimal, as sha256sum prints it.
/// Source   FIPS 180-4.
std::string Sha256Text(std::span<const uint8_t> bytes);

}  // namespace graft::converter
