#pragma once

#include <csignal>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/client.h"
#include "tests/support/port.h"
#include "tests/support/process.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

struct DaemonOptions {
    // "{port}" and "{directory}" in arguments and values of the environment are replaced.
    std::vector<std::string> arguments;
    std::map<std::string, std::string> environment;
    // Adds --bind, --port, --directory, --log=false and --read-timeout=60, each unless `arguments` have it.
    bool usual_arguments = true;
    // Empty: a directory of its own, removed at the end.
    std::filesystem::path directory;
    // Soft limit of open files.
    std::optional<unsigned long> open_files;
    bool open_files_hard = false;  // the hard limit too
};

// A Karma daemon on a port of 127.0.0.1 that is reserved for it, on one data directory, through any number of
// stops and starts. Its output is gathered in files and shown when the test case fails. A crash of its own,
// or a sanitizer's report, makes the case fail, whatever the test looks at. Used by one thread.
class Daemon {
public:
    // Starts it and waits until it listens. Throws std::runtime_error, with its output, when it ends instead.
    explicit Daemon(DaemonOptions options = {});
    explicit Daemon(std::vector<std::string> arguments);
    ~Daemon();
    Daemon(const Daemon&) = delete;
    Daemon& operator=(const Daemon&) = delete;

    std::uint16_t port() const { return port_->number(); }
    pid_t pid() const { return process_->pid(); }
    const std::filesystem::path& directory() const { return directory_; }
    Client connect() const { return Client(port()); }

    // The arguments of the next start.
    void set_arguments(std::vector<std::string> arguments) { options_.arguments = std::move(arguments); }

    // Starts it again after it has ended, and waits until it listens.
    void start();
    // The same without the wait.
    void start_unready();
    // SIGKILL, and wait. The status tells whether it had ended before.
    ExitStatus kill_hard();
    // Sends the signal and waits for the end.
    ExitStatus stop(int signal = SIGTERM);
    void send_signal(int signal) { process_->send_signal(signal); }
    ExitStatus wait(std::chrono::milliseconds timeout = patience());
    bool running() { return !process_->poll(); }
    void restart_after_kill();

    // Memory in use, as the system sees it.
    std::size_t resident_bytes() const;

    // All it has written, over all starts.
    std::string standard_output() const { return read_file(scratch_ / "output"); }
    std::string standard_error() const { return read_file(scratch_ / "error"); }

private:
    std::vector<std::string> command_line() const;
    std::string filled_in(std::string text) const;
    bool wait_until_listening();
    void check_end(const ExitStatus& status);
    std::string report() const;

    DaemonOptions options_;
    TempDir scratch_;
    std::filesystem::path directory_;
    std::optional<ReservedPort> port_;
    std::unique_ptr<Process> process_;
    int exceptions_at_start_;
    bool crash_reported_ = false;
};

}  // namespace karma::test
