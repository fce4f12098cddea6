// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/console/json_line.h"

#include <cstdint>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

constexpr size_t kMaxMembers = 100;

class LineReader {
 public:
  explicit LineReader(std::string_view text) : text_(text) {}

  bool Read(std::vector<std::pair<std::string, JsonScalar>>* members) {
    if (!Take('{')) return Wrong("it is no object");
    if (Take('}')) return AtEnd();
    do {
      if (members->size() == kMaxMembers) return Wrong("it has too many members");
      std::string key;
      JsonScalar value;
      if (!ReadString(&key)) return false;
      if (!Take(':')) return Wrong("a colon is missing");
      if (!ReadScalar(&value)) return false;
      members->emplace_back(std::move(key), std::move(value));
    } while (Take(','));
    return Take('}') ? AtEnd() : Wrong("the object has no end");
  }

  const std::string& problem() const { return problem_; }

 private:
  bool Wrong(const char* what) {
    if (problem_.empty()) problem_ = Format("%s, at byte %zu", what, at_);
    return false;
  }

  bool Take(char wanted) {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  bool AtEnd() {
    Take('\0');  // what is left is no space
    return at_ == text_.size() || Wrong("something follows the object");
  }

  bool ReadScalar(JsonScalar* value) {
    if (Take('"')) {
      --at_;
      value->is_text = true;
      return ReadString(&value->text);
    }
    while (at_ < text_.size() && std::string_view(",}] \t\r\n").find(text_[at_]) == text_.npos) {
      const char c = text_[at_++];
      const bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == 'E' ||
                            c == '-' || c == '+' || c == '.';
      if (!is_plain) return Wrong("a value is neither a text nor a number");
      value->text += c;
    }
    return !value->text.empty() || Wrong("a value is missing");
  }

  bool ReadHex(uint32_t* code) {
    *code = 0;
    for (int i = 0; i < 4; ++i, ++at_) {
      const char c = at_ < text_.size() ? text_[at_] : '\0';
      const int digit = c >= '0' && c <= '9'   ? c - '0'
                        : c >= 'a' && c <= 'f' ? c - 'a' + 10
                        : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                               : -1;
      if (digit < 0) return Wrong("\\u lacks digits");
      *code = *code << 4 | static_cast<uint32_t>(digit);
    }
    return true;
  }

  static void AppendUtf8(uint32_t code, std::string* out) {
    const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(byte)); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xC0 | code >> 6);
    } else if (code < 0x10000) {
      put(0xE0 | code >> 12);
      put(0x80 | (code >> 6 & 0x3F));
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
      put(0x80 | (code >> 6 & 0x3F));
    }
    put(0x80 | (code & 0x3F));
  }

  bool ReadEscape(std::string* out) {
    constexpr std::string_view kLetters = "\"\\/bfnrt";
    constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    const char c = at_ < text_.size() ? text_[at_++] : '\0';
    if (const size_t i = kLetters.find(c); c != '\0' && i != std::string_view::npos) {
      out->push_back(kMeanings[i]);
      return true;
    }
    uint32_t code = 0;
    uint32_t low = 0;
    if (c != 'u') return Wrong("an escape is none");
    if (!ReadHex(&code)) return false;
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_, 2) == "\\u") {
      at_ += 2;
      if (!ReadHex(&low)) return false;
      if (low < 0xDC00 || low > 0xDFFF) return Wrong("half a surrogate pair");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    if (code == 0 || (code >= 0xD800 && code < 0xE000)) return Wrong("a character that is none");
    AppendUtf8(code, out);
    return true;
  }

  bool ReadString(std::string* out) {
    if (!Take('"')) return Wrong("a quote is missing");
    while (at_ < text_.size()) {
      const char c = text_[at_++];
      if (c == '"') return true;
      if (c != '\\') {
        out->push_back(c);
      } else if (!ReadEscape(out)) {
        return false;
      }
    }
    return Wrong("a text has no end");
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string problem_;
};

}  // namespace

std::string ReadJsonLine(std::string_view line,
                         std::vector<std::pair<std::string, JsonScalar>>* members) {
  LineReader reader(line);
  return reader.Read(members) ? std::string() : reader.problem();
}

}  // namespace graft_run
