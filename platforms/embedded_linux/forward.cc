// SPDX-License-Identifier: Apache-2.0
// graft-run forward: a model's outputs for tensors in a file.
#include <algorithm>
#include <cinttypes>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"
#include "platforms/embedded_linux/safetensors.h"

namespace graft_run {
namespace {

/// Input for one or more calls: a batch of token rows is computed row by row.
struct Input {
  std::string name;
  std::vector<int64_t> row_shape;
  bool has_batch = false;
  uint64_t rows = 1;
  std::vector<int32_t> integers;
  std::vector<float> reals;
};

bool ReadInput(const std::string& file, Input* input) {
  SafetensorsReader reader;
  if (!reader.Open(file)) return false;
  if (const TensorEntry* ids = reader.Find("input_ids"); ids != nullptr) {
    input->name = ids->name;
    if (ids->shape.empty() || ids->shape.size() > 2 || ids->begin == ids->end) {
      Fail(file, "input_ids must be [tokens] or [batch, tokens], and not empty");
      return false;
    }
    input->has_batch = ids->shape.size() == 2;
    input->rows = input->has_batch ? static_cast<uint64_t>(ids->shape[0]) : 1;
    input->row_shape = {ids->shape.back()};
    return reader.ReadIntegers(*ids, &input->integers);
  }
  if (const TensorEntry* values = reader.Find("input"); values != nullptr) {
    input->name = values->name;
    input->row_shape = values->shape;
    if (values->begin == values->end) {
      Fail(file, "tensor input is empty");
      return false;
    }
    return reader.ReadReals(*values, &input->reals);
  }
  std::string names;
  for (const TensorEntry& entry : reader.tensors()) {
    if (names.size() < 200) names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  Fail(file, "holds neither input_ids nor input, but " + (names.empty() ? "nothing" : names));
  return false;
}

graft_tensor RowOf(const Input& input, uint64_t row) {
  graft_tensor tensor{};
  tensor.name = input.name.c_str();
  tensor.rank = static_cast<uint32_t>(input.row_shape.size());
  std::copy(input.row_shape.begin(), input.row_shape.end(), tensor.shape);
  if (input.integers.empty()) {
    tensor.type = GRAFT_TYPE_F32;
    tensor.data = input.reals.data();
  } else {
    tensor.type = GRAFT_TYPE_I32;
    tensor.data = input.integers.data() + row * static_cast<uint64_t>(input.row_shape[0]);
  }
  return tensor;
}

uint64_t BytesOf(const graft_tensor& tensor) {
  uint64_t bytes = 4;  // of f32 and i32 alike
  for (uint32_t i = 0; i < tensor.rank; ++i) bytes *= static_cast<uint64_t>(tensor.shape[i]);
  return bytes;
}

std::vector<TensorEntry> DescribeOutputs(const Input& input, const graft_tensor* outputs,
                                         size_t count) {
  std::vector<TensorEntry> entries;
  for (size_t i = 0; i < count; ++i) {
    TensorEntry entry;
    entry.name = outputs[i].name;
    entry.dtype = outputs[i].type == GRAFT_TYPE_F32 ? "F32" : "I32";
    if (input.has_batch) entry.shape.push_back(static_cast<int64_t>(input.rows));
    entry.shape.insert(entry.shape.end(), outputs[i].shape, outputs[i].shape + outputs[i].rank);
    entries.push_back(std::move(entry));
  }
  return entries;
}

}  // namespace

int RunForward(int argc, char** argv) {
  std::string file;
  std::string input_file;
  std::string output_file;
  bool has_input = false;
  bool has_output = false;
  uint64_t threads = 0;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.Text("input", 0, &input_file, &has_input);
  options.Text("output", 'o', &output_file, &has_output);
  options.Whole("threads", 't', &threads, 1, 1024);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("forward: " + problem);
  }
  if (!has_input) return FailUsage("forward: --input is missing");
  if (!has_output) return FailUsage("forward: -o is missing");

  Input input;
  if (!ReadInput(input_file, &input)) return kExitFailure;
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  const bool is_token_input = !input.integers.empty();
  const uint64_t tokens = is_token_input ? static_cast<uint64_t>(input.row_shape[0]) : 0;
  if (info.context_tokens != 0 && tokens > info.context_tokens) {
    return Fail(file, Format("%s holds %" PRIu64 " tokens a row, the model's context is %u",
                             input_file.c_str(), tokens, info.context_tokens));
  }
  const SessionHandle session = OpenSession(file, model.get(), threads, tokens);
  if (session == nullptr) return kExitFailure;

  const InterruptGuard guard(session.get());
  SafetensorsWriter writer;
  for (uint64_t row = 0; row < input.rows; ++row) {
    const graft_tensor tensor = RowOf(input, row);
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error{};
    if (graft_session_forward(session.get(), &tensor, 1, &outputs, &count, &error) != GRAFT_OK) {
      return FailCall(file, error);
    }
    if (row == 0 && !writer.Open(output_file, DescribeOutputs(input, outputs, count))) {
      return kExitFailure;
    }
    for (size_t i = 0; i < count; ++i) {
      const uint64_t bytes = BytesOf(outputs[i]);
      if (!writer.Write(i, row * bytes, outputs[i].data, bytes)) return kExitFailure;
    }
  }
  return writer.Commit() ? kExitOk : kExitFailure;
}

}  // namespace graft_run
