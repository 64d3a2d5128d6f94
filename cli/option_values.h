#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "cli/option.h"
#include "cli/serve_options.h"

/// Values for the table of options. `field` gives the place in the options: [](auto& o) -> auto& { ... }, for
/// const options too.
namespace karma::cli {

inline constexpr std::uint64_t option_bytes_max = 1ULL << 40U;
inline constexpr std::uint64_t option_seconds_max = 100 * 366 * 86'400U;

/// Throws UsageError: `source` must be `expected`, not `text`.
[[noreturn]] void refuse_value(const std::string& source, const std::string& text,
                               const std::string& expected);

bool boolean_of(const std::string& text, const std::string& source);

/// A number from value.low to value.high, or 0 where `zero_counts`.
std::uint64_t whole_number_of(const std::string& text, const std::string& source, const OptionValue& value,
                              bool zero_counts);

std::chrono::milliseconds milliseconds_of(const std::string& text, const std::string& source,
                                          const std::string& expected, bool zero_counts);
std::string seconds_text(std::chrono::milliseconds time);

template <typename Field>
OptionValue boolean(Field field) {
    return {.kind = OptionKind::boolean,
            .allowed = "true or false",
            .set = [field](ServeOptions& o, const std::string& text,
                           const std::string& source) { field(o) = boolean_of(text, source); },
            .get = [field](const ServeOptions& o) { return std::string(field(o) ? "true" : "false"); }};
}

template <typename Number>
std::string number_text(const Number& number) {
    if constexpr (requires { number.has_value(); }) {
        return number ? number_text(*number) : std::string();
    } else if constexpr (requires { number.count(); }) {
        return std::to_string(number.count());
    } else {
        return std::to_string(number);
    }
}

template <typename Number>
void assign_number(Number& number, std::uint64_t value) {
    if constexpr (requires { number.has_value(); }) {
        number = static_cast<typename Number::value_type>(value);
    } else if constexpr (requires { number.count(); }) {
        number = Number(static_cast<typename Number::rep>(value));
    } else {
        number = static_cast<Number>(value);
    }
}

/// A number, or a duration in its own unit, from `low` to `high`; with `zero_counts` also 0, which switches
/// the limit off.
template <typename Field>
OptionValue whole_number(Field field, std::uint64_t low, std::uint64_t high, bool zero_counts = false) {
    OptionValue value;
    value.kind = OptionKind::whole_number;
    value.allowed = "a whole number from " + std::to_string(low) + " to " + std::to_string(high) +
                    (zero_counts ? ", or 0 for no limit" : "");
    value.low = low;
    value.high = high;
    const OptionValue range = value;
    value.set = [field, range, zero_counts](ServeOptions& o, const std::string& text,
                                            const std::string& source) {
        assign_number(field(o), whole_number_of(text, source, range, zero_counts));
    };
    value.get = [field](const ServeOptions& o) { return number_text(field(o)); };
    return value;
}

/// A time in seconds, with fractions; with `zero_counts` also 0, which switches the limit off.
template <typename Field>
OptionValue seconds(Field field, bool zero_counts = false) {
    const std::string allowed =
        std::string("a number of seconds from 0.001 to 86400") + (zero_counts ? ", or 0 for no limit" : "");
    return {.kind = OptionKind::seconds,
            .allowed = allowed,
            .set =
                [field, allowed, zero_counts](ServeOptions& o, const std::string& text,
                                              const std::string& source) {
                    field(o) = milliseconds_of(text, source, allowed, zero_counts);
                },
            .get = [field](const ServeOptions& o) { return seconds_text(field(o)); }};
}

template <typename Meaning>
using Words = std::vector<std::pair<std::string_view, Meaning>>;

/// One of these words, each with what it means. The first word of a meaning is the one that is shown.
template <typename Field, typename Meaning>
OptionValue choice(Field field, const std::string& allowed, const Words<Meaning>& words) {
    return {.kind = OptionKind::text,
            .allowed = allowed,
            .set =
                [field, allowed, words](ServeOptions& o, const std::string& text, const std::string& source) {
                    const auto found =
                        std::ranges::find(words, text, [](const auto& word) { return word.first; });
                    if (found == words.end()) {
                        refuse_value(source, text, allowed);
                    }
                    field(o) = found->second;
                },
            .get =
                [field, words](const ServeOptions& o) {
                    const auto found =
                        std::ranges::find(words, field(o), [](const auto& word) { return word.second; });
                    return std::string(found->first);
                }};
}

/// Any text for which `is_allowed` holds.
template <typename Field, typename Check>
OptionValue text(Field field, const std::string& allowed, Check is_allowed) {
    return {.kind = OptionKind::text,
            .allowed = allowed,
            .set =
                [field, allowed, is_allowed](ServeOptions& o, const std::string& given,
                                             const std::string& source) {
                    if (!is_allowed(given)) {
                        refuse_value(source, given, allowed);
                    }
                    field(o) = given;
                },
            .get = [field](const ServeOptions& o) { return std::string(field(o)); }};
}

/// Any text that is not empty; `allowed` describes it.
template <typename Field>
OptionValue text(Field field, const std::string& allowed) {
    return text(field, allowed, [](const std::string& given) { return !given.empty(); });
}

/// The token in a text that was given. Throws UsageError when it is empty.
std::string checked_token(const std::string& text, const std::string& source,
                          std::vector<std::string>& warnings);

/// A token as it is given. What is read later goes before: it also takes the place of a file that was named
/// at a place that counts less (the command line goes before the environment, that before the file).
template <typename Field, typename FileField>
OptionValue token(Field field, FileField file) {
    return {.kind = OptionKind::text,
            .allowed = "a text that is not empty",
            .set =
                [field, file](ServeOptions& o, const std::string& given, const std::string& source) {
                    field(o) = checked_token(given, source, o.warnings);
                    file(o).clear();
                },
            .get = [field](const ServeOptions& o) { return field(o); }};
}

}  // namespace karma::cli
