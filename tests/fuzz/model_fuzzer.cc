// SPDX-License-Identifier: Apache-2.0
// Feeds arbitrary bytes to the one door of a .graft file: as a whole file, and as a header in a
// correctly sealed one.
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "schema/verify.h"
#include "tests/support/model_builder.h"

namespace {

void ReadEverything(const graft::schema::VerifiedModel& verified) {
  volatile uint8_t sink = 0;
  for (const auto* tensor : *verified.model().tensors()) {
    const graft::schema::TensorBytes bytes = verified.tensor_bytes(*tensor);
    if (!bytes.data.empty()) sink = static_cast<uint8_t>(bytes.data.front() ^ bytes.data.back());
    if (!bytes.scales.empty())
      sink = static_cast<uint8_t>(bytes.scales.front() ^ bytes.scales.back());
  }
  (void)sink;
  (void)graft::schema::VerifyContents(verified);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span<const uint8_t> bytes(data, size);
  const graft::test::AlignedBytes whole(bytes);
  if (const auto verified = graft::schema::Verify(whole.span()); verified.ok())
    ReadEverything(*verified);

  const uint64_t segment_offset =
      (graft::schema::kPreambleBytes + size + graft::schema::kSegmentAlignment - 1) /
      graft::schema::kSegmentAlignment * graft::schema::kSegmentAlignment;
  const std::vector<uint8_t> segment(512, 1);
  const graft::test::AlignedBytes sealed = graft::test::SealFile(bytes, segment_offset, segment);
  if (const auto verified = graft::schema::Verify(sealed.span()); verified.ok())
    ReadEverything(*verified);
  return 0;
}
