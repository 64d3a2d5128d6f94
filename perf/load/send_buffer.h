#pragma once

#include <cstddef>
#include <cstring>
#include <string_view>
#include <vector>

namespace karma::perf {

// Bytes on their way to a socket. Grows to the size that one iteration needs, and is then reused.
class SendBuffer {
public:
    // Room for `size` more bytes, to be written to and then given to finish() up to where it was filled.
    char* prepare(std::size_t size) {
        if (bytes_.size() - end_ < size) bytes_.resize(end_ + size);
        return bytes_.data() + end_;
    }
    void finish(const char* end) { end_ = static_cast<std::size_t>(end - bytes_.data()); }

    std::string_view pending() const { return {bytes_.data() + begin_, end_ - begin_}; }

    // The first `size` pending bytes are gone.
    void consume(std::size_t size) {
        begin_ += size;
        if (begin_ == end_) begin_ = end_ = 0;
    }

private:
    std::vector<char> bytes_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
};

// Copies the text to `at` and returns the end of the copy.
inline char* put(char* at, std::string_view text) {
    std::memcpy(at, text.data(), text.size());
    return at + text.size();
}

}  // namespace karma::perf
