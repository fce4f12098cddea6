// SPDX-License-Identifier: Apache-2.0
// graft-run forward: a model's outputs for tensors in a file.
#include <algorithm>
#include <cinttypes>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/safetensors.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/output_check.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/pictures/picture_forward.h"

namespace graft_run {
namespace {

/// A tensor of the file.
struct Input {
  std::string name;  ///< the model's
  std::vector<int64_t> shape;
  std::vector<int32_t> integers;
  std::vector<float> reals;
};

/// What the file holds for the model.
struct Inputs {
  std::vector<Input> tensors;
  bool by_rows = false;  ///< one text at a time: every input is a batch of as many token rows
};

bool ReadTensor(const SafetensorsReader& reader, const TensorEntry& entry,
                const graft_tensor& wanted, Input* input) {
  input->name = wanted.name;
  input->shape = entry.shape;
  return wanted.type == GRAFT_TYPE_I32 ? reader.ReadIntegers(entry, &input->integers)
                                       : reader.ReadReals(entry, &input->reals);
}

// The tensors that the model names; one called input stands for the first if that is missing.
bool ReadInputs(const std::string& file, const graft_model* model, bool takes_source,
                Inputs* inputs) {
  SafetensorsReader reader;
  if (!reader.Open(file)) return false;
  std::string wanted_names;
  graft_tensor wanted{};
  for (size_t i = 0; graft_model_get_input(model, i, &wanted, nullptr) == GRAFT_OK; ++i) {
    const TensorEntry* entry = reader.Find(wanted.name);
    if (entry == nullptr && i == 0) entry = reader.Find("input");
    wanted_names.append(i == 0 ? "" : ", ").append(wanted.name);
    if (entry == nullptr) continue;
    if (entry->begin == entry->end) {
      Fail(file, "tensor " + entry->name + " is empty");
      return false;
    }
    const bool one_by_one = takes_source || (wanted.type == GRAFT_TYPE_I32 && wanted.rank == 1);
    const bool has_rows = one_by_one && entry->shape.size() == wanted.rank + 1;
    inputs->by_rows =
        has_rows && (inputs->tensors.empty() ||
                     (inputs->by_rows && inputs->tensors.front().shape[0] == entry->shape[0]));
    inputs->tensors.emplace_back();
    if (!ReadTensor(reader, *entry, wanted, &inputs->tensors.back())) return false;
  }
  if (!inputs->tensors.empty()) return true;
  std::string names;
  for (const TensorEntry& entry : reader.tensors()) {
    if (names.size() < 200) names.append(names.empty() ? "" : ", ").append(entry.name);
  }
  Fail(file,
       "holds neither " + wanted_names + " nor input, but " + (names.empty() ? "nothing" : names));
  return false;
}

graft_tensor TensorOf(const Input& input, bool by_rows, uint64_t row) {
  graft_tensor tensor{};
  const size_t skipped = by_rows ? 1 : 0;
  const uint64_t rows = by_rows ? static_cast<uint64_t>(input.shape[0]) : 1;
  tensor.name = input.name.c_str();
  tensor.rank = static_cast<uint32_t>(input.shape.size() - skipped);
  std::copy(input.shape.begin() + static_cast<std::ptrdiff_t>(skipped), input.shape.end(),
            tensor.shape);
  if (input.integers.empty()) {
    tensor.type = GRAFT_TYPE_F32;
    tensor.data = input.reals.data() + (by_rows ? row * (input.reals.size() / rows) : 0);
  } else {
    tensor.type = GRAFT_TYPE_I32;
    tensor.data = input.integers.data() + (by_rows ? row * (input.integers.size() / rows) : 0);
  }
  return tensor;
}

uint64_t BytesOf(const graft_tensor& tensor) {
  uint64_t bytes = 4;  // of f32 and i32 alike
  for (uint32_t i = 0; i < tensor.rank; ++i) bytes *= static_cast<uint64_t>(tensor.shape[i]);
  return bytes;
}

// rows 0: the outputs are whole. Of a model that gives one row for each text, that is the row.
std::vector<TensorEntry> DescribeOutputs(uint64_t rows, bool row_is_text,
                                         const graft_tensor* outputs, size_t count) {
  std::vector<TensorEntry> entries;
  for (size_t i = 0; i < count; ++i) {
    TensorEntry entry;
    entry.name = outputs[i].name;
    entry.dtype = outputs[i].type == GRAFT_TYPE_F32 ? "F32" : "I32";
    if (rows > 0) entry.shape.push_back(static_cast<int64_t>(rows));
    const bool skips_one =
        rows > 0 && row_is_text && outputs[i].rank > 1 && outputs[i].shape[0] == 1;
    entry.shape.insert(entry.shape.end(), outputs[i].shape + (skips_one ? 1 : 0),
                       outputs[i].shape + outputs[i].rank);
    entries.push_back(std::move(entry));
  }
  return entries;
}

struct Settings {
  std::string file;
  std::string input_file;
  std::string output_file;
  ThreadOptions threads;
  CacheOptions cache;
};

std::string ReadSettings(int argc, char** argv, Settings* settings) {
  bool has_input = false;
  bool has_output = false;
  Options options;
  settings->cache.AddTo(&options);
  options.String("input", 0, &settings->input_file, &has_input);
  options.String("output", 'o', &settings->output_file, &has_output);
  settings->threads.AddTo(&options);
  if (std::string problem = options.Parse(argc, argv, &settings->file); !problem.empty()) {
    return problem;
  }
  if (!has_input) return "--input is missing";
  if (!has_output) return "-o is missing";
  return OutputProblem(settings->output_file, {settings->file, settings->input_file});
}

/// Computes all rows, or everything at once, and writes what comes out.
int WriteOutputs(const Settings& settings, const graft_model_info& info, graft_session* session,
                 const Inputs& inputs) {
  SafetensorsWriter writer;
  const bool row_is_text =
      info.task == GRAFT_TASK_EMBEDDING || info.task == GRAFT_TASK_CLASSIFICATION;
  const uint64_t rows = inputs.by_rows ? static_cast<uint64_t>(inputs.tensors.front().shape[0]) : 0;
  for (uint64_t row = 0; row < std::max<uint64_t>(rows, 1); ++row) {
    std::vector<graft_tensor> tensors;
    for (const Input& input : inputs.tensors)
      tensors.push_back(TensorOf(input, inputs.by_rows, row));
    const graft_tensor* outputs = nullptr;
    size_t count = 0;
    graft_error error{};
    if (graft_session_forward(session, tensors.data(), tensors.size(), &outputs, &count, &error) !=
        GRAFT_OK) {
      return FailCall(settings.file, error);
    }
    if (row == 0 &&
        !writer.Open(settings.output_file, DescribeOutputs(rows, row_is_text, outputs, count))) {
      return kExitFailure;
    }
    for (size_t i = 0; i < count; ++i) {
      const uint64_t bytes = BytesOf(outputs[i]);
      if (!writer.Write(i, row * bytes, outputs[i].data, bytes)) return kExitFailure;
    }
  }
  return writer.Commit() ? kExitOk : kExitFailure;
}

}  // namespace

int RunForward(int argc, char** argv) {
  Settings settings;
  if (std::string problem = ReadSettings(argc, argv, &settings); !problem.empty()) {
    return FailUsage("forward: " + problem);
  }
  const ModelHandle model = OpenModel(settings.file, settings.threads, settings.cache);
  if (model == nullptr) return kExitFailure;
  Inputs inputs;
  const graft_model_info info = InfoOf(model.get());
  if (info.takes_pictures != 0) {
    const SessionHandle session = OpenSession(settings.file, model.get(), settings.threads,
                                              TokensOfTexts(settings.input_file));
    if (session == nullptr) return kExitFailure;
    const InterruptGuard guard(session.get());
    return ForwardWithPictures(settings.file, model.get(), session.get(), settings.input_file,
                               settings.output_file);
  }
  if (!ReadInputs(settings.input_file, model.get(), info.takes_source != GRAFT_SOURCE_NONE,
                  &inputs)) {
    return kExitFailure;
  }
  for (const Input& input : inputs.tensors) {
    if (input.shape.size() <= GRAFT_MAX_RANK && !input.shape.empty()) continue;
    return Fail(settings.input_file,
                Format("tensor %s has %zu dimensions; 1 to %d are possible", input.name.c_str(),
                       input.shape.size(), GRAFT_MAX_RANK));
  }
  uint64_t tokens = 0;
  for (const Input& input : inputs.tensors) {
    if (!input.integers.empty())
      tokens = std::max(tokens, static_cast<uint64_t>(input.shape.back()));
  }
  if (info.context_tokens != 0 && tokens > info.context_tokens) {
    return Fail(settings.file,
                Format("%s holds %" PRIu64 " tokens a row, the model's context is %u",
                       settings.input_file.c_str(), tokens, info.context_tokens));
  }
  const SessionHandle session = OpenSession(settings.file, model.get(), settings.threads, tokens);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());
  return WriteOutputs(settings, info, session.get(), inputs);
}

}  // namespace graft_run
