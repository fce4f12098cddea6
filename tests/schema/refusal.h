// SPDX-License-Identifier: Apache-2.0
// What the verifier says of a model that a test spoils.
#pragma once

#include <string>

#include <doctest/doctest.h>

#include "schema/verify.h"

namespace graft::schema {

/// The message that refuses the file that `model` builds; empty if it is accepted.
template <class Model>
std::string MessageOf(const Model& model) {
  const auto bytes = model.Build();
  const auto verified = Verify(bytes.span());
  return verified.ok() ? "" : std::string(verified.status().message());
}

}  // namespace graft::schema

/// A Model `m` after the statements given is refused, by a message that has `message` in it.
#define CHECK_SPOILED_REFUSED(Model, message, ...)             \
  do {                                                         \
    Model m;                                                   \
    __VA_ARGS__;                                               \
    const std::string refused = ::graft::schema::MessageOf(m); \
    CAPTURE(refused);                                          \
    CHECK(refused.find(message) != std::string::npos);         \
  } while (false)
