// SPDX-License-Identifier: Apache-2.0
// The modules are sorted as a tree, each level by a list that holds all of its siblings.
#include "converter/merge/kinds/drawn/module_order.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "converter/merge/kinds/drawn/module_lists.h"

namespace graft::converter {
namespace {

bool IsNumber(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool NumberBefore(std::string_view a, std::string_view b) {
  return a.size() != b.size() ? a.size() < b.size() : a < b;
}

enum class Order : uint8_t { kUnknown, kBefore, kAfter, kEither };

// What all lists agree on that know `a`, `b` and all of `siblings`, and nothing else if `exact`.
Order ByLists(std::string_view a, std::string_view b, const std::set<std::string_view>& siblings,
              bool exact) {
  Order found = Order::kUnknown;
  for (const ModuleList& words : ModuleLists()) {
    const auto place = [&words](std::string_view word) {
      return std::find(words.begin(), words.end(), word);
    };
    const bool knows = place(a) != words.end() && place(b) != words.end() &&
                       (!exact || words.size() == siblings.size()) &&
                       std::all_of(siblings.begin(), siblings.end(), [&](std::string_view word) {
                         return place(word) != words.end();
                       });
    if (!knows) continue;
    const Order one = place(a) < place(b) ? Order::kBefore : Order::kAfter;
    if (found != Order::kUnknown && one != found) return Order::kEither;
    found = one;
  }
  return found;
}

Order Compare(std::string_view a, std::string_view b, const std::set<std::string_view>& siblings) {
  if (IsNumber(a) && IsNumber(b)) return NumberBefore(a, b) ? Order::kBefore : Order::kAfter;
  // The same siblings tell best, then some more, then the two alone.
  Order order = ByLists(a, b, siblings, true);
  if (order == Order::kUnknown) order = ByLists(a, b, siblings, false);
  if (order == Order::kUnknown) order = ByLists(a, b, {}, false);
  if (order != Order::kUnknown) return order;
  // fc1 before fc2.
  const auto stem = [](std::string_view name) {
    return name.substr(0, name.find_last_not_of("0123456789") + 1);
  };
  const size_t length = stem(a).size();
  if (length < a.size() && length < b.size() && stem(a) == stem(b)) {
    return NumberBefore(a.substr(length), b.substr(length)) ? Order::kBefore : Order::kAfter;
  }
  return Order::kUnknown;
}

using Children = std::map<std::string, std::set<std::string_view>, std::less<>>;

// Enters each part of `name` with the part before it.
void Enter(std::string_view name, Children* children) {
  size_t start = 0;
  while (start <= name.size()) {
    const size_t dot = std::min(name.find('.', start), name.size());
    const std::string parent(name.substr(0, start == 0 ? 0 : start - 1));
    (*children)[parent].insert(name.substr(start, dot - start));
    start = dot + 1;
  }
}

class Sorter {
 public:
  Sorter(std::span<const std::string> modules, std::span<const std::string> names) {
    for (const std::string& module : modules) {
      Enter(module, &wanted_);
      modules_.insert(module);
    }
    for (const std::string& name : names) {
      // The last part is the parameter's.
      const size_t dot = name.rfind('.');
      if (dot != std::string::npos) Enter(std::string_view(name).substr(0, dot), &all_);
    }
    for (const std::string& module : modules) Enter(module, &all_);
  }

  Status Visit(const std::string& module) {
    if (modules_.count(module) > 0) order_.push_back(module);
    const auto found = wanted_.find(module);
    if (found == wanted_.end()) return OkStatus();
    std::vector<std::string_view> sorted;
    for (const std::string_view child : found->second) {
      // Insertion asks for each pair that matters, so that one that is not known is named.
      size_t at = 0;
      for (; at < sorted.size(); ++at) {
        const Order order = Compare(child, sorted[at], all_[module]);
        if (order == Order::kBefore) break;
        if (order == Order::kAfter) continue;
        return Error(StatusCode::kUnsupported,
                     "the order in which the model's code makes '%s' and '%s' of '%s' is not known",
                     std::string(child).c_str(), std::string(sorted[at]).c_str(), module.c_str());
      }
      sorted.insert(sorted.begin() + static_cast<std::ptrdiff_t>(at), child);
    }
    for (const std::string_view child : sorted) {
      std::string name = module;
      if (!name.empty()) name += '.';
      GRAFT_RETURN_IF_ERROR(Visit(name.append(child)));
    }
    return OkStatus();
  }

  std::vector<std::string> TakeOrder() { return std::move(order_); }

 private:
  std::set<std::string, std::less<>> modules_;
  Children wanted_;
  Children all_;
  std::vector<std::string> order_;
};

}  // namespace

std::vector<std::string_view> SplitWords(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (true) {
    const size_t at = text.find(separator);
    words.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return words;
    text.remove_prefix(at + 1);
  }
}

Result<std::vector<std::string>> InOrderOfModel(std::span<const std::string> modules,
                                                std::span<const std::string> names) {
  Sorter sorter(modules, names);
  GRAFT_RETURN_IF_ERROR(sorter.Visit(""));
  return sorter.TakeOrder();
}

}  // namespace graft::converter
