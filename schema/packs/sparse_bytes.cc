// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/sparse_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "schema/variable_length.h"

namespace graft::schema {
namespace {

// Of an entry, and those of the byte in which it begins.
static_assert(kLongGap + 1 + kMostGapBits + kMostCodeBits + 7 <= 64);

// Of what was looked up: a gap and one, a byte, and how many bits they took, from the lowest one on.
constexpr uint32_t kGapBit = 16;
constexpr uint32_t kValueBit = 8;
constexpr uint32_t kBitsMask = 63;
static_assert(kMostEntryBits <= kBitsMask);
constexpr uint64_t kUnsound = uint64_t{1} << 62;  // no run is that long

Status Corrupt(const char* what) {
  return Error(StatusCode::kCorrupt, "its sparse bytes %s", what);
}

}  // namespace

uint64_t SparseEntriesOf(std::span<const uint8_t> coded) {
  uint64_t entries = 0;
  coded = coded.subspan(1);
  return TakeNumber(&coded, &entries) ? entries : 0;
}

Status SparseDecoder::ReadHead(std::span<const uint8_t> coded, size_t count, size_t* entries,
                               BitStreams* streams) {
  coded = coded.subspan(1);
  uint64_t said = 0;
  // Each entry stands for one byte at least, and takes one bit at least.
  if (!TakeNumber(&coded, &said) || said > count || said / 8 > coded.size()) {
    return Corrupt("have more entries than bytes");
  }
  *entries = static_cast<size_t>(said);
  if (coded.empty()) return Corrupt("have no codes");
  gap_bits_ = coded.front();
  coded = coded.subspan(1);
  if (gap_bits_ > kMostGapBits) return Corrupt("have gaps of too many bits");
  const char* wrong = codes_.Read(&coded, 1);
  if (wrong == nullptr) wrong = CutIntoStreams(coded, streams);
  if (wrong != nullptr) return Corrupt(wrong);
  MakeEntries(*entries);
  return OkStatus();
}

// Most entries are short: one look says all of one. Few entries are not worth a large table.
void SparseDecoder::MakeEntries(size_t count) {
  constexpr uint32_t kFewestEntryBits = 6;
  constexpr uint32_t kSmaller = 2;  // the table than the entries, in bits
  const auto count_bits = static_cast<uint32_t>(std::bit_width(count));
  entry_bits_ =
      std::clamp(count_bits, kFewestEntryBits + kSmaller, kMostEntryBits + kSmaller) - kSmaller;
  const size_t size = size_t{1} << entry_bits_;
  std::fill_n(entry_of_bits_.begin(), size, 0u);
  largest_gap_ = 0;
  for (const PrefixCodes::Code code : codes_.all()) {
    const uint32_t fewest_bits = 1 + gap_bits_ + code.bits;
    const uint32_t code_bits = codes_.BitsOf(code.value) << gap_bits_;
    for (uint32_t upper = 0; upper + fewest_bits <= entry_bits_; ++upper) {
      const uint32_t bits = upper + fewest_bits;
      for (uint32_t lower = 0; lower < 1u << gap_bits_; ++lower) {
        const uint32_t gap = (upper << gap_bits_) + lower;
        const uint32_t entry = (gap + 1) << kGapBit | uint32_t{code.value} << kValueBit | bits;
        const uint32_t first = ((code_bits | lower) << 1 | 1) << upper;
        for (size_t at = first; at < size; at += size_t{1} << bits) entry_of_bits_[at] = entry;
        largest_gap_ = std::max(largest_gap_, gap);
      }
    }
  }
}

// Gives how many bytes of the run there are up to the one that is read, kUnsound if it is not to be
// had; *value is 0 if there is none.
uint64_t SparseDecoder::ReadLong(uint64_t passed, size_t count, BitStream* stream,
                                 uint8_t* value) const {
  uint64_t window = stream->Window();
  const auto upper = static_cast<uint32_t>(std::countr_zero(window | uint64_t{1} << 63));
  *value = 0;
  if (upper >= kLongGap) {
    passed += uint64_t{kLongGap} << gap_bits_;
    stream->bit += kLongGap + 1;
    if (upper > kLongGap) return kUnsound;
  } else {
    window >>= upper + 1;
    const uint64_t gap =
        (uint64_t{upper} << gap_bits_) + (window & ((uint64_t{1} << gap_bits_) - 1));
    const PrefixCodes::Code code = codes_.CodeOf(window >> gap_bits_);
    stream->bit += upper + 1 + gap_bits_ + code.bits;
    passed += gap + 1;
    *value = code.value;
  }
  return passed <= count ? passed : kUnsound;
}

// Reads an entry that is not looked up as a whole, of a stream whose window is at work. False: it is
// not read, for it ends near the stream's or the run's end, or is none.
template <typename Put>
inline __attribute__((always_inline)) bool SparseDecoder::ReadParts(BitStream* stream,
                                                                    size_t last_place,
                                                                    uint64_t* window, size_t* at,
                                                                    Put* put) const {
  const uint64_t bit_before = stream->bit;
  stream->GoBehind(*window);
  // This window, and another one behind the entry.
  if (stream->bit / 8 + 2 * sizeof(uint64_t) > stream->end) {
    stream->bit = bit_before;
    return false;
  }
  *window = stream->MarkedWindow();
  const auto upper = static_cast<uint32_t>(std::countr_zero(*window));
  if (upper >= kLongGap) return false;
  const uint64_t rest = *window >> (upper + 1);
  const uint64_t gap = (uint64_t{upper} << gap_bits_) + (rest & ((uint64_t{1} << gap_bits_) - 1));
  const PrefixCodes::Code code = codes_.CodeOf(rest >> gap_bits_);
  if (code.value == 0 || *at + gap >= last_place) return false;
  *at += gap + 1;
  (*put)(*at - 1, code.value);
  *window >>= upper + 1 + gap_bits_ + code.bits;
  stream->GoBehind(*window);
  *window = stream->MarkedWindow();
  return true;
}

// Reads entries from number `done` on, as many as stay far from the ends of their streams, and of the
// run. Gives how many.
// Apart from all else, so that what it works with stays in registers.
template <typename Put>
__attribute__((noinline)) size_t SparseDecoder::ReadShort(size_t done, size_t entries, size_t count,
                                                          BitStreams* streams, uint64_t* passed,
                                                          Put* put) const {
  // So many of each stream are found in the bits that one load brings.
  constexpr size_t kAtOnce = 4;
  constexpr size_t kAll = kAtOnce * kCodeStreams;
  static_assert(kAtOnce * kMostEntryBits + 7 < 64 && kCodeStreams == 4);
  const size_t most_places = kAll * (largest_gap_ + size_t{1});
  if (entries - done < kAll || *passed + most_places > count) return 0;
  const uint32_t* const entry_of_bits = entry_of_bits_.data();
  const uint32_t mask = (1u << entry_bits_) - 1;
  BitStream* const turns[] = {&(*streams)[done % 4], &(*streams)[(done + 1) % 4],
                              &(*streams)[(done + 2) % 4], &(*streams)[(done + 3) % 4]};
  const size_t last_place = count - most_places;
  const size_t last_entry = entries - kAll;
  auto at = static_cast<size_t>(*passed);
  size_t next = done;
  Put to = *put;
  // False: it is not read here.
  const auto read = [&](uint64_t & window, BitStream * stream) __attribute__((always_inline)) {
    const uint32_t entry = entry_of_bits[window & mask];
    if (entry == 0) [[unlikely]]
      return ReadParts(stream, last_place, &window, &at, &to);
    window >>= entry & kBitsMask;
    at += entry >> kGapBit;
    to(at - 1, static_cast<uint8_t>(entry >> kValueBit));
    return true;
  };
  size_t short_of = 0;  // of those that were to be read at once
  while (short_of == 0 && next <= last_entry && at <= last_place && turns[0]->HasWholeWindow() &&
         turns[1]->HasWholeWindow() && turns[2]->HasWholeWindow() && turns[3]->HasWholeWindow()) {
    uint64_t a = turns[0]->MarkedWindow(), b = turns[1]->MarkedWindow(),
             c = turns[2]->MarkedWindow(), d = turns[3]->MarkedWindow();
    next += kAll;
    for (size_t left = kAll; left != 0; left -= kCodeStreams) {
      short_of = left;
      if (!read(a, turns[0])) break;
      --short_of;
      if (!read(b, turns[1])) break;
      --short_of;
      if (!read(c, turns[2])) break;
      --short_of;
      if (!read(d, turns[3])) break;
      short_of = 0;
    }
    turns[0]->GoBehind(a);
    turns[1]->GoBehind(b);
    turns[2]->GoBehind(c);
    turns[3]->GoBehind(d);
  }
  *passed = at;
  *put = to;
  return next - short_of - done;
}

// Calls (*put)(place, byte) for each byte.
template <typename Put>
Status SparseDecoder::ReadEntries(size_t entries, size_t count, BitStreams* streams,
                                  Put* put) const {
  uint64_t passed = 0;
  for (size_t done = 0; done < entries; ++done) {
    done += ReadShort(done, entries, count, streams, &passed, put);
    if (done == entries) break;
    uint8_t value = 0;
    passed = ReadLong(passed, count, &(*streams)[done % kCodeStreams], &value);
    if (passed == kUnsound) return Corrupt("have a gap that does not end, or lie beyond the end");
    if (value != 0) (*put)(static_cast<size_t>(passed - 1), value);
  }
  for (const BitStream& stream : *streams) {
    if (!stream.IsAtEnd()) return Corrupt("do not end as they must");
  }
  return OkStatus();
}

Result<std::span<const SparseByte>> SparseDecoder::Decode(std::span<const uint8_t> coded,
                                                          size_t count) {
  size_t entries = 0;
  BitStreams streams;
  GRAFT_RETURN_IF_ERROR(ReadHead(coded, count, &entries, &streams));
  if (found_.size() < entries) found_.resize(entries);
  struct Append {
    SparseByte* end;
    void operator()(size_t place, uint8_t value) {
      (end++)->bits = static_cast<uint32_t>(place << 8 | value);
    }
  } append{found_.data()};
  GRAFT_RETURN_IF_ERROR(ReadEntries(entries, count, &streams, &append));
  return std::span<const SparseByte>(found_.data(), append.end);
}

template <size_t kStride>
Status SparseDecoder::ScatterEvery(std::span<const uint8_t> coded, size_t count, uint8_t* out) {
  size_t entries = 0;
  BitStreams streams;
  GRAFT_RETURN_IF_ERROR(ReadHead(coded, count, &entries, &streams));
  struct Place {
    uint8_t* out;
    void operator()(size_t place, uint8_t value) { out[place * kStride] = value; }
  } place{out};
  return ReadEntries(entries, count, &streams, &place);
}

Status SparseDecoder::Scatter(std::span<const uint8_t> coded, size_t count, uint8_t* out,
                              uint32_t stride_bits) {
  if (stride_bits == 0) return ScatterEvery<1>(coded, count, out);
  return stride_bits == 1 ? ScatterEvery<2>(coded, count, out) : ScatterEvery<4>(coded, count, out);
}

}  // namespace graft::schema
