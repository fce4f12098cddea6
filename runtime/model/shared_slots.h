// SPDX-License-Identifier: Apache-2.0
// The packed weights of all models of this process, found by what they were packed from. Models
// over one base hold the base's weights once.
#pragma once

#include <compare>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/pack_layout.h"
#include "runtime/model/packed_part.h"
#include "runtime/platform/data_source.h"
#include "schema/verify.h"

namespace graft::runtime {

/// What an entry is packed from, and how. Origins, not hashes: nothing that a file says of itself
/// decides which bytes another model computes with.
struct SlotKey {
  ByteOrigin data, scales, bias;
  bool has_scales = false, has_bias = false;
  uint32_t matrices = 1;
  WeightFormat format = WeightFormat::kFloat32;  // stored: a convolution is packed in floats
  size_t out_features = 0, in_features = 0, block_size = 0;
  ImageKernelShape convolution = {};
  std::string cache_folder;  // what a later start will not find there is not taken

  /// Whether equal keys mean equal bytes.
  bool is_known() const {
    return data.is_known && (!has_scales || scales.is_known) && (!has_bias || bias.is_known);
  }
  friend std::strong_ordering operator<=>(const SlotKey&, const SlotKey&) = default;
};

/// `cache_folder`: of the model's options.
SlotKey KeyOf(const schema::VerifiedModel& model, const DataSource& source,
              const PackedEntry& entry, const std::string& cache_folder);

/// The slots that some model of this process holds for `keys`; null where none does. Any thread.
std::vector<std::shared_ptr<PackedSlot>> FindSlots(std::span<const SlotKey> keys);

/// Lets later models find `slots`, those of `keys`. Any thread.
void ShareSlots(std::span<const SlotKey> keys, std::span<const std::shared_ptr<PackedSlot>> slots);

/// Whether `slot` is the only one who holds it, from now on not to be found. Any thread.
bool TakeBack(const std::shared_ptr<PackedSlot>& slot);

}  // namespace graft::runtime
