# graft_write_left_out_ops(FILE OPS...): writes FILE, which defines the kinds that the files OPS of runtime/ops would have defined.
function(graft_write_left_out_ops file)
  set(kinds "")
  foreach(source ${ARGN})
    set(source ${PROJECT_SOURCE_DIR}/runtime/ops/${source})
    set_property(DIRECTORY ${PROJECT_SOURCE_DIR} APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
    file(STRINGS ${source} definitions REGEX "^const StepKind k[A-Za-z0-9]+ ")
    foreach(definition ${definitions})
      string(REGEX REPLACE "^const StepKind (k[A-Za-z0-9]+) .*" "\\1" kind "${definition}")
      string(APPEND kinds "const StepKind ${kind} = {.name = \"left out\", .make = nullptr};\n")
    endforeach()
  endforeach()
  file(CONFIGURE OUTPUT ${file} CONTENT [[
#include "runtime/ops/op_table.h"

namespace graft::runtime::ops {

@kinds@
}  // namespace graft::runtime::ops
]] @ONLY)
endfunction()
