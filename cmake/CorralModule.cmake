# corral_module(NAME [HOT] USES <modules above> LINKS <outside libraries>)
#
# One static library `corral_NAME` from src/NAME/**.cpp, and, where src/NAME/tests holds files, one
# test program `NAME_tests`. Includes are written from src/: #include "net/stream.hpp".
#
# CORRAL_JOIN=N compiles up to N sources of a module as one text, which reads the libraries' headers
# once for all of them: a cold build takes a third of the time. Sources of a module therefore share one
# name space: what is in the unnamed namespace of two of them needs two names, and a test stands in a
# namespace of its file's name. In a release build the modules on a request's way (HOT) are compiled
# source by source, for the recorded profile names functions by their source.
set(CORRAL_JOIN 0 CACHE STRING "sources of a module that are compiled as one text; 0: each by itself")

add_library(corral_options INTERFACE)
target_include_directories(corral_options INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(corral_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor
  -Wno-missing-field-initializers -Wno-gnu-statement-expression)
# A request awaits some ten coroutines deep; Asio keeps only two of their frames for reuse by itself.
# Frames over 1 KiB it asks of aligned_alloc, which glibc never serves from its fast lists; new does.
set(CORRAL_ASIO_DEFINITIONS BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE=8
  $<$<CONFIG:Release>:BOOST_ASIO_DISABLE_STD_ALIGNED_ALLOC>
  $<$<CONFIG:Release>:BOOST_ASIO_DISABLE_BOOST_ALIGN>)
target_compile_definitions(corral_options INTERFACE ${CORRAL_ASIO_DEFINITIONS})
target_link_libraries(corral_options INTERFACE Threads::Threads fmt::fmt Boost::headers)

# Asio and Beast compiled once (BOOST_*_SEPARATE_COMPILATION); linked by all, since the shared
# precompiled header refers to them.
add_library(corral_asio STATIC ${CMAKE_SOURCE_DIR}/cmake/asio_impl.cpp)
target_compile_definitions(corral_asio PUBLIC ${CORRAL_ASIO_DEFINITIONS})
target_link_libraries(corral_asio PUBLIC Boost::headers Threads::Threads)
target_link_libraries(corral_options INTERFACE corral_asio)

# The small precompiled header that every module shares (ccache needs the timestamp left out).
set(CORRAL_PCH_FLAGS $<$<COMPILE_LANGUAGE:CXX>:-Xclang$<SEMICOLON>-fno-pch-timestamp>)
if(NOT EXISTS ${CMAKE_BINARY_DIR}/pch.cpp)  # rewriting it would rebuild what it carries
  file(WRITE ${CMAKE_BINARY_DIR}/pch.cpp "// carries the shared precompiled header\n")
endif()
add_library(corral_pch OBJECT ${CMAKE_BINARY_DIR}/pch.cpp)
target_link_libraries(corral_pch PUBLIC corral_options)
target_compile_options(corral_pch PRIVATE ${CORRAL_PCH_FLAGS})
target_precompile_headers(corral_pch PRIVATE <algorithm> <array> <atomic> <chrono> <cstdint>
  <expected> <functional> <map> <memory> <mutex> <optional> <span> <string> <string_view>
  <unordered_map> <utility> <variant> <vector> <fmt/core.h> <boost/asio/awaitable.hpp>)

# Sets OUT to the sources, or to texts in the build folder that include up to MOST of them each.
# The includes are relative to src/, so that the texts are the same in every checkout.
function(corral_joined out name most)
  list(LENGTH ARGN count)
  if(most LESS 2 OR count LESS 2)
    set(${out} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  math(EXPR texts "(${count} + ${most} - 1) / ${most}")
  math(EXPR size "(${count} + ${texts} - 1) / ${texts}")
  set(joined)
  set(first 0)
  while(first LESS count)
    list(SUBLIST ARGN ${first} ${size} members)
    list(TRANSFORM members REPLACE "^${CMAKE_SOURCE_DIR}/src/(.*)$" "#include \"\\1\"\n")
    list(JOIN members "" text)
    set(path ${CMAKE_BINARY_DIR}/joined/${name}_${first}.cpp)
    file(CONFIGURE OUTPUT ${path} CONTENT "${text}" @ONLY)  # left alone where it says this already
    list(APPEND joined ${path})
    math(EXPR first "${first} + ${size}")
  endwhile()
  set(${out} ${joined} PARENT_SCOPE)
endfunction()

# Where the checkout lies, for tests that read its files: the one text that a checkout's path is in.
if(CORRAL_TESTS)
  add_library(corral_source_dir STATIC ${CMAKE_SOURCE_DIR}/src/base/tests/support/source_dir.cpp)
  target_link_libraries(corral_source_dir PUBLIC corral_options)
  target_compile_definitions(corral_source_dir PRIVATE CORRAL_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
endif()

function(corral_module name)
  cmake_parse_arguments(ARG "HOT" "" "USES;LINKS" ${ARGN})
  set(dir ${CMAKE_SOURCE_DIR}/src/${name})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${dir}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/tests/")
  list(FILTER sources EXCLUDE REGEX "/main\\.cpp$")
  if(NOT sources)
    set(sources ${CMAKE_BINARY_DIR}/pch.cpp)
  endif()
  set(most ${CORRAL_JOIN})
  if(ARG_HOT AND CMAKE_BUILD_TYPE STREQUAL "Release")
    set(most 1)
  endif()
  corral_joined(joined ${name} ${most} ${sources})
  add_library(corral_${name} STATIC ${joined})
  set_target_properties(corral_${name} PROPERTIES LINKER_LANGUAGE CXX)
  target_link_libraries(corral_${name} PUBLIC corral_options)
  foreach(used ${ARG_USES})
    target_link_libraries(corral_${name} PUBLIC corral_${used})
  endforeach()
  target_link_libraries(corral_${name} PRIVATE ${ARG_LINKS})
  corral_use_pch(corral_${name})
  set_property(GLOBAL PROPERTY corral_uses_${name} "${ARG_USES}")

  file(GLOB tests CONFIGURE_DEPENDS ${dir}/tests/*.cpp)
  if(CORRAL_TESTS AND tests)
    corral_joined(joined ${name}_tests ${CORRAL_JOIN} ${tests})
    add_executable(${name}_tests ${joined})
    target_link_libraries(${name}_tests PRIVATE corral_${name} ${ARG_LINKS} corral_source_dir
                                                GTest::gtest GTest::gmock GTest::gtest_main)
    corral_use_pch(${name}_tests)
    add_test(NAME ${name} COMMAND ${name}_tests)
  endif()
endfunction()

function(corral_use_pch target)
  target_compile_options(${target} PRIVATE ${CORRAL_PCH_FLAGS})
  target_precompile_headers(${target} REUSE_FROM corral_pch)
endfunction()
