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

/// A connection that carries bytes both ways. Belongs to one thread but for `wake`. Nothing of it blocks but
/// `wait`.
class Wire {
public:
    Wire() = default;
    Wire(const Wire&) = delete;
    Wire& operator=(const Wire&) = delete;
    virtual ~Wire() = default;

    /// Sends what it can of these bytes and says how many that were. Throws ChannelError.
    virtual std::size_t send(std::string_view bytes) = 0;
    /// Receives what has arrived, `size` bytes at most, and says how many that were: 0 where nothing has.
    /// Throws ChannelError, also when the other end has closed the connection.
    virtual std::size_t receive(char* bytes, std::size_t size) = 0;

    /// What `wait` found: what is wrong with a connection shows itself in what is done with it next.
    struct Ready {
        bool to_receive = false;
        bool to_send = false;
    };
    /// Waits until it is ready for what is wanted, for a wake, or until the time has passed.
    virtual Ready wait(bool wants_to_receive, bool wants_to_send, std::chrono::milliseconds time) = 0;

    /// Ends a wait, or the next one. From any thread.
    virtual void wake() noexcept = 0;
    /// Lets the other end know that nothing more will come.
    virtual void end() noexcept = 0;
};

/// A connection that carries a line there and a line back, one pair after the other. Used by one thread.
class Line {
public:
    Line() = default;
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;
    virtual ~Line() = default;

    /// Sends a line, given without its end, and gives the one that answers. Throws ConnectionError.
    virtual std::string ask(const std::string& line) = 0;
    /// True once the connection is known to be broken.
    virtual bool has_failed() const = 0;
    /// Gives away the connection and what was received behind the last line: nothing else can be done then.
    virtual std::unique_ptr<Wire> release(std::string& received) = 0;
};

/// Where another node is, and how long to wait for it.
struct Peer {
    std::string host;
    std::uint16_t port = 8080;
    /// For connecting; later so long without a byte counts as a lost connection.
    std::chrono::milliseconds timeout{5000};
    /// Ends what waits once it is true; outlives the connection. Null: nothing does.
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
    virtual std::unique_ptr<Line> connect(const Peer& peer) = 0;
};

/// The network of this machine, in the clear.
Network& machine_network();
/// The same over TLS, with these certificates and rules; null: in the clear.
std::unique_ptr<Network> network_over(std::shared_ptr<const net::TlsContext> tls);

/// A wire on a byte stream. Throws ChannelError where none can be made, and sends `parting(why)` before it
/// closes the stream then.
std::unique_ptr<Wire> stream_wire(net::ByteStream stream,
                                  const std::function<std::string(const char* why)>& parting = nullptr);

/// What a node stands on.
struct Ground {
    Runtime& runtime;
    Network& network;
};

inline Ground machine_ground() { return {machine_runtime(), machine_network()}; }

}  // namespace karma::replica
