// SPDX-License-Identifier: Apache-2.0
#include "tests/runtime/c_api/adapted_model.h"

#include "schema/verify.h"
#include "tests/support/plain_pack.h"

namespace graft::test {
namespace {

template <typename T>
T* Mutable(const T* part) {
  return const_cast<T*>(part);
}

// Some codes of some matrices, and a norm, are others; hashes and checksums say so.
AlignedBytes Adapt(const AlignedBytes& base) {
  AlignedBytes file(base.span());
  const auto verified = schema::Verify(file.span());
  const fb::Model& model = verified->model();
  for (uint32_t i = 0; i < model.tensors()->size(); ++i) {
    const fb::Tensor& tensor = *model.tensors()->Get(i);
    const schema::TensorBytes bytes = verified->tensor_bytes(tensor);
    const bool is_matrix = tensor.shape()->size() == 2;
    if (is_matrix ? i % 3 != 0 : i != 2) continue;
    auto* data = const_cast<uint8_t*>(bytes.data.data());
    // Of float numbers the lowest byte alone, so that they stay numbers.
    for (size_t at = 0; at < bytes.data.size(); at += 44) data[at] ^= 0x11;
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

AdaptedModel::AdaptedModel(fb::TensorFormat format)
    : base(format), file(Adapt(base.file())), pack(PlainPack(base.file().span(), file.span())) {}

graft_pack AdaptedModel::where() const {
  graft_pack where = GRAFT_PACK_INIT;
  where.data = pack.data();
  where.size = pack.size();
  return where;
}

}  // namespace graft::test
