# Every target of graft links graft_build_flags; those of the device side link graft_device_flags, which adds to it.
# -ffp-contract=off: the merge and the quantizers round where the source says so, on every CPU.
# Sections: a program keeps only the functions that it reaches.
add_library(graft_build_flags INTERFACE)
target_compile_options(graft_build_flags INTERFACE -Wall -Wextra -Wno-unused-parameter -ffp-contract=off
  -ffunction-sections -fdata-sections)
target_link_options(graft_build_flags INTERFACE $<$<NOT:$<PLATFORM_ID:Darwin>>:-Wl,--gc-sections>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(graft_build_flags INTERFACE -Wno-restrict)   # GCC 12 warns falsely of std::string's operator+ (GCC bug 105651)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_SIZEOF_VOID_P EQUAL 4)
  target_compile_options(graft_build_flags INTERFACE -Wno-psabi)   # a note on how GCC before 7.1 passed some arguments
endif()
target_compile_options(graft_build_flags INTERFACE -Werror=unused-result)   # what can fail is checked, whatever the compiler
if(GRAFT_WERROR)
  target_compile_options(graft_build_flags INTERFACE -Werror)
endif()
target_include_directories(graft_build_flags INTERFACE ${PROJECT_SOURCE_DIR})
if(ANDROID_ABI STREQUAL "armeabi-v7a")   # what toolchains/armv7-linux-gnueabihf.cmake asks for on Linux; the NDK's own default is older
  target_compile_options(graft_build_flags INTERFACE -mfpu=neon-vfpv4)
  target_compile_definitions(graft_build_flags INTERFACE _FILE_OFFSET_BITS=64)
endif()

# The device side runs without run-time type information. An allocation that fails is an exception that the C interface catches; all
# else that fails is a Status: see docs/decisions/allocation-failure.md.
add_library(graft_device_flags INTERFACE)
target_link_libraries(graft_device_flags INTERFACE graft_build_flags)
target_compile_options(graft_device_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-rtti>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_compile_options(graft_device_flags INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fno-gnu-unique>)   # such names cannot be made local to libgraft.a
endif()

if(CMAKE_SYSTEM_PROCESSOR STREQUAL "aarch64" AND CMAKE_SYSTEM_NAME STREQUAL "Linux")
  # Tables for what an exception can go through, and no others. Debuggers and profilers go by the frame records that this ABI has anyway;
  # Android's reports of crashes do not, so there the tables are whole.
  target_compile_options(graft_device_flags INTERFACE "$<$<CONFIG:Release>:-fno-asynchronous-unwind-tables;-fno-unwind-tables>")
endif()

# What runs once for a request, not once for a token: small rather than fast. Whole targets link graft_small_flags.
add_library(graft_small_flags INTERFACE)
target_compile_options(graft_small_flags INTERFACE $<$<CONFIG:Release>:-Os>)
# graft_small_sources(target sources...): adds sources of this folder that are compiled for size.
function(graft_small_sources target)
  target_sources(${target} PRIVATE ${ARGN})
  if(NOT CMAKE_BUILD_TYPE OR CMAKE_BUILD_TYPE STREQUAL "Release")
    set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-Os>)
  endif()
endfunction()
# graft_plain_sources(target sources...): adds sources of this folder that run once for a file, not once for a weight. They take two thirds of the
# time to compile that they would at -O3.
function(graft_plain_sources target)
  target_sources(${target} PRIVATE ${ARGN})
  set_source_files_properties(${ARGN} TARGET_DIRECTORY ${target} PROPERTIES COMPILE_OPTIONS $<$<CONFIG:Release>:-O1>)
endfunction()
