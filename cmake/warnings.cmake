# graft_add_library(name sources...) / graft_add_executable(name sources...): a target with the project's warnings and floating-point rules.
# -ffp-contract=off: the merge and the quantizers round where the source says so, on every CPU.
add_library(graft_build_flags INTERFACE)
target_compile_options(graft_build_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -ffp-contract=off)
if(GRAFT_WERROR)
  target_compile_options(graft_build_flags INTERFACE -Werror)
endif()
target_include_directories(graft_build_flags INTERFACE ${PROJECT_SOURCE_DIR})

# The device side runs without exceptions and run-time type information.
add_library(graft_device_flags INTERFACE)
target_link_libraries(graft_device_flags INTERFACE graft_build_flags)
target_compile_options(graft_device_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions -fno-rtti>)
