// The table of options: each one is whole, and the help, the page and the values follow from it.
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "cli/client_options.h"
#include "cli/command_line.h"
#include "cli/option_table.h"
#include "cli/option_text.h"
#include "cli/serve_options.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

using cli::Option;
using cli::OptionKind;
using cli::ServeOptions;

std::vector<const Option*> all_options() {
    std::vector<const Option*> all;
    for (const cli::OptionSection& section : cli::option_sections()) {
        for (const Option& option : section.options) {
            all.push_back(&option);
        }
    }
    return all;
}

std::string refusal_by(const Option& option, const std::string& text) {
    ServeOptions options;
    try {
        option.value.set(options, text, "here");
    } catch (const cli::UsageError& wrong) {
        return wrong.what();
    }
    return {};
}

std::string set_and_get(const Option& option, const std::string& text) {
    ServeOptions options;
    option.value.set(options, text, "here");
    return option.value.get(options);
}

std::string whole_file(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

}  // namespace

TEST_CASE("option table: names, variables and short names are unique, and nothing is left empty") {
    std::set<std::string> names;
    std::set<std::string> variables;
    std::set<char> letters;
    for (const Option* const option : all_options()) {
        const std::string name = option->name;
        CAPTURE(name);
        CHECK(names.insert(name).second);
        CHECK(variables.insert(option->variable).second);
        if (option->short_name != 0) CHECK(letters.insert(option->short_name).second);
        CHECK(std::string(option->variable).starts_with("KARMA_"));
        CHECK(*option->argument != '\0');
        CHECK(*option->help != '\0');
        CHECK_FALSE(option->value.allowed.empty());
        CHECK(cli::find_option(name) == option);
    }
    CHECK(cli::find_option("no-such-option") == nullptr);
}

TEST_CASE("option table: what an option shows as its value it also takes") {
    for (const Option* const option : all_options()) {
        const std::string name = option->name;
        CAPTURE(name);
        for (const ServeOptions& options : {ServeOptions(), cli::default_serve_options()}) {
            const std::string text = option->value.get(options);
            // 0 connections are as many as possible, and nothing that can be asked for.
            if (text.empty() || name == "max-connections") continue;
            CHECK(set_and_get(*option, text) == text);
        }
    }
}

TEST_CASE("option table: numbers are taken up to their limits, and no further") {
    std::size_t numbers = 0;
    for (const Option* const option : all_options()) {
        if (option->value.kind != OptionKind::whole_number) continue;
        const std::string name = option->name;
        CAPTURE(name);
        ++numbers;
        const std::uint64_t low = option->value.low;
        const std::uint64_t high = option->value.high;
        CHECK(set_and_get(*option, std::to_string(low)) == std::to_string(low));
        CHECK(set_and_get(*option, std::to_string(high)) == std::to_string(high));
        if (high != std::numeric_limits<std::uint64_t>::max()) {
            CHECK(contains(refusal_by(*option, std::to_string(high + 1)), option->value.allowed));
        }
        if (low > 1) CHECK(contains(refusal_by(*option, std::to_string(low - 1)), option->value.allowed));
        for (const char* const wrong : {"", "-1", "1x", " 1", "1.5", "99999999999999999999999"}) {
            CHECK(refusal_by(*option, wrong).starts_with("here must be " + option->value.allowed));
        }
    }
    CHECK(numbers > 20);
}

TEST_CASE("option table: seconds keep their thousandths") {
    auto random = random_engine("seconds of options");
    const Option& option = *cli::find_option("read-timeout");
    for (const char* const text : {"0", "0.001", "0.25", "1.001", "5", "86400"}) {
        CHECK(set_and_get(option, text) == text);
    }
    for (std::size_t i = 0; i < scaled(1000); ++i) {
        ServeOptions options;
        options.server.read_timeout = std::chrono::milliseconds(random_between(random, 1, 86'400'000));
        ServeOptions read;
        option.value.set(read, option.value.get(options), "here");
        CHECK(read.server.read_timeout == options.server.read_timeout);
    }
    for (const char* const wrong : {"", "inf", "nan", "-1", "0.0001", "86401", "1e400", "5s"}) {
        CHECK(refusal_by(option, wrong).starts_with("here must be a number of seconds from"));
    }
}

TEST_CASE("option table: booleans and words") {
    const Option& wal = *cli::find_option("wal");
    for (const char* const yes : {"true", "1", "yes", "on"}) CHECK(set_and_get(wal, yes) == "true");
    for (const char* const no : {"false", "0", "no", "off"}) CHECK(set_and_get(wal, no) == "false");
    CHECK(refusal_by(wal, "TRUE") == "here must be true or false, not \"TRUE\"");
    CHECK(set_and_get(*cli::find_option("role"), "follower") == "slave");
    CHECK(refusal_by(*cli::find_option("log-level"), "trace") ==
          "here must be debug, info, warning or error, not \"trace\"");
    CHECK(set_and_get(*cli::find_option("replication-discard-diverged"), "off").empty());
    CHECK(set_and_get(*cli::find_option("replication-discard-diverged"), "order-1") == "order-1");
}

TEST_CASE("option table: what several structures name has one default") {
    const ServeOptions options;
    CHECK(cli::ClientOptions().endpoint.port == options.server.port);
    CHECK(options.follower.port == options.server.port);
    CHECK(options.follower.timeout == options.source.timeout);
    CHECK(options.source.min_acks == options.database.replication_min_acks);
    CHECK(cli::default_of(*cli::find_option("snapshot-interval-seconds")) ==
          std::to_string(DatabaseOptions().snapshot_interval_s));
}

TEST_CASE("option table: the help names the defaults, and secrets are no part of it") {
    std::ostringstream help;
    cli::print_serve_help(help);
    CHECK(contains(help.str(), "--snapshot-interval-seconds=SECONDS   [KARMA_SNAPSHOT_INTERVAL_SECONDS]\n"));
    CHECK(contains(help.str(), "none is made when nothing has changed; 0 for none (3600)\n"));
    CHECK(contains(help.str(), "threads that serve connections (half the cores)\n"));
    CHECK(contains(help.str(), "token that allows everything (none)\n"));
}

TEST_CASE("option table: docs/configuration.md is what --help=markdown prints") {
    std::ostringstream page;
    cli::print_option_reference(page);
    const std::filesystem::path path =
        test_file("README.md").parent_path().parent_path() / "docs/configuration.md";
    INFO("build/release/karma serve --help=markdown >docs/configuration.md makes it anew");
    CHECK(whole_file(path) == page.str());
}

}  // namespace karma::test
