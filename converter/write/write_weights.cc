// SPDX-License-Identifier: Apache-2.0
#include "converter/write/write_weights.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <string>

#include "converter/base/cancellation.h"
#include "converter/base/parallel.h"
#include "converter/quantize/encode.h"
#include "converter/write/like_base.h"

namespace graft::converter {
namespace {

// Rows of this many elements and more are refused, since one row is the least a thread holds.
constexpr int64_t kMaxRowElements = int64_t{1} << 24;

struct RowBlock {
  size_t tensor = 0;
  int64_t row_begin = 0;
  int64_t row_end = 0;
};

// Blocks of one tensor that one thread encodes one after another and writes at once.
struct Piece {
  size_t block_begin = 0;
  size_t block_end = 0;
};

Result<std::vector<RowBlock>> CutIntoBlocks(const std::vector<Constant>& constants) {
  std::vector<RowBlock> blocks;
  for (size_t i = 0; i < constants.size(); ++i) {
    const int64_t row_elements = constants[i].row_elements();
    if (row_elements > kMaxRowElements) {
      return Error(StatusCode::kUnsupported,
                   "tensor '%s' has rows of %lld elements; the limit is %lld",
                   constants[i].name.c_str(), static_cast<long long>(row_elements),
                   static_cast<long long>(kMaxRowElements));
    }
    const int64_t rows = constants[i].shape[0];
    const int64_t step = RowsPerRead(constants[i]);
    for (int64_t row = 0; row < rows; row += step) {
      blocks.push_back(RowBlock{i, row, std::min(rows, row + step)});
    }
  }
  return blocks;
}

// Large writes cost the kernel much less than many small ones; but every thread should get several
// pieces, and hold no more than some MB.
std::vector<Piece> JoinBlocks(const std::vector<RowBlock>& blocks, int threads) {
  constexpr size_t kMostBlocks = 64;
  constexpr size_t kPiecesForEachThread = 16;
  const size_t most = std::clamp<size_t>(
      blocks.size() / (kPiecesForEachThread * static_cast<size_t>(std::max(threads, 1))), 1,
      kMostBlocks);
  std::vector<Piece> pieces;
  for (size_t i = 0; i < blocks.size(); ++i) {
    if (pieces.empty() || i - pieces.back().block_begin >= most ||
        blocks[pieces.back().block_begin].tensor != blocks[i].tensor) {
      pieces.push_back(Piece{i, i});
    }
    pieces.back().block_end = i + 1;
  }
  return pieces;
}

// What one thread works in; it stays allocated from block to block.
struct Workspace {
  std::vector<double> merged, base, stored, stored_base;
  std::vector<uint8_t> data, scales, discarded;
};

// Never shrinks: growing again would fill what is overwritten anyway.
std::span<uint8_t> Room(uint64_t size_bytes, std::vector<uint8_t>* buffer) {
  if (buffer->size() < size_bytes) buffer->resize(size_bytes);
  return std::span(*buffer).first(size_bytes);
}

class WeightWriter {
 public:
  WeightWriter(const ModelDescription& description, const ModelHeader& header,
               const TensorSource& source, const WriteOptions& options,
               const CalibratedWeights& calibrated, OutputFile& file)
      : description_(description),
        header_(header),
        source_(source),
        options_(options),
        calibrated_(calibrated),
        file_(file) {}

  Result<std::vector<LayerMeasures>> Run() {
    GRAFT_ASSIGN_OR_RETURN(blocks_, CutIntoBlocks(description_.constants));
    block_measures_.resize(blocks_.size());
    for (const RowBlock& block : blocks_) {
      total_ +=
          (block.row_end - block.row_begin) * description_.constants[block.tensor].row_elements();
    }
    const std::vector<Piece> pieces = JoinBlocks(blocks_, options_.threads);
    GRAFT_RETURN_IF_ERROR(
        ParallelFor(options_.threads, static_cast<int64_t>(pieces.size()),
                    [&](int64_t i) { return WritePiece(pieces[static_cast<size_t>(i)]); }));
    // Sums in block order, whichever thread did which block.
    std::vector<LayerMeasures> measures(description_.constants.size());
    for (size_t i = 0; i < blocks_.size(); ++i) {
      measures[blocks_[i].tensor].error.Add(block_measures_[i].error);
      measures[blocks_[i].tensor].retained.Add(block_measures_[i].retained);
      measures[blocks_[i].tensor].scales_offered += block_measures_[i].scales_offered;
      measures[blocks_[i].tensor].scales_kept += block_measures_[i].scales_kept;
      measures[blocks_[i].tensor].grid.Add(block_measures_[i].grid);
    }
    return measures;
  }

 private:
  Status WritePiece(const Piece& piece) {
    thread_local Workspace w;
    const RowBlock& first = blocks_[piece.block_begin];
    const RowBlock& last = blocks_[piece.block_end - 1];
    const Constant& constant = description_.constants[first.tensor];
    const TensorPlace& place = header_.tensors()[first.tensor];
    const auto row_data = static_cast<uint64_t>(place.format.RowDataBytes(constant.row_elements()));
    const auto row_scales =
        static_cast<uint64_t>(place.format.RowScaleBytes(constant.row_elements()));
    const auto rows = static_cast<uint64_t>(last.row_end - first.row_begin);
    const std::span<uint8_t> data = Room(row_data * rows, &w.data);
    const std::span<uint8_t> scales = Room(row_scales * rows, &w.scales);
    for (size_t i = piece.block_begin; i < piece.block_end; ++i) {
      GRAFT_RETURN_IF_ERROR(CheckCancelled());
      const auto row = static_cast<uint64_t>(blocks_[i].row_begin - first.row_begin);
      GRAFT_RETURN_IF_ERROR(
          EncodeBlock(i, data.data() + row * row_data, scales.data() + row * row_scales, &w));
    }
    const auto row = static_cast<uint64_t>(first.row_begin);
    GRAFT_RETURN_IF_ERROR(file_.WriteAt(place.data_offset + row * row_data, data));
    if (!scales.empty()) {
      GRAFT_RETURN_IF_ERROR(file_.WriteAt(place.scales_offset + row * row_scales, scales));
    }
    if (last.row_end == constant.shape[0]) {
      file_.StartWriteback(place.data_offset, place.data_bytes);
    }
    return OkStatus();
  }

  Status EncodeBlock(size_t index, uint8_t* data, uint8_t* scales, Workspace* workspace) {
    Workspace& w = *workspace;
    const RowBlock& block = blocks_[index];
    const Constant& constant = description_.constants[block.tensor];
    const TensorPlace& place = header_.tensors()[block.tensor];
    const int64_t row_elements = constant.row_elements();
    const int64_t rows = block.row_end - block.row_begin;
    const auto elements = static_cast<size_t>(rows * row_elements);
    const bool adapted = description_.AdaptedOf(constant) != nullptr;

    w.merged.resize(elements);
    w.stored.resize(elements);
    w.base.resize(adapted ? elements : 0);
    GRAFT_RETURN_IF_ERROR(
        ReadConstant(constant, source_, block.row_begin, block.row_end, w.merged, w.base));

    LayerMeasures& measures = block_measures_[index];
    LikeScales like;
    if (options_.like != nullptr) {
      like.scales = options_.like->ScalesOf(constant, place.format, block.row_begin, block.row_end);
    }
    if (calibrated_.Has(block.tensor)) {
      TakeCalibrated(block, place.format, row_elements, data, scales, w.stored);
    } else if (Status status = EncodeRows(place.format, w.merged, row_elements, data, scales,
                                          w.stored, &like, &measures.grid);
               !status.ok()) {
      return InTensor(status, constant, block);
    }
    measures.scales_offered = like.offered;
    measures.scales_kept = like.kept;

    if (constant.is_weight_matrix && adapted) {
      MeasureErrorAndDelta(w.merged, w.stored, w.base, &measures.error, &measures.retained);
      GRAFT_RETURN_IF_ERROR(SampleRetainedDelta(place, constant, block, &w, &measures.retained));
    } else if (constant.is_weight_matrix) {
      MeasureQuantizationError(w.merged, w.stored, &measures.error);
    }
    const int64_t done =
        done_.fetch_add(static_cast<int64_t>(elements)) + static_cast<int64_t>(elements);
    if (options_.progress) options_.progress(done, total_);
    return OkStatus();
  }

  // Rows that were encoded before.
  void TakeCalibrated(const RowBlock& block, const StoredFormat& format, int64_t row_elements,
                      uint8_t* data, uint8_t* scales, std::span<double> stored) const {
    const CalibratedWeights::Rows& rows = calibrated_.of(block.tensor);
    const auto part = [&](const std::vector<uint8_t>& all, int64_t row_bytes) {
      return std::span(all).subspan(
          static_cast<size_t>(block.row_begin * row_bytes),
          static_cast<size_t>((block.row_end - block.row_begin) * row_bytes));
    };
    const auto codes = part(rows.data, format.RowDataBytes(row_elements));
    const auto its_scales = part(rows.scales, format.RowScaleBytes(row_elements));
    std::copy(codes.begin(), codes.end(), data);
    std::copy(its_scales.begin(), its_scales.end(), scales);
    DecodeRows(format, codes, its_scales, row_elements, stored);
  }

  // Row numbers in an encoder's message count from the block's first row; here they become the
  // tensor's.
  static Status InTensor(const Status& status, const Constant& constant, const RowBlock& block) {
    return Error(status.code(), "tensor '%s', rows %lld to %lld: %.*s", constant.name.c_str(),
                 static_cast<long long>(block.row_begin), static_cast<long long>(block.row_end - 1),
                 static_cast<int>(status.message().size()), status.message().data());
  }

  // Quantizes every n-th row of the base too and compares.
  Status SampleRetainedDelta(const TensorPlace& place, const Constant& constant,
                             const RowBlock& block, Workspace* w, RetainedDelta* retained) const {
    const int64_t stride = options_.delta_row_stride;
    if (stride <= 0) return OkStatus();
    const int64_t row_elements = constant.row_elements();
    const auto width = static_cast<size_t>(row_elements);
    w->stored_base.resize(width);
    w->discarded.resize(static_cast<size_t>(place.format.RowDataBytes(row_elements) +
                                            place.format.RowScaleBytes(row_elements)));
    for (int64_t row = (block.row_begin + stride - 1) / stride * stride; row < block.row_end;
         row += stride) {
      const auto begin = static_cast<size_t>((row - block.row_begin) * row_elements);
      const auto base = std::span<const double>(w->base).subspan(begin, width);
      if (Status status = EncodeRows(place.format, base, row_elements, w->discarded.data(),
                                     w->discarded.data() + place.format.RowDataBytes(row_elements),
                                     w->stored_base);
          !status.ok()) {
        return InTensor(status, constant, block);
      }
      MeasureRetainedDelta(std::span<const double>(w->merged).subspan(begin, width), base,
                           std::span<const double>(w->stored).subspan(begin, width), w->stored_base,
                           retained);
    }
    return OkStatus();
  }

  const ModelDescription& description_;
  const ModelHeader& header_;
  const TensorSource& source_;
  const WriteOptions& options_;
  const CalibratedWeights& calibrated_;
  OutputFile& file_;
  std::vector<RowBlock> blocks_;
  std::vector<LayerMeasures> block_measures_;
  int64_t total_ = 0;
  std::atomic<int64_t> done_{0};
};

}  // namespace

Result<std::vector<LayerMeasures>> WriteWeights(
    const ModelDescription& description, const ModelHeader& header, const TensorSource& source,
    const WriteOptions& options, const CalibratedWeights& calibrated, OutputFile& file) {
  return WeightWriter(description, header, source, options, calibrated, file).Run();
}

Status HashWeights(std::span<const uint8_t> bytes, int threads, ModelHeader* header) {
  const auto segments = static_cast<int64_t>(header->segments().size());
  const auto tensors = static_cast<int64_t>(header->tensors().size());
  return ParallelFor(threads, segments + tensors, [&](int64_t i) -> Status {
    if (i < segments) {
      const SegmentPlace& place = header->segments()[static_cast<size_t>(i)];
      header->SetChecksum(static_cast<size_t>(i),
                          schema::Checksum64(bytes.subspan(place.offset, place.bytes)));
      return OkStatus();
    }
    const auto tensor = static_cast<size_t>(i - segments);
    const TensorPlace& place = header->tensors()[tensor];
    header->SetContentHash(
        tensor, schema::ContentHash(bytes.subspan(place.data_offset, place.data_bytes),
                                    bytes.subspan(place.scales_offset, place.scales_bytes)));
    return OkStatus();
  });
}

}  // namespace graft::converter
