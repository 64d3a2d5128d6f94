#include "cli/toml_guard.h"

#include <algorithm>

#include "cli/command_line.h"

namespace karma::cli {

namespace {

void check_dots(std::string_view text, const std::string& name) {
    constexpr std::ptrdiff_t dots_max = 200;
    std::size_t number = 1;
    for (; !text.empty(); ++number) {
        const std::string_view line = text.substr(0, text.find('\n'));
        if (std::ranges::count(line, '.') > dots_max) {
            throw UsageError(place_in(name, number) + "more than " + std::to_string(dots_max) +
                             " dots in a line: break it into several");
        }
        text.remove_prefix(std::min(line.size() + 1, text.size()));
    }
}

/// Walks over comments and strings as TOML 1.0 divides a text.
class AsciiCheck {
public:
    AsciiCheck(std::string_view text, const std::string& name) : text_(text), name_(name) {
        constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
        at_ = text.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
    }

    void run() {
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (c == '#') {
                at_ = std::min(text_.find('\n', at_), text_.size());
            } else if (c == '"' || c == '\'') {
                if (text_.substr(at_, 3) == std::string(3, c)) {
                    skip_lines(c);
                } else {
                    skip_string(c);
                }
            } else {
                check_ascii();
                ++at_;
            }
        }
    }

private:
    void check_ascii() const {
        if (at_ < text_.size() && static_cast<unsigned char>(text_[at_]) >= 0x80) {
            const auto line = std::ranges::count(text_.substr(0, at_), '\n') + 1;
            throw UsageError(place_in(name_, static_cast<std::size_t>(line)) +
                             "a character outside ASCII must stand in quotes, or in a comment");
        }
    }

    /// A string in its line, which ends it where the quote is missing.
    void skip_string(char quote) {
        for (++at_; at_ < text_.size() && text_[at_] != '\n'; ++at_) {
            if (text_[at_] == quote) {
                ++at_;
                return;
            }
            if (text_[at_] == '\\' && quote == '"') {
                ++at_;
                if (at_ == text_.size() || text_[at_] == '\n') {
                    return;
                }
            }
        }
    }

    /// A string of several lines, between three quotes each. Up to five may end it: the first ones are part
    /// of it.
    void skip_lines(char quote) {
        at_ += 3;
        while (at_ < text_.size()) {
            if (text_[at_] == '\\' && quote == '"') {
                skip_escape();
            } else if (text_.substr(at_, 3) == std::string(3, quote)) {
                at_ += 3;
                for (int more = 0; more < 2 && at_ < text_.size() && text_[at_] == quote; ++more) {
                    ++at_;
                }
                return;
            } else {
                ++at_;
            }
        }
    }

    /// A backslash and what it escapes: a character, or white space up to the next line's text.
    void skip_escape() {
        ++at_;
        const std::size_t begin = at_;
        at_ = std::min(text_.find_first_not_of(" \t\n\v\f\r", at_), text_.size());
        check_ascii();
        if (at_ == begin && at_ < text_.size()) {
            ++at_;
        }
    }

    std::string_view text_;
    const std::string& name_;
    std::size_t at_ = 0;
};

}  // namespace

std::string place_in(const std::string& name, std::size_t line) {
    return name + ":" + std::to_string(line) + ": ";
}

void check_toml(std::string_view text, const std::string& name) {
    check_dots(text, name);
    AsciiCheck(text, name).run();
}

}  // namespace karma::cli
