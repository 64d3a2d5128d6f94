# karma_module(<target> [EXCLUDE <file>...] [LINK <library>...])
#
# The static library of one module: every .cpp file of the current folder and the folders below it. A new file is noticed
# by the next build. Code sees the project's version as the string KARMA_VERSION. Everything in LINK is passed on to who
# links the module. A module without sources links like any other.
function(karma_module target)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "EXCLUDE;LINK")
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/*.cpp")
  foreach(file IN LISTS arg_EXCLUDE)
    list(REMOVE_ITEM sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  if(sources)
    add_library(${target} STATIC ${sources})
    set(scope PUBLIC)
  else()
    add_library(${target} INTERFACE)
    set(scope INTERFACE)
  endif()
  # Includes are written from the project root.
  target_include_directories(${target} ${scope} "${PROJECT_SOURCE_DIR}")
  target_compile_definitions(${target} ${scope} KARMA_VERSION="${PROJECT_VERSION}")
  target_link_libraries(${target} ${scope} ${arg_LINK})
endfunction()
