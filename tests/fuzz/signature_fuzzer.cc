// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the readers of signatures, of bundles and of what bundles sign. Nothing
// that comes out may be taken for signed.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "converter/sign/model_bundle.h"
#include "schema/trust/signature.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace converter = graft::converter;
  namespace schema = graft::schema;
  // The key is the input's own where it has one, so that what comes after it is read, too.
  std::vector<schema::PublicKey> trusted(1);
  constexpr size_t kKeyFromEnd = schema::kPublicKeyBytes + schema::kEd25519SignatureBytes;
  if (size >= kKeyFromEnd) {
    std::copy_n(data + size - kKeyFromEnd, trusted[0].size(), trusted[0].begin());
  }
  if (const auto digests = schema::ReadSignature({data, size}, trusted); digests.ok()) {
    uint64_t sum = 0;
    for (const schema::SignedPart& part : digests->parts) sum += part.bytes;
    if (sum != digests->file_bytes) std::abort();
    if (digests->Encode().size() + kKeyFromEnd != size) std::abort();
  }
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)converter::CheckStatementText(text, "statement", "m.graft", {}).ok();
  static const auto key = converter::PrivateKey::Generate(converter::KeyKind::kP256);
  static const auto open = converter::PublicKeyFile::Parse(*key->PublicText(), "key");
  if (converter::CheckBundle(text, "bundle", "m.graft", {}, *open).ok()) std::abort();
  return 0;
}
