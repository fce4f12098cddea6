// SPDX-License-Identifier: Apache-2.0
// The table of ops holds, for each member of the schema's union, the kind that belongs to it.
#include "runtime/ops/op_table.h"

#include <cctype>
#include <iterator>
#include <set>
#include <string>

#include <doctest/doctest.h>

#include "schema/generated/model_generated.h"

namespace graft::test {
namespace {

namespace fb = schema::fb;

// "RmsNorm" as "rms_norm".
std::string SnakeCase(const std::string& name) {
  std::string snake;
  for (const char c : name) {
    if (std::isupper(static_cast<unsigned char>(c)) != 0 && !snake.empty()) snake += '_';
    snake += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return snake;
}

TEST_SUITE("runtime/op_table") {
  TEST_CASE("each op of the schema has the kind of its name") {
    std::set<std::string> names;
    for (const fb::OpAttributes op : fb::EnumValuesOpAttributes()) {
      const auto index = static_cast<size_t>(op);
      REQUIRE(index < std::size(runtime::ops::kOps));
      const runtime::StepKind* kind = runtime::ops::kOps[index];
      if (op == fb::OpAttributes::NONE) {
        CHECK(kind == nullptr);
        continue;
      }
      REQUIRE(kind != nullptr);
      // All linears that read one value are one step.
      const std::string name =
          op == fb::OpAttributes::Linear ? "linears" : SnakeCase(fb::EnumNameOpAttributes(op));
      CHECK(std::string(kind->name) == name);
      CHECK(names.insert(kind->name).second);
    }
  }
}

}  // namespace
}  // namespace graft::test
