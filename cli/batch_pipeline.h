#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "cli/batch_builder.h"
#include "cli/client_options.h"
#include "engine/number.h"
#include "net/client_connection.h"

namespace karma::cli {

/// A batch was refused or the connection broke: no further batch may be sent. The text says which and why.
class PipelineError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The batches that the daemon has acknowledged one after the other from the first on.
struct Acknowledged {
    std::uint64_t rows = 0;
    std::uint64_t batches = 0;
    std::uint64_t last_line = 0;  // 0 before the first
    Uint128 total = 0;            // of the values
};

/// What became of batches that were sent, but are not among the acknowledged ones.
struct Unacknowledged {
    enum class Outcome { applied, refused, unknown };

    Outcome outcome = Outcome::unknown;
    std::uint64_t batches = 0;
    std::uint64_t rows = 0;
    std::uint64_t first_line = 0;
    std::uint64_t last_line = 0;
};

/// Sends batches in order over one connection, several of them before the first is answered, and keeps
/// account of the replies.
class BatchPipeline {
public:
    /// A connection that was silent for this long is replaced before more is sent, when nothing is in flight:
    /// daemons close silent connections, and a request that meets the closing would have an unknown fate.
    static constexpr std::chrono::milliseconds silence_limit{500};

    /// Connects. `in_flight_limit` is at least 1. Throws net::ConnectionError.
    BatchPipeline(const ClientOptions& options, std::size_t in_flight_limit);

    /// Sends a batch as `request`; waits first while as many as allowed are in flight. The bytes may stay in
    /// the output buffer until a later call. Throws PipelineError.
    void send(const Batch& batch, std::string_view request);

    /// Waits for the replies to all that was sent. Throws PipelineError.
    void drain();

    const Acknowledged& acknowledged() const { return acknowledged_; }

    /// After a PipelineError: the sent batches from the first that was not acknowledged on, in order;
    /// neighbours with the same outcome are one entry.
    const std::vector<Unacknowledged>& unacknowledged() const { return unacknowledged_; }

private:
    void renew_connection();
    /// Handles the reply to the oldest batch in flight.
    void accept(std::string_view reply);
    /// Finds out what became of the batches behind a refused one, then throws.
    [[noreturn]] void refuse(const std::string& code, const std::string& message);
    [[noreturn]] void lose(const std::string& why);
    void settle_oldest(Unacknowledged::Outcome outcome);
    std::string read_reply();

    ClientOptions options_;
    std::size_t in_flight_limit_;
    std::optional<net::ClientConnection> connection_;
    std::chrono::steady_clock::time_point last_sent_;
    std::deque<Batch> in_flight_;
    Acknowledged acknowledged_;
    std::vector<Unacknowledged> unacknowledged_;
};

}  // namespace karma::cli
