// A CSV file, read in pieces, against another reader that takes the whole file and is as simple as can be.
// The first byte of the input says in which pieces, the second one the options, and each byte 1 behind them
// stands for 16,384 digits.
#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include "cli/csv_reader.h"
#include "cli/input_file.h"
#include "engine/day.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/file_descriptor.h"

namespace karma::test {
namespace {

using Lines = std::vector<std::string>;

std::string row_text(const cli::CsvRow& row) {
    return std::to_string(row.line) + ":" + std::to_string(row.key) + "," + std::to_string(row.bucket) + "," +
           std::to_string(row.value);
}

// A file that gives these bytes in pieces of this many, where they are few enough; otherwise as it likes.
FileDescriptor open_bytes(std::string_view bytes, std::size_t piece) {
    constexpr std::size_t pieces_max = 100;
    constexpr std::size_t bytes_max = 50'000;
    if (piece != 0 && bytes.size() <= std::min(piece * pieces_max, bytes_max)) {
        int files[2] = {-1, -1};
        expect(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, files) == 0, "there is a pair of sockets");
        const FileDescriptor sender(files[1]);
        for (std::size_t at = 0; at < bytes.size(); at += piece) {
            const std::string_view sent = bytes.substr(at, piece);
            expect(::send(sender.get(), sent.data(), sent.size(), MSG_DONTWAIT) >= 0, "a piece is sent");
        }
        return FileDescriptor(files[0]);
    }
    FileDescriptor file(::memfd_create("csv", 0));
    expect(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) &&
               ::lseek(file.get(), 0, SEEK_SET) == 0,
           "there is a file");
    return file;
}

Lines read_with_reader(std::string_view bytes, std::size_t piece, const cli::CsvOptions& options) {
    const FileDescriptor file = open_bytes(bytes, piece);
    Lines found;
    try {
        cli::InputFile input("-", file.get());
        cli::CsvReader reader(input, options);
        cli::CsvRow row;
        for (auto event = cli::CsvEvent::idle; event != cli::CsvEvent::end;) {
            event = reader.next(row);
            if (event == cli::CsvEvent::row) {
                found.push_back(row_text(row));
            } else if (event == cli::CsvEvent::bad_row) {
                expect(!reader.problem().empty(), "a bad row has a problem");
                found.push_back(std::to_string(reader.line()) + " is bad");
            }
        }
    } catch (const cli::InputError&) {
        found.emplace_back("error");
    }
    return found;
}

struct HeaderError {};

// The same by rules that stand where they apply.
class SimpleReader {
public:
    explicit SimpleReader(const cli::CsvOptions& options) : options_(options) {}

    Lines read(std::string_view bytes) {
        try {
            for (std::uint64_t number = 1; !bytes.empty(); ++number) {
                const std::size_t end = bytes.find('\n');
                take_line(number, bytes.substr(0, end));
                bytes.remove_prefix(end == std::string_view::npos ? bytes.size() : end + 1);
            }
        } catch (const HeaderError&) {
            found_.emplace_back("error");
        }
        return found_;
    }

private:
    void take_line(std::uint64_t number, std::string_view line) {
        std::optional<cli::CsvRow> row;
        if (line.size() > cli::CsvReader::max_line_bytes) {
            is_first_ = false;
        } else {
            if (number == 1 && line.starts_with("\xef\xbb\xbf")) {
                line.remove_prefix(3);
            }
            if (line.ends_with('\r')) {
                line.remove_suffix(1);
            }
            const bool is_blank = line.empty() || ((line[0] == ' ' || line[0] == '\t') &&
                                                   line.find_first_not_of(" \t\r") == std::string_view::npos);
            if (is_blank) {
                return;
            }
            const std::optional<Lines> fields = split(line);
            if (std::exchange(is_first_, false) && fields && !begins_like_a_number(fields->front())) {
                return take_header(*fields);
            }
            if (fields && columns_.empty()) {
                learn(fields->size());
            }
            row = fields ? to_row(*fields) : std::nullopt;
        }
        if (number >= options_.first_line) {
            if (row) {
                row->line = number;
            }
            found_.push_back(row ? row_text(*row) : std::to_string(number) + " is bad");
        }
    }

    static bool begins_like_a_number(const std::string& field) {
        return field.empty() || std::string("0123456789+-.").find(field[0]) != std::string::npos;
    }

    static std::string without_blanks(const std::string& text) {
        const std::size_t begin = text.find_first_not_of(" \t");
        return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
    }

    // Character by character; nothing where quotes do not match.
    static std::optional<Lines> split(std::string_view line) {
        enum { before, plain, quoted, behind } state = before;
        Lines fields(1);
        for (const char c : line) {
            const bool is_blank = c == ' ' || c == '\t';
            if (state == quoted) {
                if (c == '"') {
                    state = behind;
                } else {
                    fields.back() += c;
                }
            } else if (c == ',') {
                if (state == plain) {
                    fields.back() = without_blanks(fields.back());
                }
                fields.emplace_back();
                state = before;
            } else if (state == before && c == '"') {
                state = quoted;
            } else if (state == behind && !is_blank) {
                return std::nullopt;
            } else if (state == plain || (state == before && !is_blank)) {
                state = plain;
                fields.back() += c;
            }
        }
        if (state == plain) {
            fields.back() = without_blanks(fields.back());
        }
        return state == quoted ? std::nullopt : std::optional(fields);
    }

    void take_header(const Lines& names) {
        for (std::string name : names) {
            for (char& c : name) {
                c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
            }
            columns_ += name == "key"                        ? 'k'
                        : name == "bucket" || name == "date" ? 'b'
                        : name == "value"                    ? 'v'
                                                             : '?';
        }
        const auto count = [&](char column) { return std::ranges::count(columns_, column); };
        if (count('?') != 0 || count('k') != 1 || count('b') != 1 || count('v') > 1) {
            throw HeaderError{};
        }
    }

    void learn(std::size_t fields) {
        if (fields == 2 || fields == 3) {
            columns_ = std::string("kbv").substr(0, fields);
        }
    }

    static std::optional<std::uint64_t> to_number(const std::string& text) {
        std::uint64_t number = 0;
        for (const char c : text) {
            const auto digit = static_cast<std::uint64_t>(c - '0');
            if (c < '0' || c > '9' || __builtin_mul_overflow(number, 10, &number) ||
                __builtin_add_overflow(number, digit, &number)) {
                return std::nullopt;
            }
        }
        return text.empty() ? std::nullopt : std::optional(number);
    }

    static std::optional<std::uint64_t> to_bucket(std::string text) {
        if (text.size() == 10 && text[4] == '-' && text[7] == '-') {
            text = text.substr(0, 4) + text.substr(5, 2) + text.substr(8);
        }
        const auto number = text.size() == 8 ? to_number(text) : std::nullopt;
        return number && day_from_yyyymmdd(*number) ? number : std::nullopt;
    }

    std::optional<cli::CsvRow> to_row(const Lines& fields) const {
        if (fields.size() != columns_.size()) {
            return std::nullopt;
        }
        cli::CsvRow row;
        for (std::size_t i = 0; i < fields.size(); ++i) {
            const auto number = columns_[i] == 'b' ? to_bucket(fields[i]) : to_number(fields[i]);
            if (!number || (columns_[i] == 'v' && *number == 0 && !options_.zero_allowed)) {
                return std::nullopt;
            }
            switch (columns_[i]) {
                case 'k': row.key = *number; break;
                case 'b': row.bucket = static_cast<std::uint32_t>(*number); break;
                default: row.value = *number; break;
            }
        }
        return row;
    }

    cli::CsvOptions options_;
    bool is_first_ = true;
    std::string columns_;  // k, b and v; empty while it is not known which there are
    Lines found_;
};

std::string expanded(std::string_view text) {
    std::string bytes;
    for (const char c : text) {
        if (c == 1) {
            bytes.append(16'384, '7');
        } else {
            bytes += c;
        }
    }
    return bytes;
}

}  // namespace

void run_input(std::string_view input) {
    InputReader reader(input);
    const std::size_t piece = reader.number(1);
    const std::uint64_t option_bits = reader.number(1);
    const cli::CsvOptions options{(option_bits & 1U) != 0, (option_bits >> 1U) % 8};
    const std::string bytes = expanded(reader.rest());
    const Lines found = read_with_reader(bytes, piece, options);
    if (!bytes.starts_with("\x1f\x8b")) {  // gzip
        const Lines simple = SimpleReader(options).read(bytes);
        for (std::size_t i = 0; i < std::max(found.size(), simple.size()); ++i) {
            const std::string here = i < found.size() ? found[i] : std::string("the end");
            const std::string there = i < simple.size() ? simple[i] : std::string("the end");
            if (here != there) {
                (void)std::fprintf(stderr, "CsvReader: %s; the simple one: %s\n", here.c_str(),
                                   there.c_str());
            }
        }
        expect(found == simple, "both readers find the same");
    }
}

}  // namespace karma::test
