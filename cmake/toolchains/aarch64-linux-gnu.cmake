# Cross-builds for 64-bit ARM Linux with Debian's compiler. Programs are static: they run on any such device, and under qemu without
# a copy of its libraries. QEMU_CPU in the environment chooses the emulated CPU (max, cortex-a76, cortex-a72).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(GRAFT_QEMU_AARCH64 NAMES qemu-aarch64-static qemu-aarch64)
if(GRAFT_QEMU_AARCH64)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${GRAFT_QEMU_AARCH64})
endif()
