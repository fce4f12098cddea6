// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/shared_slots.h"

#include <map>
#include <mutex>

#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

struct Table {
  std::mutex mutex;
  std::map<SlotKey, std::weak_ptr<PackedSlot>> slots;
};

// Never destroyed: a model may outlive what is static.
Table& TheTable() {
  static Table* const table = new Table;
  return *table;
}

}  // namespace

SlotKey KeyOf(const schema::VerifiedModel& model, const DataSource& source,
              const PackedEntry& entry, const std::string& cache_folder) {
  const auto& tensors = *model.model().tensors();
  const auto origin = [&](std::span<const uint8_t> bytes) {
    return source.OriginOf(static_cast<uint64_t>(bytes.data() - model.file_bytes().data()),
                           bytes.size());
  };
  const fb::Tensor& tensor = *tensors.Get(static_cast<uint32_t>(entry.source.weight));
  const schema::TensorBytes weight = model.tensor_bytes(tensor);
  const StoredMatrix stored = MatrixOf(model, tensor);
  SlotKey key;
  key.data = origin(weight.data);
  key.has_scales = !weight.scales.empty();
  if (key.has_scales) key.scales = origin(weight.scales);
  key.has_bias = entry.source.bias >= 0;
  if (key.has_bias) {
    key.bias =
        origin(model.tensor_bytes(*tensors.Get(static_cast<uint32_t>(entry.source.bias))).data);
  }
  key.matrices = entry.source.matrices;
  key.format = stored.format;
  key.out_features = entry.weights.out_features;
  key.in_features = entry.weights.in_features;
  key.block_size = stored.block_size;
  key.convolution = entry.source.convolution;
  key.cache_folder = cache_folder;
  return key;
}

std::vector<std::shared_ptr<PackedSlot>> FindSlots(std::span<const SlotKey> keys) {
  std::vector<std::shared_ptr<PackedSlot>> slots(keys.size());
  Table& table = TheTable();
  const std::lock_guard<std::mutex> lock(table.mutex);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (!keys[i].is_known()) continue;
    const auto found = table.slots.find(keys[i]);
    if (found != table.slots.end()) slots[i] = found->second.lock();
  }
  return slots;
}

void ShareSlots(std::span<const SlotKey> keys, std::span<const std::shared_ptr<PackedSlot>> slots) {
  Table& table = TheTable();
  const std::lock_guard<std::mutex> lock(table.mutex);
  std::erase_if(table.slots, [](const auto& shared) { return shared.second.expired(); });
  for (size_t i = 0; i < keys.size(); ++i) {
    if (keys[i].is_known()) table.slots.insert_or_assign(keys[i], slots[i]);
  }
}

bool TakeBack(const std::shared_ptr<PackedSlot>& slot) {
  Table& table = TheTable();
  const std::lock_guard<std::mutex> lock(table.mutex);
  if (slot.use_count() != 1) return false;
  std::erase_if(table.slots, [&](const auto& shared) {
    return shared.second.expired() || shared.second.lock() == slot;
  });
  return true;
}

}  // namespace graft::runtime
