// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/block_changes.h"

#include "schema/result.h"

namespace graft::schema {

Status BlockChanges::Read(const Pack& pack, size_t index) {
  if (Has(pack, index)) return OkStatus();
  pack_ = nullptr;
  GRAFT_ASSIGN_OR_RETURN(const CodedPlanes coded, pack.PlanesOfBlock(index));
  const PackBlock& block = pack.blocks()[index];
  plane_count_ = PlanesOf(block.unit);
  for (size_t plane = 0; plane < plane_count_; ++plane) {
    GRAFT_RETURN_IF_ERROR(ReadPlane(coded[plane], block.result_bytes / plane_count_, plane));
  }
  pack_ = &pack;
  block_ = index;
  return OkStatus();
}

Status BlockChanges::ReadPlane(std::span<const uint8_t> coded, size_t units, size_t plane) {
  Room& room = rooms_[plane];
  if (IsSparse(coded)) {
    GRAFT_ASSIGN_OR_RETURN(planes_[plane], room.sparse.Decode(coded, units));
    return OkStatus();
  }
  bytes_.resize(units);
  GRAFT_RETURN_IF_ERROR(dense_.Decode(coded, bytes_));
  // Without a branch: whether a byte is zero cannot be foreseen.
  if (room.found.size() < units) room.found.resize(units);
  size_t found = 0;
  for (size_t i = 0; i < units; ++i) {
    room.found[found].bits = static_cast<uint32_t>(i << 8 | bytes_[i]);
    found += bytes_[i] != 0 ? 1 : 0;
  }
  planes_[plane] = std::span(room.found).first(found);
  return OkStatus();
}

}  // namespace graft::schema
