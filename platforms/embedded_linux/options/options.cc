// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/options/options.h"

#include <getopt.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

// getopt_long's values for options: beyond all letters.
constexpr int kFirstOption = 1000;

}  // namespace

void Options::Flag(const char* name, bool* value) {
  options_.push_back({name, 0, Kind::kFlag, value, nullptr, 0, 0});
}

void Options::String(const char* name, char letter, std::string* value, bool* is_given) {
  options_.push_back({name, letter, Kind::kString, value, is_given, 0, 0});
}

void Options::StringList(const char* name, std::vector<std::string>* values) {
  options_.push_back({name, 0, Kind::kStringList, values, nullptr, 0, 0});
}

void Options::Integer(const char* name, char letter, uint64_t* value, uint64_t low, uint64_t high) {
  options_.push_back({name, letter, Kind::kInteger, value, nullptr, static_cast<double>(low),
                      static_cast<double>(high)});
}

void Options::Float(const char* name, double* value, double low, double high) {
  options_.push_back({name, 0, Kind::kFloat, value, nullptr, low, high});
}

std::string Options::Store(const Option& option, const char* text) {
  const std::string_view view = text == nullptr ? std::string_view() : std::string_view(text);
  if (option.is_given != nullptr) *option.is_given = true;
  switch (option.kind) {
    case Kind::kFlag:
      *static_cast<bool*>(option.value) = true;
      return {};
    case Kind::kString:
      *static_cast<std::string*>(option.value) = view;
      return {};
    case Kind::kStringList:
      static_cast<std::vector<std::string>*>(option.value)->emplace_back(view);
      return {};
    case Kind::kInteger: {
      uint64_t value = 0;
      const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
      if (error == std::errc() && end == view.data() + view.size() && !view.empty() &&
          static_cast<double>(value) >= option.low && static_cast<double>(value) <= option.high) {
        *static_cast<uint64_t*>(option.value) = value;
        return {};
      }
      return Format("--%s: \"%s\" is no whole number between %.0f and %.0f", option.name, text,
                    option.low, option.high);
    }
    case Kind::kFloat: {
      char* end = nullptr;
      errno = 0;
      const double value = view.empty() ? 0 : std::strtod(text, &end);
      if (!view.empty() && *end == '\0' && errno == 0 && value >= option.low &&
          value <= option.high) {
        *static_cast<double*>(option.value) = value;
        return {};
      }
      return Format("--%s: \"%s\" is no number between %g and %g", option.name, text, option.low,
                    option.high);
    }
  }
  return {};
}

std::string Options::Parse(int argc, char** argv, std::string* file, bool needs_file) {
  std::vector<std::string> files;
  if (std::string problem = ParseAll(argc, argv, &files); !problem.empty()) return problem;
  if (files.size() > 1) return Format("more than one FILE: \"%s\"", files[1].c_str());
  if (!files.empty()) *file = files[0];
  return !files.empty() || !needs_file ? std::string() : std::string("no model FILE is given");
}

std::string Options::Parse(int argc, char** argv, std::vector<std::string>* files) {
  if (std::string problem = ParseAll(argc, argv, files); !problem.empty()) return problem;
  return files->empty() ? std::string("no model FILE is given") : std::string();
}

std::string Options::ParseAll(int argc, char** argv, std::vector<std::string>* files) {
  std::vector<::option> names;
  std::string letters = ":";  // tells a missing value from an unknown option
  for (size_t i = 0; i < options_.size(); ++i) {
    const Option& option = options_[i];
    const int takes_value = option.kind == Kind::kFlag ? no_argument : required_argument;
    names.push_back({option.name, takes_value, nullptr, kFirstOption + static_cast<int>(i)});
    if (option.letter != 0) letters.append(1, option.letter).append(":");
  }
  names.push_back({nullptr, 0, nullptr, 0});
  std::vector<bool> is_stored(options_.size());
  opterr = 0;
  optind = 0;  // start over: GNU's way to forget an earlier call
  for (;;) {
    const int found = getopt_long(argc, argv, letters.c_str(), names.data(), nullptr);
    if (found == -1) break;
    const char* word = argv[optind > 0 ? optind - 1 : 0];
    if (found == ':') return Format("%s needs a value", word);
    if (found == '?') {
      return optopt > 0 && optopt < kFirstOption ? Format("unknown option -%c", optopt)
                                                 : Format("unknown option %s", word);
    }
    for (size_t i = 0; i < options_.size(); ++i) {
      if (found != kFirstOption + static_cast<int>(i) && found != options_[i].letter) continue;
      // Of two values one would be lost, and nobody told. A flag means the same twice.
      if (is_stored[i] && options_[i].kind != Kind::kFlag && options_[i].kind != Kind::kStringList)
        return Format("--%s is given twice, and takes one value", options_[i].name);
      is_stored[i] = true;
      if (std::string problem = Store(options_[i], optarg); !problem.empty()) return problem;
      break;
    }
  }
  files->assign(argv + optind, argv + argc);
  return {};
}

std::string ParseIds(std::string_view text, std::vector<int32_t>* ids) {
  const std::string_view whole = text;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    std::string_view word = text.substr(0, comma);
    text.remove_prefix(comma == std::string_view::npos ? text.size() : comma + 1);
    while (word.starts_with(' ')) word.remove_prefix(1);
    while (word.ends_with(' ')) word.remove_suffix(1);
    int32_t id = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), id);
    if (error != std::errc() || end != word.data() + word.size() || word.empty() || id < 0) {
      return Format("\"%.*s\" is no token id", static_cast<int>(word.size()), word.data());
    }
    ids->push_back(id);
  }
  return ids->empty()
             ? Format("\"%.*s\" holds no token ids", static_cast<int>(whole.size()), whole.data())
             : std::string();
}

}  // namespace graft_run
