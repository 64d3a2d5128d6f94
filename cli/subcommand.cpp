#include "cli/subcommand.h"

#include <optional>
#include <vector>

#include <boost/program_options/value_semantic.hpp>

#include "cli/text.h"
#include "net/client_connection.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

/// Nothing when help was asked for, which is printed then.
std::optional<po::variables_map> parse(const Subcommand& subcommand, std::span<const std::string> args,
                                       std::ostream& out) {
    po::options_description visible(subcommand.options);
    visible.add_options()("help", po::bool_switch(), "print this help");
    po::options_description all;
    all.add(visible);
    po::positional_options_description positions;
    if (subcommand.takes_argument) {
        all.add_options()("argument", po::value<std::vector<std::string>>());
        positions.add("argument", -1);
    }
    po::variables_map values = parse_arguments(args, all, positions);
    if (values["help"].as<bool>()) {
        out << subcommand.usage << '\n' << visible << subcommand.behind;
        return std::nullopt;
    }
    return values;
}

}  // namespace

int run_subcommand(const Subcommand& subcommand, std::span<const std::string> args, std::ostream& out,
                   std::ostream& err, const std::function<int(const po::variables_map&)>& work) {
    const std::string name = std::string("karma ") + subcommand.name;
    try {
        const std::optional<po::variables_map> values = parse(subcommand, args, out);
        return values ? work(*values) : exit_success;
    } catch (const UsageError& error) {
        err << name << ": " << error.what() << "\nTry '" << name << " --help'.\n";
        return exit_usage;
    } catch (const net::ConnectionError& error) {
        err << name << ": " << error.what() << '\n';
        return exit_no_reply;
    } catch (const std::exception& error) {
        err << name << ": " << error.what() << '\n';
        return subcommand.status_of_failure;
    }
}

std::string only_argument(const po::variables_map& values, const char* what) {
    if (values.count("argument") == 0) {
        throw UsageError(std::string(what) + " is missing");
    }
    const auto& all = values["argument"].as<std::vector<std::string>>();
    if (all.size() > 1) {
        throw UsageError(cli::quoted(all[1]) + ": only one " + what + " can be given");
    }
    if (all.front().empty()) {
        throw UsageError(std::string(what) + " is empty");
    }
    return all.front();
}

std::string text_option(const po::variables_map& values, const char* name) {
    return values.count(name) == 0 ? std::string() : values[name].as<std::string>();
}

}  // namespace karma::cli
