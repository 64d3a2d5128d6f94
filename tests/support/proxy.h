#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <thread>

#include "tests/support/file_descriptor.h"
#include "tests/support/port.h"

namespace karma::test {

// A network between two programs on 127.0.0.1 that can be cut: it takes connections on a port of its own and
// forwards what comes to another one. Thread-safe.
class Proxy {
public:
    explicit Proxy(std::uint16_t target);
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    std::uint16_t port() const { return port_.number(); }

    // From here on nothing gets through in these directions; what comes is kept until it does, and
    // connections stay.
    void hold(bool to_target, bool to_client);
    void let_through() { hold(false, false); }
    // Closes all connections; while `refused`, new ones too.
    void cut(bool refused);

private:
    struct Link {
        FileDescriptor client;
        FileDescriptor target;
        std::thread thread;
        std::atomic<bool> ended{false};
    };

    void accept();
    void forward(Link& link);
    void end_links();

    std::uint16_t target_;
    ReservedPort port_;
    FileDescriptor listener_;
    std::atomic<bool> holds_to_target_{false};
    std::atomic<bool> holds_to_client_{false};
    std::atomic<bool> refuses_{false};
    std::atomic<bool> stopping_{false};
    std::mutex mutex_;
    std::list<Link> links_;  // under the mutex
    std::thread thread_;
};

}  // namespace karma::test
