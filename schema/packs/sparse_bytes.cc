// SPDX-License-Identifier: Apache-2.0
#include "schema/packs/sparse_bytes.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "schema/variable_length.h"

namespace graft::schema {
namespace {

static_assert(std::endian::native == std::endian::little);
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

Status SparseDecoder::ReadCodes(std::span<const uint8_t>* coded, std::span<const uint8_t>* codes) {
  if (coded->size() < 2) return Corrupt("have no codes");
  gap_bits_ = coded->front();
  const size_t count = (*coded)[1] + size_t{1};
  *coded = coded->subspan(2);
  if (gap_bits_ > kMostGapBits) return Corrupt("have gaps of too many bits");
  if (coded->size() < 2 * count) return Corrupt("end within their codes");
  // Codes of one length are ascending, after all shorter ones; the first bit is the lowest.
  size_t next = 0;
  for (uint32_t bits = 0; bits <= kMostCodeBits; ++bits) {
    const size_t share = size_t{1} << (kMostCodeBits - bits);
    uint8_t previous = 0;
    for (size_t i = 0; i < count; ++i) {
      const uint8_t value = (*coded)[2 * i];
      const uint8_t length = (*coded)[2 * i + 1];
      if (value <= previous || length > kMostCodeBits) {
        return Corrupt("have codes out of order");
      }
      previous = value;
      if (length != bits) continue;
      if (share > code_of_bits_.size() - next) return Corrupt("have too many codes");
      // `next` counts in reverse order of bits.
      size_t first = 0;
      for (uint32_t bit = 0; bit < kMostCodeBits; ++bit)
        first |= (next >> bit & 1) << (kMostCodeBits - 1 - bit);
      first_bits_[value] = static_cast<uint16_t>(first);
      for (size_t at = first; at < code_of_bits_.size(); at += size_t{1} << bits)
        code_of_bits_[at] = {value, length};
      next += share;
    }
  }
  *codes = coded->first(2 * count);
  *coded = coded->subspan(2 * count);
  return next == code_of_bits_.size() ? OkStatus() : Corrupt("have bits of no code");
}

Status SparseDecoder::CutIntoStreams(std::span<const uint8_t> coded, Streams* streams) {
  uint64_t sizes[kSparseStreams - 1];
  for (uint64_t& size : sizes) {
    if (!TakeNumber(&coded, &size)) return Corrupt("end before their entries");
  }
  for (size_t i = 0; i < kSparseStreams; ++i) {
    const uint64_t size = i + 1 < kSparseStreams ? sizes[i] : coded.size();
    if (size > coded.size()) return Corrupt("end within their entries");
    (*streams)[i] = {coded.data(), 0, size};
    coded = coded.subspan(static_cast<size_t>(size));
  }
  return OkStatus();
}

uint64_t SparseEntriesOf(std::span<const uint8_t> coded) {
  uint64_t entries = 0;
  coded = coded.subspan(1);
  return TakeNumber(&coded, &entries) ? entries : 0;
}

Status SparseDecoder::ReadHead(std::span<const uint8_t> coded, size_t count, size_t* entries,
                               Streams* streams) {
  coded = coded.subspan(1);
  uint64_t said = 0;
  // Each entry stands for one byte at least, and takes one bit at least.
  if (!TakeNumber(&coded, &said) || said > count || said / 8 > coded.size()) {
    return Corrupt("have more entries than bytes");
  }
  *entries = static_cast<size_t>(said);
  std::span<const uint8_t> codes;
  GRAFT_RETURN_IF_ERROR(ReadCodes(&coded, &codes));
  GRAFT_RETURN_IF_ERROR(CutIntoStreams(coded, streams));
  MakeEntries(*entries, codes);
  return OkStatus();
}

// Most entries are short: one look says all of one. Few entries are not worth a large table.
void SparseDecoder::MakeEntries(size_t count, std::span<const uint8_t> codes) {
  constexpr uint32_t kFewestEntryBits = 6;
  constexpr uint32_t kSmaller = 2;  // the table than the entries, in bits
  const auto count_bits = static_cast<uint32_t>(std::bit_width(count));
  entry_bits_ =
      std::clamp(count_bits, kFewestEntryBits + kSmaller, kMostEntryBits + kSmaller) - kSmaller;
  const size_t size = size_t{1} << entry_bits_;
  std::fill_n(entry_of_bits_.begin(), size, 0u);
  largest_gap_ = 0;
  for (size_t i = 0; i < codes.size(); i += 2) {
    const uint32_t fewest_bits = 1 + gap_bits_ + codes[i + 1];
    for (uint32_t upper = 0; upper + fewest_bits <= entry_bits_; ++upper) {
      const uint32_t bits = upper + fewest_bits;
      const uint32_t code = first_bits_[codes[i]];
      for (uint32_t lower = 0; lower < 1u << gap_bits_; ++lower) {
        const uint32_t gap = (upper << gap_bits_) + lower;
        const uint32_t entry = (gap + 1) << kGapBit | uint32_t{codes[i]} << kValueBit | bits;
        const uint32_t first = ((code << gap_bits_ | lower) << 1 | 1) << upper;
        for (size_t at = first; at < size; at += size_t{1} << bits) entry_of_bits_[at] = entry;
        largest_gap_ = std::max(largest_gap_, gap);
      }
    }
  }
}

// Requires HasWholeWindow().
uint64_t SparseDecoder::Stream::WholeWindow() const {
  uint64_t window;
  std::memcpy(&window, bytes + bit / 8, sizeof(window));
  return window;
}

// What is beyond a stream's end has no entry.
uint64_t SparseDecoder::Stream::Window() const {
  if (HasWholeWindow()) return WholeWindow() >> bit % 8;
  uint64_t window = 0;
  if (bit / 8 < end) std::memcpy(&window, bytes + bit / 8, static_cast<size_t>(end - bit / 8));
  return window >> bit % 8;
}

// Gives how many bytes of the run there are up to the one that is read, kUnsound if it is not to be
// had; *value is 0 if there is none.
uint64_t SparseDecoder::ReadLong(uint64_t passed, size_t count, Stream* stream,
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
    const Code code = code_of_bits_[window >> gap_bits_ & ((1u << kMostCodeBits) - 1)];
    stream->bit += upper + 1 + gap_bits_ + code.bits;
    passed += gap + 1;
    *value = code.value;
  }
  return passed <= count ? passed : kUnsound;
}

// Reads entries from number `done` on, as many as are looked up as a whole and stay far from the ends
// of their streams, and of the run. Gives how many.
// Apart from all else, so that what it works with stays in registers.
template <typename Put>
__attribute__((noinline)) size_t SparseDecoder::ReadShort(size_t done, size_t entries, size_t count,
                                                          Streams* streams, uint64_t* passed,
                                                          Put* put) const {
  // So many of each stream are found in the bits that one load brings. The highest one is set, and
  // says in the end how many were taken.
  constexpr size_t kAtOnce = 4;
  constexpr size_t kAll = kAtOnce * kSparseStreams;
  constexpr uint64_t kLastBit = uint64_t{1} << 63;
  static_assert(kAtOnce * kMostEntryBits + 7 < 64 && kSparseStreams == 4);
  const size_t most_places = kAll * (largest_gap_ + size_t{1});
  if (entries - done < kAll || *passed + most_places > count) return 0;
  const uint32_t* const entry_of_bits = entry_of_bits_.data();
  const uint32_t mask = (1u << entry_bits_) - 1;
  Stream* const turns[] = {&(*streams)[done % 4], &(*streams)[(done + 1) % 4],
                           &(*streams)[(done + 2) % 4], &(*streams)[(done + 3) % 4]};
  const size_t last_place = count - most_places;
  const size_t last_entry = entries - kAll;
  auto at = static_cast<size_t>(*passed);
  size_t next = done;
  Put to = *put;
  const auto load = [](const Stream& stream) __attribute__((always_inline)) {
    return (stream.WholeWindow() | kLastBit) >> (stream.bit & 7);
  };
  const auto settle = [](uint64_t window, Stream* stream) __attribute__((always_inline)) {
    stream->bit = (stream->bit & ~uint64_t{7}) + static_cast<uint64_t>(__builtin_clzll(window));
  };
  // False: not looked up as a whole.
  const auto read = [&](uint64_t & window) __attribute__((always_inline)) {
    const uint32_t entry = entry_of_bits[window & mask];
    if (entry == 0) [[unlikely]]
      return false;
    window >>= entry & kBitsMask;
    at += entry >> kGapBit;
    to(at - 1, static_cast<uint8_t>(entry >> kValueBit));
    return true;
  };
  size_t short_of = 0;  // of those that were to be read at once
  while (short_of == 0 && next <= last_entry && at <= last_place && turns[0]->HasWholeWindow() &&
         turns[1]->HasWholeWindow() && turns[2]->HasWholeWindow() && turns[3]->HasWholeWindow()) {
    uint64_t a = load(*turns[0]), b = load(*turns[1]), c = load(*turns[2]), d = load(*turns[3]);
    next += kAll;
    for (size_t left = kAll; left != 0; left -= kSparseStreams) {
      short_of = left;
      if (!read(a)) break;
      --short_of;
      if (!read(b)) break;
      --short_of;
      if (!read(c)) break;
      --short_of;
      if (!read(d)) break;
      short_of = 0;
    }
    settle(a, turns[0]);
    settle(b, turns[1]);
    settle(c, turns[2]);
    settle(d, turns[3]);
  }
  *passed = at;
  *put = to;
  return next - short_of - done;
}

// Calls (*put)(place, byte) for each byte.
template <typename Put>
Status SparseDecoder::ReadEntries(size_t entries, size_t count, Streams* streams, Put* put) const {
  uint64_t passed = 0;
  for (size_t done = 0; done < entries; ++done) {
    done += ReadShort(done, entries, count, streams, &passed, put);
    if (done == entries) break;
    uint8_t value = 0;
    passed = ReadLong(passed, count, &(*streams)[done % kSparseStreams], &value);
    if (passed == kUnsound) return Corrupt("have a gap that does not end, or lie beyond the end");
    if (value != 0) (*put)(static_cast<size_t>(passed - 1), value);
  }
  for (const Stream& stream : *streams) {
    if ((stream.bit + 7) / 8 != stream.end) return Corrupt("do not end as they must");
  }
  return OkStatus();
}

Result<std::span<const SparseByte>> SparseDecoder::Decode(std::span<const uint8_t> coded,
                                                          size_t count) {
  size_t entries = 0;
  Streams streams;
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
  Streams streams;
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
