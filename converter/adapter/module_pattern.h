// SPDX-License-Identifier: Apache-2.0
// Which modules an adapter's configuration means: name lists, Python regular expressions, layer
// numbers.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "converter/adapter/adapter_config.h"
#include "schema/result.h"

namespace graft::converter {

/// A regular expression from a file. Written for Python's re; matched by PCRE2, whose syntax agrees
/// with it for what module patterns use, with a bound on the work of one match.
class Pattern {
 public:
  /// `where` names file and key for messages.
  /// Errors   kUnsupported: PCRE2 does not accept it.
  static Result<Pattern> Compile(std::string_view pattern, std::string where);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  /// Whether it matches from the start of `text` (Python's re.match); `first_group`, if given,
  /// receives group 1.
  /// Errors   kUnsupported: the match takes too many steps.
  Result<bool> Match(std::string_view text, std::string* first_group = nullptr) const;
  /// Whether it matches all of `text` (re.fullmatch).
  Result<bool> FullMatch(std::string_view text) const;

 private:
  struct Compiled;
  explicit Pattern(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

/// The compiled form of what an AdapterConfig says about modules.
class ModuleRules {
 public:
  static Result<ModuleRules> Create(const AdapterConfig& config);

  /// Whether the configuration asks for an adapter on the module called `name`.
  Result<bool> Targets(std::string_view name) const;
  /// Whether the targets are given in a way that names modules ("all-linear" does not).
  bool names_targets() const { return names_targets_; }
  /// The rank and alpha that hold for `name`.
  Result<int64_t> RankOf(std::string_view name) const;
  Result<double> AlphaOf(std::string_view name) const;
  /// What a low-rank product of `name` is multiplied with: alpha / rank, or alpha / sqrt(rank) if
  /// use_rslora is set.
  Result<double> ScaleOf(std::string_view name) const;
  /// Whether `name` is one of modules_to_save, or lies under one.
  bool IsSavedModule(std::string_view name) const;

 private:
  struct Selector {
    std::vector<std::string> names;
    std::vector<Pattern> pattern;  // none or one
    Result<bool> Selects(std::string_view name, bool* by_list) const;
  };
  struct ValueRule {
    Pattern pattern;
    double value = 0;
  };
  static Result<Selector> CompileSelector(const ModuleSelector& selector, const std::string& where);
  static Result<std::vector<ValueRule>> CompileValues(const std::vector<PatternValue>& values,
                                                      const std::string& where);
  static Result<double> Lookup(const std::vector<ValueRule>& rules, std::string_view name,
                               double otherwise);

  const AdapterConfig* config_ = nullptr;
  Selector targets_;
  Selector excludes_;
  bool names_targets_ = false;
  std::vector<Pattern> layer_patterns_;
  std::vector<ValueRule> ranks_;
  std::vector<ValueRule> alphas_;
};

}  // namespace graft::converter
