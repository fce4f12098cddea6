// SPDX-License-Identifier: Apache-2.0
#include "converter/describe/sentence_files.h"

#include <string>
#include <string_view>

#include "converter/base/input_file.h"
#include "converter/checkpoint/model_parts.h"
#include "converter/json/json.h"

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
    GRAFT_ASSIGN_OR_RETURN(const std::string name, config.GetString("pooling_mode"));
    for (const Mode& mode : kModes) {
      if (name == mode.name) return mode.kind;
    }
    return Refuse(config.Find("pooling_mode"), "is \"" + name + "\"");
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
  if (chosen == nullptr) return Refuse(config, "chooses no pooling");
  return chosen->kind;
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

}  // namespace

Result<TextPooling> ReadTextPooling(const fs::path& base, const fs::path& own) {
  TextPooling pooling;
  const SentenceFolder folder(base, own);
  const fs::path file = folder.Find(kModulesFile);
  if (!Exists(file)) return pooling;
  GRAFT_ASSIGN_OR_RETURN(const auto modules, JsonDocument::Read(file));
  if (!modules->root().IsArray()) return modules->root().Fail("must be a list of modules");
  pooling.normalize = false;
  for (size_t i = 0; i < modules->root().size(); ++i) {
    const JsonValue module = modules->root().at(i);
    GRAFT_ASSIGN_OR_RETURN(const std::string type, module.GetString("type"));
    const std::string_view name = LastName(type);
    if (name == "Transformer") continue;
    if (name == "Normalize") {
      pooling.normalize = true;
    } else if (name == "Pooling") {
      GRAFT_ASSIGN_OR_RETURN(const std::string path, module.GetString("path"));
      if (!IsBelow(path)) return module.Find("path").Fail("must lie in the model's folder");
      GRAFT_ASSIGN_OR_RETURN(const auto config,
                             JsonDocument::Read(folder.Find(fs::path(path) / "config.json")));
      GRAFT_ASSIGN_OR_RETURN(pooling.kind, ReadKind(config->root()));
      pooling.stated = true;
    } else {
      return module.Find("type").Fail(
          "is \"" + type + "\"; this version knows Transformer, Pooling and Normalize",
          StatusCode::kUnsupported);
    }
  }
  if (!pooling.stated) {
    return modules->root().Fail("lists no Pooling, which makes a vector of a text",
                                StatusCode::kUnsupported);
  }
  return pooling;
}

}  // namespace graft::converter
