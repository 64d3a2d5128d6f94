// The TOML file of the daemon: what it may hold, and what it is refused for.
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <vector>

#include <doctest/doctest.h>

#include "cli/command_line.h"
#include "cli/config_file.h"
#include "cli/option_table.h"
#include "cli/option_text.h"
#include "cli/serve_options.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

using cli::ServeOptions;
using Settings = std::map<std::string, std::string>;

Settings parsed(const std::string& text) {
    Settings found;
    for (const cli::FileValue& value : cli::parse_config(text, "k.toml").values) {
        CHECK(found.emplace(value.option->name, value.text).second);
    }
    return found;
}

std::string config_refusal(const std::string& text) {
    try {
        (void)cli::parse_config(text, "k.toml");
    } catch (const cli::UsageError& wrong) {
        return wrong.what();
    }
    return {};
}

std::string write_config(const TempDir& directory, const std::string& text) {
    const std::filesystem::path path = directory.path() / "karma.toml";
    std::ofstream(path, std::ios::binary) << text;
    ::chmod(path.c_str(), 0600);
    return path.string();
}

ServeOptions options_with(const std::vector<std::string>& arguments, const Settings& variables = {}) {
    return cli::read_serve_options(arguments, [&](const char* name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
    });
}

std::string refusal_of_options(const std::vector<std::string>& arguments, const Settings& variables = {}) {
    try {
        options_with(arguments, variables);
    } catch (const cli::UsageError& wrong) {
        return wrong.what();
    }
    return {};
}

// All options, as text.
Settings shown(const ServeOptions& options) {
    Settings values;
    for (const cli::OptionSection& section : cli::option_sections()) {
        for (const cli::Option& option : section.options) {
            if (option.is_in_file) values[option.name] = option.value.get(options);
        }
    }
    return values;
}

}  // namespace

TEST_CASE("config file: a key stands before all tables, or in its table with or without the table's name") {
    CHECK(parsed("port = 7\nlog_level = 'debug'\nwal = false\nread_timeout = 0.5\nwrite_timeout = 3\n") ==
          Settings{{"port", "7"},
                   {"log-level", "debug"},
                   {"wal", "false"},
                   {"read-timeout", "0.500000"},
                   {"write-timeout", "3"}});
    CHECK(parsed("[log]\nlog = true\nlevel = 'error'\n[replication]\nmin_acks = 1\nfailover_unsafe = false\n"
                 "[limits]\nmax_series = 10\n") == Settings{{"log", "true"},
                                                            {"log-level", "error"},
                                                            {"replication-min-acks", "1"},
                                                            {"failover-unsafe", "false"},
                                                            {"max-series", "10"}});
    CHECK(parsed("wal.fsync = false\nlog = { log_level = 'info' }\n") ==
          Settings{{"wal-fsync", "false"}, {"log-level", "info"}});
    CHECK(parsed("").empty());
    CHECK(parsed("\xef\xbb\xbf# a comment\r\nport = 7\r\n") == Settings{{"port", "7"}});
}

TEST_CASE("config file: an unknown key is refused with its line and the nearest known one") {
    CHECK(config_refusal("port = 1\n\nbnid = '::1'\n") ==
          "k.toml:3: bnid is no option: the nearest known one is bind");
    CHECK(config_refusal("[replication]\nmin_akcs = 1\n") ==
          "k.toml:2: min_akcs is no key of [replication]: the nearest known one is min_acks");
    CHECK(config_refusal("\n[replicaton]\nmin_acks = 1\n") ==
          "k.toml:2: [replicaton] is no table of a configuration: the nearest known one is [replication]");
    CHECK(config_refusal("[log]\nport = 1\n") ==
          "k.toml:2: port is no key of [log]: it stands before all tables");
    CHECK(config_refusal("[log]\nmax_series = 1\n") ==
          "k.toml:2: max_series is no key of [log]: it stands in [limits] or before all tables");
    CHECK(config_refusal("log-level = 'info'\n") ==
          "k.toml:1: log-level is no option: the nearest known one is log_level");
    CHECK(config_refusal("config = 'other.toml'\n").starts_with("k.toml:1: config is no option"));
    CHECK(config_refusal("\"\" = 1\n").starts_with("k.toml:1: "));
    CHECK(config_refusal("\"a\\u0007\\nb\" = 1\n").find('\a') == std::string::npos);
}

TEST_CASE("config file: a value of another type is refused with its line") {
    CHECK(config_refusal("bind = '::1'\nwal = 'true'\n") ==
          "k.toml:2: wal must be true or false, not a string");
    CHECK(config_refusal("port = '1'\n") ==
          "k.toml:1: port must be a whole number from 0 to 65535, not a string");
    CHECK(config_refusal("port = 1.0\n") ==
          "k.toml:1: port must be a whole number from 0 to 65535, not a floating-point number");
    CHECK(config_refusal("bind = 7\n") == "k.toml:1: bind must be an address, not an integer");
    CHECK(config_refusal("bind = ['::1']\n") == "k.toml:1: bind must be an address, not an array");
    CHECK(config_refusal("bind = 2026-05-05\n") == "k.toml:1: bind must be an address, not a date or time");
    CHECK(config_refusal("[port]\na = 1\n") ==
          "k.toml:1: port must be a whole number from 0 to 65535, not a table");
    CHECK(config_refusal("[[log]]\nlog = true\n") == "k.toml:1: log must be true or false, not an array");
    CHECK(config_refusal("read_timeout = true\n").ends_with("not a boolean"));
    CHECK(config_refusal("directory = \"a\\u0000b\"\n") == "k.toml:1: directory holds a zero character");
}

TEST_CASE("config file: an option that is there twice is refused") {
    CHECK(config_refusal("log_level = 'info'\n[log]\nlevel = 'info'\n").find("a second time") !=
          std::string::npos);
    CHECK(config_refusal("port = 1\nport = 2\n").starts_with("k.toml:2: "));
}

TEST_CASE("config file: what is no TOML is refused with its line") {
    for (const std::string text : {"port", "port =", "port = 'x", "[log", "port = 1 bind = 2",
                                   "port = 99999999999999999999999", "\xff\xfe", "bind = \"\xc3\x28\""}) {
        CAPTURE(text);
        CHECK(config_refusal(text).starts_with("k.toml:1: "));
    }
    CHECK(config_refusal("port = 1\n\nbind = '\n").starts_with("k.toml:3: "));
    const std::string zeros(1000, '\0');
    CHECK(config_refusal(zeros).starts_with("k.toml:1: "));
}

TEST_CASE("config file: deep nesting and size have limits") {
    const auto repeated = [](std::string_view part, std::size_t count) {
        std::string text;
        for (std::size_t i = 0; i < count; ++i) text.append(part);
        return text;
    };
    CHECK(config_refusal(repeated("a.", 400'000) + "a = 1").find("dots in a line") != std::string::npos);
    CHECK(config_refusal("[" + repeated("a.", 400'000) + "a]").find("dots in a line") != std::string::npos);
    CHECK_FALSE(config_refusal(repeated("a.", 200) + "a = 1").empty());
    CHECK(config_refusal("port = " + repeated("[", 500'000)).starts_with("k.toml:1: "));
    CHECK(config_refusal("port = " + repeated("{a=", 300'000)).starts_with("k.toml:1: "));
    // As deep as the limits allow.
    std::string deep = "[" + repeated("a.", 199) + "a]\n";
    for (int i = 0; i < 16; ++i) deep += repeated("a.", 199) + "a = [\n{";
    CHECK_FALSE(config_refusal(deep).empty());
    std::string whole =
        "x = " + repeated("[\n{ " + repeated("a.", 199) + "a = ", 7) + "1" + repeated("}]", 7);
    CHECK_FALSE(config_refusal(whole).empty());
    CHECK(config_refusal(repeated("# comment\n", 200'000)) == "k.toml is larger than 1048576 bytes");
}

TEST_CASE("config file: the command line goes before the environment, and that before the file") {
    const TempDir directory;
    const std::string path = write_config(
        directory,
        "port = 1\nthreads = 1\nmax_series = 1\nauth_token = 'file'\n[replication]\ntoken = 'r'\n");
    const ServeOptions options =
        options_with({"--config=" + path, "--port=3"},
                     {{"KARMA_PORT", "2"}, {"KARMA_THREADS", "2"}, {"KARMA_AUTH_TOKEN", ""}});
    CHECK(options.server.port == 3);
    CHECK(options.server.threads == 2);
    CHECK(options.database.series_max == 1);
    CHECK(options.server.auth_token == "file");
    CHECK(options.follower.token == "r");
    CHECK(options.config_file == path);
    CHECK(options_with({}, {{"KARMA_CONFIG", path}}).server.port == 1);
    CHECK(options_with({"--config=" + path}, {{"KARMA_CONFIG", "/nowhere"}}).server.port == 1);
    CHECK(options_with({}, {{"KARMA_CONFIG", ""}}).config_file.empty());
}

TEST_CASE("config file: a token goes before a token file of a place that counts less") {
    const TempDir directory;
    const std::string tokens = (directory.path() / "token").string();
    std::ofstream(tokens) << "from-file\n";
    ::chmod(tokens.c_str(), 0600);
    const std::string path = write_config(directory, "auth_token_file = '" + tokens + "'\n");
    CHECK(options_with({"--config=" + path}).server.auth_token == "from-file");
    CHECK(options_with({"--config=" + path, "--auth-token=line"}).server.auth_token == "line");
    CHECK(options_with({"--config=" + path}, {{"KARMA_AUTH_TOKEN", "env"}}).server.auth_token == "env");
    CHECK(options_with({"--auth-token-file=" + tokens}, {{"KARMA_AUTH_TOKEN", "env"}}).server.auth_token ==
          "from-file");
    CHECK(options_with({"--auth-token=line"}, {{"KARMA_AUTH_TOKEN_FILE", tokens}}).server.auth_token ==
          "line");
}

TEST_CASE("config file: a value that its option refuses is named with its line") {
    const TempDir directory;
    const std::string path = write_config(directory, "\nport = 70000\n");
    CHECK(refusal_of_options({"--config=" + path}) ==
          path + ":2: port must be a whole number from 0 to 65535, not \"70000\"");
    CHECK(refusal_of_options({"--config=" + path, "--port=1"}).starts_with(path + ":2: port must be"));
    CHECK(refusal_of_options({"--config=" + write_config(directory, "port = -1")}).find(":1: port must be") !=
          std::string::npos);
    for (const char* const wrong : {"inf", "nan", "-1", "86401.0", "1e300"}) {
        CHECK(refusal_of_options(
                  {"--config=" + write_config(directory, std::string("idle_timeout = ") + wrong)})
                  .find(":1: idle_timeout must be") != std::string::npos);
    }
}

TEST_CASE("config file: one that cannot be read is refused") {
    const TempDir directory;
    const std::string folder = directory.path().string();
    CHECK(refusal_of_options({"--config=" + folder}) == folder + " cannot be read: Is a directory");
    CHECK(refusal_of_options({"--config=" + folder + "/no"}) ==
          folder + "/no cannot be read: No such file or directory");
    CHECK(refusal_of_options({"--config="}) == "--config must be the name of a file, not \"\"");
    CHECK(refusal_of_options({"--config=/dev/zero"}) == "/dev/zero is larger than 1048576 bytes");
    // A named pipe that nobody writes into is empty; nobody waits.
    const std::string pipe = folder + "/pipe";
    REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
    CHECK(refusal_of_options({"--config=" + pipe}).empty());
}

TEST_CASE("config file: one that holds a token should be closed to others") {
    const TempDir directory;
    const std::string path = write_config(directory, "auth_token = 'a'\n");
    CHECK(options_with({"--config=" + path}).warnings.empty());
    ::chmod(path.c_str(), 0644);
    REQUIRE(options_with({"--config=" + path}).warnings.size() == 1);
    CHECK(
        contains(options_with({"--config=" + path}).warnings[0], "others on this machine may read " + path));
}

TEST_CASE("config file: what --print-config prints gives the same options, and no token") {
    const TempDir directory;
    const std::vector<std::vector<std::string>> command_lines{
        {},
        {"--port=0", "--wal-fsync=false", "--read-timeout=0.001", "--log-level=error", "--restore-from=7"},
        {"--bind=a \"quoted\\ name\"\x01\x7f\xc3\xa9", "--replication-name=\n", "--idle-timeout=1.005"},
        {"--role=follower", "--replication-source-host=h", "--replication-discard-diverged=order-1",
         "--failover-timeout-ms=1000", "--failover-unsafe=true", "--max-connections=5", "--threads=3",
         "--unknown-fields=refuse", "--storage=memory"},
        {"--listen=karma://127.0.0.1:1,unix:/tmp/a b", "--listen=karma://[::1]:2"},
    };
    for (const std::vector<std::string>& arguments : command_lines) {
        const ServeOptions options = options_with(arguments);
        std::ostringstream out;
        cli::print_config(out, options);
        const std::string path = write_config(directory, out.str());
        CHECK(shown(options_with({"--config=" + path})) == shown(options));
    }
    std::ostringstream out;
    cli::print_config(out, options_with({"--auth-token=secret1", "--replication-token=secret2"}));
    CHECK_FALSE(contains(out.str(), "secret1"));
    CHECK_FALSE(contains(out.str(), "secret2"));
    CHECK(contains(out.str(), "# auth_token is set, and not shown\n"));
    CHECK(contains(out.str(), "# read_auth_token = \"\"\n"));
    CHECK(contains(out.str(), "\n[log]\n"));
}

TEST_CASE("config file: [[token]] tables are further tokens") {
    const TempDir directory;
    const std::string secret = (directory.path() / "secret").string();
    std::ofstream(secret) << "from-file\r\n";
    ::chmod(secret.c_str(), 0600);
    const std::string path =
        write_config(directory, "auth_token = 'all'\n[[token]]\nname = 'shop'\ntoken_file = '" + secret +
                                    "'\naccess = 'write'\nseries = ['shop.*', 'links']\n"
                                    "[[token]]\nname = 'board'\ntoken = 'board-token'\naccess = 'read'\n");
    const ServeOptions options = options_with({"--config=" + path});
    CHECK(options.warnings.empty());
    const net::TokenSet tokens = options.server.token_set();
    CHECK(tokens.find("all").level == net::AccessLevel::admin);
    CHECK(tokens.find("board-token").level == net::AccessLevel::read);
    CHECK(tokens.find("board-token").series == nullptr);
    const net::Grant shop = tokens.find("from-file");
    CHECK(shop.level == net::AccessLevel::write);
    REQUIRE(shop.series != nullptr);
    CHECK(shop.series->match("shop.a"));
    CHECK_FALSE(shop.series->match("other"));
    CHECK(tokens.find("wrong").level == net::AccessLevel::none);
    std::ostringstream out;
    cli::print_config(out, options);
    CHECK(contains(out.str(), "# name = \"shop\"\n"));
    CHECK_FALSE(contains(out.str(), "board-token"));
}

TEST_CASE("config file: a [[token]] table that cannot be used is refused with its line") {
    const auto refused = [](const std::string& lines) { return config_refusal("\n[[token]]\n" + lines); };
    const std::string good = "name = 'a'\ntoken = 'b'\naccess = 'read'\n";
    CHECK(refused(good).empty());
    CHECK(refused("token = 'b'\naccess = 'read'\n") == "k.toml:2: [[token]] needs name");
    CHECK(refused("name = 'a'\ntoken = 'b'\n") == "k.toml:2: [[token]] needs access");
    CHECK(refused("name = 'a'\naccess = 'read'\n") ==
          "k.toml:2: [[token]] needs token or token_file, and not both");
    CHECK(refused(good + "token_file = 'f'\n") ==
          "k.toml:2: [[token]] needs token or token_file, and not both");
    CHECK(refused("name = 'a'\ntoken = 'b'\naccess = 'all'\n") ==
          "k.toml:5: access must be read, write or admin, not \"all\"");
    CHECK(refused("name = 7\ntoken = 'b'\naccess = 'read'\n") ==
          "k.toml:3: name must be a string of 1 to 200 bytes");
    CHECK(refused("name = 'a'\ntoken = ''\naccess = 'read'\n") ==
          "k.toml:4: token must be a string of 1 to 4096 bytes");
    CHECK(refused(good + "serie = ['a']\n") ==
          "k.toml:6: \"serie\" is no key of [[token]]: the nearest known one is series");
    for (const char* const series : {"'a'", "[]", "[1]", "['']", "{a = 1}"}) {
        CHECK(refused(good + "series = " + series + "\n").starts_with("k.toml:6: series must be "));
    }
    CHECK(refused("name = 'a'\ntoken = 'b'\naccess = 'admin'\nseries = ['*']\n").find("for all series") !=
          std::string::npos);
    CHECK(refused(good + "[[token]]\n" + good) == "k.toml:6: [[token]]: another token has the name \"a\"");
    CHECK(config_refusal("token = 'a'\n") == "k.toml:1: tokens are tables with the heading [[token]]");
    CHECK(config_refusal("[token]\nname = 'a'\n").ends_with("tables with the heading [[token]]"));
    const TempDir directory;
    const auto refused_by_options = [&](const std::string& text) {
        return refusal_of_options({"--config=" + write_config(directory, text)});
    };
    CHECK(contains(
        refused_by_options("[[token]]\n" + good + "[[token]]\nname = 'b'\ntoken = 'b'\naccess = 'read'\n"),
        "karma.toml:5: [[token]]: \"b\" has the token of \"a\""));
    CHECK(contains(refused_by_options("[[token]]\nname = 'a'\ntoken_file = '/no/such'\naccess = 'read'\n"),
                   "karma.toml:1: [[token]]: /no/such cannot be read"));
}

TEST_CASE("config file: what counts only from the next start on is named") {
    const TempDir directory;
    const ServeOptions before = options_with({"--config=" + write_config(directory, "port = 1\n")});
    const ServeOptions now = options_with(
        {"--config=" +
         write_config(directory,
                      "port = 2\nlog_level = 'error'\nauth_token = 'a'\n[replication]\ntoken = 'r'\n")});
    CHECK(cli::options_to_restart_for(before, before).empty());
    CHECK(cli::options_to_restart_for(before, now) ==
          std::vector<std::string>{"--port", "--replication-token"});
}

TEST_CASE("config file: a table header without a key is refused with its line") {
    for (const char* const header : {"[=]", "[[=]]", "[", "[[", "[]", "[.]", "[\x01]", "[ ,", "[\xc3\xa9]"}) {
        CAPTURE(header);
        CHECK(config_refusal("\n" + std::string(header) + "\n").starts_with("k.toml:2: "));
    }
}

TEST_CASE("config file: a character outside ASCII stands in quotes or in a comment") {
    const std::string refusal = "a character outside ASCII must stand in quotes, or in a comment";
    for (const std::string text :
         {"port =\xc2\xa0 1", "[\xc3\xa9]", "\xc3\xa9 = 1", "port = 1 \xc3\xa9", "bind = ['a', \xc3\xa9]",
          "[replication\xc3\xa9]", "directory = \"\"\"a\\ \xc3\xa9\"\"\"",
          "bind = '''a'''' # x\nport = 1\xc3\xa9", "bind = \"a\\\"\" \xc3\xa9"}) {
        CAPTURE(text);
        const auto lines = std::count(text.begin(), text.end(), '\n') + 1;
        CHECK(config_refusal(text) == "k.toml:" + std::to_string(lines) + ": " + refusal);
    }
    for (const std::string text :
         {"# \xc3\xa9\n", "directory = '\xc3\xa9'", "directory = \"\xc3\xa9\"",
          "directory = '''\n\xc3\xa9'''", "directory = \"\"\"\\\n  a\xc3\xa9 \\\\ \"\"\"",
          "\xef\xbb\xbfport = 1", "directory = '\\' # \xc3\xa9"}) {
        CAPTURE(text);
        CHECK(config_refusal(text).empty());
    }
}

TEST_CASE("config file: damaged files are refused with a line, or read") {
    auto random = random_engine("damaged configurations");
    std::ostringstream printed;
    cli::print_config(printed, cli::default_serve_options());
    const std::string whole = printed.str();
    std::string marks = "[]{}\"'\\=.,#\n\r\t\xff\xc3\xa9 _-+0e:T";
    marks.push_back('\0');
    std::size_t read = 0;
    std::size_t refused = 0;
    for (std::size_t i = 0; i < scaled(3000); ++i) {
        std::string text = whole;
        const std::uint64_t changes = random_between(random, 1, 6);
        for (std::uint64_t j = 0; j < changes; ++j) {
            const std::size_t at = random_between(random, 0, text.size() - 1);
            switch (random_between(random, 0, 4)) {
                case 0: text.erase(at, random_between(random, 1, 40)); break;
                case 1: text.insert(at, 1, marks[random_between(random, 0, marks.size() - 1)]); break;
                case 2: text[at] = static_cast<char>(random_between(random, 0, 255)); break;
                case 3: text.insert(at, random_between(random, 0, 1) == 0 ? "\xc3\xa9" : "\"\"\""); break;
                default: text.insert(at, text.substr(random_between(random, 0, text.size() - 1), 60)); break;
            }
            if (text.empty()) break;
        }
        CAPTURE(text);
        const std::string why = config_refusal(text);
        if (why.empty()) {
            ++read;
            continue;
        }
        ++refused;
        CHECK(why.starts_with("k.toml:"));
        CHECK(why.find(": ") != std::string::npos);
        CHECK(std::ranges::all_of(why, [](unsigned char c) { return c >= ' ' && c < 0x7f; }));
    }
    CHECK(read != 0);
    CHECK(refused != 0);
}

}  // namespace karma::test
