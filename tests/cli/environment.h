#pragma once

#include <cstdlib>
#include <optional>
#include <string>

namespace karma::test {

// A variable of this process's environment, given back as it was at the end.
class EnvironmentVariable {
public:
    explicit EnvironmentVariable(std::string name) : name_(std::move(name)) {
        if (const char* const value = std::getenv(name_.c_str())) before_ = value;
    }
    ~EnvironmentVariable() {
        if (before_) {
            set(*before_);
        } else {
            unset();
        }
    }
    EnvironmentVariable(const EnvironmentVariable&) = delete;
    EnvironmentVariable& operator=(const EnvironmentVariable&) = delete;

    void set(const std::string& value) const { ::setenv(name_.c_str(), value.c_str(), 1); }
    void unset() const { ::unsetenv(name_.c_str()); }

private:
    std::string name_;
    std::optional<std::string> before_;
};

}  // namespace karma::test
