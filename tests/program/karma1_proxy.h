#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/support/file_descriptor.h"

namespace karma::test {

// Stands before a daemon and makes a Karma 1.0 of it: answers replication.subscribe as that does, which does
// not know it, and hands everything else on, line by line, each connection to one of its own.
class Karma1Proxy {
public:
    explicit Karma1Proxy(std::uint16_t daemon_port);
    ~Karma1Proxy();
    Karma1Proxy(const Karma1Proxy&) = delete;
    Karma1Proxy& operator=(const Karma1Proxy&) = delete;

    std::uint16_t port() const { return port_; }
    // While it is on, requests get no answer.
    void set_silent(bool silent) { silent_ = silent; }
    std::size_t subscriptions() const { return subscriptions_; }

private:
    void run();
    void serve(const FileDescriptor& connection);
    // Waits until `descriptor` can be read; false when the proxy is to end.
    bool wait_readable(const FileDescriptor& descriptor) const;
    void wait_until_loud() const;

    std::uint16_t daemon_port_;
    FileDescriptor listener_;
    FileDescriptor stop_read_;
    FileDescriptor stop_write_;
    std::uint16_t port_ = 0;
    std::atomic<bool> silent_ = false;
    std::atomic<bool> stopping_ = false;
    std::atomic<std::size_t> subscriptions_ = 0;
    std::thread thread_;
};

}  // namespace karma::test
