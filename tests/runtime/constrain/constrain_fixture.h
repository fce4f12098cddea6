// SPDX-License-Identifier: Apache-2.0
// Texts held against constraints, byte by byte.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "runtime/constrain/grammar.h"
#include "runtime/constrain/json/json_schema.h"
#include "runtime/constrain/recognizer.h"

namespace graft::test {

/// Whether `text` as a whole satisfies the constraint.
inline bool Allows(runtime::Recognizer* recognizer, std::string_view text) {
  runtime::StateId state = recognizer->start();
  for (const char c : text) state = recognizer->Next(state, static_cast<uint8_t>(c));
  CHECK(!recognizer->overflowed());
  return recognizer->IsAccepting(state);
}

/// A constraint, and texts for and against it.
struct TextCase {
  std::string constraint;
  std::vector<std::string> good;
  std::vector<std::string> bad;
};

inline void CheckTexts(const TextCase& texts, Result<runtime::Grammar> grammar) {
  CAPTURE(texts.constraint);
  REQUIRE_MESSAGE(grammar.ok(), grammar.status().message());
  runtime::Recognizer recognizer(std::move(*grammar));
  for (const std::string& text : texts.good) CHECK_MESSAGE(Allows(&recognizer, text), text);
  for (const std::string& text : texts.bad) CHECK_MESSAGE(!Allows(&recognizer, text), text);
}

inline void CheckSchema(const TextCase& texts) {
  CheckTexts(texts, runtime::CompileJsonSchema(texts.constraint, /*in_order=*/false));
}

/// That compiling fails so, with `part` in the message.
inline void CheckRefused(const Result<runtime::Grammar>& grammar, StatusCode code,
                         std::string_view part) {
  REQUIRE(!grammar.ok());
  CHECK(grammar.status().code() == code);
  CHECK_MESSAGE(grammar.status().message().find(part) != std::string_view::npos,
                grammar.status().message());
}

}  // namespace graft::test
