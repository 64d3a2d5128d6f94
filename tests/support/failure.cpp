#include "tests/support/failure.h"

#include <atomic>
#include <cstdlib>
#include <iostream>

namespace karma::test {

namespace {

std::atomic<bool> case_failed{false};

void print_and_abort(const std::string& text) {
    std::cerr << text << std::endl;
    std::abort();
}

std::atomic<void (*)(const std::string&)> action_of_failure{&print_and_abort};

}  // namespace

bool current_case_failed() { return case_failed; }

void set_current_case_failed(bool failed) { case_failed = failed; }

void fail_case(const std::string& text) { action_of_failure.load()(text); }

void set_fail_case(void (*action)(const std::string& text)) { action_of_failure = action; }

}  // namespace karma::test
