#include <limits>
#include <map>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/error.h"
#include "engine/series.h"
#include "persist/karma1/tree_format.h"
#include "persist/karma1/tree_reader.h"
#include "tests/support/settings.h"

namespace karma::test {

using namespace std::string_literals;

namespace {

using Contents = std::map<std::uint64_t, std::map<Day, std::uint64_t>>;

constexpr std::uint64_t seed = 42;

Day day_of(std::uint64_t yyyymmdd) { return day_from_yyyymmdd(yyyymmdd).value(); }

Contents read(std::string_view bytes) {
    Contents contents;
    read_tree(bytes, [&](std::uint64_t key, std::span<const Point> points) {
        auto& days = contents[key];
        for (const Point& point : points) {
            days[point.day] = point.value;
        }
    });
    return contents;
}

Series series_of_contents(const Contents& contents) {
    Series series("links", seed);
    for (const auto& [key, days] : contents) {
        series.set(key, 1, 0);
        for (const auto& [day, value] : days) {
            series.set(key, day, value);
        }
    }
    return series;
}

/// The pages of a series as a source, and what is asked of it.
class Pages {
public:
    explicit Pages(const Series& series) : view_(series.view()) {}

    std::size_t count() const { return view_.pages().size(); }
    PageSource source() {
        return [this](std::size_t number) {
            ++reads_;
            return view_.pages()[number];
        };
    }
    std::size_t reads() const { return reads_; }

    std::string whole() {
        std::string bytes;
        write_tree(count(), source(), [&](std::string_view piece) { bytes += piece; });
        return bytes;
    }
    TreeStatistics statistics() const {
        TreeStatistics sum;
        for (const PageRef& page : view_.pages()) {
            sum += tree_statistics(*page);
        }
        return sum;
    }

private:
    SeriesView view_;
    std::size_t reads_ = 0;
};

std::uint64_t random_number(std::mt19937_64& engine) {
    return random_between(engine, 0, std::numeric_limits<std::uint64_t>::max()) >>
           random_between(engine, 0, 63);
}

Contents random_contents(std::mt19937_64& engine, std::uint64_t keys) {
    Contents contents;
    for (std::uint64_t i = 0; i < keys; ++i) {
        auto& days = contents[random_number(engine)];
        const std::uint64_t count = random_between(engine, 0, 20);
        for (std::uint64_t point = 0; point < count; ++point) {
            const auto day = static_cast<Day>(random_between(engine, 1, 1'000'000));
            days[day] = (random_number(engine) >> 5U) + 1;  // twenty of them fit a total
        }
    }
    return contents;
}

/// The example of the format's description, byte by byte: key 42 with 10 on 2026-05-05, key 43 with 3 on the
/// day after. 42 % 9 is 6, 43 % 9 is 7.
const std::string example =
    "\x82"  // a map of two fields
    "\xA8"
    "branches"                  // the first one's name, 8 bytes
    "\x99"                      // an array of nine
    "\x80\x80\x80\x80\x80\x80"  // six empty maps
    "\x81"
    "\x2A"  // a map of one: key 42
    "\x82"
    "\xA5"
    "table"  // of two fields: the table
    "\x81"
    "\xCE\x01\x35\x26\x99"
    "\x0A"  // of one: 20260505 as four bytes, 10
    "\xA5"
    "total"
    "\x0A"  // the total
    "\x81"
    "\x2B"  // a map of one: key 43
    "\x82"
    "\xA5"
    "table"
    "\x81"
    "\xCE\x01\x35\x26\x9A"
    "\x03"
    "\xA5"
    "total"
    "\x03"
    "\x80"  // the ninth map
    "\xAC"
    "branches_num"
    "\x09"s;  // the second field

}  // namespace

TEST_CASE("tree files: one written by hand is read, and is what is written for the same data") {
    REQUIRE(example.size() == 78);
    const Contents expected = {{42, {{day_of(20260505), 10}}}, {43, {{day_of(20260506), 3}}}};
    CHECK(read(example) == expected);
    const Series series = series_of_contents(expected);
    CHECK(Pages(series).whole() == example);
}

TEST_CASE("tree files: a series without keys, and keys without values") {
    const Series empty("links", seed);
    CHECK(Pages(empty).whole().size() == 34);
    CHECK(read(Pages(empty).whole()).empty());
    const Contents keys = {{0, {}}, {1, {}}, {std::numeric_limits<std::uint64_t>::max(), {}}};
    const Series series = series_of_contents(keys);
    CHECK(read(Pages(series).whole()) == keys);
}

TEST_CASE(
    "tree files: what is written reads back, its size is known before, and any part of it can be made") {
    std::mt19937_64 engine = test::random_engine("tree files");
    for (const std::uint64_t keys : {1U, 14U, 15U, 16U, 17U, 150U, 3'000U}) {
        const Contents contents = random_contents(engine, keys);
        const Series series = series_of_contents(contents);
        Pages pages(series);
        const std::string whole = pages.whole();
        CHECK(read(whole) == contents);
        CHECK(tree_file_bytes(pages.statistics()) == whole.size());
        const TreeLayout layout(pages.count(), pages.source());
        CHECK(layout.size() == whole.size());
        for (int i = 0; i < 200; ++i) {
            const std::uint64_t offset = random_between(engine, 0, whole.size() + 2);
            const std::uint64_t count = random_between(engine, 0, i % 2 == 0 ? 40 : whole.size());
            std::string part = "before";
            layout.read(offset, count, pages.source(), part);
            const std::string expected = offset > whole.size() ? "" : whole.substr(offset, count);
            REQUIRE(part == "before" + expected);
        }
    }
}

TEST_CASE("tree files: a part needs only the pages that it is made of") {
    Contents contents;
    for (std::uint64_t key = 0; key < 50'000; ++key) {
        contents[key][739'375] = 1;
    }
    const Series series = series_of_contents(contents);
    Pages pages(series);
    const TreeLayout layout(pages.count(), pages.source());
    REQUIRE(pages.reads() == pages.count());
    std::string part;
    layout.read(layout.size() / 2, 100, pages.source(), part);
    CHECK(part.size() == 100);
    CHECK(pages.reads() <= pages.count() + 3);
}

TEST_CASE("tree files: numbers at the borders of MessagePack's widths") {
    Contents contents;
    for (const std::uint64_t border : {0x7FULL, 0x80ULL, 0xFFULL, 0x100ULL, 0xFFFFULL, 0x10000ULL,
                                       0xFFFFFFFFULL, 0x100000000ULL, 0xFFFFFFFFFFFFFFFFULL}) {
        contents[border] = {{day_of(60'101), border}};  // a day of three bytes
        contents[border - 1] = {{day_of(61'231), 1}, {day_of(70'101), border - 2}};
    }
    const Series series = series_of_contents(contents);
    Pages pages(series);
    CHECK(read(pages.whole()) == contents);
    CHECK(tree_file_bytes(pages.statistics()) == pages.whole().size());
}

TEST_CASE("tree files: fields in another order, unknown ones, texts for numbers, zeros") {
    // {"branches_num":2,"x":[1,{"y":2}],"branches":[{},{"7":{"total":5,"z":nil,"table":{"20260506":5,20260505:0}}}]}
    const std::string bytes =
        "\x83"
        "\xAC"
        "branches_num"
        "\x02"
        "\xA1"
        "x"
        "\x92\x01\x81\xA1"
        "y"
        "\x02"
        "\xA8"
        "branches"
        "\x92\x80\x81"
        "\xA1"
        "7"
        "\x83"
        "\xA5"
        "total"
        "\x05"
        "\xA1"
        "z"
        "\xC0"
        "\xA5"
        "table"
        "\x82"
        "\xA8"
        "20260506"
        "\x05"
        "\xCE\x01\x35\x26\x99"
        "\x00"s;
    CHECK(read(bytes) == Contents{{7, {{day_of(20260506), 5}}}});
}

TEST_CASE("tree files: what is wrong is named") {
    const auto refused = [](const std::string& bytes, const char* why) {
        CAPTURE(why);
        CHECK_THROWS_WITH_AS(read(bytes), doctest::Contains(why), CorruptionError);
    };
    const auto changed = [](std::size_t at, const std::string& by) {
        std::string bytes = example;
        return bytes.replace(at, by.size(), by);
    };
    refused("", "cut short");
    refused("\x01", "instead of the file");
    refused("\x80", "branches is missing");
    refused("\xC1", "no MessagePack at byte 0");
    refused(example + "\x01", "behind the end, from byte 78");
    const std::size_t total = example.find("total") + 5;
    refused(changed(total, "\x0B"), "key 42: total is 11, the sum of its values 10");
    const std::size_t day = example.find('\xCE');
    refused(changed(day, "\xCE\x01\x35\xFF\xFF"), "key 42: 20316159 is no calendar day");
    refused(changed(day + 5, "\xFF"), "key 42: a negative number instead of a value");
    refused(changed(example.find('\x2B'), "\x2A"), "key 42 is there twice");
    const std::string up_to_key = "\x81\xA8" + "branches"s + "\x91\x81\xA3";
    refused(up_to_key + "12x", "\"12x\" is no number");
    refused(up_to_key + "\xCE\x00\xFF"s, "a text that is no number");  // not quoted
}

TEST_CASE("tree files: every cut and any flipped bit is refused or harmless") {
    for (std::size_t size = 0; size < example.size(); ++size) {
        CHECK_THROWS_AS(read(std::string_view(example).substr(0, size)), CorruptionError);
    }
    std::mt19937_64 engine = test::random_engine("flipped bits");
    const Contents contents = random_contents(engine, 30);
    const Series series = series_of_contents(contents);
    const std::string whole = Pages(series).whole();
    int refused = 0;
    for (int i = 0; i < 2'000; ++i) {
        std::string bytes = whole;
        bytes[random_between(engine, 0, bytes.size() - 1)] ^=
            static_cast<char>(1U << random_between(engine, 0, 7));
        try {
            read(bytes);
        } catch (const CorruptionError&) {
            ++refused;
        }
    }
    CHECK(refused > 1'000);
}

}  // namespace karma::test
