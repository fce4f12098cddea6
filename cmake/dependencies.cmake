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

# libsodium's Ed25519, for the device: what verifies a signature, and what makes one for the converter. Its sums take two words at once where
# there are 64 bits to a word.
graft_single_file(sodium_folder libsodium)
set(sodium ${sodium_folder}/libsodium)
add_library(graft_dep_sodium STATIC ${sodium}/crypto_core/ed25519/ref10/ed25519_ref10.c ${sodium}/crypto_hash/sha512/cp/hash_sha512_cp.c
  ${sodium}/crypto_sign/ed25519/ref10/open.c ${sodium}/crypto_sign/ed25519/ref10/sign.c ${sodium}/crypto_verify/sodium/verify.c
  ${CMAKE_CURRENT_LIST_DIR}/dependencies/sodium_memory.c)
set_target_properties(graft_dep_sodium PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
target_compile_options(graft_dep_sodium PRIVATE -Os -ffunction-sections -fdata-sections -w)
target_compile_definitions(graft_dep_sodium PRIVATE CONFIGURED=1 NATIVE_LITTLE_ENDIAN=1 $<$<EQUAL:${CMAKE_SIZEOF_VOID_P},8>:HAVE_TI_MODE=1>)
target_include_directories(graft_dep_sodium SYSTEM PRIVATE ${sodium}/include/sodium PUBLIC ${sodium}/include)

# Its making of keys, for the converter.
add_library(graft_dep_sodium_keys STATIC EXCLUDE_FROM_ALL ${sodium}/crypto_sign/ed25519/ref10/keypair.c
  ${CMAKE_CURRENT_LIST_DIR}/dependencies/sodium_random.c)
set_target_properties(graft_dep_sodium_keys PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
target_compile_options(graft_dep_sodium_keys PRIVATE -w)
target_compile_definitions(graft_dep_sodium_keys PRIVATE CONFIGURED=1 NATIVE_LITTLE_ENDIAN=1 $<$<EQUAL:${CMAKE_SIZEOF_VOID_P},8>:HAVE_TI_MODE=1>)
target_include_directories(graft_dep_sodium_keys SYSTEM PRIVATE ${sodium}/include/sodium PUBLIC ${sodium}/include)
target_link_libraries(graft_dep_sodium_keys PUBLIC graft_dep_sodium)

# Mbed TLS's ECDSA on P-256 and its PEM, for the converter.
graft_single_file(mbedtls_folder mbedtls)
set(sources asn1parse asn1write base64 bignum constant_time ecdsa ecp ecp_curves hmac_drbg md oid pem pk pk_wrap pkparse pkwrite platform_util sha256)
list(TRANSFORM sources REPLACE "(.+)" "${mbedtls_folder}/library/\\1.c")
add_library(graft_dep_mbedtls STATIC EXCLUDE_FROM_ALL ${sources})
set_target_properties(graft_dep_mbedtls PROPERTIES EXPORT_COMPILE_COMMANDS OFF)
target_compile_options(graft_dep_mbedtls PRIVATE -w)
target_compile_definitions(graft_dep_mbedtls PUBLIC MBEDTLS_CONFIG_FILE="${CMAKE_CURRENT_LIST_DIR}/dependencies/mbedtls_config.h")
target_include_directories(graft_dep_mbedtls SYSTEM PUBLIC ${mbedtls_folder}/include PRIVATE ${mbedtls_folder}/library)
