#include "tests/cli/import_run.h"

#include <array>
#include <cerrno>
#include <fcntl.h>
#include <sstream>
#include <system_error>
#include <thread>
#include <unistd.h>

#include "cli/import.h"
#include "tests/support/file_descriptor.h"

namespace karma::test {

std::string ImportOutcome::last_line() const {
    if (!out.ends_with('\n')) return "(no newline at the end)";
    const std::string text = out.substr(0, out.size() - 1);
    const auto newline = text.rfind('\n');
    return newline == std::string::npos ? text : text.substr(newline + 1);
}

std::string ImportOutcome::field(const std::string& name) const {
    const std::string line = last_line();
    const std::size_t at = line.find(' ' + name + '=');
    if (at == std::string::npos) return "";
    const std::size_t begin = at + name.size() + 2;
    return line.substr(begin, line.find(' ', begin) - begin);
}

std::string ImportOutcome::summary(const std::string& name) const {
    std::istringstream lines(out);
    for (std::string line; std::getline(lines, line);) {
        if (!line.starts_with(name + "  ")) continue;
        return line.substr(line.find_first_not_of(' ', name.size()));
    }
    return "";
}

ImportOutcome import(const std::vector<std::string>& arguments, int standard_input,
                     const std::function<bool()>& interrupted) {
    std::ostringstream out;
    std::ostringstream err;
    ImportOutcome outcome;
    outcome.status = cli::run_import(arguments, standard_input, out, err, interrupted);
    outcome.out = out.str();
    outcome.err = err.str();
    return outcome;
}

ImportOutcome import_piped(const std::string& content, const std::vector<std::string>& arguments) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        throw std::system_error(errno, std::generic_category(), "pipe2");
    FileDescriptor out(ends[0]);
    FileDescriptor in(ends[1]);
    std::thread writer([&] {
        for (std::size_t at = 0; at < content.size();) {
            const ssize_t written = ::write(in.get(), content.data() + at, content.size() - at);
            if (written <= 0) break;
            at += static_cast<std::size_t>(written);
        }
        in.reset();
    });
    ImportOutcome outcome = import(arguments, out.get());
    // The writer ends although the import may have stopped early.
    std::array<char, 65'536> rest{};
    while (::read(out.get(), rest.data(), rest.size()) > 0) {}
    writer.join();
    return outcome;
}

}  // namespace karma::test
