# Cross-builds for 32-bit ARM Linux, hard float, with NEON, with Debian's compiler. Programs are static: they run on any such device, and
# under qemu without a copy of its libraries. QEMU_CPU in the environment chooses the emulated CPU (cortex-a15, cortex-a7, max).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR armv7)
set(CMAKE_C_COMPILER arm-linux-gnueabihf-gcc)
set(CMAKE_CXX_COMPILER arm-linux-gnueabihf-g++)
# VFPv4 (fused multiply-add) is in every core since Cortex-A7 and A15; files may be larger than 2 GiB.
set(CMAKE_C_FLAGS_INIT "-march=armv7-a -mfpu=neon-vfpv4 -D_FILE_OFFSET_BITS=64")
set(CMAKE_CXX_FLAGS_INIT "-march=armv7-a -mfpu=neon-vfpv4 -D_FILE_OFFSET_BITS=64")
set(CMAKE_EXE_LINKER_FLAGS_INIT "-static")
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
find_program(GRAFT_QEMU_ARM NAMES qemu-arm-static qemu-arm)
if(GRAFT_QEMU_ARM)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${GRAFT_QEMU_ARM})
endif()
