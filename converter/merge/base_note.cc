// SPDX-License-Identifier: Apache-2.0
#include "converter/merge/base_note.h"

#include <algorithm>

#include "converter/base/sanitize.h"

namespace graft::converter {
namespace {

bool IsLetterOrDigit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

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
      word += name[i] >= 'A' && name[i] <= 'Z' ? static_cast<char>(name[i] + 32) : name[i];
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
  if (!base.is_quantized()) return {};
  return "was trained on '" + name + "', which by its name is not quantized, and this base is (" +
         base.stored_as() + "): name that one as --base, unless training quantized it alike";
}

}  // namespace graft::converter
