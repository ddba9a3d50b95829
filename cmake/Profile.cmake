# Profile-guided optimisation of the release build, with link-time optimisation.
#
# CORRAL_PROFILE=use     the recorded profile in cmake/profile steers the compiler (Release, Clang)
# CORRAL_PROFILE=record  the program writes a profile when it ends: scripts/record-profile
# CORRAL_PROFILE=off     neither
#
# A function that changed since the recording is only compiled without its profile.
set(default off)
set(recorded ${CMAKE_SOURCE_DIR}/cmake/profile/corral.proftext.gz)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND EXISTS ${recorded})
  set(default use)
endif()
set(CORRAL_PROFILE ${default} CACHE STRING "use, record or off")

if(CORRAL_PROFILE STREQUAL "record")
  add_compile_options(-fprofile-generate)
  add_link_options(-fprofile-generate)
elseif(CORRAL_PROFILE STREQUAL "use")
  find_program(LLVM_PROFDATA NAMES llvm-profdata-19 llvm-profdata REQUIRED)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${recorded})
  execute_process(COMMAND gzip -dc ${recorded} OUTPUT_FILE ${CMAKE_BINARY_DIR}/corral.proftext
                  COMMAND_ERROR_IS_FATAL ANY)
  # Named relative to the build folder, where the compiler runs: what one checkout compiled serves
  # every other one. And by its content: what another recording steered cannot be linked with it.
  file(SHA256 ${recorded} checksum)
  string(SUBSTRING ${checksum} 0 12 checksum)
  set(profile corral-${checksum}.profdata)
  execute_process(COMMAND ${LLVM_PROFDATA} merge -o ${profile} corral.proftext
                  WORKING_DIRECTORY ${CMAKE_BINARY_DIR} COMMAND_ERROR_IS_FATAL ANY)
  add_compile_options(-flto=thin -fprofile-use=${profile} -Wno-profile-instr-unprofiled
                      -Wno-profile-instr-out-of-date -Wno-backend-plugin)
  # What the linker compiles is kept in the user's cache, where other checkouts find it by content.
  if(DEFINED ENV{XDG_CACHE_HOME})
    set(cache $ENV{XDG_CACHE_HOME}/corral)
  elseif(DEFINED ENV{HOME})
    set(cache $ENV{HOME}/.cache/corral)
  else()
    set(cache ${CMAKE_BINARY_DIR})
  endif()
  add_link_options(-flto=thin -Wl,--thinlto-cache-dir=${cache}/thinlto
                   -Wl,--thinlto-cache-policy=cache_size_bytes=1g)
endif()
