#include "cli/serve_options.h"

#include <algorithm>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <boost/program_options/options_description.hpp>
#include <boost/program_options/positional_options.hpp>
#include <boost/program_options/value_semantic.hpp>
#include <boost/program_options/variables_map.hpp>

#include "cli/command_line.h"
#include "cli/config_file.h"
#include "cli/option_table.h"
#include "cli/small_file.h"
#include "cli/text.h"
#include "cli/token.h"
#include "net/machine.h"

namespace karma::cli {
namespace {

namespace po = boost::program_options;

constexpr const char* print_config_flag = "print-config";
constexpr const char* check_config_flag = "check-config";

/// Kubernetes sets KARMA_PORT=tcp://ADDRESS:PORT in every container beside a Service that is called karma.
bool is_of_kubernetes(const Option& option, const std::string& text) {
    return option.variable == std::string_view("KARMA_PORT") && text.starts_with("tcp://");
}

void read_variable(const Option& option, const std::string& text, ServeOptions& options) {
    if (is_of_kubernetes(option, text)) {
        options.warnings.push_back(std::string(option.variable) + "=" + text +
                                   " is ignored: Kubernetes sets it for a Service of that name. Use "
                                   "--port for the port");
        return;
    }
    option.value.set(options, text, option.variable);
}

/// What cannot be told from one option alone.
void check_together(const ServeOptions& options) {
    const bool follows = !options.follower.host.empty();
    if (follows && options.database.read_only && !options.database.wal) {
        throw UsageError(
            "--replication-source-host needs the event log: a follower stores what it takes (--wal=true)");
    }
    if (options.database.replication_min_acks != 0 && !options.database.wal) {
        throw UsageError("--replication-min-acks needs the event log (--wal=true)");
    }
    if (options.follower.failover_timeout.count() != 0 && !(follows && options.database.read_only)) {
        throw UsageError(
            "--failover-timeout-ms is for a follower: it needs --role=slave and --replication-source-host");
    }
    if (options.failover_unsafe && options.follower.failover_timeout.count() == 0) {
        throw UsageError("--failover-unsafe=true has no effect without --failover-timeout-ms");
    }
}

std::string option_names(const Option& option) {
    const std::string name = option.name;
    return option.short_name == 0 ? name : name + "," + option.short_name;
}

po::variables_map parse_command_line(std::span<const std::string> arguments) {
    po::options_description description;
    std::string_view repeatable;
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (option.value.kind == OptionKind::list) {
                description.add_options()(option_names(option).c_str(),
                                          po::value<std::vector<std::string>>());
                repeatable = option.name;
            } else {
                description.add_options()(option_names(option).c_str(), po::value<std::string>());
            }
        }
    }
    for (const char* const flag : {print_config_flag, check_config_flag}) {
        description.add_options()(flag, po::bool_switch());
    }
    return parse_arguments(arguments, description, po::positional_options_description(), repeatable);
}

/// What the environment says of options that the command line does not give.
void read_environment(const Option& option, const Environment& environment, ServeOptions& options) {
    const char* const text = environment(option.variable);
    if (text == nullptr) {
        return;
    }
    if (*text != '\0') {
        read_variable(option, text, options);
    } else if (std::string_view(option.variable).ends_with("AUTH_TOKEN")) {
        options.warnings.push_back(std::string(option.variable) +
                                   " is set and empty: that is no token, as if it were not set");
    }
}

/// The file that is to be read; empty for none.
std::string config_file_of(const po::variables_map& given, const Environment& environment) {
    const Option& option = *find_option("config");
    if (given.count(option.name) != 0) {
        return given[option.name].as<std::string>();
    }
    if (const char* const path = environment(option.variable); path != nullptr && *path != '\0') {
        return path;
    }
    std::error_code failure;
    const auto status = std::filesystem::symlink_status(usual_config_file, failure);
    return std::filesystem::exists(status) ? usual_config_file : "";
}

void read_file(const std::string& path, ServeOptions& options) {
    bool has_token = false;
    ConfigFile file = read_config_file(path);
    for (const FileValue& value : file.values) {
        value.option->value.set(options, value.text, value.source);
        has_token = has_token || value.option->is_secret;
    }
    options.tokens = std::move(file.tokens);
    has_token = has_token || std::ranges::any_of(options.tokens,
                                                 [](const TokenEntry& entry) { return entry.file.empty(); });
    if (has_token && is_readable_by_others(path)) {
        options.warnings.push_back("others on this machine may read " + path +
                                   ", which holds a token: chmod o-rwx");
    }
    options.config_file = path;
}

/// The value of an option; those of a list with commas between them.
std::string given_text(const po::variables_map& given, const Option& option) {
    const po::variable_value& value = given[option.name];
    if (option.value.kind != OptionKind::list) {
        return value.as<std::string>();
    }
    std::string text;
    for (const std::string& one : value.as<std::vector<std::string>>()) {
        text.append(text.empty() ? "" : ",").append(one);
    }
    return text;
}

/// The tokens of the configuration file, those in files of their own too.
std::vector<net::NamedToken> named_tokens(ServeOptions& options) {
    std::vector<net::NamedToken> tokens;
    for (const TokenEntry& entry : options.tokens) {
        net::NamedToken token = entry.token;
        token.token = entry.file.empty() ? token_of_text(entry.token.token, entry.source, options.warnings)
                                         : token_of_file(entry.file, entry.source, options.warnings);
        const auto same = std::ranges::find(tokens, token.token, &net::NamedToken::token);
        if (same != tokens.end()) {
            throw UsageError(entry.source + ": " + cli::quoted(token.name) + " has the token of " +
                             cli::quoted(same->name));
        }
        tokens.push_back(std::move(token));
    }
    return tokens;
}

void read_token_files(ServeOptions& options) {
    struct Place {
        const char* option;
        const std::string& file;
        std::string& token;
    };
    for (const Place& place :
         {Place{"auth-token", options.token_files.all, options.server.auth_token},
          Place{"read-auth-token", options.token_files.read, options.server.read_auth_token},
          Place{"replication-token", options.token_files.replication, options.follower.token}}) {
        if (!place.file.empty()) {
            place.token =
                token_of_file(place.file, std::string("--") + place.option + "-file", options.warnings);
        }
    }
    options.server.tokens = named_tokens(options);
}

/// What counts less is read first.
void read_all(const po::variables_map& given, const Environment& environment, ServeOptions& options) {
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (given.count(option.name) == 0) {
                read_environment(option, environment, options);
            }
        }
    }
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (given.count(option.name) != 0) {
                option.value.set(options, given_text(given, option), std::string("--") + option.name);
            }
        }
    }
}

}  // namespace

ServeOptions default_serve_options() {
    constexpr std::size_t memory_parts = 16;
    constexpr std::size_t bytes_of_series = 2048;
    constexpr std::size_t bytes_of_stream = 8192;
    ServeOptions options;
    options.server.threads = std::max(1U, std::thread::hardware_concurrency() / 2);
    const std::size_t memory = net::machine_memory_bytes();
    options.server.reply_memory_max = memory / memory_parts;
    options.server.request_memory_max = memory / memory_parts;
    options.database.series_max = memory / bytes_of_series;
    options.database.streams_max = memory / bytes_of_stream;
    return options;
}

ServeOptions read_serve_options(std::span<const std::string> arguments, const Environment& environment) {
    const po::variables_map given = parse_command_line(arguments);
    ServeOptions options = default_serve_options();
    if (const std::string path = config_file_of(given, environment); !path.empty()) {
        read_file(path, options);
    }
    read_all(given, environment, options);
    read_token_files(options);
    check_together(options);
    check_tls(options);
    return options;
}

std::vector<std::string> options_to_restart_for(const ServeOptions& before, const ServeOptions& now) {
    std::vector<std::string> names;
    for (const OptionSection& section : option_sections()) {
        for (const Option& option : section.options) {
            if (!option.is_reloaded && option.value.get(before) != option.value.get(now)) {
                names.push_back(std::string("--") + option.name);
            }
        }
    }
    return names;
}

ServeRequest serve_request(std::span<const std::string> arguments) {
    const auto has = [&](std::string_view flag) {
        return std::ranges::find(arguments, flag) != arguments.end();
    };
    if (has("--help") || has("-h")) {
        return ServeRequest::help;
    }
    if (has("--help=markdown")) {
        return ServeRequest::reference;
    }
    if (has(std::string("--") + check_config_flag)) {
        return ServeRequest::check_config;
    }
    return has(std::string("--") + print_config_flag) ? ServeRequest::print_config : ServeRequest::serve;
}

}  // namespace karma::cli
