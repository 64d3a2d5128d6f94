#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include "cli/batch_builder.h"
#include "cli/client_options.h"
#include "cli/import_stream.h"
#include "engine/number.h"
#include "net/client_connection.h"

namespace karma::cli {

/// The daemon has refused a request, or the connection is lost for good: no further batch may be sent. The
/// text says what happened and what to do.
class PipelineError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The batches that the daemon has acknowledged one after the other from the first on.
struct Acknowledged {
    std::uint64_t rows = 0;  // applied and skipped
    std::uint64_t batches = 0;
    std::uint64_t last_line = 0;  // 0 before the first
    std::uint64_t applied = 0;    // rows that this run has added
    std::uint64_t skipped = 0;    // rows that an earlier run of the same import had added
    Uint128 total = 0;            // of the values applied
};

/// The fate of batches that were sent and are not among the acknowledged ones.
struct Unacknowledged {
    enum class Outcome { not_applied, unknown };

    Outcome outcome = Outcome::unknown;
    std::uint64_t batches = 0;
    std::uint64_t rows = 0;
    std::uint64_t first_line = 0;
    std::uint64_t last_line = 0;
};

/// Sends the batches of one import in order, as the chunks of its ingest stream, several of them before the
/// first is answered, and keeps account of the replies. All batches are sent, whatever an earlier run has
/// applied: the daemon compares each with what it has under that number and skips it, or refuses the import
/// as another one. So no batch is applied twice, and none in the place of another.
///
/// A connection that is lost is made again, and what was not answered is sent again, for as long as
/// ClientOptions::timeout since the last reply. Used by one thread.
class BatchPipeline {
public:
    struct Callbacks {
        std::function<bool()> interrupted;               // asked while it waits to connect again
        std::function<void(const std::string&)> notify;  // a line for the user
    };

    /// Connects. `cutting` (see BatchBuilder::cutting) goes into the stream: runs that cut the input in
    /// another way are refused before they send a batch. `in_flight_limit` is at least 1. Throws
    /// net::ConnectionError.
    BatchPipeline(const ClientOptions& options, ImportStream stream, std::string cutting,
                  std::size_t in_flight_limit, Callbacks callbacks);

    /// The number of the batch that is sent next, from 1.
    std::uint64_t next_chunk() const { return last_sent_chunk_ + 1; }

    /// Sends the next batch as `request`, which holds its number; waits first while as many as allowed are in
    /// flight. The first one begins the stream. The bytes may stay in the output buffer until a later call.
    /// Throws PipelineError.
    void send(const Batch& batch, std::string_view request);

    /// Waits for the replies to all that was sent. Throws PipelineError.
    void drain();

    /// Ends the stream behind the last batch, after a drain(): the import is complete. Nothing where there
    /// was no batch. Throws PipelineError.
    void commit();

    /// Whether the daemon has been asked to begin the stream: there may be something to go on with.
    bool began() const { return begin_sent_; }
    /// Whether an earlier run had completed the import when this one began.
    bool was_complete() const { return was_complete_; }
    /// Whether the daemon knows another import under this id, so that this one cannot be completed.
    bool is_another() const { return is_another_; }

    const Acknowledged& acknowledged() const { return acknowledged_; }

    /// After a PipelineError: the sent batches from the first that was not acknowledged on, in order;
    /// neighbours with the same outcome are one entry.
    const std::vector<Unacknowledged>& unacknowledged() const { return unacknowledged_; }

private:
    using Clock = std::chrono::steady_clock;

    struct Sent {
        Batch batch;
        std::uint64_t chunk = 0;
        std::string request;
        bool again = false;  // sent once more, on a new connection
    };

    struct Verdict {
        bool success = false;
        bool skipped = false;
        std::string code;  // of a refusal
        std::string message;
    };

    void connect();
    /// Makes the connection again and sends again what was not answered. `why` it was lost.
    void resume(std::string why);
    /// Asks for the stream on the present connection. Throws net::ConnectionError and PipelineError.
    void begin();
    void begin_or_resume();
    std::string read_reply();
    /// Handles the reply to the oldest batch in flight.
    void accept(std::string_view reply);
    void acknowledge_oldest(bool skipped);
    /// The reply to a batch. Throws net::ConnectionError when it is none.
    static Verdict judge(std::string_view reply, const Sent& sent);
    /// Finds out what became of the batches behind a refused one, then throws.
    [[noreturn]] void refuse(const Verdict& verdict);
    std::string advice_for(const Verdict& verdict) const;
    [[noreturn]] void lose(const std::string& why);
    void settle_oldest(Unacknowledged::Outcome outcome);
    /// Sends a request of the stream that is no chunk and returns the response. Throws net::ConnectionError,
    /// and PipelineError with the reason after `what`.
    boost::json::object ask(std::string_view op, boost::json::object fields, std::string_view what);

    ClientOptions options_;
    ImportStream stream_;
    std::string cutting_;
    std::size_t in_flight_limit_;
    Callbacks callbacks_;
    std::optional<net::ClientConnection> connection_;
    Clock::time_point last_progress_;  // the last reply, or when waiting for one began
    std::uint64_t attempts_ = 0;       // to connect again, since the last reply
    bool begin_sent_ = false;
    bool begun_ = false;
    bool was_complete_ = false;
    bool is_another_ = false;
    std::uint64_t found_chunks_ = 0;  // that earlier runs had applied when this one began
    std::uint64_t last_sent_chunk_ = 0;
    std::deque<Sent> in_flight_;
    Acknowledged acknowledged_;
    std::vector<Unacknowledged> unacknowledged_;
};

}  // namespace karma::cli
