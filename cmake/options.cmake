# How first-party code is compiled: build types, warnings, sanitizers.

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 12)
  message(FATAL_ERROR "g++ 12 or newer is needed, this is ${CMAKE_CXX_COMPILER_VERSION}")
endif()

# Line tables cost nothing at run time and make profiles and stack traces readable.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1 -DNDEBUG")

# Other compilers than the one the project is developed with know other warnings: there they are shown, not fatal.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  set(werror_default ON)
else()
  set(werror_default OFF)
endif()
option(KARMA_WARNINGS_AS_ERRORS "Stop at a compiler warning" ${werror_default})
option(KARMA_LTO "Optimise across translation units when linking" OFF)
set(KARMA_SANITIZE "" CACHE STRING "Sanitizers: empty, 'address,undefined' or 'thread'")
option(KARMA_FUZZ "Build the fuzz targets, and what they link so that libFuzzer sees its ways (needs clang)" OFF)

add_compile_options(
  -Wall
  -Wextra
  -Wpedantic
  -Wshadow
  -Wconversion
  -Wnon-virtual-dtor
  -Woverloaded-virtual
  -Wdeprecated-copy-dtor
  -Wextra-semi)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options(-Wduplicated-cond -Wlogical-op)
endif()
if(KARMA_WARNINGS_AS_ERRORS)
  add_compile_options(-Werror)
endif()

# A daemon that strangers reach: what a mistake in it may be used for is made harder. Sanitizers and fuzzers have checks of
# their own, which _FORTIFY_SOURCE would get in the way of.
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported()
include(CheckCXXCompilerFlag)
check_cxx_compiler_flag(-fcf-protection=full KARMA_HAS_CF_PROTECTION)
add_compile_options(-fstack-protector-strong)
if(KARMA_HAS_CF_PROTECTION)
  add_compile_options(-fcf-protection=full)
endif()
add_link_options(-Wl,-z,relro,-z,now)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT KARMA_SANITIZE AND NOT KARMA_FUZZ)
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  add_compile_definitions(KARMA_HARDENED)
endif()

if(KARMA_LTO)
  include(CheckIPOSupported)
  check_ipo_supported()
  set(CMAKE_INTERPROCEDURAL_OPTIMIZATION ON)
endif()

if(CMAKE_BUILD_TYPE STREQUAL "Debug")
  add_compile_definitions(_GLIBCXX_ASSERTIONS)
endif()

if(KARMA_SANITIZE)
  add_compile_options(-fsanitize=${KARMA_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  # Checking a type opens a pipe, and takes the type for damaged where no file can be opened any more: as in the tests
  # that use up all descriptors.
  add_compile_options(-fno-sanitize=vptr)
  add_link_options(-fsanitize=${KARMA_SANITIZE})
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # The code that sanitizers insert makes these warnings guess wrong.
    add_compile_options(
      -Wno-array-bounds
      -Wno-maybe-uninitialized
      -Wno-restrict
      -Wno-stringop-overflow
      -Wno-stringop-overread
      -Wno-tsan)
  endif()
endif()

if(KARMA_FUZZ)
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "KARMA_FUZZ needs clang, for libFuzzer; this is ${CMAKE_CXX_COMPILER_ID}")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
