#include "cli/command_line.h"

#include <charconv>
#include <map>
#include <vector>

#include <boost/program_options/errors.hpp>
#include <boost/program_options/parsers.hpp>

#include "cli/text.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

// Program_options refuses "--name=", but takes an empty value as an argument of its own.
std::vector<std::string> with_empty_values(std::span<const std::string> arguments) {
    std::vector<std::string> result;
    bool options_end = false;
    for (const std::string& argument : arguments) {
        options_end = options_end || argument == "--";
        if (!options_end && argument.starts_with("--") && argument.find('=') == argument.size() - 1) {
            result.push_back(argument.substr(0, argument.size() - 1));
            result.emplace_back();
        } else {
            result.push_back(argument);
        }
    }
    return result;
}

// As in Karma 1.0, and as wrapper scripts need it that add an option of their own at the end.
void keep_last_of_each(std::vector<po::option>& given, std::string_view repeatable) {
    std::map<std::string, std::size_t> left;
    const auto is_single = [&](const po::option& option) {
        return option.position_key < 0 && option.string_key != repeatable;
    };
    for (const po::option& option : given) {
        left[option.string_key] += is_single(option) ? 1 : 0;
    }
    std::erase_if(
        given, [&](const po::option& option) { return is_single(option) && --left[option.string_key] != 0; });
}

}  // namespace

po::variables_map parse_arguments(std::span<const std::string> arguments,
                                  const po::options_description& options,
                                  const po::positional_options_description& positions,
                                  std::string_view repeatable) {
    namespace style = po::command_line_style;
    po::variables_map values;
    try {
        po::parsed_options parsed = po::command_line_parser(with_empty_values(arguments))
                                        .options(options)
                                        .positional(positions)
                                        .style(style::unix_style & ~style::allow_guessing)
                                        .run();
        keep_last_of_each(parsed.options, repeatable);
        po::store(parsed, values);
        po::notify(values);
    } catch (const po::error& error) {
        throw UsageError(error.what());
    }
    return values;
}

std::uint64_t parse_number(std::string_view what, std::string_view text, std::uint64_t low,
                           std::uint64_t high) {
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stop, failure] = std::from_chars(text.data(), end, number);
    if (failure != std::errc{} || stop != end || number < low || number > high) {
        throw UsageError(std::string(what) + ": " + cli::quoted(text) + " is not a whole number from " +
                         std::to_string(low) + " to " + std::to_string(high));
    }
    return number;
}

std::uint64_t number_option(const po::variables_map& values, const std::string& name, std::uint64_t low,
                            std::uint64_t high) {
    return parse_number("--" + name, values[name].as<std::string>(), low, high);
}

}  // namespace karma::cli
