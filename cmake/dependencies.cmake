# The libraries of the project, each as an imported target. Imported targets count as SYSTEM: no warnings from their
# headers.

set(KARMA_SETUP_HINT "Run scripts/setup, which installs it (or tells what to install).")

function(karma_need what found)
  if(NOT found)
    message(FATAL_ERROR "${what} was not found. ${KARMA_SETUP_HINT}")
  endif()
endfunction()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

find_package(ZLIB QUIET)
karma_need("zlib" "${ZLIB_FOUND}")

find_package(OpenSSL 3.0 QUIET COMPONENTS Crypto SSL)
karma_need("OpenSSL 3 (libcrypto and libssl)" "${OPENSSL_FOUND}")

# Asio is header-only; JSON and Program_options are libraries.
find_package(Boost 1.81 CONFIG QUIET COMPONENTS json program_options)
karma_need("Boost 1.81 or newer, with JSON and Program_options," "${Boost_FOUND}")
message(STATUS "Boost ${Boost_VERSION} (${Boost_DIR})")
add_library(karma_boost INTERFACE)
target_link_libraries(karma_boost INTERFACE Boost::headers Boost::json Boost::program_options Threads::Threads)
target_compile_definitions(karma_boost INTERFACE BOOST_ASIO_NO_DEPRECATED)

find_package(RocksDB MODULE QUIET)
karma_need("RocksDB 7.8 or newer" "${RocksDB_FOUND}")
message(STATUS "RocksDB ${RocksDB_VERSION} (${ROCKSDB_LIBRARY})")

# The headers come from the system, or from the folder into which scripts/setup unpacks them.
find_path(
  MSGPACK_CXX_INCLUDE_DIR msgpack.hpp
  HINTS "${PROJECT_SOURCE_DIR}/build/deps/msgpack-cxx/usr/include")
karma_need("msgpack-cxx" "${MSGPACK_CXX_INCLUDE_DIR}")
add_library(karma_msgpack INTERFACE IMPORTED GLOBAL)
target_include_directories(karma_msgpack INTERFACE "${MSGPACK_CXX_INCLUDE_DIR}")
target_compile_definitions(karma_msgpack INTERFACE MSGPACK_NO_BOOST)

# Header-only.
find_path(TOMLPLUSPLUS_INCLUDE_DIR toml++/toml.h)
karma_need("toml++" "${TOMLPLUSPLUS_INCLUDE_DIR}")
add_library(karma_toml INTERFACE IMPORTED GLOBAL)
target_include_directories(karma_toml INTERFACE "${TOMLPLUSPLUS_INCLUDE_DIR}")

# Only for benchmarks; perf/ looks at TARGET benchmark::benchmark.
find_package(benchmark QUIET)

find_package(doctest QUIET)
if(doctest_FOUND)
  set(doctest_default ON)
else()
  set(doctest_default OFF)
endif()
set(KARMA_TESTS AUTO CACHE STRING "Build the tests: ON, OFF, or AUTO (when doctest is there)")
if(KARMA_TESTS STREQUAL "AUTO")
  set(KARMA_BUILD_TESTS ${doctest_default})
else()
  set(KARMA_BUILD_TESTS ${KARMA_TESTS})
endif()
if(KARMA_BUILD_TESTS)
  karma_need("doctest" "${doctest_FOUND}")
else()
  message(STATUS "The tests are not built (KARMA_TESTS=${KARMA_TESTS}, doctest found: ${doctest_default})")
endif()
