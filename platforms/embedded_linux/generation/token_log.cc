// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/generation/token_log.h"

#include <cmath>
#include <cstdio>
#include <string>

#include "platforms/embedded_linux/model/model_handle.h"

namespace graft_run {

std::string TokenText(const graft_model* model, int32_t id) {
  std::string text(64, '\0');
  size_t size = 0;
  while (graft_model_detokenize(model, &id, 1, 0, text.data(), text.size(), &size, nullptr) !=
         GRAFT_OK) {
    if (size <= text.size()) return {};  // it has none
    text.resize(size);
  }
  text.resize(size);
  return text;
}

void TokenLog::Add(const graft_token_logprobs& token) {
  Entry& entry = entries_.emplace_back();
  entry.id = token.id;
  entry.logprob = token.logprob;
  if (!std::isnan(token.logprob)) total_ += static_cast<double>(token.logprob);
  for (size_t i = 0; i < token.count; ++i) {
    entry.likeliest.emplace_back(token.ids[i], token.logprobs[i]);
  }
}

std::vector<JsonObject> TokenLog::ToJson(const graft_model* model) const {
  const auto token = [&](int32_t id, float logprob) {
    JsonObject object;
    object.Integer("id", static_cast<uint64_t>(id)).String("text", TokenText(model, id));
    object.Number("logprob", static_cast<double>(logprob));
    return object;
  };
  std::vector<JsonObject> objects;
  for (const Entry& entry : entries_) {
    std::vector<JsonObject> likeliest;
    for (const auto& [id, logprob] : entry.likeliest) likeliest.push_back(token(id, logprob));
    objects.push_back(token(entry.id, entry.logprob).Objects("top", likeliest));
  }
  return objects;
}

void TokenLog::Print(const graft_model* model) const {
  const auto shown = [&](int32_t id, float logprob) {
    const std::string number =
        std::isnan(logprob) ? "-" : Format("%.4f", static_cast<double>(logprob));
    return Format("%-8d %9s  ", id, number.c_str()) + JsonText(TokenText(model, id));
  };
  for (const Entry& entry : entries_) {
    std::printf("%s\n", shown(entry.id, entry.logprob).c_str());
    for (const auto& [id, logprob] : entry.likeliest) {
      std::printf("    %s\n", shown(id, logprob).c_str());
    }
  }
}

}  // namespace graft_run
