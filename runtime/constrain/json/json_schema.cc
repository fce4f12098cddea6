// SPDX-License-Identifier: Apache-2.0
#include "runtime/constrain/json/json_schema.h"

#include <utility>

#include "runtime/constrain/json/json_tree.h"
#include "runtime/constrain/json/schema_compiler.h"

namespace graft::runtime {

Result<Grammar> CompileJsonSchema(std::string_view schema, bool in_order) {
  GRAFT_ASSIGN_OR_RETURN(JsonTree tree, JsonTree::Parse(schema));
  Grammar grammar;
  GRAFT_RETURN_IF_ERROR(SchemaCompiler(std::move(tree), in_order, &grammar).Compile());
  return grammar;
}

}  // namespace graft::runtime
