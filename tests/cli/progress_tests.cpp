// The progress line.
#include <sstream>
#include <string>

#include <doctest/doctest.h>

#include "cli/progress.h"
#include "cli/text.h"

namespace karma::test {

using cli::Progress;
using cli::progress_line;
using cli::ProgressState;

TEST_CASE("progress: share, rate and time left") {
    const ProgressState half{.rows = 1'500'000, .bytes = 500, .total_bytes = 1'000, .seconds = 3};
    const std::string text = " 50%  1,500,000 rows  500,000 rows/s  ETA 0:03";
    CHECK(progress_line(half, 80) == "[###############................] " + text);
    CHECK(progress_line(half, 80).size() == 80);
    CHECK(progress_line(half, 300) == "[####################....................] " + text);
    CHECK(progress_line(half, text.size() + 13) == "[#####.....] " + text);
    // No room for a bar.
    CHECK(progress_line(half, text.size() + 12) == text);
    CHECK(progress_line(half, 10) == " 50%  1,50");
    CHECK(progress_line({.rows = 0, .bytes = 0, .total_bytes = 1'000, .seconds = 0}, 30) ==
          "  0%  0 rows  0 rows/s");
    CHECK(progress_line({.rows = 9, .bytes = 1'000, .total_bytes = 1'000, .seconds = 9}, 40) ==
          "100%  9 rows  1 rows/s  ETA 0:00");
    CHECK(progress_line({.rows = 9, .bytes = 1, .total_bytes = 7'200, .seconds = 1}, 40) ==
          "  0%  9 rows  9 rows/s  ETA 1:59:59");
    // A file that has grown meanwhile.
    CHECK(progress_line({.rows = 9, .bytes = 30, .total_bytes = 10, .seconds = 1}, 40) ==
          "100%  9 rows  9 rows/s  ETA 0:00");
}

TEST_CASE("progress: of an input of unknown size") {
    CHECK(progress_line({.rows = 1'000, .bytes = 1'536, .total_bytes = {}, .seconds = 2}, 80) ==
          "1,000 rows  500 rows/s  1.5 KiB read");
    CHECK(progress_line({.rows = 0, .bytes = 12, .total_bytes = {}, .seconds = 2}, 80) ==
          "0 rows  0 rows/s  12 B read");
}

TEST_CASE("progress: the line is replaced and removed") {
    std::ostringstream terminal;
    {
        Progress progress(terminal, true, 80);
        progress.clear();
        CHECK(terminal.str().empty());
        CHECK(progress.due());
        progress.update({.rows = 1, .bytes = 2, .total_bytes = {}, .seconds = 1});
        CHECK(terminal.str() == "\r1 rows  1 rows/s  2 B read\x1b[K");
    }
    CHECK(terminal.str() == "\r1 rows  1 rows/s  2 B read\x1b[K\r\x1b[K");

    std::ostringstream nothing;
    Progress off(nothing, false, 80);
    CHECK(!off.due());
    off.update({});
    off.clear();
    CHECK(nothing.str().empty());
}

TEST_CASE("text: numbers and foreign text in messages") {
    CHECK(cli::grouped(0) == "0");
    CHECK(cli::grouped(999) == "999");
    CHECK(cli::grouped(1'000) == "1,000");
    CHECK(cli::grouped(18'446'744'073'709'551'615U) == "18,446,744,073,709,551,615");
    CHECK(cli::counted(1, "batch") == "1 batch");
    CHECK(cli::counted(2, "batch") == "2 batches");
    CHECK(cli::counted(0, "row") == "0 rows");
    CHECK(cli::quoted("a\tb\x7f") == R"("a\x09b\x7f")");
    CHECK(cli::quoted("abc", 2) == "\"ab...\"");
    CHECK(cli::quoted("aéb", 2) == "\"a...\"");
    CHECK(cli::quoted("aéb", 3) == "\"aé...\"");
    CHECK(cli::trimmed(" \r\na b\t ") == "a b");
    CHECK(cli::trimmed(" \n").empty());
}

}  // namespace karma::test
