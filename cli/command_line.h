#pragma once

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/variables_map.hpp>

namespace karma::cli {

/// Exit statuses of the client subcommands.
inline constexpr int exit_success = 0;
inline constexpr int exit_failure = 1;   // refused by the daemon, or stopped on the way
inline constexpr int exit_usage = 2;     // the command line is wrong; nothing was sent
inline constexpr int exit_no_reply = 3;  // no connection, or no reply

/// The command line cannot be used. The text names the option or argument.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Parses the arguments that follow a subcommand's name. Options are not guessed from abbreviations. Throws
/// UsageError. Of an option that is given several times the last one counts, but all of `repeatable`.
boost::program_options::variables_map parse_arguments(
    std::span<const std::string> arguments, const boost::program_options::options_description& options,
    const boost::program_options::positional_options_description& positions,
    std::string_view repeatable = {});

/// A whole number from `low` to `high`; `what` names it in the UsageError thrown for anything else.
std::uint64_t parse_number(std::string_view what, std::string_view text, std::uint64_t low,
                           std::uint64_t high);

/// The option `name`, which has a string value (a default counts), as parse_number reads it.
std::uint64_t number_option(const boost::program_options::variables_map& values, const std::string& name,
                            std::uint64_t low, std::uint64_t high);

}  // namespace karma::cli
