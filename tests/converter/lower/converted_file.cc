// SPDX-License-Identifier: Apache-2.0
#include "tests/converter/lower/converted_file.h"

#include <algorithm>
#include <cstring>

#include <doctest/doctest.h>

#include "converter/describe/describe_model.h"
#include "schema/generated/model_generated.h"
#include "tests/support/small_files.h"

namespace graft::converter {

Result<WriteOutcome> ConvertModel(const ConvertRequest& request) {
  std::vector<AdapterSpec> adapters;
  if (!request.adapter.empty())
    adapters.push_back(AdapterSpec{request.adapter, request.adapter_weight});
  GRAFT_ASSIGN_OR_RETURN(OpenedModel model, OpenModel(request.base, adapters, request.rules));
  model.long_context = request.long_context;
  model.text_only = request.text_only;
  flatbuffers::FlatBufferBuilder header;
  header.ForceDefaults(true);
  GRAFT_ASSIGN_OR_RETURN(const ModelDescription description, DescribeModel(model, header));
  WriteOptions options;
  options.path = request.output;
  options.format = request.format;
  options.threads = request.threads;
  options.keep_delta = request.keep_delta;
  options.calibration = request.calibration;
  options.bits = request.bits;
  if (request.bits) options.measuring = {2, 16};
  options.delta_row_stride = request.delta_row_stride;
  return WriteModel(description, model.source(), options, header);
}

LoadedModel::LoadedModel(const std::filesystem::path& file) {
  const std::string bytes = ReadBytes(file);
  storage_.resize(bytes.size() / sizeof(uint64_t) + 1);
  std::memcpy(storage_.data(), bytes.data(), bytes.size());
  const std::span view(reinterpret_cast<const uint8_t*>(storage_.data()), bytes.size());
  auto verified = schema::Verify(view);
  REQUIRE_MESSAGE(verified.ok(), verified.status().message());
  verified_ = std::make_unique<schema::VerifiedModel>(*verified);
  const Status contents = schema::VerifyContents(*verified_);
  REQUIRE_MESSAGE(contents.ok(), contents.message());
}

const schema::fb::Op* LoadedModel::FindOp(std::string_view name) const {
  for (const schema::fb::Op* op : *model().graph()->ops()) {
    if (op->name()->string_view() == name) return op;
  }
  return nullptr;
}

const schema::fb::Tensor* LoadedModel::FindTensor(std::string_view name) const {
  for (const schema::fb::Tensor* tensor : *model().tensors()) {
    if (tensor->name()->string_view() == name) return tensor;
  }
  return nullptr;
}

std::vector<float> LoadedModel::Floats(std::string_view name) const {
  const schema::fb::Tensor* tensor = FindTensor(name);
  REQUIRE(tensor != nullptr);
  REQUIRE(tensor->format() == schema::fb::TensorFormat::Float32);
  const auto data = verified_->tensor_bytes(*tensor).data;
  std::vector<float> numbers(data.size() / sizeof(float));
  std::memcpy(numbers.data(), data.data(), data.size());
  return numbers;
}

void EditFile(const std::filesystem::path& file, std::string_view from, std::string_view to) {
  std::string text = ReadBytes(file);
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(text.find(from, at + 1) == std::string::npos);
  WriteText(file, text.replace(at, from.size(), to));
}

std::vector<std::string> NamesIn(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace graft::converter
