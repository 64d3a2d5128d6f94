#pragma once

#include <functional>
#include <ostream>
#include <span>
#include <string>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

#include "cli/command_line.h"

namespace karma::cli {

/// The usage of a subcommand.
struct Subcommand {
    const char* name = "";
    const char* usage = "";                               // before the options in its help
    const char* behind = "";                              // and behind them
    boost::program_options::options_description options;  // without --help
    bool takes_argument = false;                          // one, which `only_argument` gives
    int status_of_failure = exit_failure;                 // for what `work` throws
};

/// Parses the arguments and prints the help, or calls `work` and prints the message of what it threw:
/// UsageError gives exit_usage, net::ConnectionError exit_no_reply. Returns the exit status.
int run_subcommand(const Subcommand& subcommand, std::span<const std::string> args, std::ostream& out,
                   std::ostream& err,
                   const std::function<int(const boost::program_options::variables_map&)>& work);

/// The one argument that is no option, `what` in messages. Throws UsageError.
std::string only_argument(const boost::program_options::variables_map& values, const char* what);

/// The value of an option; empty where it was not given.
std::string text_option(const boost::program_options::variables_map& values, const char* name);

}  // namespace karma::cli
