// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/slot_patch.h"

#include <algorithm>
#include <optional>
#include <span>

#include "runtime/model/patched_source.h"
#include "runtime/xnn/row_patcher.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

using schema::PackUnit;

// Where more than this share of the stored bytes is told by packs, it is faster to pack anew.
constexpr uint64_t kLeastStoredForCoded = 5;

struct Run {
  uint64_t offset = 0;
  uint64_t size = 0;
};

Run RunOf(const schema::VerifiedModel& model, std::span<const uint8_t> bytes) {
  if (bytes.empty()) return {};
  return {static_cast<uint64_t>(bytes.data() - model.file_bytes().data()), bytes.size()};
}

const DataSource& BaseOf(const DataSource& source) {
  return source.patched() == nullptr ? source : source.patched()->base();
}

bool IsLaidOutLike(const PackedEntry& a, const PackedEntry& b) {
  return a.weights.format == b.weights.format && a.weights.out_features == b.weights.out_features &&
         a.weights.in_features == b.weights.in_features &&
         a.weights.block_size == b.weights.block_size &&
         a.weights.convolution == b.weights.convolution && a.bytes() == b.bytes() &&
         a.source.matrices == b.source.matrices;
}

/// The changes of [offset, offset + size) in units that all lie in it.
template <typename Use>
bool UseChanges(const PatchedSource* source, uint64_t offset, uint64_t size, size_t unit_bytes,
                bool is_taken_back, schema::BlockChanges* changes, const Use& use) {
  if (source == nullptr) return true;
  const auto use_run = [&](const PatchedSource::Changes& run) {
    // Of the block's units those that are both in the run and in what was asked for.
    const auto run_units = int64_t{run.first_place} -
                           (static_cast<int64_t>(run.offset) - static_cast<int64_t>(offset)) /
                               static_cast<int64_t>(unit_bytes);
    const int64_t first = std::max<int64_t>(run.first_place, run_units);
    const int64_t end =
        std::min<int64_t>(run.end_place, run_units + static_cast<int64_t>(size / unit_bytes));
    for (uint32_t plane = 0; plane < run.planes.size(); ++plane) {
      const std::span<const schema::SparseByte> all = run.planes[plane];
      const auto at = [all](int64_t place) {
        const auto is_before = [](const schema::SparseByte& byte, int64_t wanted) {
          return byte.place() < wanted;
        };
        const auto found = std::lower_bound(all.begin(), all.end(), place, is_before);
        return static_cast<size_t>(found - all.begin());
      };
      const size_t begin = at(first), count = at(end) - begin;
      use({all.subspan(begin, count), run_units, plane, is_taken_back});
    }
  };
  return source->VisitChanges(offset, size, changes, use_run).ok();
}

}  // namespace

std::optional<SlotPatch::Place> SlotPatch::PlaceOf(const ModelBytes& of, const PackedEntry& entry) {
  PackUnit unit = PackUnit::kNibbles;
  switch (entry.weights.format) {
    case WeightFormat::kInt4Block:
    case WeightFormat::kInt4Channel:
      break;
    case WeightFormat::kInt8Channel:
      unit = PackUnit::kBytes;
      break;
    case WeightFormat::kFloat32:
    case WeightFormat::kFloat16:
    case WeightFormat::kBFloat16:
      return std::nullopt;
  }
  const schema::TensorBytes bytes = of.model->tensor_bytes(
      *of.model->model().tensors()->Get(static_cast<uint32_t>(entry.source.weight)));
  const Run data = RunOf(*of.model, bytes.data);
  // Scales of whole rows are few, and written anew.
  const bool has_blocks = entry.weights.format == WeightFormat::kInt4Block;
  const Run scales = has_blocks ? RunOf(*of.model, bytes.scales) : Run{};
  Place place{of.source->patched(),
              data.offset,
              scales.offset,
              data.offset,
              scales.offset,
              data.size + scales.size,
              0};
  if (place.source == nullptr) return place;
  const std::optional<uint64_t> base_data =
      place.source->BaseOffsetOf(data.offset, data.size, unit);
  if (!base_data) return std::nullopt;
  place.base_data = *base_data;
  place.coded_bytes = place.source->CodedBytesOf(data.offset, data.size);
  if (!has_blocks) return place;
  const std::optional<uint64_t> base_scales =
      place.source->BaseOffsetOf(scales.offset, scales.size, PackUnit::kPairs);
  if (!base_scales) return std::nullopt;
  place.base_scales = *base_scales;
  place.coded_bytes += place.source->CodedBytesOf(scales.offset, scales.size);
  return place;
}

std::optional<uint64_t> SlotPatch::BaseOffsetOf(const ModelBytes& of, const PackedEntry& entry) {
  const std::optional<Place> place = PlaceOf(of, entry);
  if (!place) return std::nullopt;
  return place->base_data;
}

SlotPatch SlotPatch::Find(const ModelBytes& held, const PackedEntry& held_entry,
                          const ModelBytes& wanted, const PackedEntry& wanted_entry) {
  SlotPatch patch;
  if (!IsLaidOutLike(held_entry, wanted_entry) ||
      &BaseOf(*held.source) != &BaseOf(*wanted.source)) {
    return patch;
  }
  const std::optional<Place> from = PlaceOf(held, held_entry);
  const std::optional<Place> to = PlaceOf(wanted, wanted_entry);
  if (!from || !to || from->base_data != to->base_data || from->base_scales != to->base_scales ||
      from->coded_bytes + to->coded_bytes > to->stored_bytes / kLeastStoredForCoded) {
    return patch;
  }
  patch.places_ = {*from, *to};
  const Result<CodeTile> tile = FindCodeTile("(a packed weight)", wanted_entry.weights);
  if (tile.ok()) patch.tile_ = *tile;
  return patch;
}

bool SlotPatch::Apply(const PackedEntry& entry, const PackedSlice& slice, const float* bias,
                      const uint8_t* scales, uint8_t* packed, PatchRoom* room) const {
  const LinearWeights& weights = entry.weights;
  const bool has_blocks = weights.format == WeightFormat::kInt4Block;
  const size_t rows = slice.end - slice.begin;
  const uint64_t first_row = slice.matrix * uint64_t{weights.out_features} + slice.begin;
  const size_t row_bytes =
      weights.format == WeightFormat::kInt8Channel ? weights.in_features : weights.in_features / 2;
  RowPatcher patcher(weights, tile_, rows, packed, &room->offsets);
  for (const size_t i : {0, 1}) {
    const Place& place = places_[i];
    const bool is_sound =
        UseChanges(place.source, place.data + first_row * row_bytes, rows * row_bytes, 1, i == 0,
                   &room->codes[i], [&](const UnitChanges& some) { patcher.ChangeCodes(some); });
    if (!is_sound) return false;
    if (!has_blocks) continue;
    const size_t blocks = weights.in_features / weights.block_size;
    bool are_scales_known = true;
    const bool are_scales_sound =
        UseChanges(place.source, place.scales + first_row * blocks * sizeof(uint16_t),
                   rows * blocks * sizeof(uint16_t), sizeof(uint16_t), i == 0, &room->scales[i],
                   [&](const UnitChanges& some) {
                     are_scales_known = patcher.ChangeScales(some) && are_scales_known;
                   });
    if (!are_scales_sound || !are_scales_known) return false;
  }
  return patcher.Finish(bias, scales);
}

}  // namespace graft::runtime
