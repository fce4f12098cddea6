// SPDX-License-Identifier: Apache-2.0
// The members of objects, in any order: what an object has is a set, and its number is what waits on
// the stack. A frame's count is that number, which is one more than the index of the set and 0 for
// none, doubled; the last bit tells that a comma has been read.
#include <algorithm>
#include <utility>

#include "runtime/constrain/recognizer.h"

namespace graft::runtime {

uint32_t Recognizer::InternSet(MemberSet set) {
  bool is_new = false;
  const uint32_t id = set_ids_
                          .Insert(KeyOf(std::span<const uint64_t>(set.bits)),
                                  static_cast<uint32_t>(sets_.size() + 1), &is_new)
                          ->second;
  if (is_new) sets_.push_back(std::move(set));
  return id;
}

/// Calls `enter` with each member that may come next, and MemberList::kOther if another may.
template <typename Enter>
void Recognizer::ForEachNext(const MemberList& list, const MemberSet& set, Enter enter) {
  const auto count = static_cast<uint32_t>(list.members.size());
  if (set.total >= list.max) return;
  const uint32_t missing = list.required - set.required;
  const bool has_room = missing < list.max - set.total;  // for what need not be there
  // Others may have one name: they count as one where there must be so many.
  const uint32_t lacking = list.min > set.different() ? list.min - set.different() : 0;
  const bool has_room_again =
      set.others() == 0 || std::max(missing, lacking) < list.max - set.total;
  if (!list.in_order) {
    for (uint32_t i = 0; i < count; ++i) {
      if (!set.Has(i) && (has_room || list.members[i].is_required)) enter(i);
    }
    if (list.has_others && has_room && has_room_again) enter(MemberList::kOther);
    return;
  }
  const auto reaches_min = [&](uint32_t i) {
    return set.different() + (count - i) + (list.has_others ? 1 : 0) >= list.min;
  };
  for (uint32_t i = set.next; set.others() == 0 && i < count; ++i) {
    const bool is_required = list.members[i].is_required;
    if ((has_room || is_required) && reaches_min(i)) enter(i);
    if (is_required) return;
  }
  if (list.has_others && has_room && (set.others() != 0 || lacking <= 1)) {
    enter(MemberList::kOther);
  }
}

void Recognizer::FollowMembers(const Place& place) {
  const uint32_t index = grammar_.symbol(place.position).value;
  const MemberList& list = grammar_.members(index);
  MemberSet none;
  const MemberSet* set = &none;
  if (place.count > 1) {
    set = &sets_[(place.count >> 1) - 1];
  } else {
    none.bits.assign(2 + (list.members.size() + 63) / 64, 0);
  }
  const bool has_comma = (place.count & 1) != 0;
  if (!has_comma && set->required == list.required && set->different() >= list.min) {
    work_.push_back({place.position + 1, 0, place.stack});
  }
  if (!has_comma && set->total > 0) {
    bool has_more = false;
    ForEachNext(list, *set, [&](uint32_t) { has_more = true; });
    if (has_more) {
      made_.push_back({list.comma, Push(place.stack, place.position, place.count | 1)});
    }
    return;
  }
  const uint32_t frame = Push(place.stack, place.position, place.count & ~1u);
  ForEachNext(list, *set, [&](uint32_t member) {
    const bool is_other = member == MemberList::kOther;
    work_.push_back({is_other ? list.other_way : list.members[member].way, 0, frame});
  });
}

/// What an object of `frame` has with `member`.
Recognizer::MemberSet Recognizer::SetWith(const Stack& frame, uint32_t member) const {
  const uint32_t index = grammar_.symbol(frame.position).value;
  const MemberList& list = grammar_.members(index);
  MemberSet set;
  if (frame.count > 1) {
    set = sets_[(frame.count >> 1) - 1];
  } else {
    set.bits.assign(2 + (list.members.size() + 63) / 64, 0);
    set.bits[0] = index;
  }
  if (member == MemberList::kOther) {
    if (list.max != kUnbounded || set.others() == 0) {
      ++set.bits[1];
      ++set.total;
    }
  } else {
    set.bits[2 + member / 64] |= uint64_t{1} << (member % 64);
    ++set.total;
    if (list.members[member].is_required) ++set.required;
    set.next = member + 1;
  }
  return set;
}

void Recognizer::EndMember(const Place& place) {
  const Stack frame = stacks_[place.stack];
  MemberSet set = SetWith(frame, grammar_.symbol(place.position).value);
  work_.push_back({frame.position, InternSet(std::move(set)) << 1, frame.parent});
}

/// The shortest text from where an object has `set` to behind its last member.
uint32_t Recognizer::MembersLength(const MemberList& list, const MemberSet& set, bool has_comma) {
  grammar_.pool().Spend(list.members.size());
  uint32_t bytes = 0;
  uint32_t count = 0;  // of members that are added
  FlatVector<uint32_t> others;
  for (uint32_t i = 0; i < list.members.size(); ++i) {
    if (set.Has(i) || (list.in_order && i < set.next)) continue;
    const MemberList::Member& member = list.members[i];
    const uint32_t length = WayLength(member.way);
    if (member.is_required) {
      bytes = AddLengths(bytes, length);
      ++count;
    } else if (!list.in_order || set.others() == 0) {
      others.push_back(length);
    }
  }
  const uint32_t other = list.has_others ? WayLength(list.other_way) : kUnbounded;
  if (list.has_others && set.others() == 0) others.push_back(other);
  SortNumbers(&others);
  const uint32_t different = set.different() + count;
  const size_t lacking = list.min > different ? list.min - different : 0;
  if (lacking > others.size()) return kUnbounded;
  for (size_t i = 0; i < lacking; ++i, ++count) bytes = AddLengths(bytes, others[i]);
  if (has_comma && count == 0) {  // something has to come
    bytes = others.empty() ? other : std::min(other, others[0]);
    count = 1;
  }
  const uint32_t had =
      (has_comma ? 1 : 0) + (set.total == 0 ? 1 : 0);  // commas that are not needed
  const uint32_t commas = count > had ? count - had : 0;
  return AddLengths(bytes, MultiplyLength(grammar_.pool().ShortestMatch(list.comma), commas));
}

/// The same from behind `member` of the object of `frame`. A state may ask for every member of a long
/// list, so what they have in common is counted once.
uint32_t Recognizer::LengthAfter(uint32_t frame, uint32_t member) {
  const Stack& object = stacks_[frame];
  const MemberList& list = grammar_.members(grammar_.symbol(object.position).value);
  const MemberSet set = SetWith(object, member);
  grammar_.pool().Spend(set.bits.size());
  if (missing_.frame != frame) {
    grammar_.pool().Spend(list.members.size());
    missing_ = {frame, 0, 0};
    const MemberSet* const before = object.count > 1 ? &sets_[(object.count >> 1) - 1] : nullptr;
    for (uint32_t i = 0; i < list.members.size(); ++i) {
      if (!list.members[i].is_required || (before != nullptr && before->Has(i))) continue;
      missing_.bytes = AddLengths(missing_.bytes, WayLength(list.members[i].way));
      ++missing_.count;
    }
  }
  const bool was_missing = member != MemberList::kOther && list.members[member].is_required;
  const uint32_t count = missing_.count - (was_missing ? 1 : 0);
  if (missing_.bytes == kUnbounded || list.min > set.different() + count) {
    return MembersLength(list, set, false);
  }
  const uint32_t bytes = missing_.bytes - (was_missing ? WayLength(list.members[member].way) : 0);
  return AddLengths(bytes, MultiplyLength(grammar_.pool().ShortestMatch(list.comma), count));
}

}  // namespace graft::runtime
