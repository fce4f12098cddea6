// SPDX-License-Identifier: Apache-2.0
// The values that a chat template computes with, and the heap that holds them while it runs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "schema/result.h"

namespace graft::runtime::chat {

enum class ValueKind : uint8_t {
  kUndefined,
  kNone,
  kBool,
  kInteger,
  kFloat,
  kString,
  kList,       // also what Python has as a tuple
  kMap,        // members by name, in the order they were added
  kNamespace,  // a map whose members may be set
  kFunction,
};

struct List;
struct Map;
struct Function;

/// Levels of lists and maps within each other that are compared and written.
inline constexpr int kMaxValueDepth = 64;

// What one step pays for: some hundred nanoseconds of work, whatever it is.
inline constexpr size_t kBytesPerStep = 64;        ///< that are copied or compared in one go
inline constexpr size_t kCharactersPerStep = 16;   ///< that are looked at one by one
inline constexpr size_t kComparisonsPerStep = 16;  ///< of names, and moves of values

/// Cheap to copy: what it points to belongs to a Heap, a template or the caller.
class Value {
 public:
  Value() : int_value_(0) {}
  /// Nothing, under a name that messages show.
  static Value Undefined(std::string_view name);
  static Value None();
  static Value Of(bool truth);
  static Value Of(int64_t int_value);
  static Value Of(double float_value);
  static Value Of(std::string_view text);
  static Value Of(const List* list);
  static Value Of(Map* map, bool is_namespace = false);
  static Value Of(const Function* function);
  // Else text would become a bool.
  static Value Of(const char* text) = delete;

  ValueKind kind() const { return kind_; }
  bool Is(ValueKind kind) const { return kind_ == kind; }
  bool IsNumber() const { return Is(ValueKind::kInteger) || Is(ValueKind::kFloat) || IsBool(); }
  bool IsBool() const { return Is(ValueKind::kBool); }
  bool IsString() const { return Is(ValueKind::kString); }
  bool IsList() const { return Is(ValueKind::kList); }
  bool IsMap() const { return Is(ValueKind::kMap) || Is(ValueKind::kNamespace); }

  bool truth() const { return int_value_ != 0; }
  int64_t int_value() const { return int_value_; }  ///< also of a bool
  double float_value() const {
    return Is(ValueKind::kFloat) ? float_value_ : static_cast<double>(int_value_);
  }
  /// Of a string; the name of what is undefined.
  std::string_view text() const { return {text_, size_}; }
  const List& list() const { return *list_; }
  Map& map() const { return *map_; }
  const Function& function() const { return *function_; }

  /// Whether it counts as true.
  bool IsTrue() const;
  /// What Python calls the type.
  const char* type_name() const;

 private:
  ValueKind kind_ = ValueKind::kUndefined;
  size_t size_ = 0;
  union {
    int64_t int_value_;
    double float_value_;
    const char* text_;
    const List* list_;
    Map* map_;
    const Function* function_;
  };
};

struct List {
  std::vector<Value> items;
  bool is_tuple = false;
};

struct Map {
  std::vector<std::pair<std::string_view, Value>> members;

  const Value* Find(std::string_view name) const;
  void Set(std::string_view name, Value value);
  /// What finding or setting `name` costs: members are compared one by one.
  size_t StepsToFind(std::string_view name) const {
    const size_t steps = members.size() / kComparisonsPerStep;
    return name.size() < kBytesPerStep ? steps
                                       : steps + members.size() * (name.size() / kBytesPerStep);
  }
};

class Scope;

/// What a template can call.
struct Function {
  enum class Kind : uint8_t { kMacro, kMethod, kGlobal, kCaller };
  Kind kind = Kind::kGlobal;
  std::string_view name;
  Value self;              // kMethod
  uint32_t node = 0;       // kMacro: its statement; kCaller: its body
  Scope* scope = nullptr;  // kMacro, kCaller: where it was defined
};

/// Names and what they stand for; what is not here is looked for in the parent.
class Scope {
 public:
  explicit Scope(Scope* parent) : parent_(parent) {}
  /// Adds to *compared how many names and scopes it looked at.
  const Value* Find(std::string_view name, size_t* compared) const;
  Map& names() { return names_; }  ///< its own, without the parent's

 private:
  Scope* parent_;
  Map names_;
};

/// Owns everything that one rendering makes, and bounds it: nothing is freed before the end, so the
/// bytes made in all are what counts.
class Heap {
 public:
  explicit Heap(size_t max_bytes) : bytes_left_(max_bytes) {}

  /// Each fails with kOutOfRange once the limit is reached.
  Status Charge(size_t bytes);
  Result<Value> Text(std::string text);
  Result<List*> NewList();
  Result<Map*> NewMap();
  Result<Scope*> NewScope(Scope* parent);
  Result<Function*> NewFunction();
  /// Appends within the limit.
  Status Append(List* list, Value value);
  Status Set(Map* map, std::string_view name, Value value);
  /// The same for a name that the map has not.
  Status Add(Map* map, std::string_view name, Value value);

  size_t bytes_left() const { return bytes_left_; }

 private:
  size_t bytes_left_;
  std::deque<std::string> texts_;
  std::deque<List> lists_;
  std::deque<Map> maps_;
  std::deque<Scope> scopes_;
  std::deque<Function> functions_;
};

/// Whether two values are equal, as Python compares them.
/// Cost     counted in *steps_left; a comparison that exceeds it, or nests deeper than
///          kMaxValueDepth, is an error.
Result<bool> Equal(Value a, Value b, size_t* steps_left);

}  // namespace graft::runtime::chat
