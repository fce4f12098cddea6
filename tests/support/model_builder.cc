// SPDX-License-Identifier: Apache-2.0
#include "tests/support/model_builder.h"

#include <utility>

#include "schema/container.h"

namespace graft::test {
namespace {

uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return (value + alignment - 1) / alignment * alignment;
}

}  // namespace

AlignedBytes::AlignedBytes(std::span<const uint8_t> bytes)
    : storage_(std::make_unique<uint8_t[]>(bytes.size() + 64)), size_(bytes.size()) {
  const auto address = reinterpret_cast<uintptr_t>(storage_.get());
  data_ = storage_.get() + (AlignUp(address, 64) - address);
  if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
}

int32_t ModelBuilder::Symbol(const std::string& name) {
  symbols_.push_back(name);
  return static_cast<int32_t>(symbols_.size()) - 1;
}

int32_t ModelBuilder::Value(const std::string& name, Dimensions shape, fb::ElementType type) {
  const auto name_offset = builder_.CreateString(name);
  values_.push_back(
      fb::CreateValue(builder_, name_offset, builder_.CreateVectorOfStructs(shape), type));
  return static_cast<int32_t>(values_.size()) - 1;
}

int32_t ModelBuilder::Input(const std::string& name, Dimensions shape, fb::InputRole role,
                            fb::ElementType type) {
  const int32_t value = Value(name, std::move(shape), type);
  inputs_.push_back(fb::CreateGraphInput(builder_, value, role));
  return value;
}

int32_t ModelBuilder::KvCache(uint32_t kv_heads, uint32_t head_dim, bool of_source) {
  const auto name = builder_.CreateString("cache" + std::to_string(kv_caches_.size()));
  kv_caches_.push_back(fb::CreateKvCache(builder_, name, kv_heads, head_dim, of_source));
  return static_cast<int32_t>(kv_caches_.size()) - 1;
}

int32_t ModelBuilder::State(uint32_t rows, uint32_t width) {
  const auto name = builder_.CreateString("state" + std::to_string(states_.size()));
  states_.push_back(fb::CreateState(builder_, name, rows, width));
  return static_cast<int32_t>(states_.size()) - 1;
}

int32_t ModelBuilder::Tensor(const std::string& name, fb::TensorFormat format,
                             std::vector<int64_t> shape, std::span<const uint8_t> data,
                             std::span<const uint8_t> scales, uint32_t block_size) {
  tensors_.push_back(PendingTensor{name,
                                   format,
                                   std::move(shape),
                                   {data.begin(), data.end()},
                                   {scales.begin(), scales.end()},
                                   block_size});
  return static_cast<int32_t>(tensors_.size()) - 1;
}

int32_t ModelBuilder::FloatTensor(const std::string& name, std::vector<int64_t> shape,
                                  std::span<const float> numbers) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(numbers.data());
  return Tensor(name, fb::TensorFormat::Float32, std::move(shape),
                std::span(bytes, numbers.size_bytes()));
}

void ModelBuilder::Op(const std::string& name, std::vector<int32_t> inputs,
                      std::vector<int32_t> outputs, fb::OpAttributes kind,
                      flatbuffers::Offset<void> attributes) {
  const auto name_offset = builder_.CreateString(name);
  const auto input_offset = builder_.CreateVector(inputs);
  const auto output_offset = builder_.CreateVector(outputs);
  ops_.push_back(
      fb::CreateOp(builder_, name_offset, input_offset, output_offset, kind, attributes));
}

void ModelBuilder::Output(int32_t value) { outputs_.push_back(value); }

void ModelBuilder::SetTask(fb::TaskKind kind, uint32_t context_tokens,
                           std::vector<uint32_t> end_tokens) {
  task_ = kind;
  context_tokens_ = context_tokens;
  end_tokens_ = std::move(end_tokens);
}

AlignedBytes ModelBuilder::Finish() {
  std::vector<uint8_t> segment;
  const auto append = [&segment](const std::vector<uint8_t>& bytes) {
    segment.resize(AlignUp(segment.size(), schema::kTensorAlignment));
    const fb::Span span(segment.size(), bytes.size(), 0);
    segment.insert(segment.end(), bytes.begin(), bytes.end());
    return span;
  };
  std::vector<flatbuffers::Offset<fb::Tensor>> tensors;
  for (const PendingTensor& tensor : tensors_) {
    const fb::Span data = append(tensor.data);
    const fb::Span scales = tensor.scales.empty() ? fb::Span() : append(tensor.scales);
    const schema::Hash128 hash = schema::ContentHash(tensor.data, tensor.scales);
    const fb::Hash128 stored_hash(hash.high, hash.low);
    const auto name = builder_.CreateString(tensor.name);
    const auto shape = builder_.CreateVector(tensor.shape);
    tensors.push_back(fb::CreateTensor(builder_, name, shape, &data,
                                       tensor.scales.empty() ? nullptr : &scales, &stored_hash,
                                       tensor.block_size, tensor.format));
  }
  const auto symbols = builder_.CreateVectorOfStrings(symbols_);
  const auto values = builder_.CreateVector(values_);
  const auto inputs = builder_.CreateVector(inputs_);
  const auto outputs = builder_.CreateVector(outputs_);
  const auto caches = builder_.CreateVector(kv_caches_);
  const auto ops = builder_.CreateVector(ops_);
  const auto graph = fb::CreateGraph(builder_, symbols, values, inputs, outputs, caches, ops,
                                     states_.empty() ? 0 : builder_.CreateVector(states_));
  const auto architecture = builder_.CreateString("test");
  const auto task = fb::CreateTask(
      builder_, task_, architecture, context_tokens_, builder_.CreateVector(end_tokens_), 0,
      fb::ScoreKind::Softmax, image_, pad_token_,
      prompt_.empty() ? 0 : builder_.CreateString(prompt_), target_, pictures_);
  const auto tensor_vector = builder_.CreateVector(tensors);

  // The segment starts behind the header, whose size does not depend on the number written here,
  // only its bytes do.
  const uint64_t checksum = schema::Checksum64(segment);
  fb::Segment* placed = nullptr;
  const auto segments = builder_.CreateUninitializedVectorOfStructs(1, &placed);
  *placed = fb::Segment(uint64_t{1} << 40, segment.size(), checksum);
  builder_.Finish(
      fb::CreateModel(builder_, graph, tensor_vector, segments, task, tokenizer_, chat_template_),
      fb::ModelIdentifier());

  const uint64_t segment_offset =
      AlignUp(schema::kPreambleBytes + builder_.GetSize(), schema::kSegmentAlignment);
  auto* model = flatbuffers::GetMutableRoot<fb::Model>(builder_.GetBufferPointer());
  auto* written = const_cast<fb::Segment*>(model->segments()->Get(0));
  *written = fb::Segment(segment_offset, segment.size(), checksum);
  return SealFile(std::span(builder_.GetBufferPointer(), builder_.GetSize()), segment_offset,
                  segment);
}

AlignedBytes SealFile(std::span<const uint8_t> header, uint64_t segment_offset,
                      std::span<const uint8_t> segment) {
  std::vector<uint8_t> bytes(segment_offset + segment.size() + schema::kTailBytes);
  schema::Preamble preamble;
  preamble.file_bytes = bytes.size();
  preamble.header_bytes = header.size();
  preamble.header_checksum = schema::Checksum64(header);
  const auto encoded = schema::EncodePreamble(preamble);
  std::memcpy(bytes.data(), encoded.data(), encoded.size());
  std::memcpy(bytes.data() + schema::kPreambleBytes, header.data(), header.size());
  if (!segment.empty()) std::memcpy(bytes.data() + segment_offset, segment.data(), segment.size());
  return AlignedBytes(bytes);
}

void Reseal(AlignedBytes& file) {
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data() + 32, sizeof(header_bytes));
  schema::Preamble preamble;
  preamble.file_bytes = file.size();
  preamble.header_bytes = header_bytes;
  preamble.header_checksum =
      schema::Checksum64(file.span().subspan(schema::kPreambleBytes, header_bytes));
  const auto encoded = schema::EncodePreamble(preamble);
  std::memcpy(file.data(), encoded.data(), encoded.size());
}

}  // namespace graft::test
