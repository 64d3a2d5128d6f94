#pragma once

#include <string>

namespace karma::test {

// Whether the test case that runs now has failed a check. A doctest listener of the test program keeps it up
// to date (tests/program/main.cpp); helpers that hold what explains a failure, such as a daemon's output,
// show it when set.
bool current_case_failed();
void set_current_case_failed(bool failed);

// Makes the test case that runs now fail with this text, without throwing, so that destructors can use it.
// What it does is for the test program to say; until it has, the text is printed and the program aborted.
void fail_case(const std::string& text);
void set_fail_case(void (*action)(const std::string& text));

}  // namespace karma::test
