#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "tests/program/keyed_request.h"
#include "tests/support/client.h"

namespace karma::test {

// One connection on which requests go out ahead of their replies, each with what its reply has to be. Throws
// what Client throws; from take() and finish() also std::runtime_error, with request and reply, when a reply
// is not what it has to be. Used by one thread.
class Lane {
public:
    // Throws std::runtime_error saying what is wrong with the reply.
    using Check = std::function<void(const json::value& reply)>;

    explicit Lane(std::uint16_t port) : client_(port) {}

    // Puts a request in line; it is sent by the next flush().
    void put(std::string line, Check check);
    // One that has to be answered with this error code.
    void put_refused(std::string line, std::string error_code);
    // A delivery of the request, in one of its spellings.
    void put_keyed(const std::shared_ptr<KeyedRequest>& request, std::mt19937_64& random);
    // Its key with another payload, which has to be refused. Only when it is acknowledged.
    void put_conflict(const KeyedRequest& request, std::mt19937_64& random) {
        put_refused(request.conflicting_line(random), "idempotency_conflict");
    }
    // Its key with what is refused even before the request itself has come; it must not get the key.
    void put_invalid(const KeyedRequest& request);

    void flush();
    // Requests without a reply.
    std::size_t waiting() const { return expected_.size(); }
    // Waits for one reply and checks it. waiting() > 0, and all was flushed.
    void take();
    // Sends what is in line and takes all replies.
    void finish();
    // Sends one request after all replies have come; returns the response of its success.
    json::value call(std::string_view op, const json::object& fields = {});

private:
    struct Expected {
        std::string line;
        Check check;
    };

    Client client_;
    std::string unsent_;
    std::deque<Expected> expected_;
};

}  // namespace karma::test
