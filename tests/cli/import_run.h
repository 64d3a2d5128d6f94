#pragma once

#include <functional>
#include <string>
#include <vector>

namespace karma::test {

// What a run of `karma import` left behind.
struct ImportOutcome {
    int status = -1;
    std::string out;
    std::string err;

    // The last line on standard output.
    std::string last_line() const;
    // What that line says behind "name="; empty when it says nothing.
    std::string field(const std::string& name) const;
    // What the summary says under this name; empty when it says nothing.
    std::string summary(const std::string& name) const;
};

// Runs `karma import` with these arguments inside the test.
ImportOutcome import(
    const std::vector<std::string>& arguments, int standard_input = -1,
    const std::function<bool()>& interrupted = [] { return false; });

// The same with `content` as standard input, through a pipe.
ImportOutcome import_piped(const std::string& content, const std::vector<std::string>& arguments);

}  // namespace karma::test
