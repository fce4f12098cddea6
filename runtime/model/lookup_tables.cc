// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/lookup_tables.h"

#include <vector>

#include "schema/generated/model_generated.h"

namespace graft::runtime {

namespace fb = schema::fb;

LookupTables::LookupTables(const schema::VerifiedModel& model, const DataSource& source)
    : source_(source) {
  std::vector<bool> is_known(model.model().tensors()->size(), false);
  for (const fb::Op* op : *model.model().graph()->ops()) {
    const fb::Embedding* embedding = op->attributes_as_Embedding();
    if (embedding == nullptr) continue;
    const auto table = static_cast<uint32_t>(embedding->table());
    if (is_known[table]) continue;
    is_known[table] = true;
    const schema::TensorBytes bytes = model.tensor_bytes(*model.model().tensors()->Get(table));
    const uint64_t size = bytes.data.size() + bytes.scales.size();
    if (size <= kSmallTableBytes) {
      small_bytes_ += size;
      continue;
    }
    large_bytes_ += size;
    for (const std::span<const uint8_t> part : {bytes.data, bytes.scales}) {
      if (part.empty()) continue;
      ranges_.push_back(
          {static_cast<uint64_t>(part.data() - model.file_bytes().data()), part.size()});
    }
  }
}

void LookupTables::DidRead(size_t rows) const {
  if (ranges_.empty()) return;
  if (rows_held_.fetch_add(rows, std::memory_order_relaxed) + rows < kRowsHeld) return;
  rows_held_.store(0, std::memory_order_relaxed);
  for (const Range& range : ranges_) source_.Release(range.offset, range.size);
}

}  // namespace graft::runtime
