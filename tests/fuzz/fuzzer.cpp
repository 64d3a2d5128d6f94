#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    karma::test::run_input(karma::test::as_text(data, size));
    return 0;
}
