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

/// The other node answers with an error.
class RefusedError : public ChannelError {
public:
    RefusedError(std::string code, const std::string& message)
        : ChannelError(message), code_(std::move(code)) {}

    const std::string& code() const noexcept { return code_; }

private:
    std::string code_;
};

/// Sends requests of protocol v2 to another node, one after the other. Used by one thread.
class MasterClient {
public:
    /// Connects with the first request. `network` outlives it; an empty `token` is not sent. A reply has a
    /// limit of its own.
    MasterClient(Network& network, Peer master, std::string token);

    /// The response to a request with these fields; connects again if the connection was lost. Throws
    /// ConnectionError, ChannelError and RefusedError.
    boost::json::value ask(std::string_view op, boost::json::object fields = {});

    /// The checksum of an event; nothing if the node does not keep it. Throws as `ask`.
    std::optional<std::uint64_t> checksum_at(Lsn lsn);

private:
    void connect();

    Network& network_;
    Peer master_;
    std::string token_;
    std::unique_ptr<LineClient> line_;
};

}  // namespace karma::replica
