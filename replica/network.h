#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "net/byte_stream.h"
#include "net/tls_context.h"
#include "replica/runtime.h"

namespace karma::replica {

/// The other end is gone, or is not what it says.
class ChannelError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A byte stream to another node, in both directions. Belongs to one thread, except `wake`. Only `wait`
/// blocks.
class PeerStream {
public:
    PeerStream() = default;
    PeerStream(const PeerStream&) = delete;
    PeerStream& operator=(const PeerStream&) = delete;
    virtual ~PeerStream() = default;

    /// Sends as many of these bytes as it can, and returns how many. Throws ChannelError.
    virtual std::size_t send(std::string_view bytes) = 0;
    /// Receives what has arrived, `size` bytes at most, and returns how many: 0 if nothing has.
    /// Throws ChannelError, also when the other end has closed the connection.
    virtual std::size_t receive(char* bytes, std::size_t size) = 0;

    /// The result of `wait`. A failure of the connection shows in the next call that sends or receives.
    struct Ready {
        bool to_receive = false;
        bool to_send = false;
    };
    /// Waits until the connection is ready for the wanted operations, for a wake, or until the time has
    /// passed.
    virtual Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) = 0;

    /// Ends the present wait, or the next one. From any thread.
    virtual void wake() noexcept = 0;
    /// Tells the other end that nothing more will be sent.
    virtual void end() noexcept = 0;
};

/// A connection for requests and replies of one line each, one after the other. Used by one thread.
class LineClient {
public:
    LineClient() = default;
    LineClient(const LineClient&) = delete;
    LineClient& operator=(const LineClient&) = delete;
    virtual ~LineClient() = default;

    /// Sends a line, given without its end, and returns the line of the reply. Throws ConnectionError.
    virtual std::string ask(const std::string& line) = 0;
    /// True once the connection is known to be broken.
    virtual bool has_failed() const = 0;
    /// Hands over the connection, and the bytes that were received behind the last line; this object cannot
    /// be used afterwards.
    virtual std::unique_ptr<PeerStream> release(std::string& received) = 0;
};

/// The address of another node, and how long to wait for it.
struct Peer {
    std::string host;
    std::uint16_t port = 8080;
    /// For connecting; later, this time without a byte counts as a lost connection.
    std::chrono::milliseconds timeout{5000};
    /// When it becomes true, waiting ends; outlives the connection. Null: none.
    const std::atomic<bool>* stop = nullptr;
    std::size_t line_bytes_max = std::size_t{1} << 30U;
};

/// How nodes reach each other: over TCP or TLS, or in a simulation. Thread-safe.
class Network {
public:
    Network() = default;
    Network(const Network&) = delete;
    Network& operator=(const Network&) = delete;
    virtual ~Network() = default;

    /// Throws ConnectionError (net/client_connection.h).
    virtual std::unique_ptr<LineClient> connect(const Peer& peer) = 0;
};

/// The network of this machine, in the clear.
Network& machine_network();
/// The same over TLS, with these certificates and rules; null: in the clear.
std::unique_ptr<Network> network_over(std::shared_ptr<const net::TlsContext> tls);

/// A PeerStream on a byte stream. If it cannot be made, sends `parting(why)`, closes the stream and throws
/// ChannelError.
std::unique_ptr<PeerStream> make_peer_stream(
    net::ByteStream stream, const std::function<std::string(const char* why)>& parting = nullptr);

/// The environment of a node: time, threads, waiting and connections.
struct Environment {
    Runtime& runtime;
    Network& network;
};

inline Environment machine_environment() { return {machine_runtime(), machine_network()}; }

}  // namespace karma::replica
