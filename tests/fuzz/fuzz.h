#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

// What the targets share. See tests/fuzz/README.md.
namespace karma::test {

inline std::string_view as_text(const std::uint8_t* data, std::size_t size) {
    return {reinterpret_cast<const char*>(data), size};
}

// Ends the program when something does not hold, as a sanitizer does: libFuzzer keeps the input then.
inline void expect(bool holds, const char* what) {
    if (!holds) {
        (void)std::fprintf(stderr, "fuzz: does not hold: %s\n", what);
        std::abort();
    }
}

// Cuts an input into numbers and texts. What is not there any more is 0, or empty.
class InputReader {
public:
    explicit InputReader(std::string_view bytes) : rest_(bytes) {}

    bool empty() const { return rest_.empty(); }
    std::string_view rest() const { return rest_; }

    // Of so many bytes, the highest first.
    std::uint64_t number(std::size_t bytes) {
        std::uint64_t number = 0;
        for (const char byte : bytes_of(bytes)) {
            number = number << 8U | static_cast<unsigned char>(byte);
        }
        return number;
    }

    // A text with its length in two bytes before it.
    std::string_view text() { return bytes_of(number(2)); }

private:
    std::string_view bytes_of(std::size_t count) {
        const std::string_view taken = rest_.substr(0, count);
        rest_.remove_prefix(taken.size());
        return taken;
    }

    std::string_view rest_;
};

// What each target does with an input.
void run_input(std::string_view input);

}  // namespace karma::test
