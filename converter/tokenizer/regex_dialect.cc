// SPDX-License-Identifier: Apache-2.0
#include "converter/tokenizer/regex_dialect.h"

#include <array>
#include <cctype>
#include <vector>

#include <pcre2.h>

#include "converter/tokenizer/regex_classes.h"

namespace graft::converter {
namespace {

constexpr int kMaxNesting = 32;

/// What PCRE2 says against `pattern`; empty if it compiles.
std::string Pcre2Complaint(std::string_view pattern) {
  int code = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* compiled =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &code, &offset, nullptr);
  if (compiled != nullptr) {
    pcre2_code_free(compiled);
    return {};
  }
  std::array<PCRE2_UCHAR, 200> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return std::string(reinterpret_cast<const char*>(text.data())) + " at byte " +
         std::to_string(offset) + " of \"" + std::string(pattern) + "\"";
}

class Translator {
 public:
  explicit Translator(std::string_view pattern) : in_(pattern) {}

  Result<std::string> Translate() {
    while (at_ < in_.size()) GRAFT_RETURN_IF_ERROR(Next());
    std::string result = has_line_anchor_ ? "(?m)" + out_ : out_;
    if (std::string complaint = Pcre2Complaint(result); !complaint.empty()) {
      return Status(StatusCode::kUnsupported, "regular expression: " + complaint);
    }
    return result;
  }

 private:
  bool Starts(std::string_view text) const { return in_.substr(at_).starts_with(text); }

  Status Unsupported(std::string_view what) const {
    return Status(StatusCode::kUnsupported, "regular expression: " + std::string(what) +
                                                " at byte " + std::to_string(at_) + " of \"" +
                                                std::string(in_) + "\"");
  }

  Status Next() {
    const char c = in_[at_];
    // What a quantifier that follows would repeat.
    const bool is_quantifier = c == '*' || c == '+' || c == '?' || c == '{';
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!is_quantifier && !continues && c != '(' && c != ')') atom_ = out_.size();
    switch (c) {
      case '\\':
        return Escape();
      case '[': {
        ++at_;
        GRAFT_ASSIGN_OR_RETURN(const std::string set, Class(0));
        out_ += set;
        return OkStatus();
      }
      case '(':
        return Group();
      case '{':
        return Interval();
      case ')':
        if (!open_groups_.empty()) {
          atom_ = open_groups_.back();
          open_groups_.pop_back();
        }
        break;
      case '^':
      case '$':
        has_line_anchor_ = true;
        break;
      default:
        break;
    }
    out_ += c;
    ++at_;
    return OkStatus();
  }

  /// "(" and, for "(?imx-imx", the options: m is what PCRE2 calls s.
  Status Group() {
    open_groups_.push_back(out_.size());
    out_ += '(';
    ++at_;
    if (!Starts("?")) return OkStatus();
    if (Starts("?~")) return Unsupported("an absent operator");
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isalpha(static_cast<unsigned char>(in_[end])) || in_[end] == '-')) {
      ++end;
    }
    out_ += '?';
    ++at_;
    if (end == at_ || end == in_.size() || (in_[end] != ':' && in_[end] != ')')) return OkStatus();
    for (; at_ < end; ++at_) {
      const char option = in_[at_];
      if (option != 'i' && option != 'm' && option != 'x' && option != '-') {
        return Unsupported(std::string("the option ") + option);
      }
      out_ += option == 'm' ? 's' : option;
    }
    return OkStatus();
  }

  /// "{n,m}": Ruby knows no possessive and, for "{n}", no lazy interval; there the sign after it is
  /// a quantifier of its own.
  Status Interval() {
    size_t end = at_ + 1;
    while (end < in_.size() &&
           (std::isdigit(static_cast<unsigned char>(in_[end])) || in_[end] == ',')) {
      ++end;
    }
    const std::string_view inside = in_.substr(at_ + 1, end - at_ - 1);
    const bool is_interval = end < in_.size() && in_[end] == '}' && inside.size() > 0 &&
                             inside != "," && inside.find(',') == inside.rfind(',');
    if (!is_interval) {
      atom_ = out_.size();
      out_ += "\\{";
      ++at_;
      return OkStatus();
    }
    at_ = end + 1;
    const bool is_repeated = Starts("+");
    const bool is_optional = Starts("?") && inside.find(',') == std::string_view::npos;
    if (is_repeated || is_optional) {
      out_.insert(atom_, "(?:");
      ++at_;
    }
    out_ += '{';
    if (inside.front() == ',') out_ += '0';
    out_.append(inside).append("}");
    if (is_repeated) out_ += ")+";
    if (is_optional) out_ += ")?";
    return OkStatus();
  }

  Status Escape() {
    const char c = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
    if (c == 'b' || c == 'B') {
      std::string word = "[";
      word.append(PosixMembers("word")).append(kMoreWord).append("]");
      // A place with a word character on one side only; \B: on both or neither.
      const auto sides = [&](const char* behind, const char* ahead) {
        out_.append("(?<").append(behind).append(word).append(")(?");
        out_.append(ahead).append(word).append(")");
      };
      out_ += "(?:";
      sides("=", c == 'b' ? "!" : "=");
      out_ += '|';
      sides("!", c == 'b' ? "=" : "!");
      out_ += ')';
      at_ += 2;
      return OkStatus();
    }
    if (c == 'w' || c == 'W') {
      out_.append(c == 'w' ? "[" : "[^").append(PosixMembers("word")).append(kMoreWord);
      out_ += ']';
      at_ += 2;
      return OkStatus();
    }
    CharacterSet set;
    GRAFT_ASSIGN_OR_RETURN(const bool is_set, SetEscape(&set));
    if (is_set) {
      out_ += set.Expression(false);
      return OkStatus();
    }
    return PlainEscape(&out_);
  }

  /// An escape that stands for a set of characters, added to *set; false if it is none.
  Result<bool> SetEscape(CharacterSet* set) {
    const char c = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
    std::string_view name;
    switch (std::tolower(static_cast<unsigned char>(c))) {
      case 's':
        name = "space";
        break;
      case 'd':
        name = "digit";
        break;
      case 'w':
        name = "word";
        break;
      case 'h':
        name = "xdigit";
        break;
      case 'p':
        return Property(set);
      default:
        return false;
    }
    const bool negated = std::isupper(static_cast<unsigned char>(c)) != 0;
    const std::string_view members = PosixMembers(name);
    if (negated && members == R"(\p{wspace})") {
      set->members += R"(\P{wspace})";
    } else if (negated && members == R"(\p{Nd})") {
      set->members += R"(\P{Nd})";
    } else {
      set->Add(members, negated);
    }
    at_ += 2;
    return true;
  }

  /// \p{Name}, \p{^Name} or \P{Name}.
  Result<bool> Property(CharacterSet* set) {
    bool negated = in_[at_ + 1] == 'P';
    const size_t end = in_.find('}', at_);
    if (at_ + 2 >= in_.size() || in_[at_ + 2] != '{' || end == std::string_view::npos) {
      return Unsupported("a property without braces");
    }
    std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    if (name.starts_with('^')) {
      negated = !negated;
      name.remove_prefix(1);
    }
    std::string plain;
    for (const char c : name) {
      if (c != '_' && c != '-' && c != ' ') {
        plain += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      }
    }
    std::string_view members = PosixMembers(plain);
    if (plain == "punct") members = R"(\p{P})";
    if (!members.empty()) {
      at_ = end + 1;
      set->Add(members, negated);
      return true;
    }
    std::string_view category = GeneralCategory(plain);
    std::string property(category.empty() ? name : category);
    if (property.starts_with('^')) {
      negated = !negated;
      property.erase(0, 1);
    }
    // A script's name alone means its extensions too in PCRE2.
    const std::string script = "sc:" + property;
    if (property.size() > 2 && Pcre2Complaint("\\p{" + script + "}").empty()) property = script;
    if (!Pcre2Complaint("\\p{" + property + "}").empty()) {
      return Unsupported("the unknown property " + std::string(name));
    }
    set->members += (negated ? "\\P{" : "\\p{") + property + "}";
    at_ = end + 1;
    return true;
  }

  /// An escape of a single character or an assertion, appended to *out.
  Status PlainEscape(std::string* out) {
    if (at_ + 1 >= in_.size()) return Unsupported("a backslash at the end");
    const char c = in_[at_ + 1];
    if (c == 'v') {
      *out += "\\x0B";
      at_ += 2;
      return OkStatus();
    }
    if (c == 'u') {
      if (at_ + 6 > in_.size()) return Unsupported("an incomplete \\u");
      *out += "\\x{" + std::string(in_.substr(at_ + 2, 4)) + "}";
      at_ += 6;
      return OkStatus();
    }
    if (c == 'x' && !in_.substr(at_ + 2).starts_with('{')) {
      const char high = at_ + 2 < in_.size() ? in_[at_ + 2] : '0';
      if (high > '7') return Unsupported("a byte that is no character");
    }
    *out += in_.substr(at_, 2);
    at_ += 2;
    if (static_cast<unsigned char>(c) >= 0x80) {  // the rest of the character that was escaped
      out->erase(out->size() - 2, 1);
    }
    return OkStatus();
  }

  /// "[:name:]" inside a class; false if there is none here.
  Result<bool> PosixClass(CharacterSet* set) {
    if (!Starts("[:")) return false;
    const size_t end = in_.find(":]", at_ + 2);
    if (end == std::string_view::npos) return false;
    std::string_view name = in_.substr(at_ + 2, end - at_ - 2);
    const bool negated = name.starts_with('^');
    if (negated) name.remove_prefix(1);
    const std::string_view members = PosixMembers(name);
    if (members.empty()) return Unsupported("the class [:" + std::string(name) + ":]");
    set->Add(members, negated);
    at_ = end + 2;
    return true;
  }

  /// A class, after its "[", through its "]": an expression for one character.
  Result<std::string> Class(int depth) {
    if (depth > kMaxNesting) return Unsupported("a class nested too deeply");
    const bool negated = Starts("^");
    if (negated) ++at_;
    std::vector<std::string> conjuncts;  // of "a&&b&&c", those that are complete
    CharacterSet set;
    bool first = true;
    for (;; first = false) {
      if (at_ >= in_.size()) return Unsupported("a class without an end");
      if (in_[at_] == ']' && !first) {
        ++at_;
        break;
      }
      if (Starts("&&")) {
        at_ += 2;
        conjuncts.push_back(set.Expression(false));
        set = CharacterSet();
        continue;
      }
      GRAFT_RETURN_IF_ERROR(ClassItem(&set, depth));
    }
    if (conjuncts.empty()) return set.Expression(negated);
    std::string all = "(?:";
    for (const std::string& conjunct : conjuncts) all += "(?=" + conjunct + ")";
    all += set.Expression(false) + ")";
    return negated ? "(?:(?!" + all + ")(?s:.))" : all;
  }

  Status ClassItem(CharacterSet* set, int depth) {
    if (in_[at_] == '[') {
      GRAFT_ASSIGN_OR_RETURN(const bool is_posix, PosixClass(set));
      if (is_posix) return OkStatus();
      ++at_;
      GRAFT_ASSIGN_OR_RETURN(std::string nested, Class(depth + 1));
      set->expressions.push_back(std::move(nested));
      return OkStatus();
    }
    if (in_[at_] == '\\') {
      GRAFT_ASSIGN_OR_RETURN(const bool is_set, SetEscape(set));
      if (is_set) return OkStatus();
      return PlainEscape(&set->members);
    }
    if (in_[at_] == ']') set->members += '\\';
    set->members += in_[at_++];
    return OkStatus();
  }

  std::string_view in_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;                  // where in out_ the last character, class or group starts
  std::vector<size_t> open_groups_;  // where those start that have not ended
  bool has_line_anchor_ = false;
};

}  // namespace

Result<std::string> ToPcre2(std::string_view pattern) { return Translator(pattern).Translate(); }

}  // namespace graft::converter
