#include "tests/support/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <stdexcept>

namespace karma::test {

namespace {

std::string environment(const char* variable) {
    const char* value = std::getenv(variable);
    return value == nullptr ? std::string() : std::string(value);
}

std::uint64_t choose_seed() {
    std::random_device device;
    const std::uint64_t random = (std::uint64_t{device()} << 32U) | device();
    const std::uint64_t seed = number_from_environment("KARMA_TEST_SEED", random);
    std::cout << "seed " << seed << " (KARMA_TEST_SEED=" << seed << " repeats the random choices of this run)"
              << std::endl;
    return seed;
}

}  // namespace

std::filesystem::path karma_binary() {
    const std::string named = environment("KARMA_BINARY");
    const std::filesystem::path path = named.empty() ? std::string(KARMA_TEST_DEFAULT_BINARY) : named;
    if (!std::filesystem::exists(path)) {
        throw std::runtime_error("no program at " + path.string() +
                                 (named.empty() ? ": build the target karma, or set KARMA_BINARY"
                                                : ", where KARMA_BINARY says it is"));
    }
    return std::filesystem::absolute(path);
}

std::filesystem::path test_file(const std::filesystem::path& relative) {
    const std::string named = environment("KARMA_SOURCE_DIR");
    const std::filesystem::path root = named.empty() ? std::string(KARMA_TEST_DEFAULT_SOURCE_DIR) : named;
    std::filesystem::path path = root / "tests" / relative;
    if (!std::filesystem::exists(path)) {
        throw std::runtime_error(path.string() + " is missing (KARMA_SOURCE_DIR names the checkout)");
    }
    return path;
}

bool is_set(const char* variable) {
    const std::string value = environment(variable);
    return !value.empty() && value != "0" && value != "false";
}

std::uint64_t number_from_environment(const char* variable, std::uint64_t otherwise) {
    const std::string text = environment(variable);
    if (text.empty()) return otherwise;
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [stopped, error] = std::from_chars(text.data(), end, number);
    if (error != std::errc() || stopped != end) {
        throw std::runtime_error(std::string(variable) + " is no number: " + text);
    }
    return number;
}

bool sanitized() {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

std::size_t scaled(std::size_t amount) {
    double factor = sanitized() ? 0.3 : 1.0;
    const std::string text = environment("KARMA_TEST_SCALE");
    if (!text.empty()) {
        char* end = nullptr;
        factor = std::strtod(text.c_str(), &end);
        if (*end != '\0' || !std::isfinite(factor) || factor <= 0) {
            throw std::runtime_error("KARMA_TEST_SCALE is no positive number: " + text);
        }
    }
    return std::max<std::size_t>(
        1, static_cast<std::size_t>(std::llround(static_cast<double>(amount) * factor)));
}

std::chrono::milliseconds patience(std::chrono::seconds time) { return time * (sanitized() ? 5 : 1); }

std::uint64_t test_seed() {
    static const std::uint64_t seed = choose_seed();
    return seed;
}

std::mt19937_64 random_engine(std::string_view purpose) {
    std::uint64_t hash = test_seed();
    for (const char letter : purpose)
        hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3U;  // FNV-1a
    return std::mt19937_64(hash);
}

std::uint64_t random_between(std::mt19937_64& engine, std::uint64_t low, std::uint64_t high) {
    const std::uint64_t span = high - low + 1;  // 0: all numbers
    return span == 0 ? engine() : low + engine() % span;
}

bool one_in(std::mt19937_64& engine, std::uint64_t count) {
    return random_between(engine, 0, count - 1) == 0;
}

std::string random_word(std::mt19937_64& engine, std::size_t length) {
    std::string word(length, ' ');
    for (char& letter : word) letter = static_cast<char>('a' + random_between(engine, 0, 25));
    return word;
}

}  // namespace karma::test
