// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/sentence_files.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "converter/base/input_file.h"
#include "converter/checkpoint/model_parts.h"
#include "converter/json/json.h"
#include "schema/verify_task.h"

namespace graft::converter {
namespace {

namespace fs = std::filesystem;
using Kind = TextPooling::Kind;

struct Mode {
  const char* flag;  // as older versions write it
  const char* name;  // as newer ones do
  Kind kind;
};
constexpr Mode kModes[] = {
    {"pooling_mode_cls_token", "cls", Kind::kFirst},
    {"pooling_mode_mean_tokens", "mean", Kind::kMean},
    {"pooling_mode_max_tokens", "max", Kind::kMax},
    {"pooling_mode_lasttoken", "lasttoken", Kind::kLast},
};
constexpr const char* kUnknownModes[] = {"pooling_mode_mean_sqrt_len_tokens",
                                         "pooling_mode_weightedmean_tokens"};

Status Refuse(const JsonValue& value, const std::string& what) {
  return value.Fail(what + "; this version pools by one of cls, mean, max and lasttoken",
                    StatusCode::kUnsupported);
}

Result<Kind> ReadKind(const JsonValue& config) {
  if (config.Has("pooling_mode")) {
    JsonValue mode_name = config.Find("pooling_mode");
    if (mode_name.IsArray() && mode_name.size() == 1) mode_name = mode_name.at(0);
    if (!mode_name.IsString()) return Refuse(mode_name, "is not one name");
    for (const Mode& mode : kModes) {
      if (*mode_name.AsString() == mode.name) return mode.kind;
    }
    return Refuse(mode_name, "is " + mode_name.Text());
  }
  for (const char* flag : kUnknownModes) {
    GRAFT_ASSIGN_OR_RETURN(const bool is_set, config.GetBool(flag, false));
    if (is_set) return Refuse(config.Find(flag), "is true");
  }
  const Mode* chosen = nullptr;
  for (const Mode& mode : kModes) {
    GRAFT_ASSIGN_OR_RETURN(const bool is_set, config.GetBool(mode.flag, false));
    if (!is_set) continue;
    if (chosen != nullptr)
      return Refuse(config.Find(mode.flag), std::string("is true beside ") + chosen->flag);
    chosen = &mode;
  }
  return chosen == nullptr ? Kind::kMean : chosen->kind;
}

// Where sentence-transformers' files lie.
class SentenceFolder {
 public:
  SentenceFolder(const fs::path& base, const fs::path& own) : base_(base), own_(own) {
    if (!own.empty() && Exists(own / kModulesFile)) base_ = own;
  }
  fs::path Find(const fs::path& name) const {
    return !own_.empty() && Exists(own_ / name) ? own_ / name : base_ / name;
  }

 private:
  fs::path base_;
  fs::path own_;
};

// Settings of a tokenizer that say nothing of ids.
constexpr std::string_view kIdleTokenizerSettings[] = {
    "use_fast", "trust_remote_code", "padding_side", "token", "revision", "cache_dir"};

/// sentence_bert_config.json, under one of its names, in the folder of the Transformer.
Status ReadTransformer(const SentenceFolder& folder, const fs::path& path,
                       SentenceSettings* settings) {
  fs::path file;
  for (const char* name : SentenceFiles()) {
    if (!std::string_view(name).starts_with("sentence_")) continue;
    if (file = folder.Find(path / name); Exists(file)) break;
    file.clear();
  }
  if (file.empty()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  const JsonValue root = document->root();
  JsonValue limit = root.Find("max_seq_length");
  GRAFT_ASSIGN_OR_RETURN(settings->lowercases, root.GetBool("do_lower_case", false));
  for (const char* key : {"tokenizer_args", "processor_kwargs"}) {
    const JsonValue arguments = root.Find(key);
    for (size_t i = 0; i < arguments.size() && arguments.IsObject(); ++i) {
      const std::string_view name = arguments.key(i);
      if (name == "model_max_length") {
        limit = arguments.at(i);
      } else if (std::find(std::begin(kIdleTokenizerSettings), std::end(kIdleTokenizerSettings),
                           name) == std::end(kIdleTokenizerSettings)) {
        return arguments.at(i).Fail("is a setting that this version does not compute",
                                    StatusCode::kUnsupported);
      }
    }
  }
  if (root.Find("processing_kwargs").size() > 0) {
    return root.Find("processing_kwargs")
        .Fail("is not empty; this version does not compute it", StatusCode::kUnsupported);
  }
  if (limit.IsNull()) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(settings->max_tokens, limit.AsInt());
  if (*settings->max_tokens < 1) return limit.Fail("must be at least 1");
  return OkStatus();
}

/// The prompt that goes before every text for which none is named.
Status ReadPrompt(const SentenceFolder& folder, SentenceSettings* settings) {
  const fs::path file = folder.Find("config_sentence_transformers.json");
  if (!Exists(file)) return OkStatus();
  GRAFT_ASSIGN_OR_RETURN(const auto document, JsonDocument::Read(file));
  const JsonValue root = document->root();
  GRAFT_ASSIGN_OR_RETURN(const std::string name, root.GetString("default_prompt_name", ""));
  if (name.empty()) return OkStatus();
  const JsonValue prompts = root.Find("prompts");
  // These two are always there, and empty.
  if (!prompts.Has(name) && (name == "query" || name == "document")) return OkStatus();
  if (!prompts.Has(name)) {
    return root.Find("default_prompt_name").Fail("is \"" + name + "\", which prompts do not have");
  }
  GRAFT_ASSIGN_OR_RETURN(settings->prompt, prompts.GetString(name));
  if (settings->prompt.size() > schema::kMaxPromptBytes)
    return prompts.Find(name).Fail("is too long for a prompt");
  return OkStatus();
}

}  // namespace

Result<SentenceSettings> ReadSentenceSettings(const fs::path& base, const fs::path& own) {
  SentenceSettings settings;
  const SentenceFolder folder(base, own);
  const fs::path file = folder.Find(kModulesFile);
  if (!Exists(file)) return settings;
  GRAFT_ASSIGN_OR_RETURN(const auto modules, JsonDocument::Read(file));
  if (!modules->root().IsArray()) return modules->root().Fail("must be a list of modules");
  GRAFT_RETURN_IF_ERROR(ReadPrompt(folder, &settings));
  settings.pooling.normalize = false;
  for (size_t i = 0; i < modules->root().size(); ++i) {
    const JsonValue module = modules->root().at(i);
    GRAFT_ASSIGN_OR_RETURN(const std::string type, module.GetString("type"));
    GRAFT_ASSIGN_OR_RETURN(const std::string path, module.GetString("path", ""));
    if (!IsBelow(path)) return module.Find("path").Fail("must lie in the model's folder");
    const std::string_view name = LastName(type);
    if (name == "Transformer") {
      GRAFT_RETURN_IF_ERROR(ReadTransformer(folder, path, &settings));
    } else if (name == "Normalize") {
      settings.pooling.normalize = true;
    } else if (name == "Pooling") {
      GRAFT_ASSIGN_OR_RETURN(const auto config,
                             JsonDocument::Read(folder.Find(fs::path(path) / "config.json")));
      GRAFT_ASSIGN_OR_RETURN(settings.pooling.kind, ReadKind(config->root()));
      settings.pooling.stated = true;
      GRAFT_ASSIGN_OR_RETURN(const bool includes_prompt,
                             config->root().GetBool("include_prompt", true));
      if (!includes_prompt && !settings.prompt.empty()) {
        return config->root()
            .Find("include_prompt")
            .Fail("is false, and there is a default prompt; this version pools over all tokens",
                  StatusCode::kUnsupported);
      }
    } else {
      return module.Find("type").Fail(
          "is \"" + type + "\"; this version knows Transformer, Pooling and Normalize",
          StatusCode::kUnsupported);
    }
  }
  if (!settings.pooling.stated) {
    return modules->root().Fail("lists no Pooling, which makes a vector of a text",
                                StatusCode::kUnsupported);
  }
  return settings;
}

}  // namespace graft::converter
