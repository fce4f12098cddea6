# Targets for what graft links. The table of sources, versions and checksums is dependencies.txt.
include(${CMAKE_CURRENT_LIST_DIR}/build_dependencies.cmake)
if(NOT GRAFT_DEPS_PREFIX)
  graft_build_dependencies(GRAFT_DEPS_PREFIX)
endif()
if(NOT EXISTS ${GRAFT_DEPS_PREFIX}/include/xnnpack.h)
  message(FATAL_ERROR "GRAFT_DEPS_PREFIX is ${GRAFT_DEPS_PREFIX}, which has no include/xnnpack.h")
endif()

add_library(graft_headers INTERFACE)   # FlatBuffers, xxHash, doctest, nlohmann-json, CLI11, Highway: headers
target_include_directories(graft_headers SYSTEM INTERFACE ${GRAFT_DEPS_PREFIX}/include)
set(GRAFT_DEPENDENCY_LIBRARIES XNNPACK microkernels-prod pthreadpool cpuinfo pcre2-8 utf8proc hwy)
foreach(name ${GRAFT_DEPENDENCY_LIBRARIES})
  add_library(graft_dep_${name} STATIC IMPORTED)
  set_target_properties(graft_dep_${name} PROPERTIES IMPORTED_LOCATION ${GRAFT_DEPS_PREFIX}/lib/lib${name}.a)
endforeach()
find_package(Threads REQUIRED)

add_library(graft_xnnpack INTERFACE)
target_link_libraries(graft_xnnpack INTERFACE graft_headers graft_dep_XNNPACK graft_dep_microkernels-prod
  graft_dep_pthreadpool graft_dep_cpuinfo Threads::Threads m)
if(ANDROID)
  target_link_libraries(graft_xnnpack INTERFACE log)   # where cpuinfo and XNNPACK write
endif()

add_library(graft_text_dependencies INTERFACE)
target_link_libraries(graft_text_dependencies INTERFACE graft_headers graft_dep_pcre2-8 graft_dep_utf8proc)
target_compile_definitions(graft_text_dependencies INTERFACE PCRE2_CODE_UNIT_WIDTH=8 PCRE2_STATIC UTF8PROC_STATIC)

graft_single_file(stb_folder stb)
add_library(graft_stb INTERFACE)
target_include_directories(graft_stb SYSTEM INTERFACE ${stb_folder})
