#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "engine/number.h"
#include "replica/network.h"

namespace karma::replica {

struct MasterAddress {
    std::string host;
    std::uint16_t port = 8080;
    std::string token;  // empty: none
    std::chrono::milliseconds timeout{5000};
    /// Ends what waits once it is true; outlives who uses it. Null: nothing does.
    const std::atomic<bool>* stop = nullptr;
};

/// The other node answers with an error.
class RefusedError : public ChannelError {
public:
    RefusedError(std::string code, const std::string& message)
        : ChannelError(message), code_(std::move(code)) {}

    const std::string& code() const noexcept { return code_; }

private:
    std::string code_;
};

/// Asks another node one thing after the other, in protocol v2. Used by one thread.
class MasterClient {
public:
    /// Connects with the first request. `network` outlives it.
    explicit MasterClient(MasterAddress address, Network& network = machine_network())
        : address_(std::move(address)), network_(network) {}

    /// The response to a request with these fields; connects again where the connection was lost. Throws
    /// ConnectionError, ChannelError and RefusedError.
    boost::json::value ask(std::string_view op, boost::json::object fields = {});

    /// The checksum of an event; nothing where it is not kept. Throws as `ask`.
    std::optional<std::uint64_t> checksum_at(Lsn lsn);

private:
    void connect();

    MasterAddress address_;
    Network& network_;
    std::unique_ptr<Line> line_;
};

}  // namespace karma::replica
