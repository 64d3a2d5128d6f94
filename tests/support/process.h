#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

namespace karma::test {

struct ExitStatus {
    int code = -1;   // of exit; -1 when a signal ended it
    int signal = 0;  // that ended it; 0 when it exited

    bool operator==(const ExitStatus&) const = default;
};

std::string to_string(const ExitStatus& status);

struct ProcessOptions {
    std::vector<std::string> arguments;
    // Set for the child, beside what the test's own environment has without its KARMA_ variables.
    std::map<std::string, std::string> environment;
    std::filesystem::path standard_input;   // read from; empty: /dev/null
    std::filesystem::path standard_output;  // appended to
    std::filesystem::path standard_error;   // appended to
    // Soft limit of open files; the test's own when empty.
    std::optional<unsigned long> open_files;
    bool open_files_hard = false;  // the hard limit too
};

// A child process. It is killed and waited for at the end, and dies with the thread that started it, so that
// nothing is left behind however the test ends: start processes from a thread that outlives them.
class Process {
public:
    // Throws std::system_error when it cannot be started; a program that cannot be executed exits with 127.
    Process(const std::filesystem::path& program, const ProcessOptions& options);
    ~Process();
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }

    // The status once it has ended.
    std::optional<ExitStatus> poll();

    // Waits for the end. Throws std::runtime_error when it has not come after `timeout`.
    ExitStatus wait(std::chrono::milliseconds timeout);

    // Nothing when it has ended.
    void send_signal(int signal);

    // SIGKILL, and wait.
    ExitStatus kill_hard();

private:
    pid_t pid_ = -1;
    std::optional<ExitStatus> status_;
};

struct ProgramResult {
    ExitStatus status;
    std::string standard_output;
    std::string standard_error;
};

// Runs the program to its end. Throws std::runtime_error, with its output, when it has not ended after
// `timeout`.
ProgramResult run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment = {},
                          std::optional<std::chrono::milliseconds> timeout = {});

}  // namespace karma::test
