# What others link and install: libgraft.a and libgraft.so (nothing but the functions of graft.h visible), the programs, a CMake
# package, a pkg-config file, and packages made of them by CPack.
include(GNUInstallDirs)

graft_exported_names(exports)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/package)
list(JOIN exports "\n" lines)
file(CONFIGURE OUTPUT ${folder}/exports.txt CONTENT "${lines}\n")
list(JOIN exports ";\n    " lines)
file(CONFIGURE OUTPUT ${folder}/exports.map CONTENT "GRAFT_${PROJECT_VERSION_MAJOR} {\n  global:\n    ${lines};\n  local:\n    *;\n};\n" @ONLY)

set(rooms graft graft_chat graft_text graft_runtime graft_platform graft_schema)
set(libraries ${GRAFT_DEPENDENCY_LIBRARIES} sodium)
list(TRANSFORM libraries PREPEND graft_dep_)

# libgraft.so. Dependencies are inside and invisible: a program may have an XNNPACK of its own beside them.
add_library(graft_shared SHARED ${CMAKE_CURRENT_LIST_DIR}/package/empty.cc)
set_target_properties(graft_shared PROPERTIES OUTPUT_NAME graft VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
  LINK_DEPENDS ${folder}/exports.map LIBRARY_OUTPUT_DIRECTORY ${folder})
target_link_libraries(graft_shared PRIVATE -Wl,--whole-archive graft -Wl,--no-whole-archive graft_build_flags)
target_link_options(graft_shared PRIVATE -Wl,--version-script=${folder}/exports.map -Wl,--no-undefined -Wl,-Bsymbolic
  -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack -Wl,-z,max-page-size=65536 -Wl,-Map=${folder}/libgraft.so.map)

# libgraft.a: everything linked into one object whose only global names are the header's, for the same reason.
set(archives "")
foreach(target ${libraries})
  list(APPEND archives $<TARGET_FILE:${target}>)
endforeach()
set(own "")
foreach(room ${rooms})
  list(APPEND own $<TARGET_FILE:${room}>)
endforeach()
add_custom_command(OUTPUT ${folder}/libgraft.a
  COMMAND ${CMAKE_LINKER} -r --force-group-allocation -o ${folder}/graft.o --whole-archive ${own} --no-whole-archive
    --start-group ${archives} --end-group
  COMMAND ${CMAKE_OBJCOPY} --keep-global-symbols=${folder}/exports.txt ${folder}/graft.o
  COMMAND ${CMAKE_COMMAND} -E rm -f ${folder}/libgraft.a
  COMMAND ${CMAKE_AR} qcs ${folder}/libgraft.a ${folder}/graft.o
  COMMAND ${CMAKE_COMMAND} -E rm ${folder}/graft.o
  DEPENDS ${rooms} ${folder}/exports.txt
  COMMENT "Linking libgraft.a" VERBATIM)
add_custom_target(graft_static_package ALL DEPENDS ${folder}/libgraft.a)

install(FILES ${folder}/libgraft.a DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT development)
install(TARGETS graft_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library NAMELINK_COMPONENT development)
install(FILES ${GRAFT_PUBLIC_HEADERS} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/graft COMPONENT development)
target_link_options(graft-run PRIVATE -Wl,-Map=${folder}/graft-run.map)   # for the report of sizes
install(TARGETS graft-run RUNTIME COMPONENT tools)
if(GRAFT_BUILD_CONVERTER)
  install(TARGETS graft-convert RUNTIME COMPONENT tools)
endif()

include(CMakePackageConfigHelpers)
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/package/graftConfig.cmake.in ${folder}/graftConfig.cmake
  INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/graft PATH_VARS CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_LIBDIR)
write_basic_package_version_file(${folder}/graftConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${folder}/graftConfig.cmake ${folder}/graftConfigVersion.cmake
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/graft COMPONENT development)
# Paths in the .pc file are relative to where it lies, so the tree can be moved.
file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" up "${up}")
configure_file(${CMAKE_CURRENT_LIST_DIR}/package/graft.pc.in ${folder}/graft.pc @ONLY)
install(FILES ${folder}/graft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT development)
foreach(component library development tools)
  set(package libgraft${PROJECT_VERSION_MAJOR})
  if(component STREQUAL "development")
    set(package libgraft-dev)
  elseif(component STREQUAL "tools")
    set(package graft-tools)
  endif()
  install(FILES ${CMAKE_CURRENT_LIST_DIR}/package/copyright DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/${package} COMPONENT ${component})
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/README.md ${PROJECT_SOURCE_DIR}/CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/graft-tools COMPONENT tools)

set(CPACK_PACKAGE_NAME graft)
set(CPACK_PACKAGE_VENDOR graft)
set(CPACK_PACKAGE_CONTACT "The graft authors <graft@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "LoRA-adapted models on the device, as one file")
set(CPACK_PACKAGE_DESCRIPTION "Merges LoRA adapters into their base model, quantizes, and runs the result from one mapped file.")
set(CPACK_PACKAGE_CHECKSUM SHA256)
set(CPACK_STRIP_FILES ON)
set(CPACK_GENERATOR TGZ DEB)
set(CPACK_PACKAGE_FILE_NAME graft-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_ARCHIVE_COMPONENT_INSTALL OFF)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_NAME libgraft${PROJECT_VERSION_MAJOR})
set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_LIBRARY_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libgraft-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libgraft${PROJECT_VERSION_MAJOR} (= ${PROJECT_VERSION})")
set(CPACK_DEBIAN_TOOLS_PACKAGE_NAME graft-tools)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SECTION utils)
set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS ON)
if(CMAKE_CROSSCOMPILING)   # the target's libraries are not here to be asked for their packages
  set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
  if(CMAKE_SIZEOF_VOID_P EQUAL 4)
    set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE armhf)
  endif()
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_SHLIBDEPS OFF)
  set(CPACK_DEBIAN_LIBRARY_PACKAGE_DEPENDS "libc6 (>= 2.36), libgcc-s1 (>= 3.0), libstdc++6 (>= 12)")
  set(CPACK_DEBIAN_TOOLS_PACKAGE_SHLIBDEPS OFF)   # static programs
endif()
set(CPACK_COMPONENTS_ALL library development tools)
include(CPack)
