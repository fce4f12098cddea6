// SPDX-License-Identifier: Apache-2.0
// ModelBuilder: a complete .graft file in memory, op by op, for tests. It builds what it is told,
// right or wrong.
#pragma once

#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "schema/generated/model_generated.h"

namespace graft::test {

namespace fb = schema::fb;

/// Bytes whose first element is aligned to 64, as a mapped file's are.
class AlignedBytes {
 public:
  AlignedBytes() = default;
  explicit AlignedBytes(std::span<const uint8_t> bytes);
  uint8_t* data() { return data_; }
  const uint8_t* data() const { return data_; }
  size_t size() const { return size_; }
  std::span<uint8_t> span() { return {data_, size_}; }
  std::span<const uint8_t> span() const { return {data_, size_}; }

 private:
  std::unique_ptr<uint8_t[]> storage_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

/// A dimension of a value: fixed, or Symbolic(i).
inline fb::Dimension Fixed(int64_t size) { return fb::Dimension(size, -1); }
inline fb::Dimension Symbolic(int32_t symbol) { return fb::Dimension(0, symbol); }

class ModelBuilder {
 public:
  using Dimensions = std::vector<fb::Dimension>;

  /// Returns the index of what it adds.
  int32_t Symbol(const std::string& name);
  int32_t Value(const std::string& name, Dimensions shape,
                fb::ElementType type = fb::ElementType::Float32);
  int32_t Input(const std::string& name, Dimensions shape, fb::InputRole role,
                fb::ElementType type = fb::ElementType::Int32);
  int32_t KvCache(uint32_t kv_heads, uint32_t head_dim, bool of_source = false);
  int32_t State(uint32_t rows, uint32_t width);
  int32_t Tensor(const std::string& name, fb::TensorFormat format, std::vector<int64_t> shape,
                 std::span<const uint8_t> data, std::span<const uint8_t> scales = {},
                 uint32_t block_size = 0);
  int32_t FloatTensor(const std::string& name, std::vector<int64_t> shape,
                      std::span<const float> numbers);

  /// Adds an op; attributes come from builder(), e.g. fb::CreateLinear(model.builder(), weight,
  /// bias).Union().
  void Op(const std::string& name, std::vector<int32_t> inputs, std::vector<int32_t> outputs,
          fb::OpAttributes kind, flatbuffers::Offset<void> attributes);
  void Output(int32_t value);

  void SetTask(fb::TaskKind kind, uint32_t context_tokens = 0,
               std::vector<uint32_t> end_tokens = {});
  void SetPadToken(int32_t token) { pad_token_ = token; }
  void SetPrompt(std::string prompt) { prompt_ = std::move(prompt); }
  void SetTokenizer(flatbuffers::Offset<fb::Tokenizer> tokenizer) { tokenizer_ = tokenizer; }

  void SetChatTemplate(const std::string& source) {
    chat_template_ = builder_.CreateString(source);
  }

  void SetTarget(flatbuffers::Offset<fb::TargetText> target) { target_ = target; }
  void SetPictures(flatbuffers::Offset<fb::Pictures> pictures) { pictures_ = pictures; }
  void SetImage(flatbuffers::Offset<fb::ImageInput> image) { image_ = image; }

  flatbuffers::FlatBufferBuilder& builder() { return builder_; }

  /// Lays out, seals and returns the file. Call once.
  AlignedBytes Finish();

 private:
  struct PendingTensor {
    std::string name;
    fb::TensorFormat format;
    std::vector<int64_t> shape;
    std::vector<uint8_t> data;
    std::vector<uint8_t> scales;
    uint32_t block_size;
  };

  flatbuffers::FlatBufferBuilder builder_;
  std::vector<std::string> symbols_;
  std::vector<flatbuffers::Offset<fb::Value>> values_;
  std::vector<flatbuffers::Offset<fb::GraphInput>> inputs_;
  std::vector<flatbuffers::Offset<fb::KvCache>> kv_caches_;
  std::vector<flatbuffers::Offset<fb::State>> states_;
  std::vector<flatbuffers::Offset<fb::Op>> ops_;
  std::vector<int32_t> outputs_;
  std::vector<PendingTensor> tensors_;
  flatbuffers::Offset<fb::Tokenizer> tokenizer_;
  flatbuffers::Offset<fb::ImageInput> image_;
  flatbuffers::Offset<fb::TargetText> target_;
  flatbuffers::Offset<fb::Pictures> pictures_;
  int32_t pad_token_ = -1;
  std::string prompt_;
  flatbuffers::Offset<flatbuffers::String> chat_template_;
  fb::TaskKind task_ = fb::TaskKind::Tensors;
  uint32_t context_tokens_ = 0;
  std::vector<uint32_t> end_tokens_;
};

/// Seals a header and the segments' bytes into a file: pads, computes the preamble. Segment spans
/// in the header must already be right.
AlignedBytes SealFile(std::span<const uint8_t> header, uint64_t segment_offset,
                      std::span<const uint8_t> segment);

/// Recomputes the header's and the preamble's checksums of a file that was changed on purpose.
void Reseal(AlignedBytes& file);

}  // namespace graft::test
