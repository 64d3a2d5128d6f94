#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/input_file.h"

namespace karma::cli {

/// One row of the file.
struct CsvRow {
    std::uint64_t key = 0;
    std::uint32_t bucket = 0;  // YYYYMMDD, a calendar day
    std::uint64_t value = 1;
    std::uint64_t line = 0;  // from 1
};

/// The result of CsvReader::next().
enum class CsvEvent {
    row,
    bad_row,  // problem() says what is wrong with it
    idle,     // no row yet: the input waits, or lines are being passed over; ask again
    end,
};

struct CsvOptions {
    /// Whether a value of 0 is accepted.
    bool zero_allowed = false;
    /// Lines before this one are skipped, except the one that names the columns.
    std::uint64_t first_line = 1;
};

/// Reads rows of key, bucket and value from CSV.
///
/// A first line whose first field is no number names the columns, in any order: key, bucket (or date), value.
/// Without it they are key,bucket,value. The value may be missing in all rows and is 1 then. Fields may stand
/// in double quotes and between spaces; lines may end in CR LF; empty lines and a UTF-8 byte order mark are
/// passed over. A bucket is YYYYMMDD or YYYY-MM-DD. Memory does not depend on the input. Used by one thread.
class CsvReader {
public:
    static constexpr std::size_t max_line_bytes = 65'536;

    /// `input` must outlive the reader.
    CsvReader(InputFile& input, const CsvOptions& options);

    /// Goes on to the next row; `row` is set with CsvEvent::row only. Throws InputError when reading fails or
    /// when the header names other columns; the rows before the fault have been handed out then, and a line
    /// that it cuts in two never is.
    CsvEvent next(CsvRow& row);

    /// With CsvEvent::bad_row: "touches.csv:17: bucket "2026-02-30" is not a calendar day".
    const std::string& problem() const { return problem_; }

    /// The line that next() looked at last; 0 before the first.
    std::uint64_t line() const { return line_; }

private:
    enum class LineState { line, too_long, idle, end };

    LineState next_line(std::string_view& line);
    LineState fill_buffer();
    LineState take_line(std::size_t end, std::size_t next, std::string_view& line);
    bool learn_columns(std::string_view line);
    void read_header(const std::vector<std::string_view>& names);
    bool parse_row(std::string_view line, CsvRow& row);
    bool split(std::string_view line);
    bool parse_bucket(std::string_view text, std::uint32_t& bucket);
    bool bad(const std::string& what);
    std::string place() const;

    InputFile& input_;
    CsvOptions options_;

    std::vector<char> buffer_;  // start_ to end_ are read and not handed out yet
    std::size_t start_ = 0;
    std::size_t scanned_ = 0;  // no newline from start_ up to here
    std::size_t end_ = 0;
    bool discarding_ = false;  // the rest of a line that is too long
    bool ended_ = false;
    std::uint64_t line_ = 0;

    static constexpr std::size_t no_column = 3;
    bool header_possible_ = true;   // no line but empty ones so far
    std::size_t column_count_ = 0;  // 0: not known yet
    std::size_t key_column_ = 0;
    std::size_t bucket_column_ = 1;
    std::size_t value_column_ = 2;

    std::array<std::string_view, 3> fields_;
    std::string last_bucket_text_;  // and what it says: most rows have the day of the row before
    std::uint32_t last_bucket_ = 0;
    std::string problem_;
};

}  // namespace karma::cli
