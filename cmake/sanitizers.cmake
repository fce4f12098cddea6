# GRAFT_SANITIZE and GRAFT_BUILD_FUZZ, applied to every target of graft. A finding ends the program with an error.
set(flags "")
if(GRAFT_SANITIZE STREQUAL "address")
  # vptr needs run-time type information, which the device side lacks. What null and object-size find ends in a fault that the address sanitizer
  # reports. Undefined behaviour is looked for in what is tested, not in tests (GRAFT_TEST_CODE): half of their compiling.
  set(flags -fsanitize=address "$<$<NOT:$<BOOL:$<TARGET_PROPERTY:GRAFT_TEST_CODE>>>:-fsanitize=undefined;-fno-sanitize=vptr,null,object-size>")
  set(link_flags -fsanitize=address,undefined)
elseif(GRAFT_SANITIZE STREQUAL "thread")
  set(flags -fsanitize=thread)
  set(link_flags ${flags})
elseif(GRAFT_SANITIZE)
  message(FATAL_ERROR "GRAFT_SANITIZE is '${GRAFT_SANITIZE}': address, thread or empty")
endif()
if(flags)
  target_compile_options(graft_build_flags INTERFACE "${flags}" -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_compile_definitions(graft_build_flags INTERFACE XXH_NO_INLINE_HINTS=1)   # -Og does not inline all that xxHash insists on
  target_link_options(graft_build_flags INTERFACE ${link_flags})
endif()
if(GRAFT_BUILD_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
    message(FATAL_ERROR "GRAFT_BUILD_FUZZ needs clang: cmake --preset fuzz")
  endif()
  target_compile_options(graft_build_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
