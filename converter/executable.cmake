# The graft-convert command.
add_executable(graft-convert main.cc progress.cc commands/convert.cc commands/failure.cc)
target_link_libraries(graft-convert PRIVATE graft_converter)
