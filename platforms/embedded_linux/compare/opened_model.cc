// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/compare/opened_model.h"

#include <sys/stat.h>

#include "platforms/embedded_linux/compare/behaviour.h"
#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

int32_t GatherId(void* user, int32_t id, const char* /*text*/, size_t /*size*/) {
  if (id >= 0) static_cast<std::vector<int32_t>*>(user)->push_back(id);
  return 0;
}

}  // namespace

bool OpenedModel::Open(const CompareSettings& settings, const std::string& file,
                       bool is_reference) {
  file_ = file;
  model_ = OpenModel(file, settings.threads,
                     is_reference ? settings.cache.WithoutPack() : settings.cache);
  if (model_ == nullptr) return false;
  info_ = InfoOf(model_.get());
  if (info_.task != GRAFT_TASK_TEXT_GENERATION) {
    Fail(file, "the model does not generate text: there are no predictions to compare");
    return false;
  }
  if (info_.has_tokenizer == 0) {
    Fail(file, "the model has no tokenizer");
    return false;
  }
  struct stat facts {};
  file_bytes_ = stat(file.c_str(), &facts) == 0 ? static_cast<uint64_t>(facts.st_size) : 0;
  return true;
}

bool OpenedModel::StartSession(const CompareSettings& settings, uint64_t context_tokens) {
  session_.reset();
  session_ = OpenSession(file_, model_.get(), settings.threads, context_tokens, settings.kv_format);
  return session_ != nullptr;
}

int OpenedModel::Forward(const int32_t* ids, size_t count, const float** logits,
                         size_t* vocabulary) {
  const InterruptGuard guard(session_.get());
  return ForwardTokens(file_, session_.get(), ids, count, logits, vocabulary);
}

bool OpenedModel::MakePrompt(const CompareSettings& settings, const std::string& prompt,
                             std::string* text, std::vector<int32_t>* ids) const {
  *text = prompt;
  const bool is_chat = !settings.raw_prompts && info_.has_chat_template != 0;
  if (is_chat) {
    const graft_chat_message message = {"user", prompt.c_str()};
    graft_chat_options options = GRAFT_CHAT_OPTIONS_INIT;
    options.now_seconds = 1;  // the same prompt whenever this is run
    if (!FillWhole(file_, 4096, text,
                   [&](char* room, size_t capacity, size_t* size, graft_error* error) {
                     return graft_model_render_chat(model_.get(), &message, 1, &options, room,
                                                    capacity, size, error);
                   })) {
      return false;
    }
  }
  if (!Tokenize(file_, model_.get(), *text, !is_chat, ids)) return false;
  if (!ids->empty()) return true;
  Fail(file_, Format("the prompt \"%s\" has no tokens", prompt.c_str()));
  return false;
}

int OpenedModel::Write(const std::string& prompt, const std::vector<int32_t>& ids,
                       uint64_t max_tokens, Answer* answer) {
  graft_generate_options options = GRAFT_GENERATE_OPTIONS_INIT;
  options.max_tokens = static_cast<uint32_t>(max_tokens);
  options.whole_prompt = 1;
  graft_generate_result result{};
  result.struct_size = sizeof(result);
  graft_error error{};
  {
    const InterruptGuard guard(session_.get());
    if (graft_session_generate(session_.get(), ids.data(), ids.size(), &options, GatherId,
                               &answer->ids, &result, &error) != GRAFT_OK) {
      return FailCall(file_, error);
    }
  }
  if (!answer->ids.empty() && !Detokenize(file_, model_.get(), answer->ids, false, &answer->text)) {
    return kExitFailure;
  }
  answer->behaviour = BehaviourOf(prompt, answer->text, result.stop_reason == GRAFT_STOP_END_TOKEN);
  return kExitOk;
}

}  // namespace graft_run
