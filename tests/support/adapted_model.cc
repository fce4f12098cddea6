// SPDX-License-Identifier: Apache-2.0
#include "tests/support/adapted_model.h"

#include <span>

#include "schema/verify.h"
#include "tests/support/plain_pack.h"

namespace graft::test {
namespace {

template <typename T>
T* Mutable(const T* part) {
  return const_cast<T*>(part);
}

void Change(std::span<const uint8_t> bytes, size_t first, size_t step, uint8_t bits) {
  auto* data = const_cast<uint8_t*>(bytes.data());
  for (size_t at = first; at < bytes.size(); at += step) data[at] ^= bits;
}

// Some codes and scales of some matrices, and a norm, are others; hashes and checksums say so.
AlignedBytes Adapt(const AlignedBytes& base, unsigned adapter) {
  AlignedBytes file(base.span());
  const auto verified = schema::Verify(file.span());
  const fb::Model& model = verified->model();
  for (uint32_t i = 0; i < model.tensors()->size(); ++i) {
    const fb::Tensor& tensor = *model.tensors()->Get(i);
    const schema::TensorBytes bytes = verified->tensor_bytes(tensor);
    const bool is_matrix = tensor.shape()->size() == 2;
    if (is_matrix ? i % 3 != 0 : i != 2) continue;
    // Of float numbers the lowest byte alone, so that they stay numbers.
    Change(bytes.data, 0, adapter == 0 ? 44 : 60, adapter == 0 ? 0x11 : 0x25);
    Change(bytes.scales, 0, adapter == 0 ? 60 : 36, 3);
    const schema::Hash128 hash = schema::ContentHash(bytes.data, bytes.scales);
    *Mutable(tensor.content_hash()) = fb::Hash128(hash.high, hash.low);
  }
  for (uint32_t i = 0; i < model.segments()->size(); ++i) {
    const fb::Segment& segment = *model.segments()->Get(i);
    *Mutable(&segment) = fb::Segment(segment.offset(), segment.bytes(),
                                     schema::Checksum64(verified->segment_bytes(i)));
  }
  Reseal(file);
  return file;
}

}  // namespace

AdaptedModel::AdaptedModel(fb::TensorFormat format, unsigned adapter)
    : base(format),
      file(Adapt(base.file(), adapter)),
      pack(PlainPack(base.file().span(), file.span())),
      pack_of_numbers(PackOfNumbers(base.file().span(), file.span())) {}

}  // namespace graft::test
