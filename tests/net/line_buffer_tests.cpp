#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "net/line_buffer.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void put(net::LineBuffer& buffer, std::string_view bytes) {
    while (!bytes.empty()) {
        const std::span<char> room = buffer.room();
        const std::size_t size = std::min(room.size(), bytes.size());
        std::copy_n(bytes.begin(), size, room.begin());
        buffer.add(size);
        bytes.remove_prefix(size);
    }
}

std::vector<std::string> lines_of(net::LineBuffer& buffer) {
    std::vector<std::string> lines;
    for (std::string_view line; buffer.take(line);) lines.emplace_back(line);
    return lines;
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("line buffer: lines without their ends, which do not count") {
    net::LineBuffer buffer(4);
    put(buffer, "abcd\nabcd\r\n\n\r\nab");
    CHECK(lines_of(buffer) == Lines{"abcd", "abcd", "", ""});
    CHECK_FALSE(buffer.empty());
    put(buffer, "cd\r");
    CHECK(lines_of(buffer).empty());
    put(buffer, "\n");
    CHECK(lines_of(buffer) == Lines{"abcd"});
    CHECK(buffer.empty());
    CHECK(buffer.taken() == 5);
}

TEST_CASE("line buffer: a line that is too long is given out as soon as that is certain") {
    for (const char* const bytes : {"abcde", "abcd\re", "abcde\r", "abcde\n", "abcdefgh\r\n"}) {
        CAPTURE(bytes);
        net::LineBuffer buffer(4);
        put(buffer, bytes);
        std::string_view line;
        REQUIRE(buffer.take(line));
        CHECK(line.size() > 4);
    }
}

TEST_CASE("line buffer: a line that is put back is taken again") {
    net::LineBuffer buffer(10);
    put(buffer, "a\nbc\r\nd");
    std::string_view line;
    REQUIRE(buffer.take(line));
    REQUIRE(buffer.take(line));
    buffer.put_back(line);
    CHECK(buffer.taken() == 1);
    CHECK(lines_of(buffer) == Lines{"bc"});
}

TEST_CASE("line buffer: at the end the rest is a line, or nothing") {
    for (const bool counts : {true, false}) {
        net::LineBuffer buffer(10);
        put(buffer, "a\nb\nrest");
        buffer.end(counts);
        CHECK(lines_of(buffer) == (counts ? Lines{"a", "b", "rest"} : Lines{"a", "b"}));
        CHECK(buffer.empty());
        CHECK(buffer.has_ended());
    }
    net::LineBuffer taken(10);
    put(taken, "a\nrest");
    CHECK(lines_of(taken) == Lines{"a"});
    taken.end(false);
    CHECK(lines_of(taken).empty());
    CHECK(taken.empty());
}

TEST_CASE("line buffer: what was searched for the end of a line is not searched again") {
    net::LineBuffer buffer(1000);
    std::size_t lines_before = 0;
    SUBCASE("of the first line") {}
    SUBCASE("of a line behind others") {
        put(buffer, "one\ntwo\n");
        lines_before = 2;
    }
    put(buffer, "abc");
    CHECK(lines_of(buffer).size() == lines_before);
    // Nobody puts a newline there but this test, which so sees whether anybody looks.
    *(buffer.room().data() - 1) = '\n';
    put(buffer, "def");
    CHECK(lines_of(buffer).empty());
    put(buffer, "\n");
    CHECK(lines_of(buffer) == Lines{"ab\ndef"});
}

TEST_CASE("line buffer: lines of all lengths in pieces of all sizes") {
    std::mt19937_64 random = random_engine("line buffer");
    for (std::size_t run = 0; run < scaled(50); ++run) {
        CAPTURE(run);
        net::LineBuffer buffer(100'000);
        Lines expected;
        std::string bytes;
        for (int i = 0; i < 50; ++i) {
            const std::size_t most = one_in(random, 10) ? 100'000 : 300;
            expected.push_back(random_word(random, random_between(random, 0, most)));
            bytes += expected.back() + (one_in(random, 2) ? "\n" : "\r\n");
        }
        Lines got;
        for (std::string_view rest = bytes; !rest.empty();) {
            const std::span<char> room = buffer.room();
            const std::size_t size =
                std::min({room.size(), rest.size(), std::size_t{random_between(random, 1, 70'000)}});
            std::copy_n(rest.begin(), size, room.begin());
            buffer.add(size);
            rest.remove_prefix(size);
            for (std::string& line : lines_of(buffer)) got.push_back(std::move(line));
        }
        CHECK(got == expected);
        CHECK(buffer.empty());
    }
}

}  // namespace karma::test
