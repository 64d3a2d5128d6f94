// What the daemon writes: JSON lines on standard output, and never a token.
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <fcntl.h>
#include <filesystem>
#include <random>
#include <sstream>
#include <string>
#include <sys/stat.h>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "tests/support/comes_true.h"
#include "tests/support/daemon.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/settings.h"
#include "tests/support/values.h"

namespace karma::test {

namespace {

// Requests of every kind of outcome, each with the token. Returns all replies.
std::string use_token(const Daemon& daemon, const std::string& token) {
    std::string replies;
    const auto ask = [&](Client& client, const std::string& line) {
        client.send_line(line);
        replies += client.receive_line() + '\n';
    };
    Client client = daemon.connect();
    const json::object fields{{"token", token}, {"series", "a"}, {"key", 1}};
    ask(client, request("counter.increment", fields));
    ask(client, request("counter.sum", fields));
    ask(client, request("tree.info", {{"token", token}, {"series", "missing"}}));
    ask(client, request("no.such.op", fields));
    ask(client, request("counter.increment", {{"token", token}, {"series", 5}}));
    ask(client, request("system.ping", {{"token", token + "x"}}));
    ask(client, "{\"v\":2,\"op\":\"system.ping\",\"token\":\"" + token + "\"");
    ask(client, "{\"v\":2,\"op\":\"system.ping\",\"token\":\"" + token + "\"} " + token);
    ask(client, token);
    ask(client, "{\"v\":3,\"token\":\"" + token + "\"}");
    Client oversized = daemon.connect();
    ask(oversized, "{\"token\":\"" + token + "\",\"pad\":\"" + std::string(5000, 'p') + "\"}");
    return replies;
}

std::size_t files_with(const std::filesystem::path& directory, const std::string& text) {
    std::size_t found = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
        if (entry.is_regular_file() && contains(read_file(entry.path()), text)) ++found;
    }
    return found;
}

// Waits until a daemon listens that was started without Daemon.
void wait_for_listener(Process& process, const ReservedPort& port) {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    for (;;) {
        try {
            const Client probe(port.number());
            return;
        } catch (const std::system_error&) {
            REQUIRE_MESSAGE(!process.poll(), "the daemon has ended");
            REQUIRE_MESSAGE(std::chrono::steady_clock::now() < deadline, "the daemon does not listen");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
}

// A named pipe with no room left, and nobody who reads.
class FullPipe {
public:
    explicit FullPipe(const std::filesystem::path& path) {
        if (::mkfifo(path.c_str(), 0600) != 0) throw std::system_error(errno, std::generic_category());
        file_ = FileDescriptor(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_CLOEXEC));
        const std::array<char, 4096> bytes{};
        while (::write(file_.get(), bytes.data(), bytes.size()) > 0) {}
        REQUIRE(errno == EAGAIN);
    }

private:
    FileDescriptor file_;
};

}  // namespace

TEST_CASE("output: tokens appear nowhere") {
    std::mt19937_64 random = random_engine("tokens");
    const std::string write_token = random_word(random, 32);
    const std::string read_token = random_word(random, 32);
    const std::string replication_token = random_word(random, 32);
    Daemon daemon(std::vector<std::string>{"--log=true", "--auth-token=" + write_token,
                                           "--read-auth-token=" + read_token,
                                           "--replication-token=" + replication_token});
    std::string replies = use_token(daemon, write_token) + use_token(daemon, read_token);
    const std::string foreign = random_word(random, 32);  // known to nobody, and still a secret
    replies += use_token(daemon, foreign);
    daemon.restart_after_kill();
    CHECK(daemon.stop().code == 0);
    for (const std::string& token : {write_token, read_token, replication_token, foreign}) {
        CHECK_FALSE(contains(replies, token));
        CHECK_FALSE(contains(daemon.standard_output(), token));
        CHECK_FALSE(contains(daemon.standard_error(), token));
        CHECK(files_with(daemon.directory(), token) == 0);
    }
}

TEST_CASE("output: the log is one JSON object a line on standard output") {
    Daemon daemon(std::vector<std::string>{"--log=true"});
    use_token(daemon, "any");
    daemon.restart_after_kill();
    daemon.connect().call("system.ping");
    CHECK(daemon.stop().code == 0);
    std::istringstream log(daemon.standard_output());
    std::size_t lines = 0;
    for (std::string line; std::getline(log, line); ++lines) {
        CAPTURE(line);
        CHECK(parse_json(line).is_object());
    }
    CHECK(lines > 0);
    CHECK(daemon.standard_output().ends_with('\n'));
    CHECK(daemon.standard_error() == "");
}

TEST_CASE(
    "output: where standard input, output and error are closed, no file of the daemon gets what is printed") {
    const TempDir scratch;
    const ReservedPort port;
    // The shell becomes the daemon, with the same process id.
    Process process("/bin/sh",
                    {.arguments = {"-c", "exec \"$0\" \"$@\" <&- >&- 2>&-", karma_binary().string(),
                                   "--bind=127.0.0.1", "--port=" + std::to_string(port.number()),
                                   "--directory=" + (scratch / "data").string(), "--log=true"},
                     .environment = {},
                     .standard_input = {},
                     .standard_output = {},
                     .standard_error = {},
                     .open_files = {}});
    wait_for_listener(process, port);
    CHECK(Client(port.number()).call("system.ping") == json::value("pong"));
    process.send_signal(SIGTERM);
    CHECK(process.wait(patience()).code == 0);
    CHECK(read_file(scratch / "data" / "karma.lock") == std::to_string(process.pid()));
    CHECK(files_with(scratch / "data", "\"listening\"") == 0);
}

namespace {

/// A daemon whose output goes to "log" in a directory, and whose data lies in "data".
ProcessOptions into_log(const TempDir& scratch, std::vector<std::string> arguments) {
    arguments.push_back("--directory=" + (scratch / "data").string());
    return {.arguments = std::move(arguments),
            .environment = {},
            .standard_input = {},
            .standard_output = scratch / "log",
            .standard_error = scratch / "log",
            .open_files = {}};
}

}  // namespace

TEST_CASE("output: a reader that takes nothing holds up neither the start, nor clients, nor the end") {
    const TempDir scratch;
    const ReservedPort port;
    const FullPipe pipe(scratch / "log");
    Process process(
        karma_binary(),
        into_log(scratch, {"--bind=127.0.0.1", "--port=" + std::to_string(port.number()), "--log=true"}));
    wait_for_listener(process, port);
    Client client(port.number());
    CHECK(as_number(client.call("counter.increment", {{"series", "a"}, {"key", 1}})) == 1);
    process.send_signal(SIGTERM);
    CHECK(process.wait(patience()) == ExitStatus{.code = 0, .signal = 0});
}

TEST_CASE("output: with --log=false nothing goes to standard output") {
    Daemon daemon(std::vector<std::string>{"--log=false"});
    use_token(daemon, "any");
    CHECK(daemon.stop().code == 0);
    CHECK(daemon.standard_output() == "");
    CHECK(daemon.standard_error() == "");
}

TEST_CASE("output: a reader that takes nothing does not hold up a start that fails") {
    const TempDir scratch;
    const FullPipe pipe(scratch / "log");
    for (const char* const wrong : {"--port=none", "--bind=240.0.0.1"}) {
        CAPTURE(wrong);
        Process process(karma_binary(), into_log(scratch, {wrong}));
        CHECK(process.wait(patience()).code == (wrong == std::string("--port=none") ? 2 : 1));
    }
}

TEST_CASE("output: lines that nobody reads are counted") {
    const TempDir scratch;
    const ReservedPort port;
    const FullPipe pipe(scratch / "log");
    Process process(karma_binary(),
                    into_log(scratch, {"--bind=127.0.0.1", "--port=" + std::to_string(port.number()),
                                       "--log-level=debug"}));
    wait_for_listener(process, port);
    // Each connection is two lines.
    const auto dropped = [&] {
        for (int i = 0; i < 100; ++i) (void)Client(port.number());
        return as_number(member(Client(port.number()).call("system.stats"), "log_lines_dropped"));
    };
    CHECK(comes_true([&] { return dropped() != 0; }));
    process.send_signal(SIGTERM);
    CHECK(process.wait(patience()) == ExitStatus{.code = 0, .signal = 0});
}

TEST_CASE("output: --log-level says what is logged") {
    const auto events = [](const std::vector<std::string>& arguments) {
        Daemon daemon(arguments);
        daemon.connect().call("system.ping");
        CHECK(daemon.stop().code == 0);
        return daemon.standard_output();
    };
    const std::string debug = events({"--log=true", "--log-level=debug"});
    CHECK(contains(debug, "\"level\":\"debug\",\"event\":\"connection_opened\",\"client\":\"127.0.0.1:"));
    CHECK(contains(debug, "\"connection_closed\""));
    CHECK(contains(debug, "\"listening\""));
    const std::string info = events({"--log=true", "--log-level=info"});
    CHECK_FALSE(contains(info, "connection_opened"));
    CHECK(contains(info, "\"listening\""));
    CHECK(events({"--log=true", "--log-level=warning"}) == "");
    CHECK(events({"--log=false", "--log-level=debug"}) == "");
    DaemonOptions options;
    options.arguments = {"--log=true", "--bind=0.0.0.0", "--log-level=error"};
    Daemon quiet(options);
    CHECK(quiet.stop().code == 0);
    CHECK(quiet.standard_error() == "");  // open_to_the_network is a warning
}

}  // namespace karma::test
