// SPDX-License-Identifier: Apache-2.0
#include "runtime/base/utf8.h"

#include <random>

#include <doctest/doctest.h>

namespace graft::runtime {
namespace {

const std::string kBad(kReplacementCharacter);

TEST_SUITE("text/utf8") {
  TEST_CASE("every code point survives, surrogates do not") {
    for (uint32_t code = 1; code <= 0x10FFFF; ++code) {
      std::string text;
      if (code >= 0xD800 && code <= 0xDFFF) {
        text = {static_cast<char>(0xED), static_cast<char>(0x80 | (code >> 6 & 0x3F)),
                static_cast<char>(0x80 | (code & 0x3F))};
        if (IsValidUtf8(text) || RepairUtf8(text) != kBad + kBad + kBad) FAIL(code);
        continue;
      }
      AppendUtf8(code, &text);
      if (!IsValidUtf8(text) || RepairUtf8(text) != text) FAIL(code);
      if (ReadUtf8(text, 0).code != code || ReadUtf8(text, 0).length != text.size()) FAIL(code);
      if (Utf8Length(text[0]) != text.size()) FAIL(code);
      if (ReadUtf8Before("x" + text, text.size() + 1).code != code) FAIL(code);
    }
  }

  TEST_CASE("what is no character becomes one U+FFFD for each longest start of one") {
    CHECK(RepairUtf8("\xFF") == kBad);
    CHECK(RepairUtf8("\x80\x80") == kBad + kBad);
    CHECK(RepairUtf8("\xE2\x96") == kBad);
    CHECK(RepairUtf8("\xE2\x96z") == kBad + "z");
    CHECK(RepairUtf8("\xF0\x9F\x98\xE2\x96\x81") == kBad + "\xE2\x96\x81");
    CHECK(RepairUtf8("\xC0\x80") == kBad + kBad);                        // overlong
    CHECK(RepairUtf8("\xE0\x80\x80") == kBad + kBad + kBad);             // overlong
    CHECK(RepairUtf8("\xF4\x90\x80\x80") == kBad + kBad + kBad + kBad);  // above U+10FFFF
    CHECK(RepairUtf8("\xC3(") == kBad + "(");
    CHECK(RepairUtf8("a\xC3") == "a" + kBad);
  }

  TEST_CASE("repairing in parts gives what repairing at once gives") {
    std::mt19937 random(3);
    const char* pieces[] = {
        "a", "\xE2\x96\x81", "\xF0\x9F\x98\x80", "\xC3", "\xE2\x96", "\x80", "\xFF", "z"};
    for (int round = 0; round < 2000; ++round) {
      std::string bytes;
      for (int i = 0; i < 12; ++i) bytes += pieces[random() % std::size(pieces)];
      std::string parts;
      Utf8Repair repair;
      for (size_t at = 0; at < bytes.size();) {
        const size_t size = 1 + random() % 4;
        repair.Append(std::string_view(bytes).substr(at, size), &parts);
        if (!IsValidUtf8(parts)) FAIL(bytes);
        at += size;
      }
      repair.Finish(&parts);
      if (parts != RepairUtf8(bytes)) FAIL(bytes);
    }
  }

  TEST_CASE("white space is Unicode's") {
    for (const uint32_t code : {9u, 10u, 13u, 32u, 0x85u, 0xA0u, 0x2003u, 0x3000u})
      CHECK(IsWhiteSpace(code));
    for (const uint32_t code : {0u, 8u, 14u, 'a' + 0u, 0x180Eu, 0x200Bu, 0xFEFFu})
      CHECK(!IsWhiteSpace(code));
  }
}

}  // namespace
}  // namespace graft::runtime
