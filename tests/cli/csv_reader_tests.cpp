// What counts as a row, what is said about a line that is none, and that nothing depends on how the bytes
// arrive.
#include <cstdint>
#include <cstdio>
#include <random>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/csv_reader.h"
#include "cli/input_file.h"
#include "cli/text.h"
#include "tests/cli/gzip.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

using cli::CsvEvent;
using cli::CsvOptions;
using cli::CsvReader;
using cli::CsvRow;
using cli::InputError;
using cli::InputFile;

// Everything a reader says about a file: rows as "line:key,bucket,value", problems without the file's name.
std::vector<std::string> read_all(const std::string& content, const CsvOptions& options = {}) {
    const TempDir directory;
    const std::string path = (directory / "rows.csv").string();
    write_file(path, content);
    InputFile input(path, -1);
    CsvReader reader(input, options);
    std::vector<std::string> found;
    CsvRow row;
    try {
        while (true) {
            switch (reader.next(row)) {
                case CsvEvent::row:
                    found.push_back(std::to_string(row.line) + ":" + std::to_string(row.key) + "," +
                                    std::to_string(row.bucket) + "," + std::to_string(row.value));
                    break;
                case CsvEvent::bad_row:
                    REQUIRE(reader.problem().starts_with(path + ":"));
                    found.push_back(reader.problem().substr(path.size() + 1));
                    break;
                case CsvEvent::idle: break;
                case CsvEvent::end: return found;
            }
        }
    } catch (const InputError& error) {
        found.push_back(std::string("error ") + error.what());
        const auto at = found.back().find(path);
        REQUIRE(at != std::string::npos);
        found.back().erase(at, path.size());
        return found;
    }
}

using Lines = std::vector<std::string>;

}  // namespace

TEST_CASE("csv: rows without a header") {
    CHECK(read_all("") == Lines{});
    CHECK(read_all("\n\n") == Lines{});
    CHECK(read_all("1,20260505,3\n2,2026-05-06,18446744073709551615\n") ==
          Lines{"1:1,20260505,3", "2:2,20260506,18446744073709551615"});
    CHECK(read_all("1,20260505,3") == Lines{"1:1,20260505,3"});
    CHECK(read_all("18446744073709551615,00010101,1\n0,9999-12-31,1\n") ==
          Lines{"1:18446744073709551615,10101,1", "2:0,99991231,1"});
    CHECK(read_all("1,20240229\n2,20240301\n") == Lines{"1:1,20240229,1", "2:2,20240301,1"});
}

TEST_CASE("csv: line ends, empty lines, blanks, quotes and a byte order mark") {
    CHECK(read_all("1,20260505,3\r\n\r\n2,20260505,4\r\n") == Lines{"1:1,20260505,3", "3:2,20260505,4"});
    CHECK(read_all("\n \t\n1,20260505,3\n\n\n2,20260505,4\n\n") == Lines{"3:1,20260505,3", "6:2,20260505,4"});
    CHECK(read_all(" 1 , 20260505 ,\t3 \n") == Lines{"1:1,20260505,3"});
    CHECK(read_all("\"1\",\"2026-05-05\",\"3\"\n \"2\" , 20260505, \"4\" \r\n") ==
          Lines{"1:1,20260505,3", "2:2,20260505,4"});
    CHECK(read_all("\xef\xbb\xbf"
                   "1,20260505,3\n") == Lines{"1:1,20260505,3"});
    CHECK(read_all("\xef\xbb\xbfkey,bucket,value\n1,20260505,3\n") == Lines{"2:1,20260505,3"});
    // Only at the very beginning is it a mark.
    CHECK(read_all("1,20260505,3\n\xef\xbb\xbf"
                   "1,20260505,3\n")
              .size() == 2);
    CHECK(read_all("1,20260505,3\n\xef\xbb\xbf"
                   "1,20260505,3\n")[1]
              .starts_with("2: key "));
}

TEST_CASE("csv: a header names the columns in any order") {
    CHECK(read_all("key,bucket,value\n1,20260505,3\n") == Lines{"2:1,20260505,3"});
    CHECK(read_all("value,key,bucket\n3,1,20260505\n") == Lines{"2:1,20260505,3"});
    CHECK(read_all("date,value,key\n2026-05-05,3,1\n") == Lines{"2:1,20260505,3"});
    CHECK(read_all("\n Bucket , \"KEY\" \r\n20260505,1\n") == Lines{"3:1,20260505,1"});
    CHECK(read_all("key,bucket,value\n") == Lines{});
    CHECK(read_all("key,bucket\n1,20260505,3\n") == Lines{"2: 3 fields, expected 2"});
}

TEST_CASE("csv: a header that names something else is refused") {
    CHECK(read_all("key,day,value\n1,20260505,3\n") ==
          Lines{"error :1: the header names the column \"day\", expected key, bucket (or date) and value"});
    CHECK(read_all("key,bucket,value,note\n1,20260505,3,x\n") ==
          Lines{"error :1: the header names the column \"note\", expected key, bucket (or date) and value"});
    CHECK(read_all("key,bucket,date\n") == Lines{"error :1: the header names the column \"date\" twice"});
    CHECK(read_all("\nbucket,value\n") == Lines{"error :2: the header names no column \"key\""});
    CHECK(read_all("key,value\n") == Lines{"error :1: the header names no column \"bucket\" (or \"date\")"});
    // Only the first line can be one.
    CHECK(read_all("1,20260505,3\nkey,bucket,value\n") ==
          Lines{"1:1,20260505,3", "2: key \"key\" is not a whole number from 0 to 18446744073709551615"});
}

TEST_CASE("csv: bad rows say what is wrong") {
    const auto problem = [](const std::string& line) {
        const Lines found = read_all("7,20260505,1\n" + line + "\n8,20260505,1\n");
        REQUIRE(found.size() == 3);
        CHECK(found[0] == "1:7,20260505,1");
        CHECK(found[2] == "3:8,20260505,1");
        REQUIRE(found[1].starts_with("2: "));
        return found[1].substr(3);
    };
    const std::string key_range = " is not a whole number from 0 to 18446744073709551615";
    const std::string value_range = " is not a whole number from 1 to 18446744073709551615";
    for (const std::string key : {"", "x", "-1", "+1", "1.5", "1e3", "18446744073709551616", "1 2", "0x1"}) {
        CHECK(problem(key + ",20260505,1") == "key " + cli::quoted(key) + key_range);
    }
    for (const std::string value : {"", "0", "-1", "x", "1.0", "18446744073709551616"}) {
        CHECK(problem("1,20260505," + value) == "value " + cli::quoted(value) + value_range);
    }
    for (const std::string day : {"20260230", "2026-02-30", "20250229", "00000101", "20261301", "20260100",
                                  "2026-00-01", "19000229", "99999999"}) {
        CHECK(problem("1," + day + ",1") == "bucket \"" + day + "\" is not a calendar day");
    }
    for (const std::string day : {"", "today", "2026-5-05", "2026/05/05", "202605", "020260505", "2026-0505",
                                  "+2026050", "20260505T00"}) {
        CHECK(problem("1," + day + ",1") == "bucket \"" + day + "\" is not a day (YYYYMMDD or YYYY-MM-DD)");
    }
    CHECK(problem("1") == "1 field, expected 3");
    CHECK(problem("1,20260505") == "2 fields, expected 3");
    CHECK(problem("1,20260505,1,") == "4 fields, expected 3");
    CHECK(problem("1,20260505,1,2,3,4") == "6 fields, expected 3");
    CHECK(problem("\"1,20260505,1") == "the quotes of field 1 do not match");
    CHECK(problem("1,\"20260505\"x,1") == "the quotes of field 2 do not match");
    CHECK(problem("\x01\x1b[2J,20260505,1") == "key \"\\x01\\x1b[2J\"" + key_range);
    CHECK(problem(std::string(200, 'a') + ",20260505,1") ==
          "key \"" + std::string(60, 'a') + "...\"" + key_range);
}

TEST_CASE("csv: a day is checked although the row before had the same text or another good day") {
    CHECK(
        read_all("1,20260505,1\n1,2026-05-05,1\n1,20260505,1\n1,20260532,1\n1,20260532,1\n1,20260505,1\n") ==
        Lines{"1:1,20260505,1", "2:1,20260505,1", "3:1,20260505,1",
              "4: bucket \"20260532\" is not a calendar day", "5: bucket \"20260532\" is not a calendar day",
              "6:1,20260505,1"});
}

TEST_CASE("csv: a bad first row does not become the measure of the others") {
    CHECK(read_all("1\n1,20260505,2\n") == Lines{"1: 1 field, expected key,bucket,value", "2:1,20260505,2"});
    CHECK(read_all("1,2,3,4\n1,20260505\n") ==
          Lines{"1: 4 fields, expected key,bucket,value", "2:1,20260505,1"});
}

TEST_CASE("csv: an empty bucket is none, in the first row as in any other") {
    const std::string problem = "bucket \"\" is not a day (YYYYMMDD or YYYY-MM-DD)";
    CHECK(read_all("1,,4\n2,,4\n") == Lines{"1: " + problem, "2: " + problem});
    CHECK(read_all("key,bucket,value\n1,\"\",4\n1,20260505,4\n1,,4\n") ==
          Lines{"2: " + problem, "3:1,20260505,4", "4: " + problem});
}

TEST_CASE("csv: zero is a value where it is allowed") {
    CHECK(read_all("1,20260505,0\n", {.zero_allowed = true, .first_line = 1}) == Lines{"1:1,20260505,0"});
}

TEST_CASE("csv: lines are passed over up to the first wanted one, whatever they hold, but for the columns") {
    const std::string rows = "key,value,bucket\n1,3,20260505\nbad\n\n2,4,20260505\n3,5,20260505\n";
    const auto from = [&](std::uint64_t line) {
        return read_all(rows, {.zero_allowed = false, .first_line = line});
    };
    CHECK(from(1) == Lines{"2:1,20260505,3", "3: 1 field, expected 3", "5:2,20260505,4", "6:3,20260505,5"});
    CHECK(from(2) == from(1));
    CHECK(from(4) == Lines{"5:2,20260505,4", "6:3,20260505,5"});
    CHECK(from(5) == from(4));
    CHECK(from(6) == Lines{"6:3,20260505,5"});
    CHECK(from(7) == Lines{});
    CHECK(from(18'446'744'073'709'551'615U) == Lines{});
}

TEST_CASE("csv: a line that is too long is one bad row") {
    const std::string limit = std::to_string(CsvReader::max_line_bytes);
    const std::string too_long = "2: the line is longer than " + limit + " bytes";
    for (const std::size_t length :
         {CsvReader::max_line_bytes + 1, CsvReader::max_line_bytes + 2, std::size_t{1'000'000}}) {
        CAPTURE(length);
        CHECK(read_all("1,20260505,3\n" + std::string(length, '1') + "\n2,20260505,4\n") ==
              Lines{"1:1,20260505,3", too_long, "3:2,20260505,4"});
        CHECK(read_all("1,20260505,3\n" + std::string(length, '1')) == Lines{"1:1,20260505,3", too_long});
    }
    // The longest good line.
    const std::string row = "1,20260505,3";
    CHECK(read_all(std::string(CsvReader::max_line_bytes - row.size(), ' ') + row) ==
          Lines{"1:1,20260505,3"});
}

TEST_CASE("csv: what a damaged input cuts in two is no row") {
    std::string rows;
    for (int row = 0; row < 5'000; ++row) rows += std::to_string(row) + ",20260505,1234567\n";
    const std::string packed = gzip(rows);
    const Lines whole = read_all(packed);
    REQUIRE(whole.size() == 5'000);
    auto random = random_engine("csv cut");
    for (int round = 0; round < 40; ++round) {
        const std::size_t cut = random_between(random, 2, packed.size() - 1);
        CAPTURE(cut);
        Lines found = read_all(packed.substr(0, cut));
        REQUIRE(!found.empty());
        CHECK(found.back() == "error : the gzip data is cut short, it ends in the middle after " +
                                  std::to_string(cut) + " bytes");
        found.pop_back();
        REQUIRE(found.size() <= whole.size());
        CHECK(std::equal(found.begin(), found.end(), whole.begin()));
    }
}

namespace {

// A file of rows in all the ways they may be written, with bad ones between, and what a reader has to say
// about it.
class RandomCsv {
public:
    explicit RandomCsv(std::mt19937_64& random) : random_(random) {
        if (chance(30)) text_ += "\xef\xbb\xbf";
        with_value_ = !chance(20);
        if (chance(50)) {
            text_ += with_value_ ? "key,date,value" : "key,bucket";
            end_line();
        } else {
            // The first row decides about the columns.
            good_row();
        }
        const std::uint64_t rows = random_between(random_, 0, 8'000);
        for (std::uint64_t row = 0; row < rows; ++row) {
            if (chance(3)) {
                end_line();
            } else if (chance(3)) {
                bad_row();
            } else {
                good_row();
            }
        }
    }

    const std::string& text() const { return text_; }
    const Lines& expected() const { return expected_; }

private:
    bool chance(std::uint64_t percent) { return random_between(random_, 1, 100) <= percent; }

    void end_line() {
        text_ += chance(20) ? "\r\n" : "\n";
        ++line_;
    }

    std::string dressed(const std::string& field) {
        std::string text = chance(10) ? '"' + field + '"' : field;
        if (chance(5)) text = ' ' + text;
        if (chance(5)) text += '\t';
        return text;
    }

    void good_row() {
        const std::uint64_t bits = random_between(random_, 0, 63);
        const std::uint64_t key = random_() >> bits;
        const std::uint64_t value =
            with_value_ ? std::max<std::uint64_t>(1, random_() >> random_between(random_, 0, 63)) : 1;
        const std::uint64_t year = random_between(random_, 1, 9999);
        const std::uint64_t month = random_between(random_, 1, 12);
        const std::uint64_t day = random_between(random_, 1, 28);
        char bucket[16];
        (void)std::snprintf(bucket, sizeof bucket, chance(50) ? "%04d%02d%02d" : "%04d-%02d-%02d",
                            static_cast<int>(year), static_cast<int>(month), static_cast<int>(day));
        text_ += dressed(std::to_string(key)) + ',' + dressed(bucket);
        if (with_value_) text_ += ',' + dressed(std::to_string(value));
        expected_.push_back(std::to_string(line_) + ":" + std::to_string(key) + "," +
                            std::to_string(year * 10'000 + month * 100 + day) + "," + std::to_string(value));
        end_line();
    }

    void bad_row() {
        switch (random_between(random_, 0, 2)) {
            case 0:
                text_ += with_value_ ? "1,20269999,1" : "1,20269999";
                expected_.push_back(std::to_string(line_) + ": bucket \"20269999\" is not a calendar day");
                break;
            case 1:
                text_ += "1,2,3,4,5";
                expected_.push_back(std::to_string(line_) + ": 5 fields, expected " +
                                    (with_value_ ? "3" : "2"));
                break;
            default:
                text_ += std::string(random_between(random_, 65'538, 400'000), 'x');
                expected_.push_back(std::to_string(line_) + ": the line is longer than 65536 bytes");
        }
        end_line();
    }

    std::mt19937_64& random_;
    bool with_value_ = true;
    std::uint64_t line_ = 1;
    std::string text_;
    Lines expected_;
};

}  // namespace

TEST_CASE("csv: random files, plain and in gzip members cut anywhere") {
    auto random = random_engine("csv random files");
    const std::size_t rounds = scaled(10);
    for (std::size_t round = 0; round < rounds; ++round) {
        CAPTURE(round);
        const RandomCsv csv(random);
        CHECK(read_all(csv.text()) == csv.expected());
        std::string packed;
        for (std::size_t at = 0; at < csv.text().size();) {
            const std::size_t length = random_between(random, 1, 300'000);
            packed += gzip(std::string_view(csv.text()).substr(at, length));
            if (random_between(random, 0, 9) == 0) packed += gzip("");
            at += length;
        }
        if (random_between(random, 0, 1) == 1) packed += std::string(random_between(random, 1, 2'000), '\0');
        CHECK(read_all(packed) == csv.expected());
    }
}

}  // namespace karma::test
