// What the compiler and the linker do so that a mistake is harder to use: only release builds have all of it.
#include <string>

#include <doctest/doctest.h>

#include "tests/support/process.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

#ifdef KARMA_HARDENED
TEST_CASE("hardening: the program is position independent, its tables are read-only, its stack is guarded") {
    const ProgramResult shown =
        run_program("/usr/bin/readelf", {"-W", "-h", "-l", "-d", "--dyn-syms", karma_binary().string()});
    REQUIRE(shown.status.code == 0);
    const std::string& text = shown.standard_output;
    CHECK(contains(text, "Position-Independent Executable"));
    CHECK(contains(text, "GNU_RELRO"));
    CHECK(contains(text, "BIND_NOW"));
    CHECK(contains(text, "__stack_chk_fail"));
    CHECK(contains(text, "__memcpy_chk"));  // of _FORTIFY_SOURCE
}

#ifdef __CET__  // the compiler has it
TEST_CASE("hardening: indirect branches end where a function begins, as far as the processor checks that") {
    const ProgramResult shown =
        run_program("/usr/bin/objdump", {"-d", "--disassemble=main", karma_binary().string()});
    REQUIRE(shown.status.code == 0);
    CHECK(contains(shown.standard_output, "endbr64"));
}
#endif
#endif

}  // namespace karma::test
