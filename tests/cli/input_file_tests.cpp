// Bytes of files and pipes, plain and gzip, whole and damaged.
#include <array>
#include <cstddef>
#include <fcntl.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "cli/input_file.h"
#include "tests/cli/gzip.h"
#include "tests/support/file_descriptor.h"
#include "tests/support/settings.h"
#include "tests/support/temp_dir.h"

namespace karma::test {

namespace {

using cli::InputError;
using cli::InputFile;
using cli::InputState;

std::string read_all(InputFile& input, std::size_t chunk_bytes = 1'000) {
    std::string all;
    std::vector<char> chunk(chunk_bytes);
    while (true) {
        std::size_t count = 0;
        const InputState state = input.read(chunk, count);
        if (state == InputState::end) return all;
        REQUIRE((count > 0) == (state == InputState::data));
        all.append(chunk.data(), count);
    }
}

std::string read_file_through(const std::string& content, std::size_t chunk_bytes = 1'000) {
    const TempDir directory;
    write_file(directory / "input", content);
    InputFile input((directory / "input").string(), -1);
    CHECK(input.size() == content.size());
    std::string all = read_all(input, chunk_bytes);
    CHECK(input.position() == content.size());
    return all;
}

// The message without the file's name, which it must begin with.
std::string error_of(const std::string& content) {
    const TempDir directory;
    const std::string path = (directory / "input.gz").string();
    write_file(path, content);
    InputFile input(path, -1);
    try {
        read_all(input);
    } catch (const InputError& error) {
        const std::string message = error.what();
        REQUIRE(message.starts_with(path + ": "));
        return message.substr(path.size() + 2);
    }
    return "no error";
}

std::string random_text(std::size_t bytes) {
    auto random = random_engine("input text");
    std::string text;
    while (text.size() < bytes)
        text += random_word(random, 3) + (random_between(random, 0, 9) == 0 ? "\n" : ",");
    return text;
}

}  // namespace

TEST_CASE("input: plain files") {
    const std::string text = random_text(700'000);
    for (const std::string& content : {std::string(), std::string("a"), std::string("\x1f"), text}) {
        CHECK(read_file_through(content) == content);
    }
    CHECK(read_file_through(text, 1'000'000) == text);
    CHECK(read_file_through("abc", 1) == "abc");
}

TEST_CASE("input: gzip, one member or more, with padding") {
    const std::string text = random_text(3'000'000);
    CHECK(read_file_through(gzip(text)) == text);
    CHECK(read_file_through(gzip(text), 1'000'000) == text);
    CHECK(read_file_through(gzip("")).empty());
    CHECK(read_file_through(gzip("a") + gzip("") + gzip("b"), 1) == "ab");
    CHECK(read_file_through(gzip("a") + std::string(3, '\0')) == "a");
    CHECK(read_file_through(gzip("a") + std::string(600'000, '\0')) == "a");
    CHECK(read_file_through(gzip("a") + std::string(512, '\0') + gzip("b")) == "ab");
}

TEST_CASE("input: gzip that is cut short, damaged, or followed by something else") {
    const std::string packed = gzip(random_text(100'000));
    for (const std::size_t length : {std::size_t{2}, std::size_t{9}, packed.size() / 2, packed.size() - 1}) {
        CHECK(error_of(packed.substr(0, length)) ==
              "the gzip data is cut short, it ends in the middle after " + std::to_string(length) + " bytes");
    }
    const std::string twice = packed + packed.substr(0, 15);
    CHECK(error_of(twice) == "the gzip data is cut short, it ends in the middle after " +
                                 std::to_string(twice.size()) + " bytes");

    std::string wrong_sum = packed;
    wrong_sum[packed.size() - 6] = static_cast<char>(wrong_sum[packed.size() - 6] ^ 1);
    CHECK(error_of(wrong_sum).find("(incorrect data check)") != std::string::npos);
    CHECK(error_of(packed + "rest").find("the gzip data is damaged near byte ") == 0);
    CHECK(error_of("\x1f\x8b\x08 this is no gzip").find("the gzip data is damaged near byte ") == 0);
}

TEST_CASE("input: a file that cannot be read is named") {
    const TempDir directory;
    const std::string missing = (directory / "missing.csv").string();
    CHECK_THROWS_WITH_AS(InputFile(missing, -1), (missing + ": No such file or directory").c_str(),
                         InputError);
    const std::string folder = directory.path().string();
    CHECK_THROWS_WITH_AS(InputFile(folder, -1), (folder + ": Is a directory").c_str(), InputError);
    CHECK_THROWS_WITH_AS(InputFile("-", -1), "standard input: Bad file descriptor", InputError);
}

TEST_CASE("input: a pipe in small pieces, plain and gzip, with pauses") {
    for (const bool packed : {false, true}) {
        CAPTURE(packed);
        const std::string text = random_text(2'000);
        const std::string content = packed ? gzip(text) : text;
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        const FileDescriptor out(ends[0]);
        FileDescriptor in(ends[1]);
        std::thread writer([&] {
            auto random = random_engine("input pipe");
            for (std::size_t at = 0; at < content.size();) {
                const std::size_t length = std::min(content.size() - at, random_between(random, 1, 200));
                if (::write(in.get(), content.data() + at, length) != static_cast<ssize_t>(length)) break;
                at += length;
                std::this_thread::sleep_for(std::chrono::milliseconds(1));
            }
            in.reset();
        });
        InputFile input("-", out.get());
        CHECK(input.name() == "standard input");
        CHECK(!input.size());
        CHECK(read_all(input, 77) == text);
        CHECK(input.position() == content.size());
        writer.join();
    }
}

TEST_CASE("input: a pipe without data is idle, and goes on afterwards") {
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const FileDescriptor out(ends[0]);
    FileDescriptor in(ends[1]);
    InputFile input("-", out.get());
    std::array<char, 16> chunk{};
    std::size_t count = 99;
    CHECK(input.read(chunk, count) == InputState::idle);
    CHECK(count == 0);
    REQUIRE(::write(in.get(), "abc", 3) == 3);
    CHECK(input.read(chunk, count) == InputState::data);
    CHECK(std::string(chunk.data(), count) == "abc");
    in.reset();
    CHECK(input.read(chunk, count) == InputState::end);
    CHECK(input.read(chunk, count) == InputState::end);
}

TEST_CASE("input file: a file can be read twice, from where reading began, and its hash is of the content") {
    auto random = random_engine("input read twice");
    std::string content;
    while (content.size() < 100'000) content += std::to_string(random()) + '\n';
    // More than is kept, of little on the disk.
    const std::string large = content + std::string(InputFile::kept_bytes_max, '\n');
    const TempDir directory;
    const auto hash_of = [&](const std::string& bytes, const std::string& expected) {
        write_file(directory / "input", bytes);
        InputFile input((directory / "input").string(), -1);
        REQUIRE(input.can_rewind());
        constexpr std::size_t chunk_bytes = 65'536;
        CHECK(read_all(input, chunk_bytes) == expected);
        std::string hash = input.content_hash();
        for (int again = 0; again < 2; ++again) {
            input.rewind();
            CHECK(input.position() == 0);
            std::vector<char> part(chunk_bytes / 2);
            std::size_t count = 0;
            (void)input.read(part, count);  // given up on the way
            input.rewind();
            CHECK(read_all(input, chunk_bytes) == expected);
            CHECK(input.content_hash() == hash);
            CHECK(input.position() == bytes.size());
        }
        return hash;
    };
    const std::string hash = hash_of(content, content);
    CHECK(hash_of(gzip(content), content) == hash);
    CHECK(hash_of(gzip(content.substr(0, 500)) + gzip(content.substr(500)), content) == hash);
    CHECK(hash_of(gzip(large), large) == hash_of(large, large));
    CHECK(hash_of("", "") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");

    // Standard input that is a file, of which somebody has read the beginning.
    write_file(directory / "input", content);
    const FileDescriptor file(::open((directory / "input").c_str(), O_RDONLY | O_CLOEXEC));
    REQUIRE(::lseek(file.get(), 10, SEEK_SET) == 10);
    InputFile input("-", file.get());
    REQUIRE(input.can_rewind());
    for (int again = 0; again < 2; ++again) {
        CHECK(read_all(input) == content.substr(10));
        input.rewind();
    }
}

}  // namespace karma::test
