#include "tests/fuzz/fuzz.h"

// The name is libFuzzer's.
// NOLINTNEXTLINE(readability-identifier-naming)
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    karma::test::run_input(karma::test::as_text(data, size));
    return 0;
}
