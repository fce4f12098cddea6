// SPDX-License-Identifier: Apache-2.0
// Turns the bytes of a .graft file into a VerifiedModel, or says which byte, tensor or op is wrong.
//
// This is the only place that runs the FlatBuffers verifier. Whoever holds a VerifiedModel may
// follow every index, offset and size in it without checking again: operands are in range and
// defined before use, shapes agree with each op's rule, every tensor's bytes lie inside its segment
// and are exactly as many as its shape and format need.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "schema/container.h"
#include "schema/result.h"
#include "schema/verify_graph.h"

namespace graft::schema {

namespace fb {
struct Tensor;
}  // namespace fb

struct ImageSides;
class VerifiedModel;
/// As schema/ops/resize_images.h has it.
Result<VerifiedModel> ResizeImages(const VerifiedModel& model, const ImageSides& sides,
                                   std::vector<uint64_t>* header);

/// The bytes of one tensor in the file. `scales` is empty for unquantized formats.
struct TensorBytes {
  std::span<const uint8_t> data;
  std::span<const uint8_t> scales;
};

/// A model whose header passed every check. Borrows the file's bytes, which must outlive it. Cheap
/// to copy.
class VerifiedModel {
 public:
  const fb::Model& model() const { return *model_; }
  /// `tensor` must be one of model().tensors().
  TensorBytes tensor_bytes(const fb::Tensor& tensor) const;
  std::span<const uint8_t> segment_bytes(uint32_t segment) const;
  std::span<const uint8_t> file_bytes() const { return bytes_; }
  /// What ids, positions and token types the graph's tables have rows for, among others.
  const GraphFacts& facts() const { return facts_; }
  /// A hash of the header, which holds the graph, the tokenizer and the content hash of every tensor:
  /// equal for equal models.
  Hash128 identity() const;

 private:
  friend Result<VerifiedModel> Verify(std::span<const uint8_t> bytes);
  friend Result<VerifiedModel> ResizeImages(const VerifiedModel& model, const ImageSides& sides,
                                            std::vector<uint64_t>* header);
  VerifiedModel(const fb::Model* model, std::span<const uint8_t> bytes, const GraphFacts& facts)
      : model_(model), bytes_(bytes), facts_(facts) {}

  const fb::Model* model_;
  std::span<const uint8_t> bytes_;
  GraphFacts facts_;
};

/// Checks the preamble, the header's checksum, the FlatBuffer and what it means. `bytes` is the
/// whole file, aligned to 8. Reads the header and not the segments, so a mapped file stays unread.
/// Errors   kCorrupt, kUnsupportedVersion, kUnsupported (an op, format or task this build does not
///          know).
/// Cost     linear in the header; allocates one byte of state for each value and op.
Result<VerifiedModel> Verify(std::span<const uint8_t> bytes);

/// Checks every segment's checksum and every tensor's content hash: reads the whole file.
/// Errors   kCorrupt, naming the segment or tensor.
Status VerifyContents(const VerifiedModel& model);

/// The same in parts, for whoever has threads: first the segments, then the tensors.
int64_t CountContents(const VerifiedModel& model);
/// Requires 0 <= index < CountContents(model).
Status VerifyContent(const VerifiedModel& model, int64_t index);

/// Bytes that `elements` of the format's codes take, and its scales; false on overflow or a shape
/// the format cannot have. Shapes are those of fb::Tensor; see FORMAT.md, "Tensor formats".
struct TensorSizes {
  uint64_t elements = 0;
  uint64_t data_bytes = 0;
  uint64_t scales_bytes = 0;
};
Result<TensorSizes> SizesOf(uint8_t format, std::span<const int64_t> shape, uint32_t block_size);

}  // namespace graft::schema
