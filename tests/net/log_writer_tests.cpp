// The log is written whatever its reader does: what does not fit into the queue is dropped, counted and told.
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fcntl.h>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <system_error>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "net/log_writer.h"
#include "tests/support/file_descriptor.h"

namespace karma::test {

namespace {

// A pipe, for lines of a log.
class LinePipe {
public:
    LinePipe() {
        std::array<int, 2> ends{};
        if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category());
        read_end_ = FileDescriptor(ends[0]);
        write_end_ = FileDescriptor(ends[1]);
    }

    int write_end() const { return write_end_.get(); }

    // So that whoever writes the next line has to wait. Returns how many bytes that took.
    std::size_t fill() {
        ::fcntl(write_end(), F_SETFL, O_NONBLOCK);
        std::size_t filled = 0;
        const std::array<char, 4096> bytes{};
        for (ssize_t n = 0; (n = ::write(write_end(), bytes.data(), bytes.size())) > 0;) {
            filled += static_cast<std::size_t>(n);
        }
        ::fcntl(write_end(), F_SETFL, 0);
        return filled;
    }

    void read(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) read_byte();
    }

    std::string read_line() {
        std::string line;
        while (line.empty() || line.back() != '\n') line += read_byte();
        return line;
    }

private:
    char read_byte() {
        char byte = 0;
        if (::read(read_end_.get(), &byte, 1) != 1) throw std::runtime_error("the pipe has ended");
        return byte;
    }

    FileDescriptor read_end_;
    FileDescriptor write_end_;
};

net::LogWriter::Options options_for(const LinePipe& pipe, std::size_t queue_bytes_max) {
    net::LogWriter::Options options;
    options.queue_bytes_max = queue_bytes_max;
    options.dropped_line = [](std::uint64_t dropped) { return "dropped " + std::to_string(dropped) + "\n"; };
    options.dropped_file = pipe.write_end();
    return options;
}

}  // namespace

TEST_CASE("log writer: lines come in their order") {
    LinePipe pipe;
    net::LogWriter writer(options_for(pipe, 1U << 20U));
    for (int i = 0; i < 1000; ++i) writer.write(pipe.write_end(), std::to_string(i) + "\n");
    for (int i = 0; i < 1000; ++i) CHECK(pipe.read_line() == std::to_string(i) + "\n");
}

TEST_CASE("log writer: what a reader who stands still does not take is dropped and counted") {
    LinePipe pipe;
    const std::size_t filled = pipe.fill();
    const std::string text(100, 'x');
    constexpr std::uint64_t count = 100;
    net::LogWriter writer(options_for(pipe, 1024));
    for (std::uint64_t i = 0; i < count; ++i) {
        writer.write(pipe.write_end(), std::to_string(1000 + i) + text + "\n");  // blocks for ever otherwise
    }
    pipe.read(filled);
    std::uint64_t taken = 0;
    std::string line = pipe.read_line();
    for (; line == std::to_string(1000 + taken) + text + "\n"; line = pipe.read_line()) ++taken;
    CHECK(taken > 0);
    CHECK(taken < count);
    CHECK(line == "dropped " + std::to_string(count - taken) + "\n");
    CHECK(writer.dropped() == count - taken);
    writer.write(pipe.write_end(), "flows again\n");
    CHECK(pipe.read_line() == "flows again\n");
}

TEST_CASE("log writer: the end does not wait for a reader who takes nothing") {
    LinePipe pipe;
    const std::size_t filled = pipe.fill();
    {
        net::LogWriter writer(options_for(pipe, 1024));
        writer.write(pipe.write_end(), "last\n");
    }
    // Reached without a reader. The thread that was left behind writes its line when there is one.
    pipe.read(filled);
    CHECK(pipe.read_line() == "last\n");
}

TEST_CASE("log writer: at the end all is written that the reader takes") {
    LinePipe pipe;
    {
        net::LogWriter writer(options_for(pipe, 1U << 20U));
        for (int i = 0; i < 100; ++i) writer.write(pipe.write_end(), std::to_string(i) + "\n");
    }
    for (int i = 0; i < 100; ++i) CHECK(pipe.read_line() == std::to_string(i) + "\n");
}

}  // namespace karma::test
