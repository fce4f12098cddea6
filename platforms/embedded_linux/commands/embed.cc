// SPDX-License-Identifier: Apache-2.0
// graft-run embed: a vector for each text or image.
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/texts_or_images.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"
#include "platforms/embedded_linux/options/thread_options.h"
#include "platforms/embedded_linux/pictures/image_rows.h"

namespace graft_run {
namespace {

std::string Numbers(const float* numbers, size_t count, const char* separator) {
  std::string text;
  for (size_t i = 0; i < count; ++i)
    text += Format("%s%.9g", i == 0 ? "" : separator, static_cast<double>(numbers[i]));
  return text;
}

void Print(const float* embeddings, size_t count, size_t width, bool json) {
  if (json) std::printf("{\"width\":%zu,\"embeddings\":[", width);
  for (size_t i = 0; i < count; ++i) {
    const std::string numbers = Numbers(embeddings + i * width, width, json ? "," : " ");
    std::printf(json ? "%s[%s]" : "%s%s\n", json && i > 0 ? "," : "", numbers.c_str());
  }
  if (json) std::printf("]}\n");
}

}  // namespace

int RunEmbed(int argc, char** argv) {
  std::string file;
  TextsOrImages asked;
  ThreadOptions threads;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  asked.AddTo(&options);
  threads.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("embed: " + problem);
  }
  if (const std::string problem = asked.Problem(); !problem.empty())
    return FailUsage("embed: " + problem);
  const ModelHandle model = OpenModel(file, threads, cache);
  if (model == nullptr) return kExitFailure;
  const SessionHandle session = OpenSession(file, model.get(), threads, 0);
  if (session == nullptr) return kExitFailure;
  const InterruptGuard guard(session.get());

  if (!asked.images.empty()) {
    std::vector<float> rows;
    size_t columns = 0;
    const int code = ComputeImageRows(file, session.get(), asked.images, graft_session_embed_images,
                                      &rows, &columns);
    if (code == kExitOk) Print(rows.data(), asked.images.size(), columns, json);
    return code;
  }
  std::vector<graft_text> given;
  given.reserve(asked.texts.size());
  for (const std::string& text : asked.texts)
    given.push_back({text.data(), text.size(), nullptr, 0});
  const float* embeddings = nullptr;
  size_t width = 0;
  graft_error error{};
  if (graft_session_embed(session.get(), given.data(), given.size(), &embeddings, &width, &error) !=
      GRAFT_OK) {
    return FailCall(file, error);
  }
  Print(embeddings, asked.texts.size(), width, json);
  return kExitOk;
}

}  // namespace graft_run
