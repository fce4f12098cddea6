// SPDX-License-Identifier: Apache-2.0
// Restores a session from the bytes, whose checksums and model are made right, and goes on from
// it: the file is refused, or what it says can be used.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "schema/container.h"
#include "tests/fuzz/support/fuzz_models.h"

namespace {

constexpr size_t kIdentityField = 16;
constexpr size_t kHeaderChecksumField = 56;
constexpr size_t kHeaderBytes = 64;

void MakeRight(const graft_model* model, std::vector<uint8_t>& file) {
  graft_model_info info = {};
  info.struct_size = sizeof(info);
  if (graft_model_get_info(model, &info, nullptr) != GRAFT_OK) std::abort();
  std::memcpy(file.data() + kIdentityField, &info.identity_high, sizeof(info.identity_high));
  std::memcpy(file.data() + kIdentityField + 8, &info.identity_low, sizeof(info.identity_low));
  const uint64_t checksum = graft::schema::Checksum64(std::span(file).first(kHeaderChecksumField));
  std::memcpy(file.data() + kHeaderChecksumField, &checksum, sizeof(checksum));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const graft::fuzz::OpenedModel opened(graft::fuzz::PackedModel());
  graft_session* session = opened.session();
  if (session == nullptr) std::abort();
  std::vector<uint8_t> file(data, data + size);
  if (size >= kHeaderBytes) MakeRight(opened.model(), file);
  const std::string path = graft::fuzz::WriteFile("session", file);
  const int32_t ids[] = {1, 5};
  if (graft_session_reset(session, nullptr) != GRAFT_OK) std::abort();
  if (graft_session_append(session, ids, 2, nullptr, nullptr) != GRAFT_OK) std::abort();
  const graft_status status = graft_session_restore(session, path.c_str(), nullptr);
  const size_t held = graft_session_position(session);
  if (held > 24) std::abort();
  if (status == GRAFT_OK) {
    (void)!graft_session_save(session, path.c_str(), nullptr);
    if (held < 24 && graft_session_append(session, ids + 1, 1, nullptr, nullptr) != GRAFT_OK)
      std::abort();
  }
  return 0;
}
