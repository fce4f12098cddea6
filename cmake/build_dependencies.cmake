# graft_build_dependencies(prefix): builds what dependencies.txt lists, once for each compiler, target and flags, into the cache folder,
# and sets prefix to the folder with its include/ and lib/.
#
# A source comes from, in this order:
#   -DGRAFT_<NAME>_SOURCE_DIR=folder     a folder you have, for example -DGRAFT_XNNPACK_SOURCE_DIR=...
#   <cache>/downloads/<tarball>          put there by ./run (Debian's mirrors), checked against its SHA-256
#   git fetch of the pinned commit       with -DGRAFT_FETCH_DEPENDENCIES=ON
# A header-only library comes from -DGRAFT_<NAME>_INCLUDE_DIR=folder, from /usr/include, or from its upstream tag, likewise.
# The cache is $GRAFT_CACHE_DIR, or graft in $XDG_CACHE_HOME, or ~/.cache/graft.

function(graft_cache_folder result)
  if(DEFINED ENV{GRAFT_CACHE_DIR})
    set(folder "$ENV{GRAFT_CACHE_DIR}")
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(folder "$ENV{XDG_CACHE_HOME}/graft")
  else()
    set(folder "$ENV{HOME}/.cache/graft")
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()

# Fetches one revision of a repository, without its history, into folder.
function(graft_fetch_revision name url revision folder)
  if(NOT GRAFT_FETCH_DEPENDENCIES)
    string(TOUPPER ${name} upper)
    message(FATAL_ERROR "${name} is missing: run ./run build on Debian 12, give its folder with "
      "-DGRAFT_${upper}_SOURCE_DIR= (headers: -DGRAFT_${upper}_INCLUDE_DIR=), or fetch it from ${url} with -DGRAFT_FETCH_DEPENDENCIES=ON")
  endif()
  find_package(Git REQUIRED)
  message(STATUS "Fetching ${name} ${revision} from ${url}")
  file(MAKE_DIRECTORY ${folder})
  foreach(arguments "init -q" "fetch -q --depth 1 ${url} ${revision}" "-c advice.detachedHead=false checkout -q FETCH_HEAD")
    separate_arguments(arguments)
    execute_process(COMMAND ${GIT_EXECUTABLE} ${arguments} WORKING_DIRECTORY ${folder} COMMAND_ERROR_IS_FATAL ANY)
  endforeach()
endfunction()

# Sets result to the source folder of one library, unpacked or fetched under work.
function(graft_source_folder result work name tarball sha256 url commit)
  string(TOUPPER ${name} upper)
  set(folder ${work}/source/${name})
  graft_cache_folder(cache)
  if(GRAFT_${upper}_SOURCE_DIR)
    get_filename_component(folder "${GRAFT_${upper}_SOURCE_DIR}" ABSOLUTE BASE_DIR "${CMAKE_BINARY_DIR}")
  elseif(EXISTS ${cache}/downloads/${tarball})
    file(SHA256 ${cache}/downloads/${tarball} found)
    if(NOT found STREQUAL sha256)
      message(FATAL_ERROR "${cache}/downloads/${tarball} has SHA-256 ${found}, but dependencies.txt names ${sha256}: delete it and try again")
    endif()
    file(ARCHIVE_EXTRACT INPUT ${cache}/downloads/${tarball} DESTINATION ${folder})
    file(GLOB inside ${folder}/*)
    list(LENGTH inside count)
    if(count EQUAL 1)   # most tarballs have one top folder, XNNPACK's has none
      set(folder ${inside})
    endif()
  else()
    graft_fetch_revision(${name} ${url} ${commit} ${folder})
  endif()
  set(${result} ${folder} PARENT_SCOPE)
endfunction()

# Copies one header-only library into prefix/include.
function(graft_copy_headers work prefix name path url tag path_there)
  string(TOUPPER ${name} upper)
  get_filename_component(leaf ${path} NAME)
  if(GRAFT_${upper}_INCLUDE_DIR)
    set(from ${GRAFT_${upper}_INCLUDE_DIR}/${path})
  elseif(EXISTS /usr/include/${path})
    set(from /usr/include/${path})
  else()
    graft_fetch_revision(${name} ${url} ${tag} ${work}/source/${name})
    set(from ${work}/source/${name}/${path_there})
  endif()
  file(COPY ${from} DESTINATION ${prefix}/include)
endfunction()

function(graft_build_dependencies result)
  set(here ${CMAKE_CURRENT_FUNCTION_LIST_DIR})
  set(flags "")
  if(GRAFT_SANITIZE STREQUAL "thread")   # the thread sanitizer must see pthreadpool's own synchronization
    set(flags "-fsanitize=thread")
  endif()

  # The key says everything that the built bytes depend on.
  file(STRINGS ${here}/dependencies.txt lines REGEX "^(source|headers) ")
  file(SHA256 ${here}/dependencies/CMakeLists.txt recipe)
  set(identity "${lines}" ${recipe} ${CMAKE_SYSTEM_NAME} ${CMAKE_SYSTEM_PROCESSOR} ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}
    ${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION} "${CMAKE_C_COMPILER_TARGET}" "${flags}")
  foreach(line ${lines})
    string(REGEX REPLACE "^[a-z]+ +([a-z0-9]+) .*" "\\1" name ${line})
    string(TOUPPER ${name} upper)
    list(APPEND identity "${GRAFT_${upper}_SOURCE_DIR}" "${GRAFT_${upper}_INCLUDE_DIR}")
  endforeach()
  string(SHA256 key "${identity}")
  string(SUBSTRING ${key} 0 16 key)
  graft_cache_folder(cache)
  set(prefix ${cache}/deps/${CMAKE_SYSTEM_PROCESSOR}-${CMAKE_C_COMPILER_ID}-${key})
  set(${result} ${prefix} PARENT_SCOPE)
  if(EXISTS ${prefix}/include/xnnpack.h)
    return()
  endif()

  file(LOCK ${prefix}.lock GUARD FUNCTION TIMEOUT 1800)
  if(EXISTS ${prefix}/include/xnnpack.h)   # another configuration built it meanwhile
    return()
  endif()
  message(STATUS "Building the dependencies for ${CMAKE_SYSTEM_PROCESSOR} with ${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION} (once, some minutes)")
  set(work ${prefix}.work)
  file(REMOVE_RECURSE ${work})

  set(folders "")
  foreach(line ${lines})
    separate_arguments(field UNIX_COMMAND "${line}")
    list(POP_FRONT field kind name)
    if(kind STREQUAL "source")
      list(POP_FRONT field debian tarball sha256 url commit)
      graft_source_folder(folder ${work} ${name} ${tarball} ${sha256} ${url} ${commit})
      string(TOUPPER ${name} upper)
      list(APPEND folders -D${upper}_SOURCE_DIR=${folder})
    else()
      list(POP_FRONT field debian path version url tag path_there)
      graft_copy_headers(${work} ${work}/prefix ${name} ${path} ${url} ${tag} ${path_there})
    endif()
  endforeach()

  set(configure ${CMAKE_COMMAND} -S ${here}/dependencies -B ${work}/build -G ${CMAKE_GENERATOR} -DCMAKE_BUILD_TYPE=Release
    -DCMAKE_INSTALL_PREFIX=${work}/prefix "-DCMAKE_C_FLAGS=${flags}" "-DCMAKE_CXX_FLAGS=${flags}" ${folders})
  foreach(variable CMAKE_TOOLCHAIN_FILE CMAKE_C_COMPILER CMAKE_CXX_COMPILER CMAKE_C_COMPILER_LAUNCHER CMAKE_CXX_COMPILER_LAUNCHER
      CMAKE_MAKE_PROGRAM ANDROID_ABI ANDROID_PLATFORM)
    if(${variable})
      list(APPEND configure -D${variable}=${${variable}})
    endif()
  endforeach()
  cmake_host_system_information(RESULT cores QUERY NUMBER_OF_LOGICAL_CORES)
  set(log ${prefix}.log)
  foreach(step "${configure}" "${CMAKE_COMMAND};--build;${work}/build;--parallel;${cores}" "${CMAKE_COMMAND};--install;${work}/build")
    execute_process(COMMAND ${step} OUTPUT_FILE ${log} ERROR_FILE ${log} RESULT_VARIABLE failed)
    if(failed)
      file(READ ${log} text)
      string(LENGTH "${text}" length)
      math(EXPR start "${length} - 4000")
      if(start GREATER 0)
        string(SUBSTRING "${text}" ${start} -1 text)
      endif()
      message(FATAL_ERROR "The dependencies failed to build; the end of ${log}:\n${text}")
    endif()
  endforeach()
  file(RENAME ${work}/prefix ${prefix})   # complete or absent, never half
  file(REMOVE_RECURSE ${work} ${log})
endfunction()
