#include <string>

#include <doctest/doctest.h>

#include "net/base64.h"

namespace karma::net {

TEST_CASE("base64: what is written is read back") {
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        std::string text;
        append_base64(bytes, text);
        CHECK(text.size() == base64_size(bytes.size()));
        CHECK(decode_base64(text) == bytes);
        bytes += static_cast<char>(i * 7);
    }
    CHECK(decode_base64("Zm9vYg==") == "foob");
}

TEST_CASE("base64: what is none is refused") {
    for (const char* const text :
         {"Zm9vYg=", "Zm9vY", "Zm=vYg==", "Zm9v Yg=", "Zm9v\nYg", "Z*9v", "====", "Z==="}) {
        CAPTURE(text);
        CHECK_FALSE(decode_base64(text));
    }
}

}  // namespace karma::net
