# Every test, and every daemon that a test starts, runs with this environment.
set(KARMA_TEST_ENVIRONMENT
    "KARMA_SOURCE_DIR=${PROJECT_SOURCE_DIR}"
    "ASAN_OPTIONS=detect_stack_use_after_return=1:strict_string_checks=1"
    "UBSAN_OPTIONS=print_stacktrace=1"
    "TSAN_OPTIONS=second_deadlock_stack=1:suppressions='${PROJECT_SOURCE_DIR}/cmake/tsan.supp'")

# Builds all tests and what they start.
add_custom_target(all_tests)
if(TARGET karma)
  list(APPEND KARMA_TEST_ENVIRONMENT "KARMA_BINARY=$<TARGET_FILE:karma>")
  add_dependencies(all_tests karma)
endif()

# karma_register_test(<target> [PLAIN] [ARGS <argument>...])
#
# The executable <target> becomes a test. PLAIN: it is not made with doctest, its exit status alone says whether it
# passed; otherwise scripts/test expects doctest's summary from it.
function(karma_register_test target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "PLAIN" "" "ARGS")
  add_test(NAME ${target} COMMAND ${target} ${arg_ARGS})
  set_tests_properties(${target} PROPERTIES TIMEOUT 900 ENVIRONMENT "${KARMA_TEST_ENVIRONMENT}")
  if(arg_PLAIN)
    set_tests_properties(${target} PROPERTIES LABELS plain)
  endif()
  add_dependencies(all_tests ${target})
endfunction()

# karma_add_tests(<target> [COST <number>] [LINK <library>...])
#
# A doctest executable of every .cpp file of the current folder and the folders below it, with the main function of
# tests/main.cpp; nothing without any. COST: the seconds that it takes, roughly; ctest begins with the longest, so that no
# processor waits for it at the end.
function(karma_add_tests target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "COST" "LINK")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  if(NOT sources)
    return()
  endif()
  add_executable(${target} ${sources})
  target_include_directories(${target} PRIVATE "${PROJECT_SOURCE_DIR}")
  target_link_libraries(${target} PRIVATE ${arg_LINK} karma_test_main karma_test_support doctest::doctest)
  karma_register_test(${target})
  if(arg_COST)
    set_tests_properties(${target} PROPERTIES COST ${arg_COST})
  endif()
endfunction()
