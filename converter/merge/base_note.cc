// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/base_note.h"

#include <algorithm>

#include "converter/base/hub_cache.h"
#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

char Lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// A part of a name between signs, in small letters.
bool IsQuantization(std::string_view word) {
  constexpr std::string_view kWords[] = {"bnb", "gptq",  "awq",       "gguf",     "fp8",  "fp4",
                                         "nf4", "nvfp4", "mxfp4",     "mxfp8",    "exl2", "exl3",
                                         "hqq", "aqlm",  "autoround", "quantized"};
  if (std::find(std::begin(kWords), std::end(kWords), word) != std::end(kWords)) return true;
  // "4bit", "8bits", "int4", "w4a16", "q4"
  if (word.size() >= 4 && IsDigit(word[0]) &&
      (word.substr(1) == "bit" || word.substr(1) == "bits")) {
    return true;
  }
  if (word.size() == 4 && word.starts_with("int") && IsDigit(word[3])) return true;
  if (word.size() >= 4 && word[0] == 'w' && IsDigit(word[1]) && word[2] == 'a') {
    return IsDigit(word[3]);
  }
  return word.size() == 2 && word[0] == 'q' && IsDigit(word[1]);
}

bool IsHubName(std::string_view name) {
  const size_t slash = name.find('/');
  return slash != 0 && slash != std::string_view::npos && slash + 1 < name.size() &&
         name.find('/', slash + 1) == std::string_view::npos && name.front() != '.';
}

// Only where both are names on the hub: a folder may be called anything. The same model may lie with
// several owners.
std::string OtherBaseNote(std::string_view recorded, std::string_view base) {
  if (!IsHubName(recorded) || !IsHubName(base)) return {};
  const std::string_view trained = recorded.substr(recorded.find('/') + 1);
  const std::string_view given = base.substr(base.find('/') + 1);
  const bool same = std::equal(trained.begin(), trained.end(), given.begin(), given.end(),
                               [](char a, char b) { return Lower(a) == Lower(b); });
  if (same) return {};
  return "was trained on '" + Sanitize(recorded.substr(0, 120)) + "', and this base is '" +
         Sanitize(base.substr(0, 120)) + "': name that one as --base, unless they are the same";
}

}  // namespace

bool NamesQuantizedBase(std::string_view name) {
  while (name.ends_with('/')) name.remove_suffix(1);
  if (const size_t slash = name.rfind('/'); slash != std::string_view::npos) {
    name.remove_prefix(slash + 1);
  }
  // Weights of quantization-aware training that were left unquantized.
  if (name.find("unquantized") != std::string_view::npos) return false;
  std::string word;
  for (size_t i = 0; i <= name.size(); ++i) {
    if (i < name.size() && IsLetterOrDigit(name[i])) {
      word += Lower(name[i]);
      continue;
    }
    if (IsQuantization(word)) return true;
    word.clear();
  }
  return false;
}

std::string BaseNote(const std::string& recorded, const Checkpoint& base, bool rounded) {
  if (recorded.empty() || rounded) return {};
  const std::string name = Sanitize(recorded.substr(0, 120));
  if (NamesQuantizedBase(recorded)) {
    if (base.is_quantized()) {
      return "was trained on '" + name +
             "', which is quantized, as this base is: the merge adds to the numbers that training "
             "saw, if it is that one";
    }
    return "was trained on '" + name +
           "', which is quantized, and this base is not: name that one as --base, or round this "
           "one "
           "(--nf4-base) if its codes are bitsandbytes'";
  }
  if (!base.is_quantized()) return OtherBaseNote(recorded, HubName(base.folder()));
  return "was trained on '" + name + "', which by its name is not quantized, and this base is (" +
         base.stored_as() + "): name that one as --base, unless training quantized it alike";
}

}  // namespace graft::converter
