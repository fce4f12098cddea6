// SPDX-License-Identifier: Apache-2.0
// Public keys of --trusted-key, as files hold them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace graft_run {

/// Appends the 32 bytes of the Ed25519 key in each PEM file, one after the other. Returns an empty
/// string, or what is wrong.
std::string ReadTrustedKeys(const std::vector<std::string>& files, std::vector<uint8_t>* keys);

}  // namespace graft_run
