// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/pack_layout.h"

#include <algorithm>
#include <utility>

#include "schema/checked_math.h"
#include "schema/generated/model_generated.h"

namespace graft::runtime {
namespace {

namespace fb = schema::fb;

// Weights start on this, so that none shares a page with another.
constexpr uint64_t kEntryAlignment = 4096;
// Stored bytes of one slice: few enough to share a matrix between threads and to be packed within a
// core's cache, enough to amortize a task.
constexpr uint64_t kSliceBytes = uint64_t{1} << 19;
// Layers repeat a handful of shapes; no more than this many are remembered.
constexpr size_t kMaxShapes = 64;

constexpr uint32_t kNoEntry = UINT32_MAX;
using MatrixKey = std::pair<int32_t, int32_t>;  // weight and bias

WeightFormat FormatOf(fb::TensorFormat format) {
  switch (format) {
    case fb::TensorFormat::Float16:
      return WeightFormat::kFloat16;
    case fb::TensorFormat::BFloat16:
      return WeightFormat::kBFloat16;
    case fb::TensorFormat::Int8PerChannel:
      return WeightFormat::kInt8Channel;
    case fb::TensorFormat::Int4Block:
      return WeightFormat::kInt4Block;
    case fb::TensorFormat::Int4PerChannel:
      return WeightFormat::kInt4Channel;
    case fb::TensorFormat::Float32:
    case fb::TensorFormat::Int32:
      break;
  }
  return WeightFormat::kFloat32;
}

bool SameShape(const LinearWeights& a, const LinearWeights& b) {
  return a.format == b.format && a.out_features == b.out_features &&
         a.in_features == b.in_features && a.block_size == b.block_size;
}

Status Place(const char* name, std::vector<LinearWeights>* shapes, PackLayout* layout,
             PackedEntry* entry) {
  const auto like = std::find_if(shapes->begin(), shapes->end(), [&](const LinearWeights& other) {
    return SameShape(other, entry->weights);
  });
  if (like != shapes->end()) {
    entry->weights = *like;
  } else {
    GRAFT_RETURN_IF_ERROR(FindLayout(name, &entry->weights));
    if (shapes->size() < kMaxShapes) shapes->push_back(entry->weights);
  }
  if (CheckedAlignUp(layout->bytes, kEntryAlignment, &entry->offset) &&
      CheckedAdd(entry->offset, entry->weights.packed_bytes, &layout->bytes)) {
    return OkStatus();
  }
  return Error(StatusCode::kOutOfMemory,
               "tensor %.200s: the packed weights do not fit the address space", name);
}

void Cut(const StoredMatrix& matrix, uint32_t index, PackLayout* layout) {
  const PackedEntry& entry = layout->entries[index];
  size_t rows = matrix.rows;
  if (const size_t tile = entry.weights.tile_rows; tile != 0) {
    rows = std::max<size_t>(1, kSliceBytes / (matrix.row_bytes() * tile)) * tile;
  }
  for (size_t begin = 0; begin < matrix.rows;) {
    // The last slice takes the rest: a slice smaller than a tile could be given another layout.
    const size_t end = matrix.rows - begin < 2 * rows ? matrix.rows : begin + rows;
    const PackedRange range = PackedRangeOf(entry.weights, begin, end);
    layout->slices.push_back({index, begin, end, entry.offset + range.offset, range.bytes});
    begin = end;
  }
}

}  // namespace

StoredMatrix MatrixOf(const schema::VerifiedModel& model, const fb::Tensor& tensor) {
  const schema::TensorBytes bytes = model.tensor_bytes(tensor);
  StoredMatrix matrix;
  matrix.format = FormatOf(tensor.format());
  matrix.rows = static_cast<size_t>(tensor.shape()->Get(0));
  matrix.width = static_cast<size_t>(tensor.shape()->Get(1));
  matrix.block_size = tensor.block_size();
  matrix.data = bytes.data.data();
  matrix.scales = bytes.scales.data();
  return matrix;
}

Result<PackLayout> LayOutWeights(const schema::VerifiedModel& model) {
  const fb::Graph& graph = *model.model().graph();
  const auto& tensors = *model.model().tensors();
  PackLayout layout;
  std::vector<LinearWeights> shapes;
  layout.entry_of_op.assign(graph.ops()->size(), 0);
  // Found by halving: a file may give one weight as many biases as it likes.
  std::vector<MatrixKey> keys;
  for (const fb::Op* op : *graph.ops()) {
    const fb::Linear* linear = op->attributes_as_Linear();
    if (linear != nullptr) keys.emplace_back(linear->weight(), linear->bias());
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<uint32_t> entry_of_key(keys.size(), kNoEntry);
  for (uint32_t op = 0; op < graph.ops()->size(); ++op) {
    const fb::Linear* linear = graph.ops()->Get(op)->attributes_as_Linear();
    if (linear == nullptr) continue;
    const auto key =
        std::lower_bound(keys.begin(), keys.end(), MatrixKey(linear->weight(), linear->bias()));
    uint32_t& known = entry_of_key[static_cast<size_t>(key - keys.begin())];
    if (known != kNoEntry) {
      layout.entry_of_op[op] = known;
      continue;
    }
    const fb::Tensor& tensor = *tensors.Get(static_cast<uint32_t>(linear->weight()));
    PackedEntry entry;
    entry.weight = linear->weight();
    entry.bias = linear->bias();
    entry.weights.format = FormatOf(tensor.format());
    entry.weights.out_features = static_cast<size_t>(tensor.shape()->Get(0));
    entry.weights.in_features = static_cast<size_t>(tensor.shape()->Get(1));
    entry.weights.block_size = tensor.block_size();
    GRAFT_RETURN_IF_ERROR(Place(tensor.name()->c_str(), &shapes, &layout, &entry));
    const auto index = static_cast<uint32_t>(layout.entries.size());
    layout.entry_of_op[op] = index;
    known = index;
    layout.entries.push_back(entry);
    Cut(MatrixOf(model, tensor), index, &layout);
  }
  if (!CheckedAdd(layout.bytes, uint64_t{kReadableTailBytes}, &layout.bytes)) {
    return Status(StatusCode::kOutOfMemory, "the packed weights do not fit the address space");
  }
  return layout;
}

}  // namespace graft::runtime
