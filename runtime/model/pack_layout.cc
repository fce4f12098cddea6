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
constexpr uint64_t kMatrixAlignment = 64;  // of the experts of an entry
// Stored bytes of one slice: few enough to share a matrix between threads and to be packed within a
// core's cache, enough to amortize a task.
constexpr uint64_t kSliceBytes = uint64_t{1} << 19;
// Layers repeat a handful of shapes; no more than this many are remembered.
constexpr size_t kMaxShapes = 64;

constexpr uint32_t kNoEntry = UINT32_MAX;

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
         a.in_features == b.in_features && a.block_size == b.block_size &&
         a.convolution == b.convolution;
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
  uint64_t bytes = 0;
  if (CheckedAlignUp(entry->weights.packed_bytes, kMatrixAlignment, &entry->stride) &&
      CheckedMultiply(entry->stride, entry->source.matrices - uint64_t{1}, &bytes) &&
      CheckedAdd(bytes, entry->weights.packed_bytes, &bytes) &&
      CheckedAlignUp(layout->bytes, kEntryAlignment, &entry->offset) &&
      CheckedAdd(entry->offset, bytes, &layout->bytes)) {
    return OkStatus();
  }
  return Error(StatusCode::kOutOfMemory,
               "tensor %.200s: the packed weights do not fit the address space", name);
}

// matrix: one of the entry's.
void Cut(const StoredMatrix& matrix, uint32_t index, uint32_t number, PackLayout* layout) {
  const PackedEntry& entry = layout->entries[index];
  const uint64_t offset = entry.offset + number * entry.stride;
  size_t rows = matrix.rows;
  if (const size_t tile = entry.weights.tile_rows; tile != 0) {
    rows = std::max<size_t>(1, kSliceBytes / (matrix.row_bytes() * tile)) * tile;
  }
  for (size_t begin = 0; begin < matrix.rows;) {
    // The last slice takes the rest: a slice smaller than a tile could be given another layout.
    const size_t end = matrix.rows - begin < 2 * rows ? matrix.rows : begin + rows;
    const PackedRange range = PackedRangeOf(entry.weights, begin, end);
    layout->slices.push_back({index, number, begin, end, offset + range.offset, range.bytes});
    begin = end;
  }
}

// What a convolution's kernels are packed as; none for what is multiplied as a matrix.
ImageKernelShape ShapeOf(const schema::VerifiedModel& model, const fb::Convolution& convolution) {
  if (MultipliesPatches(model, convolution)) return {};
  const fb::ImageWindow& window = *convolution.window();
  return {convolution.groups(),   window.kernel_height(), window.kernel_width(),
          window.stride_height(), window.stride_width(),  window.dilation_height(),
          window.dilation_width()};
}

Status AddEntry(const schema::VerifiedModel& model, const OpWeight& used,
                std::vector<LinearWeights>* shapes, PackLayout* layout) {
  const fb::Tensor& tensor = *model.model().tensors()->Get(static_cast<uint32_t>(used.weight));
  StoredMatrix matrix = MatrixOf(model, tensor);
  matrix.rows /= used.matrices;
  PackedEntry entry;
  entry.source = used;
  entry.weights.out_features = matrix.rows;
  entry.weights.in_features = matrix.width;
  entry.weights.convolution = used.convolution;
  if (used.convolution.groups == 0) {
    entry.weights.format = matrix.format;
    entry.weights.block_size = matrix.block_size;
  }
  GRAFT_RETURN_IF_ERROR(Place(tensor.name()->c_str(), shapes, layout, &entry));
  const auto index = static_cast<uint32_t>(layout->entries.size());
  layout->entries.push_back(entry);
  for (uint32_t i = 0; i < used.matrices; ++i) Cut(matrix, index, i, layout);
  return OkStatus();
}

}  // namespace

bool IsDepthwise(const schema::VerifiedModel& model, const fb::Convolution& convolution) {
  const fb::Tensor& weight =
      *model.model().tensors()->Get(static_cast<uint32_t>(convolution.weight()));
  return convolution.groups() == convolution.window()->channels() &&
         weight.shape()->Get(0) == convolution.groups();
}

bool MultipliesPatches(const schema::VerifiedModel& model, const fb::Convolution& convolution) {
  const fb::Tensor& weight =
      *model.model().tensors()->Get(static_cast<uint32_t>(convolution.weight()));
  LinearWeights weights;
  weights.format = FormatOf(weight.format());
  return convolution.groups() == 1 && weights.quantizes_input() && !IsDepthwise(model, convolution);
}

OpWeight WeightOf(const schema::VerifiedModel& model, const fb::Op& op) {
  if (const fb::Linear* linear = op.attributes_as_Linear())
    return {.weight = linear->weight(), .bias = linear->bias()};
  if (const fb::ExpertLinear* linear = op.attributes_as_ExpertLinear())
    return {.weight = linear->weight(), .bias = linear->bias(), .matrices = linear->experts()};
  const fb::Convolution* convolution = op.attributes_as_Convolution();
  if (convolution == nullptr || IsDepthwise(model, *convolution)) return {};
  return {.weight = convolution->weight(),
          .bias = convolution->bias(),
          .convolution = ShapeOf(model, *convolution)};
}

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
  PackLayout layout;
  std::vector<LinearWeights> shapes;
  layout.entry_of_op.assign(graph.ops()->size(), 0);
  // Found by halving: a file may give one weight as many biases as it likes.
  std::vector<OpWeight> keys;
  for (const fb::Op* op : *graph.ops()) {
    const OpWeight used = WeightOf(model, *op);
    if (used.weight >= 0) keys.push_back(used);
  }
  std::sort(keys.begin(), keys.end());
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  std::vector<uint32_t> entry_of_key(keys.size(), kNoEntry);
  for (uint32_t op = 0; op < graph.ops()->size(); ++op) {
    const OpWeight used = WeightOf(model, *graph.ops()->Get(op));
    if (used.weight < 0) continue;
    const auto key = std::lower_bound(keys.begin(), keys.end(), used);
    uint32_t& known = entry_of_key[static_cast<size_t>(key - keys.begin())];
    if (known == kNoEntry) {
      known = static_cast<uint32_t>(layout.entries.size());
      GRAFT_RETURN_IF_ERROR(AddEntry(model, used, &shapes, &layout));
    }
    layout.entry_of_op[op] = known;
  }
  if (!CheckedAdd(layout.bytes, uint64_t{kReadableTailBytes}, &layout.bytes)) {
    return Status(StatusCode::kOutOfMemory, "the packed weights do not fit the address space");
  }
  return layout;
}

PackLayout PartOf(const PackLayout& layout, const std::vector<uint32_t>& wanted) {
  PackLayout part;
  std::vector<uint32_t> index_of(layout.entries.size(), kNoEntry);
  for (const uint32_t index : wanted) {
    index_of[index] = static_cast<uint32_t>(part.entries.size());
    part.entries.push_back(layout.entries[index]);
    // No more than in the layout, which fits: nothing can overflow.
    part.entries.back().offset =
        (part.bytes + kEntryAlignment - 1) / kEntryAlignment * kEntryAlignment;
    part.bytes = part.entries.back().offset + part.entries.back().bytes();
  }
  part.bytes += kReadableTailBytes;
  for (PackedSlice slice : layout.slices) {
    const uint32_t index = index_of[slice.entry];
    if (index == kNoEntry) continue;
    slice.offset += part.entries[index].offset - layout.entries[slice.entry].offset;
    slice.entry = index;
    part.slices.push_back(slice);
  }
  return part;
}

}  // namespace graft::runtime
