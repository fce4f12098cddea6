// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/probe_texts.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include <graft/graft.h>
#include "converter/json/json.h"
#include "schema/container.h"
#include "schema/generated/model_generated.h"
#include "schema/verify_task.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr size_t kFileAlignment = 64;
constexpr size_t kMaxLines = 16;
constexpr size_t kMaxLineBytes = 4096;
constexpr uint32_t kIdsWithoutText = 8;

struct ModelDeleter {
  void operator()(graft_model* model) const { graft_model_destroy(model); }
};
struct AlignedDeleter {
  void operator()(uint8_t* bytes) const {
    operator delete[](bytes, std::align_val_t(kFileAlignment));
  }
};

/// A model of nothing but the tokenizer and the template of one that is being made, opened as a
/// device opens it.
class TokenizerModel {
 public:
  /// False if it cannot be opened.
  bool Open(const ModelDescription& description, flatbuffers::FlatBufferBuilder& header);

  /// Empty if the text gives none.
  std::vector<uint32_t> Encode(const std::string& text, bool add_special) const;
  std::vector<uint32_t> EncodeMessage(const std::string& text) const;

 private:
  std::unique_ptr<uint8_t[], AlignedDeleter> bytes_;
  std::unique_ptr<graft_model, ModelDeleter> model_;
};

// The least graph there is: one number that is scaled.
flatbuffers::Offset<fb::Graph> WriteLeastGraph(flatbuffers::FlatBufferBuilder& header) {
  const std::vector<fb::Dimension> one = {fb::Dimension(1, -1), fb::Dimension(1, -1)};
  std::vector<flatbuffers::Offset<fb::Value>> values;
  for (const char* name : {"in", "out"}) {
    const auto shape = header.CreateVectorOfStructs(one);
    values.push_back(
        fb::CreateValue(header, header.CreateString(name), shape, fb::ElementType::Float32));
  }
  const std::vector<flatbuffers::Offset<fb::GraphInput>> inputs = {
      fb::CreateGraphInput(header, 0, fb::InputRole::Tensor)};
  const auto scale = fb::CreateScale(header, 1.0f);
  const auto from = header.CreateVector(std::vector<int32_t>{0});
  const auto to = header.CreateVector(std::vector<int32_t>{1});
  const std::vector<flatbuffers::Offset<fb::Op>> ops = {fb::CreateOp(
      header, header.CreateString("scale"), from, to, fb::OpAttributes::Scale, scale.Union())};
  const auto outputs = header.CreateVector(std::vector<int32_t>{1});
  return fb::CreateGraph(header, 0, header.CreateVector(values), header.CreateVector(inputs),
                         outputs, 0, header.CreateVector(ops));
}

bool TokenizerModel::Open(const ModelDescription& description,
                          flatbuffers::FlatBufferBuilder& header) {
  // Offsets count from a buffer's end, so that what is put before it leaves them as they are.
  flatbuffers::FlatBufferBuilder builder(header.GetSize() + 4096);
  builder.PushFlatBuffer(header.GetCurrentBufferPointer(), header.GetSize());
  const auto graph = WriteLeastGraph(builder);
  const auto tensors = builder.CreateVector(std::vector<flatbuffers::Offset<fb::Tensor>>());
  builder.Align(sizeof(uint64_t));  // a vector of nothing does not do it by itself
  const auto segments = builder.CreateVectorOfStructs(std::vector<fb::Segment>());
  const auto task = fb::CreateTask(builder, fb::TaskKind::Tensors);
  flatbuffers::Offset<flatbuffers::String> chat_template;
  if (!description.chat_template.empty()) {
    chat_template = builder.CreateString(description.chat_template);
  }
  const auto bos = builder.CreateString(description.bos_token);
  const auto eos = builder.CreateString(description.eos_token);
  builder.Finish(fb::CreateModel(builder, graph, tensors, segments, task, description.tokenizer,
                                 chat_template, 0, bos, eos),
                 fb::ModelIdentifier());

  schema::Preamble preamble;
  preamble.header_bytes = builder.GetSize();
  preamble.file_bytes = schema::kPreambleBytes + builder.GetSize();
  preamble.header_checksum = schema::Checksum64({builder.GetBufferPointer(), builder.GetSize()});
  const auto encoded = schema::EncodePreamble(preamble);
  bytes_.reset(new (std::align_val_t(kFileAlignment)) uint8_t[preamble.file_bytes]);
  std::memcpy(bytes_.get(), encoded.data(), encoded.size());
  std::memcpy(bytes_.get() + encoded.size(), builder.GetBufferPointer(), builder.GetSize());
  graft_model* model = nullptr;
  graft_error error{};
  if (graft_model_open_memory(bytes_.get(), preamble.file_bytes, nullptr, &model, &error) !=
      GRAFT_OK) {
    return false;
  }
  model_.reset(model);
  return true;
}

std::vector<uint32_t> TokenizerModel::Encode(const std::string& text, bool add_special) const {
  std::vector<int32_t> ids(text.size() + 64);
  size_t count = 0;
  if (graft_model_tokenize(model_.get(), text.data(), text.size(), add_special ? 1 : 0, ids.data(),
                           ids.size(), &count, nullptr) != GRAFT_OK ||
      count > schema::kMaxProbeIds) {
    return {};
  }
  return {ids.begin(), ids.begin() + static_cast<ptrdiff_t>(count)};
}

std::vector<uint32_t> TokenizerModel::EncodeMessage(const std::string& text) const {
  const graft_chat_message message{"user", text.c_str()};
  std::string rendered(schema::kMaxProbeBytes, '\0');
  size_t size = 0;
  if (graft_model_render_chat(model_.get(), &message, 1, nullptr, rendered.data(), rendered.size(),
                              &size, nullptr) != GRAFT_OK) {
    return {};
  }
  rendered.resize(size);
  return Encode(rendered, false);
}

struct Question {
  std::string text;
  bool chat = false;
};

std::vector<Question> ChooseQuestions(const std::vector<std::string>& lines, bool has_chat) {
  std::vector<Question> questions;
  questions.reserve(lines.size());
  for (const std::string& line : lines) questions.push_back({line, has_chat});
  if (!questions.empty()) return questions;
  return {{"The capital of France is", false},
          {"1, 2, 3, 4, 5,", false},
          {has_chat ? "What is the capital of France?" : "Once upon a time", has_chat}};
}

}  // namespace

Result<std::vector<std::string>> ReadProbeLines(const std::string& path) {
  GRAFT_ASSIGN_OR_RETURN(const std::string text, ReadTextFile(path, kMaxLines * kMaxLineBytes));
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    at = end + 1;
  }
  const bool fits = std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
    return line.size() <= kMaxLineBytes && line.find('\0') == std::string::npos;
  });
  if (!lines.empty() && lines.size() <= kMaxLines && fits) return lines;
  return Error(StatusCode::kInvalidArgument,
               "%s: has %zu lines; it must have 1 to %zu, each of at most %zu bytes of text",
               path.c_str(), lines.size(), kMaxLines, kMaxLineBytes);
}

Result<std::vector<ProbeText>> MakeProbes(const std::vector<std::string>& lines,
                                          const ModelDescription& description,
                                          flatbuffers::FlatBufferBuilder& header) {
  std::vector<ProbeText> probes;
  if (description.tokenizer.IsNull()) {
    if (description.task.task != Task::kTextGeneration || !lines.empty()) return probes;
    const auto* graph = flatbuffers::GetTemporaryPointer(header, description.graph);
    const auto output = static_cast<unsigned>(graph->outputs()->Get(0));
    const auto vocabulary =
        static_cast<uint32_t>(graph->values()->Get(output)->shape()->Get(1)->size());
    ProbeText probe;
    for (uint32_t i = 0; i < kIdsWithoutText; ++i) {
      probe.ids.push_back(static_cast<uint32_t>(uint64_t{vocabulary} * i / kIdsWithoutText));
    }
    probes.push_back(std::move(probe));
    return probes;
  }
  TokenizerModel model;
  if (!model.Open(description, header)) return probes;
  // What the time makes of a template is no constant.
  const bool has_chat = !description.chat_template.empty() &&
                        description.chat_template.find("strftime_now") == std::string::npos;
  for (const Question& question : ChooseQuestions(lines, has_chat)) {
    ProbeText probe{question.text, question.chat, {}, 0};
    probe.ids =
        question.chat ? model.EncodeMessage(question.text) : model.Encode(question.text, true);
    if (!probe.ids.empty()) probes.push_back(std::move(probe));
  }
  return probes;
}

}  // namespace graft::converter
