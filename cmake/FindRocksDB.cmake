# RocksDB as a shared library. The CMake files of the distributions' packages want every compression library's own CMake
# files too, which a shared library does not need.
#
# Defines the target RocksDB::rocksdb, RocksDB_VERSION, ROCKSDB_LIBRARY and ROCKSDB_INCLUDE_DIR.

find_path(ROCKSDB_INCLUDE_DIR rocksdb/db.h)
find_library(ROCKSDB_LIBRARY rocksdb)

if(ROCKSDB_INCLUDE_DIR)
  file(STRINGS "${ROCKSDB_INCLUDE_DIR}/rocksdb/version.h" version_lines REGEX "#define ROCKSDB_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE "[^0-9;]" "" version_numbers "${version_lines}")
  list(JOIN version_numbers "." RocksDB_VERSION)
endif()

include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(
  RocksDB
  REQUIRED_VARS ROCKSDB_LIBRARY ROCKSDB_INCLUDE_DIR
  VERSION_VAR RocksDB_VERSION)

if(RocksDB_FOUND AND NOT TARGET RocksDB::rocksdb)
  add_library(RocksDB::rocksdb UNKNOWN IMPORTED GLOBAL)
  set_target_properties(
    RocksDB::rocksdb PROPERTIES IMPORTED_LOCATION "${ROCKSDB_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES
                                                                       "${ROCKSDB_INCLUDE_DIR}")
endif()
mark_as_advanced(ROCKSDB_INCLUDE_DIR ROCKSDB_LIBRARY)
