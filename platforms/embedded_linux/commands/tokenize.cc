// SPDX-License-Identifier: Apache-2.0
// graft-run tokenize: the ids of a text, or the text of ids.
#include <cstdio>
#include <string>
#include <vector>

#include "platforms/embedded_linux/commands/commands.h"
#include "platforms/embedded_linux/console/console.h"
#include "platforms/embedded_linux/inputs/text_input.h"
#include "platforms/embedded_linux/model/model_handle.h"
#include "platforms/embedded_linux/options/cache_options.h"
#include "platforms/embedded_linux/options/options.h"

namespace graft_run {
namespace {

int ShowText(const std::string& file, const graft_model* model, const std::vector<int32_t>& ids,
             bool skip_special, bool json) {
  std::string text;
  if (!Detokenize(file, model, ids, skip_special, &text)) return kExitFailure;
  if (json) {
    JsonObject().String("text", text).Ids("ids", ids).Print();
  } else {
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fputc('\n', stdout);
  }
  return kExitOk;
}

int ShowIds(const std::string& file, const graft_model* model, const std::string& text,
            bool add_special, bool json) {
  std::vector<int32_t> ids;
  if (!Tokenize(file, model, text, add_special, &ids)) return kExitFailure;
  if (json) {
    JsonObject().Ids("ids", ids).Integer("count", ids.size()).Print();
  } else {
    std::printf("%s\n", JoinIds(ids).c_str());
  }
  return kExitOk;
}

}  // namespace

int RunTokenize(int argc, char** argv) {
  std::string file;
  std::string text;
  std::string text_file;
  std::string id_list;
  bool has_text = false;
  bool has_text_file = false;
  bool has_ids = false;
  bool no_special = false;
  bool json = false;
  CacheOptions cache;
  Options options;
  cache.AddTo(&options);
  options.String("text", 0, &text, &has_text);
  options.String("text-file", 0, &text_file, &has_text_file);
  options.String("ids", 0, &id_list, &has_ids);
  options.Flag("no-special", &no_special);
  options.Flag("json", &json);
  if (std::string problem = options.Parse(argc, argv, &file); !problem.empty()) {
    return FailUsage("tokenize: " + problem);
  }
  if (has_text + has_text_file + has_ids != 1) {
    return FailUsage("tokenize: give one of --text, --text-file and --ids");
  }
  std::vector<int32_t> ids;
  if (has_ids) {
    if (std::string problem = ParseIds(id_list, &ids); !problem.empty()) {
      return FailUsage("tokenize: --ids: " + problem);
    }
  }
  if (has_text_file && !ReadTextFile(text_file, &text)) return kExitFailure;
  const ModelHandle model = OpenModel(file, {}, cache);
  if (model == nullptr) return kExitFailure;
  return has_ids ? ShowText(file, model.get(), ids, no_special, json)
                 : ShowIds(file, model.get(), text, !no_special, json);
}

}  // namespace graft_run
