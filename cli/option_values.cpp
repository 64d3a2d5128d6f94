#include "cli/option_values.h"

#include <array>
#include <charconv>
#include <cmath>

#include "cli/command_line.h"
#include "cli/token.h"

namespace karma::cli {

std::string key_of(const Option& option) {
    std::string key = option.name;
    std::ranges::replace(key, '-', '_');
    return key;
}

std::string default_of(const Option& option) {
    if (option.default_text != nullptr) {
        return option.default_text;
    }
    std::string text = option.value.get(ServeOptions());
    return text.empty() ? "none" : text;
}

void refuse_value(const std::string& source, const std::string& text, const std::string& expected) {
    throw UsageError(source + " must be " + expected + ", not \"" + text + "\"");
}

bool boolean_of(const std::string& text, const std::string& source) {
    if (text == "true" || text == "1" || text == "yes" || text == "on") {
        return true;
    }
    if (text == "false" || text == "0" || text == "no" || text == "off") {
        return false;
    }
    refuse_value(source, text, "true or false");
}

std::uint64_t whole_number_of(const std::string& text, const std::string& source, const OptionValue& value,
                              bool zero_counts) {
    if (zero_counts && text == "0") {
        return 0;
    }
    std::uint64_t number = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (failure != std::errc{} || end != text.data() + text.size() || number < value.low ||
        number > value.high) {
        refuse_value(source, text, value.allowed);
    }
    return number;
}

std::chrono::milliseconds milliseconds_of(const std::string& text, const std::string& source,
                                          const std::string& expected, bool zero_counts) {
    constexpr double seconds_most = 86'400;
    constexpr double seconds_least = 0.001;
    constexpr double ms_in_second = 1000;
    double seconds = 0;
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    const bool is_none = zero_counts && seconds == 0;
    if (failure != std::errc{} || end != text.data() + text.size() ||
        !(is_none || (seconds >= seconds_least && seconds <= seconds_most))) {
        refuse_value(source, text, expected);
    }
    return std::chrono::milliseconds(std::llround(seconds * ms_in_second));
}

std::string seconds_text(std::chrono::milliseconds time) {
    std::array<char, 32> text{};
    const double seconds = std::chrono::duration<double>(time).count();
    const auto [end, failure] =
        std::to_chars(text.data(), text.data() + text.size(), seconds, std::chars_format::fixed);
    return failure == std::errc{} ? std::string(text.data(), end) : std::to_string(seconds);
}

std::string checked_token(const std::string& text, const std::string& source,
                          std::vector<std::string>& warnings) {
    // Empty, it would open the daemon to all: of a variable of a script that is not set.
    if (text.empty()) {
        throw UsageError(source +
                         " is empty, as a variable that is not set gives it. Leave it out to have no token");
    }
    return token_of_text(text, source, warnings);
}

}  // namespace karma::cli
