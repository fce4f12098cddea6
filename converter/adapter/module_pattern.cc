// SPDX-License-Identifier: Apache-2.0
// PEFT's rules for choosing modules, on PCRE2.
#include "converter/adapter/module_pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include <pcre2.h>

#include "converter/tensors/tensor_source.h"

namespace graft::converter {

struct Pattern::Compiled {
  pcre2_code* code = nullptr;
  pcre2_match_context* context = nullptr;
  std::string where;

  ~Compiled() {
    pcre2_match_context_free(context);
    pcre2_code_free(code);
  }

  Result<bool> Run(std::string_view text, uint32_t options, std::string* first_group) const {
    pcre2_match_data* data = pcre2_match_data_create_from_pattern(code, nullptr);
    if (data == nullptr) return Status(StatusCode::kOutOfMemory, where + ": no memory for a match");
    const int count = pcre2_match(code, reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0,
                                  options, data, context);
    if (count > 0 && first_group != nullptr) {
      first_group->clear();
      const PCRE2_SIZE* spans = pcre2_get_ovector_pointer(data);
      if (count > 1 && spans[2] != PCRE2_UNSET)
        first_group->assign(text.substr(spans[2], spans[3] - spans[2]));
    }
    pcre2_match_data_free(data);
    if (count == PCRE2_ERROR_NOMATCH) return false;
    if (count < 0) {
      return Status(StatusCode::kUnsupported, where + " takes too many steps to match '" +
                                                  std::string(text.substr(0, 200)) + "'");
    }
    return true;
  }
};

Pattern::Pattern(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
Pattern::Pattern(Pattern&&) noexcept = default;
Pattern& Pattern::operator=(Pattern&&) noexcept = default;
Pattern::~Pattern() = default;

Result<Pattern> Pattern::Compile(std::string_view pattern, std::string where) {
  constexpr uint32_t kMatchLimit = 1'000'000;
  constexpr uint32_t kHeapLimitKib = 16 << 10;
  auto compiled = std::make_unique<Compiled>();
  compiled->where = std::move(where);
  int error = 0;
  PCRE2_SIZE offset = 0;
  compiled->code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                                 PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (compiled->code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return Status(StatusCode::kUnsupported,
                  compiled->where + ": the pattern '" + std::string(pattern.substr(0, 200)) +
                      "' is not understood at byte " + std::to_string(offset) + ": " +
                      reinterpret_cast<const char*>(text));
  }
  compiled->context = pcre2_match_context_create(nullptr);
  if (compiled->context == nullptr)
    return Status(StatusCode::kOutOfMemory, "no memory for a pattern");
  pcre2_set_match_limit(compiled->context, kMatchLimit);
  pcre2_set_heap_limit(compiled->context, kHeapLimitKib);
  return Pattern(std::move(compiled));
}

Result<bool> Pattern::Match(std::string_view text, std::string* first_group) const {
  return compiled_->Run(text, PCRE2_ANCHORED, first_group);
}

Result<bool> Pattern::FullMatch(std::string_view text) const {
  return compiled_->Run(text, PCRE2_ANCHORED | PCRE2_ENDANCHORED, nullptr);
}

Result<bool> ModuleRules::Selector::Selects(std::string_view name, bool* by_list) const {
  *by_list = pattern.empty();
  if (!pattern.empty()) return pattern[0].FullMatch(name);
  return std::any_of(names.begin(), names.end(),
                     [&](const std::string& n) { return NameEndsWith(name, n); });
}

Result<ModuleRules::Selector> ModuleRules::CompileSelector(const ModuleSelector& selector,
                                                           const std::string& where) {
  Selector compiled;
  compiled.names = selector.names;
  if (!selector.pattern.empty()) {
    GRAFT_ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(selector.pattern, where));
    compiled.pattern.push_back(std::move(pattern));
  }
  return compiled;
}

Result<std::vector<ModuleRules::ValueRule>> ModuleRules::CompileValues(
    const std::vector<PatternValue>& values, const std::string& where) {
  std::vector<ValueRule> rules;
  for (const PatternValue& value : values) {
    GRAFT_ASSIGN_OR_RETURN(Pattern pattern,
                           Pattern::Compile("(.*\\.)?(" + value.pattern + ")$", where));
    rules.push_back({std::move(pattern), value.value});
  }
  return rules;
}

Result<ModuleRules> ModuleRules::Create(const AdapterConfig& config) {
  ModuleRules rules;
  rules.config_ = &config;
  // PEFT expands these words while it attaches the adapter; the names they stood for are not in the
  // file.
  rules.names_targets_ =
      !config.target_modules.empty() && config.target_modules.pattern != "all-linear";
  if (rules.names_targets_) {
    GRAFT_ASSIGN_OR_RETURN(
        rules.targets_, CompileSelector(config.target_modules, config.file + ": target_modules"));
  }
  GRAFT_ASSIGN_OR_RETURN(
      rules.excludes_, CompileSelector(config.exclude_modules, config.file + ": exclude_modules"));
  GRAFT_ASSIGN_OR_RETURN(rules.ranks_,
                         CompileValues(config.rank_pattern, config.file + ": rank_pattern"));
  GRAFT_ASSIGN_OR_RETURN(rules.alphas_,
                         CompileValues(config.alpha_pattern, config.file + ": alpha_pattern"));
  if (config.layers_pattern.empty()) {
    GRAFT_ASSIGN_OR_RETURN(Pattern pattern,
                           Pattern::Compile(".*?\\.[^.]*\\.(\\d+)\\.", "layer numbers"));
    rules.layer_patterns_.push_back(std::move(pattern));
  }
  for (const std::string& name : config.layers_pattern) {
    GRAFT_ASSIGN_OR_RETURN(Pattern pattern, Pattern::Compile(".*?\\." + name + "\\.(\\d+)\\.",
                                                             config.file + ": layers_pattern"));
    rules.layer_patterns_.push_back(std::move(pattern));
  }
  return rules;
}

Result<bool> ModuleRules::Targets(std::string_view name) const {
  bool by_list = false;
  if (!config_->exclude_modules.empty()) {
    GRAFT_ASSIGN_OR_RETURN(const bool excluded, excludes_.Selects(name, &by_list));
    if (excluded) return false;
  }
  GRAFT_ASSIGN_OR_RETURN(const bool targeted, targets_.Selects(name, &by_list));
  // Layer numbers narrow down lists only.
  if (!targeted || !by_list || config_->layers_to_transform.empty()) return targeted;
  for (const Pattern& pattern : layer_patterns_) {
    std::string digits;
    GRAFT_ASSIGN_OR_RETURN(const bool matched, pattern.Match(name, &digits));
    int64_t layer = -1;
    if (!matched ||
        std::from_chars(digits.data(), digits.data() + digits.size(), layer).ec != std::errc())
      continue;
    return std::find(config_->layers_to_transform.begin(), config_->layers_to_transform.end(),
                     layer) != config_->layers_to_transform.end();
  }
  return false;
}

Result<double> ModuleRules::Lookup(const std::vector<ValueRule>& rules, std::string_view name,
                                   double otherwise) {
  for (const ValueRule& rule : rules) {
    GRAFT_ASSIGN_OR_RETURN(const bool matched, rule.pattern.Match(name));
    if (matched) return rule.value;
  }
  return otherwise;
}

Result<int64_t> ModuleRules::RankOf(std::string_view name) const {
  GRAFT_ASSIGN_OR_RETURN(const double rank,
                         Lookup(ranks_, name, static_cast<double>(config_->rank)));
  return static_cast<int64_t>(rank);
}

Result<double> ModuleRules::AlphaOf(std::string_view name) const {
  return Lookup(alphas_, name, config_->alpha);
}

Result<double> ModuleRules::ScaleOf(std::string_view name) const {
  GRAFT_ASSIGN_OR_RETURN(const int64_t rank, RankOf(name));
  GRAFT_ASSIGN_OR_RETURN(const double alpha, AlphaOf(name));
  const double r = static_cast<double>(rank);
  return config_->use_rslora ? alpha / std::sqrt(r) : alpha / r;
}

bool ModuleRules::IsSavedModule(std::string_view name) const {
  // A saved module may itself have parts: "classifier" covers "classifier.dense".
  for (std::string_view prefix = name; !prefix.empty();) {
    for (const std::string& saved : config_->modules_to_save) {
      if (NameEndsWith(prefix, saved)) return true;
    }
    const size_t dot = prefix.rfind('.');
    prefix = dot == std::string_view::npos ? std::string_view() : prefix.substr(0, dot);
  }
  return false;
}

}  // namespace graft::converter
