#include "tests/support/process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdlib>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "tests/support/file_descriptor.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

using Clock = std::chrono::steady_clock;

FileDescriptor open_or_throw(const std::filesystem::path& file, int flags) {
    const std::filesystem::path path = file.empty() ? "/dev/null" : file;
    FileDescriptor descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0644));
    if (!descriptor.valid())
        throw std::system_error(errno, std::generic_category(), "cannot open " + path.string());
    return descriptor;
}

// The test's environment, less what would change the program's behaviour, and what is asked for.
std::vector<std::string> child_environment(const std::map<std::string, std::string>& added) {
    std::vector<std::string> lines;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const std::string_view line = *entry;
        const std::string name(line.substr(0, line.find('=')));
        if (!name.starts_with("KARMA_") && !added.contains(name)) lines.emplace_back(line);
    }
    for (const auto& [name, value] : added) {
        lines.push_back(name);
        lines.back().append("=").append(value);
    }
    return lines;
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> result;
    for (std::string& text : texts) result.push_back(text.data());
    result.push_back(nullptr);
    return result;
}

struct ChildPlan {
    const char* program = nullptr;
    char** arguments = nullptr;
    char** environment = nullptr;
    int input = -1;
    int output = -1;
    int error = -1;
    const rlimit* open_files = nullptr;
    pid_t parent = -1;
};

// In the child of a process that may have threads: only what is safe in a signal handler.
[[noreturn]] void become(const ChildPlan& plan) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != plan.parent) ::_exit(127);  // it died before the line above
    ::dup2(plan.input, STDIN_FILENO);
    ::dup2(plan.output, STDOUT_FILENO);
    ::dup2(plan.error, STDERR_FILENO);
    if (plan.open_files != nullptr) ::setrlimit(RLIMIT_NOFILE, plan.open_files);
    ::execve(plan.program, plan.arguments, plan.environment);
    // No errno in words: strerror may take locks.
    std::array<char, 64> message{};
    constexpr std::string_view text = "cannot execute the program, error ";
    std::ranges::copy(text, message.begin());
    const std::to_chars_result end =
        std::to_chars(message.data() + text.size(), message.data() + message.size() - 1, errno);
    *end.ptr = '\n';
    if (::write(STDERR_FILENO, message.data(), static_cast<std::size_t>(end.ptr + 1 - message.data())) < 0)
        ::_exit(126);
    ::_exit(127);
}

}  // namespace

std::string to_string(const ExitStatus& status) {
    return status.signal != 0 ? "ended by signal " + std::to_string(status.signal)
                              : "exit status " + std::to_string(status.code);
}

Process::Process(const std::filesystem::path& program, const ProcessOptions& options) {
    const FileDescriptor input = open_or_throw(options.standard_input, O_RDONLY);
    const FileDescriptor output = open_or_throw(options.standard_output, O_WRONLY | O_CREAT | O_APPEND);
    const FileDescriptor error = open_or_throw(options.standard_error, O_WRONLY | O_CREAT | O_APPEND);
    std::vector<std::string> arguments = options.arguments;
    arguments.insert(arguments.begin(), program.string());
    std::vector<std::string> environment = child_environment(options.environment);
    std::vector<char*> argument_pointers = pointers(arguments);
    std::vector<char*> environment_pointers = pointers(environment);
    rlimit open_files{};
    if (options.open_files) {
        ::getrlimit(RLIMIT_NOFILE, &open_files);
        open_files.rlim_cur = std::min<rlim_t>(*options.open_files, open_files.rlim_max);
        if (options.open_files_hard) open_files.rlim_max = open_files.rlim_cur;
    }
    const ChildPlan plan{.program = program.c_str(),
                         .arguments = argument_pointers.data(),
                         .environment = environment_pointers.data(),
                         .input = input.get(),
                         .output = output.get(),
                         .error = error.get(),
                         .open_files = options.open_files ? &open_files : nullptr,
                         .parent = ::getpid()};
    pid_ = ::fork();
    if (pid_ < 0) throw std::system_error(errno, std::generic_category(), "cannot fork");
    if (pid_ == 0) become(plan);
}

Process::~Process() { kill_hard(); }

std::optional<ExitStatus> Process::poll() {
    int raw = 0;
    if (!status_ && ::waitpid(pid_, &raw, WNOHANG) == pid_) {
        status_ = WIFSIGNALED(raw) ? ExitStatus{.code = -1, .signal = WTERMSIG(raw)}
                                   : ExitStatus{.code = WEXITSTATUS(raw), .signal = 0};
    }
    return status_;
}

ExitStatus Process::wait(std::chrono::milliseconds timeout) {
    const auto deadline = Clock::now() + timeout;
    while (!poll()) {
        if (Clock::now() > deadline) {
            throw std::runtime_error("process " + std::to_string(pid_) + " has not ended after " +
                                     std::to_string(timeout.count()) + " ms");
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return *status_;
}

void Process::send_signal(int signal) {
    if (!poll()) ::kill(pid_, signal);
}

ExitStatus Process::kill_hard() {
    send_signal(SIGKILL);
    while (!poll()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return *status_;
}

ProgramResult run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                          const std::map<std::string, std::string>& environment,
                          std::optional<std::chrono::milliseconds> timeout) {
    const TempDir directory;
    Process process(program, {.arguments = arguments,
                              .environment = environment,
                              .standard_input = {},
                              .standard_output = directory / "output",
                              .standard_error = directory / "error",
                              .open_files = {}});
    ProgramResult result;
    const auto read_output = [&] {
        result.standard_output = read_file(directory / "output");
        result.standard_error = read_file(directory / "error");
    };
    try {
        result.status = process.wait(timeout.value_or(patience(std::chrono::seconds(60))));
    } catch (const std::runtime_error& error) {
        read_output();
        throw std::runtime_error(program.string() + ": " + error.what() + "\n" + result.standard_output +
                                 result.standard_error);
    }
    read_output();
    return result;
}

}  // namespace karma::test
