// SPDX-License-Identifier: Apache-2.0
// Decoding of PNG and JPEG within a budget of memory: a compressed stream may claim to be
// gigabytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace graft_run {

/// Red, green and blue bytes of a whole file of less than 2 GiB, for FreeColours: width * height *
/// 3 of them. Never holds more than `budget` bytes. One call at a time. Null and *problem: why not,
/// static. An image of another size is one reason.
uint8_t* DecodeColours(std::span<const uint8_t> bytes, uint32_t width, uint32_t height,
                       size_t budget, const char** problem);
/// Null is fine.
void FreeColours(uint8_t* pixels);

}  // namespace graft_run
