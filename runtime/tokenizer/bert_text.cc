// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokenizer/bert_text.h"

#include <utility>

#include <utf8proc.h>

#include "runtime/base/utf8.h"

namespace graft::runtime {
namespace {

utf8proc_category_t CategoryOf(uint32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

// Code points that stand for nothing yet are kept.
bool IsControl(uint32_t code) {
  if (code == '\t' || code == '\n' || code == '\r') return false;
  if (code < 0x80) return code < 0x20 || code == 0x7F;
  switch (CategoryOf(code)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
      return true;
    default:
      return false;
  }
}

/// The blocks of CJK ideographs that BERT spaces out.
bool IsIdeograph(uint32_t code) {
  if (code < 0x3400) return false;
  return (code >= 0x4E00 && code <= 0x9FFF) || (code >= 0x3400 && code <= 0x4DBF) ||
         (code >= 0x20000 && code <= 0x2A6DF) || (code >= 0x2A700 && code <= 0x2B73F) ||
         (code >= 0x2B740 && code <= 0x2B81F) || (code >= 0x2B920 && code <= 0x2CEAF) ||
         (code >= 0xF900 && code <= 0xFAFF) || (code >= 0x2F800 && code <= 0x2FA1F);
}

bool IsMark(uint32_t code, bool nonspacing_only) {
  if (code < 0x300) return false;
  const utf8proc_category_t category = CategoryOf(code);
  if (category == UTF8PROC_CATEGORY_MN) return true;
  return !nonspacing_only && (category == UTF8PROC_CATEGORY_MC || category == UTF8PROC_CATEGORY_ME);
}

}  // namespace

void CleanText(std::string* text, bool* lost_start) {
  // What is kept never grows: it is written over what has been read.
  size_t kept = 0;
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = ReadUtf8(*text, at);
    const size_t from = std::exchange(at, at + c.length);
    if (c.code == 0 || c.code == 0xFFFD || IsControl(c.code)) {
      if (from == 0) *lost_start = true;
      continue;
    }
    if (IsWhiteSpace(c.code)) {
      (*text)[kept++] = ' ';
      continue;
    }
    for (uint32_t i = 0; i < c.length; ++i) (*text)[kept++] = (*text)[from + i];
  }
  text->resize(kept);
}

void SpaceIdeographs(std::string* text) {
  if (IsAscii(*text)) return;
  std::string spaced;
  spaced.reserve(text->size() + text->size() / 2);
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = ReadUtf8(*text, at);
    const bool is_ideograph = IsIdeograph(c.code);
    if (is_ideograph) spaced += ' ';
    spaced.append(*text, at, c.length);
    if (is_ideograph) spaced += ' ';
    at += c.length;
  }
  *text = std::move(spaced);
}

void DropMarks(bool nonspacing_only, std::string* text, bool* lost_start) {
  if (IsAscii(*text)) return;
  size_t kept = 0;
  for (size_t at = 0; at < text->size();) {
    const Utf8Char c = ReadUtf8(*text, at);
    const size_t from = std::exchange(at, at + c.length);
    if (IsMark(c.code, nonspacing_only)) {
      if (from == 0) *lost_start = true;
      continue;
    }
    for (uint32_t i = 0; i < c.length; ++i) (*text)[kept++] = (*text)[from + i];
  }
  text->resize(kept);
}

bool IsPunctuation(uint32_t code) {
  if (code < 0x80) {
    return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
           (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
  }
  switch (CategoryOf(code)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
      return true;
    default:
      return false;
  }
}

}  // namespace graft::runtime
