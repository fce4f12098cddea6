// SPDX-License-Identifier: Apache-2.0
#include "platforms/embedded_linux/inputs/safetensors_header.h"

#include <cinttypes>
#include <utility>

#include "platforms/embedded_linux/console/console.h"

namespace graft_run {
namespace {

constexpr size_t kMaxTensors = 65536;
constexpr size_t kMaxRank = 8;
constexpr int kMaxDepth = 16;

/// Reads just as much JSON as these headers use; anything else is an error.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  bool Read(std::vector<TensorEntry>* tensors) {
    return Members([&](std::string name) {
             if (name == "__metadata__") return SkipValue(0);
             if (tensors->size() == kMaxTensors) return Wrong("more than 65536 tensors");
             TensorEntry entry;
             entry.name = std::move(name);
             if (!ReadEntry(&entry)) return false;
             tensors->push_back(std::move(entry));
             return true;
           }) &&
           AtEnd();
  }

  const std::string& problem() const { return problem_; }

 private:
  bool Wrong(const char* what) {
    if (problem_.empty()) problem_ = Format("%s at byte %zu of the header", what, at_);
    return false;
  }

  char Peek() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\n' || text_[at_] == '\r' || text_[at_] == '\t')) {
      ++at_;
    }
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool Take(char wanted) {
    if (Peek() != wanted) return false;
    ++at_;
    return true;
  }

  bool AtEnd() { return Peek() == '\0' && at_ == text_.size() ? true : Wrong("more than JSON"); }

  template <typename Member>
  bool Members(const Member& member) {
    if (!Take('{')) return Wrong("no object");
    if (Take('}')) return true;
    do {
      std::string key;
      if (!ReadString(&key)) return false;
      if (!Take(':')) return Wrong("no colon");
      if (!member(std::move(key))) return Wrong("no value that fits");
    } while (Take(','));
    return Take('}') ? true : Wrong("no end of an object");
  }

  template <typename Element>
  bool Elements(const Element& element) {
    if (!Take('[')) return Wrong("no array");
    if (Take(']')) return true;
    do {
      if (!element()) return Wrong("no element that fits");
    } while (Take(','));
    return Take(']') ? true : Wrong("no end of an array");
  }

  bool ReadString(std::string* value) {
    if (!Take('"')) return Wrong("no string");
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      char c = text_[at_];
      if (c == '\\') {
        if (++at_ >= text_.size()) break;
        switch (text_[at_]) {
          case 'n':
            c = '\n';
            break;
          case 't':
            c = '\t';
            break;
          case 'r':
            c = '\r';
            break;
          case 'b':
            c = '\b';
            break;
          case 'f':
            c = '\f';
            break;
          case 'u':
            return Wrong("an escape that is not supported");
          default:
            c = text_[at_];
        }
      }
      value->push_back(c);
    }
    if (at_ >= text_.size()) return Wrong("no end of a string");
    ++at_;
    return true;
  }

  bool ReadWhole(uint64_t* value) {
    const char first = Peek();
    if (first < '0' || first > '9') return Wrong("no whole number");
    *value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      if (__builtin_mul_overflow(*value, uint64_t{10}, value) ||
          __builtin_add_overflow(*value, static_cast<uint64_t>(text_[at_] - '0'), value)) {
        return Wrong("too large a number");
      }
    }
    return true;
  }

  bool ReadEntry(TensorEntry* entry) {
    int seen = 0;
    const bool is_read = Members([&](const std::string& key) {
      if (key == "dtype") {
        seen |= 1;
        return ReadString(&entry->dtype);
      }
      if (key == "shape") {
        seen |= 2;
        entry->shape.clear();
        return Elements([&] {
          uint64_t size = 0;
          if (!ReadWhole(&size)) return false;
          if (size > INT64_MAX || entry->shape.size() == kMaxRank)
            return Wrong("too large a shape");
          entry->shape.push_back(static_cast<int64_t>(size));
          return true;
        });
      }
      if (key == "data_offsets") {
        seen |= 4;
        uint64_t* ends[] = {&entry->begin, &entry->end};
        size_t count = 0;
        return Elements([&] { return count < 2 && ReadWhole(ends[count++]); }) && count == 2;
      }
      return SkipValue(0);
    });
    return is_read && (seen == 7 || Wrong("a tensor without dtype, shape or data_offsets"));
  }

  bool SkipValue(int depth) {
    if (depth > kMaxDepth) return Wrong("too deep a nesting");
    switch (Peek()) {
      case '{':
        return Members([&](const std::string&) { return SkipValue(depth + 1); });
      case '[':
        return Elements([&] { return SkipValue(depth + 1); });
      case '"': {
        std::string ignored;
        return ReadString(&ignored);
      }
      default: {
        const size_t start = at_;
        while (at_ < text_.size() &&
               std::string_view(",]} \n\r\t").find(text_[at_]) == std::string_view::npos) {
          ++at_;
        }
        return at_ > start || Wrong("no value");
      }
    }
  }

  std::string_view text_;
  size_t at_ = 0;
  std::string problem_;
};

std::string CheckEntry(const TensorEntry& entry, uint64_t data_bytes) {
  const char* name = entry.name.c_str();
  if (entry.begin > entry.end || entry.end > data_bytes) {
    return Format("tensor %s lies at bytes %" PRIu64 " to %" PRIu64 " of %" PRIu64, name,
                  entry.begin, entry.end, data_bytes);
  }
  uint64_t bytes = ElementBytes(entry.dtype);
  if (bytes == 0) return {};  // of a type that nobody asks for
  for (const int64_t size : entry.shape) {
    if (__builtin_mul_overflow(bytes, static_cast<uint64_t>(size), &bytes)) {
      return Format("tensor %s has a shape whose size overflows", name);
    }
  }
  if (bytes == entry.end - entry.begin) return {};
  return Format("tensor %s takes %" PRIu64 " bytes, its shape and dtype need %" PRIu64, name,
                entry.end - entry.begin, bytes);
}

}  // namespace

uint64_t ElementBytes(std::string_view dtype) {
  if (dtype == "F64" || dtype == "I64" || dtype == "U64") return 8;
  if (dtype == "F32" || dtype == "I32" || dtype == "U32") return 4;
  if (dtype == "F16" || dtype == "BF16" || dtype == "I16" || dtype == "U16") return 2;
  if (dtype == "I8" || dtype == "U8" || dtype == "BOOL") return 1;
  return 0;
}

std::string ParseSafetensorsHeader(std::string_view json, uint64_t data_bytes,
                                   std::vector<TensorEntry>* tensors) {
  HeaderReader reader(json);
  if (!reader.Read(tensors)) return reader.problem();
  for (const TensorEntry& entry : *tensors) {
    if (std::string problem = CheckEntry(entry, data_bytes); !problem.empty()) return problem;
  }
  return {};
}

std::string MakeSafetensorsHeader(const std::vector<TensorEntry>& tensors) {
  std::string json = "{";
  for (const TensorEntry& entry : tensors) {
    if (json.size() > 1) json += ',';
    json += '"';
    for (const char c : entry.name) {
      if (c == '"' || c == '\\') json += '\\';
      json += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
    json.append("\":{\"dtype\":\"").append(entry.dtype).append("\",\"shape\":[");
    for (size_t i = 0; i < entry.shape.size(); ++i) {
      if (i > 0) json += ',';
      json += std::to_string(entry.shape[i]);
    }
    json += Format("],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", entry.begin, entry.end);
  }
  json += '}';
  while (json.size() % 8 != 0) json += ' ';
  return json;
}

}  // namespace graft_run
