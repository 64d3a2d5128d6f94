#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <random>
#include <string>
#include <string_view>

// What the environment says about a test run. tests/README.md lists the variables.
namespace karma::test {

// The program under test: KARMA_BINARY, else the one of the build that the test belongs to. Throws
// std::runtime_error when there is none.
std::filesystem::path karma_binary();

// A file or folder of the checkout's tests/, e.g. "data/file-touches.csv.gz". Throws std::runtime_error when
// missing.
std::filesystem::path test_file(const std::filesystem::path& relative);

// True when the variable is set to something else than "", "0", "false".
bool is_set(const char* variable);

// A number from the environment, or the default. Throws std::runtime_error naming the variable when it is no
// number.
std::uint64_t number_from_environment(const char* variable, std::uint64_t otherwise);

// True when the test (and so the program beside it) is built with a sanitizer: slower, and with memory of its
// own.
bool sanitized();

// `amount` times KARMA_TEST_SCALE (a positive fraction; 1, or 0.3 with a sanitizer), at least 1.
std::size_t scaled(std::size_t amount);

// How long to wait for something that should come soon. Generous, and more so with a sanitizer: it decides
// when a test gives up, never whether something was fast enough.
std::chrono::milliseconds patience(std::chrono::seconds time = std::chrono::seconds(20));

// The seed of this run: KARMA_TEST_SEED, else a random one. Printed when first asked for.
std::uint64_t test_seed();

// A generator seeded with test_seed() and the name of what it is for, so that it does not matter which tests
// run before.
std::mt19937_64 random_engine(std::string_view purpose);

// Uniform in [low, high], the same on every platform for the same engine state.
std::uint64_t random_between(std::mt19937_64& engine, std::uint64_t low, std::uint64_t high);

// True once in `count` times.
bool one_in(std::mt19937_64& engine, std::uint64_t count);

// A word of lower-case letters.
std::string random_word(std::mt19937_64& engine, std::size_t length);

}  // namespace karma::test
