// SPDX-License-Identifier: Apache-2.0
// graft-run info: what a model is, and what machine this is.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <string>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/machine/machine_info.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {

namespace {

const char* TaskName(int32_t task) {
  switch (task) {
    case GRAFT_TASK_TEXT_GENERATION:
      return "text generation";
    case GRAFT_TASK_EMBEDDING:
      return "embedding";
    case GRAFT_TASK_CLASSIFICATION:
      return "classification";
    case GRAFT_TASK_TOKEN_CLASSIFICATION:
      return "token classification";
    default:
      return "tensors";
  }
}

}  // namespace

int RunInfo(int argc, char** argv) {
  std::string file;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file, false); !problem.empty()) {
    return FailUsage("info: " + problem);
  }
  JsonObject machine;
  if (json) {
    if (const int code = DescribeMachine(&machine); code != kExitOk) return code;
  }
  if (file.empty()) {
    if (!json) return ShowMachine();
    JsonObject().Object("machine", machine).Print();
    return kExitOk;
  }
  const ModelHandle model = OpenModel(file, {}, cache);
  if (model == nullptr) return kExitFailure;
  const graft_model_info info = InfoOf(model.get());
  const char* task = TaskName(info.task);
  const std::string identity =
      Format("%016" PRIx64 "%016" PRIx64, info.identity_high, info.identity_low);
  if (json) {
    std::string name = task;  // as graft-convert inspect spells it
    std::replace(name.begin(), name.end(), ' ', '-');
    JsonObject()
        .String("task", name)
        .String("architecture", info.architecture)
        .Integer("context_tokens", info.context_tokens)
        .Integer("vocabulary", info.vocabulary)
        .Bool("has_tokenizer", info.has_tokenizer != 0)
        .Bool("takes_images", info.takes_images != 0)
        .Integer("file_bytes", info.file_bytes)
        .String("identity", identity)
        .Integer("packed_bytes", info.packed_bytes)
        .String("cache", CacheWord(info))
        .String("cache_note", info.cache_note)
        .Object("machine", machine)
        .Print();
    return kExitOk;
  }
  std::printf("task          %s\n", task);
  std::printf("architecture  %s\n", info.architecture);
  std::printf("context       %u tokens\n", info.context_tokens);
  std::printf("vocabulary    %u\n", info.vocabulary);
  std::printf("tokenizer     %s\n", info.has_tokenizer != 0 ? "yes" : "no");
  std::printf("images        %s\n", info.takes_images != 0 ? "yes" : "no");
  std::printf("file          %" PRIu64 " bytes\n", info.file_bytes);
  std::printf("identity      %s\n", identity.c_str());
  std::printf("packed        %" PRIu64 " bytes\n", info.packed_bytes);
  std::printf("cache         %s\n\n", DescribeCache(info).c_str());
  return ShowMachine();
}

}  // namespace graft_run
