// SPDX-License-Identifier: Apache-2.0
// ExpressionPool: regular expressions over bytes, with intersection, complement and counted
// repetition, read one byte at a time by their derivatives: what is left to read after a byte is an
// expression again. Counters stay numbers, so that a bound of millions costs nothing, and no
// automaton is built before it is walked.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/flat_vector.h"
#include "runtime/base/text_numbers.h"

namespace graft::runtime {

/// An index into an ExpressionPool. Equal expressions have equal indices.
using Expression = uint32_t;
inline constexpr Expression kNothing = 0;  ///< matches no text
inline constexpr Expression kEmpty = 1;    ///< matches the empty text
inline constexpr uint32_t kUnbounded = UINT32_MAX;

/// Lengths of texts; kUnbounded is one that is not known, or too long to count.
inline uint32_t AddLengths(uint32_t a, uint32_t b) {
  return a < kUnbounded - b ? a + b : kUnbounded;
}
inline uint32_t MultiplyLength(uint32_t length, uint32_t count) {
  const uint64_t product = uint64_t{length} * count;
  return length == kUnbounded || product > kUnbounded ? kUnbounded : static_cast<uint32_t>(product);
}

/// Sorts `count` pairs of 32-bit numbers by the first, then by the second. Small code, unlike
/// std::sort's for one more type.
void SortPairs(void* pairs, size_t count);
void SortNumbers(FlatVector<uint32_t>* numbers);
/// Sorts them, and takes out what stands there again.
void SortUnique(FlatVector<uint32_t>* numbers);

/// A set of bytes.
struct ByteSet {
  std::array<uint64_t, 4> words{};

  void Add(uint8_t byte) { words[byte >> 6] |= uint64_t{1} << (byte & 63); }
  void AddRange(uint8_t low, uint8_t high) {
    for (unsigned byte = low; byte <= high; ++byte) Add(static_cast<uint8_t>(byte));
  }
  bool Has(uint8_t byte) const { return (words[byte >> 6] >> (byte & 63) & 1) != 0; }
  int Count() const {
    int count = 0;
    for (const uint64_t word : words) count += std::popcount(word);
    return count;
  }
  bool IsEmpty() const { return (words[0] | words[1] | words[2] | words[3]) == 0; }
  void Unite(const ByteSet& other) {
    for (size_t i = 0; i < 4; ++i) words[i] |= other.words[i];
  }
  void Intersect(const ByteSet& other) {
    for (size_t i = 0; i < 4; ++i) words[i] &= other.words[i];
  }
  bool operator==(const ByteSet&) const = default;
};

/// How a decimal number compares with a bound.
enum class Comparison : uint8_t { kAtLeast, kAbove, kAtMost, kBelow };

class ExpressionPool {
 public:
  /// What a grammar may take to be built: some seconds.
  static constexpr uint64_t kStepsToBuild = 10000000;

  ExpressionPool();

  Expression Bytes(const ByteSet& set);
  Expression Literal(std::string_view text);
  template <size_t N>
  [[gnu::always_inline]] Expression Literal(const char (&text)[N]) {
    return Literal(std::string_view(text, __builtin_strlen(text)));
  }
  Expression Concat(Expression first, Expression second);
  Expression Concat(std::span<const Expression> parts);
  Expression Or(std::span<const Expression> parts);
  Expression Or(Expression a, Expression b) { return Or(std::array{a, b}); }
  Expression And(std::span<const Expression> parts);
  Expression And(Expression a, Expression b) { return And(std::array{a, b}); }
  Expression Not(Expression a);
  Expression Repeat(Expression body, uint32_t min, uint32_t max = kUnbounded);
  Expression Optional(Expression a) { return Or(a, kEmpty); }
  /// Texts out of `texts`, by a tree of their bytes.
  Expression AnyOf(const TextNumbers& texts);
  /// Decimal numbers without sign and exponent that compare so with `bound`, which is one itself.
  /// Requires the caller's And with the syntax of a number.
  Expression Compare(Comparison comparison, std::string_view bound);
  /// Decimal numbers without sign and exponent that are multiples of divisor / 10^scale.
  /// Requires divisor > 0, and the And as above.
  Expression Multiple(uint32_t divisor, uint32_t scale);

  /// What may follow `byte`. Memoized.
  Expression Derive(Expression e, uint8_t byte);
  bool IsNullable(Expression e) const { return nodes_[e].is_nullable; }
  /// Whether any text matches. Memoized. Explores, with steps of its own; what it has not decided
  /// after very many it holds for alive.
  bool IsAlive(Expression e);
  /// At least the bytes that a match may start with.
  ByteSet FirstBytes(Expression e) const;
  /// Bytes, `byte` among them, by which `e` has the same derivative.
  ByteSet SameBytes(Expression e, uint8_t byte) const;
  /// Whether `text` matches.
  bool Matches(Expression e, std::string_view text);
  /// As many characters that stand for themselves in a JSON string may always follow, whichever they
  /// are: 0 if that is not known. *is_exact: no more of them may.
  uint32_t FreeCharacters(Expression e, bool* is_exact) const;
  /// A string of at least `least` more characters at most, without that bound; else `e` itself.
  Expression Widen(Expression e, uint32_t least);
  /// The bytes of the shortest match; kUnbounded: none is known. Memoized.
  uint32_t ShortestMatch(Expression e) { return LengthOf(e, true); }
  /// Tells that `character` matches whole characters of an alphabet only: 0 or 1.
  void NoteCharacter(Expression character, unsigned alphabet);
  /// Tells that `all` matches any row of these.
  void NoteAll(Expression all, unsigned alphabet) { all_[alphabet] = all; }
  /// Tells that `character` matches every character that stands for itself in a JSON string.
  void NotePlainCharacter(Expression character) { plain_.push_back(character); }

  /// Sets how many steps may be spent from now on: derivatives, and what users add.
  void Allow(uint64_t steps) {
    steps_left_ = steps;
    search_steps_left_ = steps;
  }
  void Spend(uint64_t steps) {
    if (steps < steps_left_) {
      steps_left_ -= steps;
    } else {
      steps_left_ = 0;
      overflowed_ = true;
    }
  }
  /// True once an expression was too large to build, or all steps were spent. Then kNothing stood in
  /// for what was asked for.
  bool overflowed() const { return overflowed_; }
  size_t size() const { return nodes_.size(); }

  /// Fixes what is there; Compact takes what was added later away but for `live`, whose indices it
  /// updates.
  void Freeze() {
    frozen_ = nodes_.size();
    frozen_lists_ = lists_.size();
  }
  void Compact(std::span<Expression> live);

 private:
  enum class Kind : uint8_t {
    kNothing,
    kEmpty,
    kBytes,
    kConcat,
    kOr,
    kAnd,
    kNot,
    kRepeat,
    kCompare,
    kMultiple
  };
  struct Node {
    Kind kind = Kind::kNothing;
    bool is_nullable : 1 = false;
    bool needs_search : 1 = false;  // only a search tells whether any text matches
    bool is_finite : 1 = true;      // matches finitely many texts
    uint8_t alphabets = 0;          // bits of those whose characters all matches consist of
    uint32_t a = 0;
    uint32_t b = 0;
    uint32_t c = 0;
  };

  Expression Intern(Node node);
  Expression InternList(Kind kind, FlatVector<Expression>* parts);
  std::span<const Expression> List(const Node& node) const {
    return {lists_.data() + node.a, node.b};
  }
  uint64_t HashOf(const Node& node) const;
  bool IsSame(const Node& a, const Node& b) const;
  void Rehash(size_t slots);
  Expression DeriveOnce(Expression e, uint8_t byte);
  Expression DeriveConcat(Expression e, uint8_t byte);
  Expression DeriveCompare(const Node& node, uint8_t byte);
  Expression DeriveMultiple(const Node& node, uint8_t byte);
  Expression MakeCompare(uint32_t bound, uint32_t state, uint32_t position);
  Expression MakeMultiple(uint32_t divisor, uint32_t remainder, uint32_t state);
  Expression AnyOfSorted(std::span<const std::string_view> texts, size_t depth);
  enum class Life : uint8_t { kUnknown, kDead, kAlive, kSeen };
  Expression Core(Expression e) const;
  Life KnownLife(Expression core);
  Life SearchForLife(Expression core, bool takes_apart, size_t most);
  void TakeApart(Expression e, FlatVector<Expression>* ways);
  void Forget(size_t nodes, size_t lists);
  uint32_t FreeOf(Expression e) const;
  uint32_t LengthOf(Expression e, bool may_search);
  uint32_t LengthOfRow(Expression e, bool may_search);
  uint32_t Search(Expression e);
  static uint64_t MemoKey(Expression e, uint8_t byte) { return uint64_t{e} << 8 | byte; }
  void GrowMemo();

  FlatVector<Node> nodes_;
  FlatVector<Expression> lists_;
  FlatVector<ByteSet> sets_;
  std::vector<std::string> bounds_;
  FlatVector<uint32_t> table_;  // open addressing: index + 1
  struct Memo {
    uint64_t key = UINT64_MAX;
    Expression value = 0;
  };
  FlatVector<Memo> memo_;
  size_t memo_count_ = 0;
  FlatVector<Life> lives_;  // by core
  struct Length {
    uint32_t bytes = 0;
    bool is_exact = false;
    bool is_bound = false;  // no match is shorter
  };
  FlatVector<Length> lengths_;  // by expression
  size_t failed_searches_ = 0;
  FlatVector<Expression> plain_;
  Expression all_[2] = {kNothing, kNothing};
  size_t undecided_ = 0;            // searches for a match that did not end
  mutable uint64_t looked_at_ = 0;  // expressions, for FirstBytes and SameBytes
  size_t frozen_ = 0;
  size_t frozen_lists_ = 0;
  uint64_t steps_left_ = kStepsToBuild;
  uint64_t search_steps_left_ = kStepsToBuild;
  bool overflowed_ = false;
};

}  // namespace graft::runtime
