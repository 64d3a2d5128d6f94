#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/support/file_descriptor.h"

namespace karma::test {

// What the fake server does about one request.
struct FakeAnswer {
    std::string bytes;   // sent as they are
    bool close = false;  // afterwards, without reading what else has come
};

// Answers requests in the place of a daemon, one connection at a time, each line in order, and
// remembers what was asked.
class FakeServer {
public:
    // Called on the server's thread with the number of the request, from 0, counted over all connections.
    using Answer = std::function<FakeAnswer(std::size_t index, const std::string& line)>;

    // The first `at_once` requests of each connection are answered as they come; the next answer waits until
    // `hold` more have come, or the connection ends.
    explicit FakeServer(Answer answer, std::size_t hold = 1, std::size_t at_once = 0);
    ~FakeServer();
    FakeServer(const FakeServer&) = delete;
    FakeServer& operator=(const FakeServer&) = delete;

    std::uint16_t port() const { return port_; }
    std::string port_option() const { return "--port=" + std::to_string(port_); }

    // All requests so far, without their newlines.
    std::vector<std::string> requests() const;
    // Waits until there are as many requests; false when they do not come.
    bool wait_for_requests(std::size_t count) const;
    std::size_t connections() const { return connections_; }
    // The most requests that had come and were not answered.
    std::size_t most_unanswered() const { return most_unanswered_; }

private:
    void run();
    void serve(const FileDescriptor& connection);
    // Waits until `descriptor` can be read; false when the server is to stop, or after `timeout_ms` unless
    // negative.
    bool wait_readable(const FileDescriptor& descriptor, int timeout_ms) const;

    Answer answer_;
    std::size_t hold_;
    std::size_t at_once_;
    FileDescriptor listener_;
    FileDescriptor stop_read_;
    FileDescriptor stop_write_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_;
    std::vector<std::string> requests_;
    std::atomic<std::size_t> connections_ = 0;
    std::atomic<std::size_t> most_unanswered_ = 0;
    std::thread thread_;
};

// A reply of protocol v2 with \r\n.
std::string success_reply(std::string_view response_json);
std::string error_reply(std::string_view code, std::string_view message);

// What a daemon says to the requests of an import that nobody has begun before: ingest.begin, ingest.chunk,
// which is applied, and ingest.commit. Throws std::runtime_error for others.
FakeAnswer accept_import(const std::string& line);

// The ingest.chunk requests among these.
std::vector<std::string> chunks_of(const std::vector<std::string>& requests);

// A row as a request carries it.
struct Item {
    std::uint64_t key = 0;
    std::uint64_t bucket = 0;
    std::uint64_t value = 0;

    bool operator==(const Item&) const = default;
};

// The items of one request, and of the chunks among several one after the other.
std::vector<Item> items_of(const std::string& request);
std::vector<Item> items_of(const std::vector<std::string>& requests);

}  // namespace karma::test
