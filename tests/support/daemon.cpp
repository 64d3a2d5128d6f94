#include "tests/support/daemon.h"

#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <system_error>
#include <thread>

#include "tests/support/failure.h"
#include "tests/support/settings.h"

namespace karma::test {

namespace {

void replace_all(std::string& text, std::string_view what, const std::string& by) {
    for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) {
        text.replace(at, what.size(), by);
    }
}

std::string tail(const std::string& text) {
    constexpr std::size_t limit = 4000;
    return text.size() <= limit ? text : "...\n" + text.substr(text.size() - limit);
}

}  // namespace

Daemon::Daemon(std::vector<std::string> arguments)
    : Daemon(DaemonOptions{
          .arguments = std::move(arguments), .environment = {}, .directory = {}, .open_files = {}}) {}

Daemon::Daemon(DaemonOptions options)
    : options_(std::move(options)),
      directory_(options_.directory.empty() ? scratch_ / "data" : options_.directory),
      exceptions_at_start_(std::uncaught_exceptions()) {
    std::filesystem::create_directories(directory_);
    // The port is reserved, yet a process that sets SO_REUSEADDR and asks for just this number can still come
    // first.
    for (int attempt = 1;; ++attempt) {
        port_.emplace();
        start_unready();
        if (wait_until_listening()) return;
        if (port_->free() || attempt == 5) throw std::runtime_error("the daemon does not start: " + report());
    }
}

Daemon::~Daemon() {
    kill_hard();
    if (current_case_failed() || std::uncaught_exceptions() > exceptions_at_start_)
        std::cerr << report() << std::flush;
}

std::string Daemon::filled_in(std::string text) const {
    replace_all(text, "{port}", std::to_string(port_->number()));
    replace_all(text, "{directory}", directory_.string());
    return text;
}

std::vector<std::string> Daemon::command_line() const {
    std::vector<std::string> line;
    if (options_.usual_arguments) {
        for (const std::string option : {"--bind=127.0.0.1", "--port={port}", "--directory={directory}",
                                         "--log=false", "--read-timeout=60", "--query-timeout-ms=60000"}) {
            const std::string name = option.substr(0, option.find('=') + 1);
            const auto same = [&](const std::string& argument) { return argument.starts_with(name); };
            if (std::ranges::none_of(options_.arguments, same)) line.push_back(filled_in(option));
        }
    }
    for (const std::string& argument : options_.arguments) line.push_back(filled_in(argument));
    return line;
}

void Daemon::start_unready() {
    std::map<std::string, std::string> environment = options_.environment;
    for (auto& [name, value] : environment) value = filled_in(value);
    if (process_) kill_hard();
    process_ = std::make_unique<Process>(karma_binary(),
                                         ProcessOptions{.arguments = command_line(),
                                                        .environment = environment,
                                                        .standard_input = {},
                                                        .standard_output = scratch_ / "output",
                                                        .standard_error = scratch_ / "error",
                                                        .open_files = options_.open_files,
                                                        .open_files_hard = options_.open_files_hard});
}

bool Daemon::wait_until_listening() {
    const auto deadline = std::chrono::steady_clock::now() + patience();
    while (!process_->poll()) {
        try {
            const Client probe(port());
            return true;
        } catch (const std::system_error&) {
            if (std::chrono::steady_clock::now() > deadline) {
                throw std::runtime_error("the daemon does not listen: " + report());
            }
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    return false;
}

void Daemon::start() {
    start_unready();
    if (!wait_until_listening()) throw std::runtime_error("the daemon does not start again: " + report());
}

ExitStatus Daemon::kill_hard() {
    const ExitStatus status = process_->kill_hard();
    check_end(status);
    return status;
}

ExitStatus Daemon::stop(int signal) {
    process_->send_signal(signal);
    return wait();
}

ExitStatus Daemon::wait(std::chrono::milliseconds timeout) {
    const ExitStatus status = process_->wait(timeout);
    check_end(status);
    return status;
}

void Daemon::check_end(const ExitStatus& status) {
    if (crash_reported_) return;
    const std::string errors = standard_error();
    const bool sent =
        status.signal == 0 || status.signal == SIGKILL || status.signal == SIGTERM || status.signal == SIGINT;
    for (const char* const sign :
         {"AddressSanitizer", "ThreadSanitizer", "LeakSanitizer", "runtime error:"}) {
        if (sent && errors.find(sign) == std::string::npos) continue;
        crash_reported_ = true;
        fail_case("the daemon has crashed: " + report());
        return;
    }
}

void Daemon::restart_after_kill() {
    kill_hard();
    start();
}

std::size_t Daemon::resident_bytes() const {
    std::ifstream status("/proc/" + std::to_string(pid()) + "/status");
    for (std::string word; status >> word;) {
        std::size_t kibibytes = 0;
        if (word == "VmRSS:" && status >> kibibytes) return kibibytes * 1024;
    }
    throw std::runtime_error("cannot read the memory use of process " + std::to_string(pid()));
}

std::string Daemon::report() const {
    std::string text = "daemon";
    if (process_) {
        const auto status = process_->poll();
        text += " (process " + std::to_string(pid()) + ", " + (status ? to_string(*status) : "running") + ")";
    }
    for (const std::string& argument : command_line()) text += " " + argument;
    text += "\n--- standard output\n" + tail(standard_output());
    text += "\n--- standard error\n" + tail(standard_error()) + "\n---\n";
    return text;
}

}  // namespace karma::test
