#include <string>

#include <doctest/doctest.h>

#include "engine/utf8.h"

namespace karma::test {

TEST_CASE("utf8: what JSON takes, and what stands in place of the rest") {
    using namespace std::string_literals;
    for (const std::string& text : {""s, "a\0b"s, "caf\xC3\xA9"s, "\xE2\x82\xAC"s, "\xED\x9F\xBF"s,
                                    "\xF0\x90\x80\x80"s, "\xF4\x8F\xBF\xBF"s}) {
        CAPTURE(text);
        CHECK(is_utf8(text));
        CHECK(as_utf8(text) == text);
    }
    // Cut short, without a beginning, longer than needed, half of a pair of UTF-16, behind the last one.
    for (const std::string& text : {"\xC3"s, "\xA9"s, "\xC0\x80"s, "\xE0\x80\x80"s, "\xED\xA0\x80"s,
                                    "\xF4\x90\x80\x80"s, "\xF0\x90\x80"s, "\xFF"s}) {
        CAPTURE(text.size());
        CHECK(!is_utf8("a" + text + "b"));
        CHECK(is_utf8(as_utf8("a" + text + "b")));
    }
    CHECK(as_utf8("a\xFF\xC3\xA9\xC3") == "a\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD");
}

}  // namespace karma::test
