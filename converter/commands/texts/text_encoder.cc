// SPDX-License-Identifier: Apache-2.0
#include "converter/commands/texts/text_encoder.h"

#include <cstring>

#include "schema/container.h"
#include "schema/generated/model_generated.h"

namespace graft::converter {
namespace {

namespace fb = schema::fb;

constexpr size_t kFileAlignment = 64;

// What the time makes of a template is no constant, unless it is told: 2025-01-01.
constexpr int64_t kNowSeconds = 1735689600;

// More than a conversation of any use.
constexpr size_t kMaxRenderedBytes = size_t{4} << 20;

graft_chat_options ChatOptions() {
  graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
  options.now_seconds = kNowSeconds;
  return options;
}

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

}  // namespace

void TextEncoder::AlignedDeleter::operator()(uint8_t* bytes) const {
  operator delete[](bytes, std::align_val_t(kFileAlignment));
}

bool TextEncoder::Open(const ModelDescription& description,
                       const flatbuffers::FlatBufferBuilder& header) {
  if (description.tokenizer.IsNull()) return false;
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

std::vector<int32_t> TextEncoder::Encode(const std::string& text, bool add_special) const {
  std::vector<int32_t> ids(text.size() + 64);
  size_t count = 0;
  const auto encode = [&] {
    return graft_model_tokenize(model_.get(), text.data(), text.size(), add_special ? 1 : 0,
                                ids.data(), ids.size(), &count, nullptr);
  };
  graft_status status = encode();
  // A normalizer may make more of a text than it was.
  if (status == GRAFT_OUT_OF_RANGE && count > ids.size()) {
    ids.resize(count);
    status = encode();
  }
  if (status != GRAFT_OK) return {};
  ids.resize(count);
  return ids;
}

std::string TextEncoder::RenderMessage(const std::string& text) const {
  const graft_chat_message message{"user", text.c_str()};
  const graft_chat_options options = ChatOptions();
  std::string rendered(size_t{1} << 16, '\0');
  size_t size = 0;
  if (graft_model_render_chat(model_.get(), &message, 1, &options, rendered.data(), rendered.size(),
                              &size, nullptr) != GRAFT_OK) {
    return {};
  }
  rendered.resize(size);
  return rendered;
}

Result<std::string> TextEncoder::RenderConversation(const std::string& messages,
                                                    const std::string& tools) const {
  graft_chat_options options = ChatOptions();
  options.without_generation_prompt = 1;
  options.messages_json = messages.c_str();
  options.tools = tools.empty() ? nullptr : tools.c_str();
  std::string rendered(kMaxRenderedBytes, '\0');
  size_t size = 0;
  graft_error error{};
  if (graft_model_render_chat(model_.get(), nullptr, 0, &options, rendered.data(), rendered.size(),
                              &size, &error) != GRAFT_OK) {
    return Error(StatusCode::kInvalidArgument, "%s", error.message);
  }
  rendered.resize(size);
  return rendered;
}

ChatFrame TextEncoder::Frame() const {
  const std::string question = "QuestionOfTheUser";
  const std::string text = RenderMessage(question);
  const size_t at = text.find(question);
  ChatFrame frame;
  if (at == std::string::npos || text.find(question, at + 1) != std::string::npos) return frame;
  frame.before_question = Encode(text.substr(0, at), false);
  frame.before_answer = Encode(text.substr(at + question.size()), false);
  return frame.empty() ? ChatFrame{} : frame;
}

}  // namespace graft::converter
