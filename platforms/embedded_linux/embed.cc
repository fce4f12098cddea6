// SPDX-License-Identifier: Apache-2.0
// graft-run embed: a vector for each text.
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/cache_options.h"
#include "platforms/embedded_linux/commands.h"
#include "platforms/embedded_linux/console.h"
#include "platforms/embedded_linux/model_handle.h"
#include "platforms/embedded_linux/options.h"
#include "platforms/embedded_linux/thread_options.h"

namespace graft_run {
namespace {

std::string Numbers(const float* numbers, size_t count, const char* separator) {
  std::string text;
  for (size_t i = 0; i < count; ++i)
    text += Format("%s%.9g", i == 0 ? "" : separator, static_cast<double>(numbers[i]));
  return text;
}

}  // namespace

int RunEmbed(int argc, char** argv) {
  std::string file;
  std::vector<std::string> texts;
  ThreadOptions threads;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.TextList("text", &texts);
  threads.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("embed: " + problem);
  }
  if (texts.empty()) return FailUsage("embed: --text is missing");
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  const SessionHandle session = OpenSession(file, model.get(), threads, 0);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());

  std::vector<graft_text> given;
  given.reserve(texts.size());
  for (const std::string& text : texts) given.push_back({text.data(), text.size(), nullptr, 0});
  const float* embeddings = nullptr;
  size_t width = 0;
  graft_error error{};
  if (graft_embed(session.get(), given.data(), given.size(), &embeddings, &width, &error) !=
      GRAFT_OK) {
    return FailCall(file, error);
  }
  if (json) std::printf("{\"width\":%zu,\"embeddings\":[", width);
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string numbers = Numbers(embeddings + i * width, width, json ? "," : " ");
    std::printf(json ? "%s[%s]" : "%s%s\n", json && i > 0 ? "," : "", numbers.c_str());
  }
  if (json) std::printf("]}\n");
  return kExitOk;
}

}  // namespace graft_run
