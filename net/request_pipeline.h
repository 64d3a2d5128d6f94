#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/executor.h"
#include "net/budget.h"
#include "net/line_buffer.h"
#include "net/protocol.h"
#include "net/reply_queue.h"
#include "net/server_options.h"
#include "net/subscription.h"

namespace karma::net {

/// Requests that were read together. One for each thread, reused to keep its memory.
struct Batch {
    struct Refused {
        std::size_t position = 0;  // the number of requests before it
        Call call;
        Error error;
    };

    std::vector<Request> requests;
    std::vector<Call> calls;        // of the requests
    std::vector<Outcome> outcomes;  // of the requests
    std::vector<Refused> refused;   // what is no good request
    Error refusal;                  // scratch: of the one that is being taken

    std::size_t size() const noexcept { return requests.size() + refused.size(); }
};

/// Objects that the pipelines of a thread share, and that outlive them.
struct PipelineContext {
    const ServerOptions& options;
    Executor& executor;
    Batch& batch;
    bool takes_subscriptions = false;  // replication.subscribe is served
    std::function<ReplyQueue::Time()> now;
    Budget* request_memory = nullptr;  // of requests that have not arrived completely; null: no limit
    Budget* reply_memory = nullptr;    // of large replies that wait for their client; null: no limit
    /// Permission to execute one request whose reply may be large. A pipeline clears it when it executes one,
    /// and pauses before such a request without it. Null: such requests are executed like any other.
    bool* takes_large = nullptr;
};

/// What a pipeline needs from its connection. The pipeline calls these functions, which must not call it
/// back.
class PipelineHost {
public:
    PipelineHost() = default;
    PipelineHost(const PipelineHost&) = delete;
    PipelineHost& operator=(const PipelineHost&) = delete;
    virtual ~PipelineHost() = default;

    /// Replies wait for `wait`: the host calls `release` when it has happened, or has become impossible.
    virtual void await_release(const ReplyQueue::Wait& wait) = 0;
    /// Runs the task of a call, then passes its reply to `finish_task`.
    virtual void start_task(std::unique_ptr<Task> task, const Call& call) = 0;
    /// The address of the client without its port; empty if it is not known.
    virtual std::string client_host() const = 0;
    /// The host calls `on_records` once the executor has the idempotency records.
    virtual void await_records() = 0;
};

/// The way from the input of one client to its replies. Executes the requests that have arrived together,
/// runs tasks one after the other, and puts all replies in order into a queue. Knows no socket and no thread:
/// connections and the simulation both use it.
///
/// Its memory is bounded: it takes no further requests while too many replies wait for the client or for
/// durability.
class RequestPipeline {
public:
    using Time = ReplyQueue::Time;

    RequestPipeline(PipelineHost& host, const PipelineContext& context, std::unique_ptr<Protocol> protocol);

    const Protocol& protocol() const noexcept { return *protocol_; }

    LineBuffer& input() noexcept { return input_; }
    const LineBuffer& input() const noexcept { return input_; }
    ReplyQueue& replies() noexcept { return replies_; }
    const ReplyQueue& replies() const noexcept { return replies_; }

    /// Executes the complete requests of the input, received by `now`, as far as there is room for their
    /// replies. True when something was executed that is not durable yet: the caller then calls the
    /// executor's `commit`.
    bool process(Time now);
    /// It has worked for long, or has come to a request whose reply may be large. The caller serves other
    /// connections first, and then calls `process` again.
    bool is_paused() const noexcept { return is_paused_; }
    /// Takes the reply of the task that was started last. The caller calls `process` afterwards.
    void finish_task(std::string_view reply);
    /// The executor has the idempotency records. The caller calls `process` afterwards.
    void on_records() noexcept { awaits_records_ = false; }
    /// Releases replies that have become durable and acknowledged, or have failed.
    void release();
    /// Too few followers have acknowledged in time.
    void expire_acks(Time now);

    /// There is room for further replies, and for further requests whose replies wait.
    bool has_room() const noexcept {
        return has_reply_room() && replies_.waiting_request_bytes() <= waiting_request_bytes_max;
    }
    /// Whether the next request could be executed now.
    bool takes_input() const noexcept {
        return !replies_.is_place_held() && !awaits_records_ && !subscription_ && !is_oversized_ &&
               rest_.empty() && has_room();
    }
    /// Every request that was taken is answered, and every reply is sent.
    bool owes_nothing() const noexcept { return replies_.empty() && !awaits_records_ && rest_.empty(); }
    /// A request was too long, found no memory or was of another protocol, or too many requests had no known
    /// token: the rest of the input is ignored.
    bool is_oversized() const noexcept { return is_oversized_; }

    /// The buffer for further input. Empty if there is no memory for it; the client gets an error then.
    std::span<char> input_room();
    /// `size` bytes of the queue were sent.
    void note_sent(std::size_t size);

    /// The number of requests without a known token since the last call.
    std::uint32_t take_refused_logins() noexcept { return std::exchange(refused_logins_, 0); }

    /// The last request was replication.subscribe: the connection is handed over once all replies are sent.
    bool has_subscription() const noexcept { return subscription_.has_value(); }
    Subscription take_subscription();

private:
    /// This many bytes of replies in a queue are not counted against the budget.
    static constexpr std::size_t free_reply_bytes = 64 * 1024;
    /// No further request is taken while replies of more than this wait to be sent.
    static constexpr std::size_t reply_bytes_max = 1024 * 1024;
    /// ... or while requests of more than this wait to become durable.
    static constexpr std::size_t waiting_request_bytes_max = 1024 * 1024;
    /// How long one connection works before others are served, and one request more.
    static constexpr std::chrono::milliseconds work_time_max{10};
    /// A client that sends more requests without a known token is guessing it.
    static constexpr std::uint32_t refused_logins_max = 100;

    ReplyQueue::Progress progress() const noexcept;
    /// When memory is used up, a connection with `free_reply_bytes` of replies makes no further ones before
    /// its client takes these.
    bool has_reply_room() const noexcept {
        return replies_.bytes() <= (is_memory_used_up() ? free_reply_bytes : reply_bytes_max);
    }
    bool is_memory_used_up() const noexcept {
        const Budget* const budget = context_.reply_memory;
        return budget != nullptr && budget->max() != 0 && budget->used() + free_reply_bytes > budget->max();
    }
    bool process_all(Time now);
    bool has_worked_long(Time since) const { return context_.now() - since >= work_time_max; }
    bool take_requests(Time now);
    bool take_request(bool accepts_writes);
    bool accept(Request& request, const Call& call);
    bool has_to_pause() noexcept;
    void refuse(const Call& call, Error error);
    void refuse_rest();
    bool keep_subscription(const Request& request);
    void fill_in_host(Request& request);
    bool execute();
    void answer_batch();
    void answer_rest(Time now);
    void answer(const Call& call, Outcome& outcome, const Deadline& deadline);
    bool keep_reply(std::size_t bytes);
    void close_range();
    void close_range(const ReplyQueue::Wait& wait, std::uint32_t replies);

    PipelineHost& host_;
    const PipelineContext& context_;
    std::unique_ptr<Protocol> protocol_;
    LineBuffer input_;
    ReplyQueue replies_;
    std::size_t batch_request_bytes_ = 0;  // bytes of requests whose replies are in no range yet
    bool batch_ended_ = false;             // no further request goes into this batch
    Time received_{};                      // the requests of the batch
    std::uint64_t generation_ = 0;         // when they were executed, or an earlier one
    bool has_writes_ = false;              // among them
    Time work_begin_{};                    // on the replies of the next range

    // Of the replies written since the last range was closed.
    std::uint32_t open_replies_ = 0;
    Lsn open_lsn_ = 0;
    WriteError open_write_error_ = nullptr;

    struct Pending {
        Call call;
        Outcome outcome;
    };

    std::deque<Pending> rest_;               // not answered yet, because a task runs or there is no room
    bool rest_awaits_room_ = false;          // the reason is that the client takes no replies
    ReplyQueue::Wait task_wait_{};           // of the reply of the running task
    WriteError task_write_error_ = nullptr;  // writes an error in its place
    bool awaits_records_ = false;            // the next request needs them
    bool is_oversized_ = false;
    bool is_paused_ = false;
    bool is_known_;                         // the client has sent a valid token, or none is needed
    Share reply_memory_;                    // the share of the replies in the queue beyond `free_reply_bytes`
    std::uint32_t refused_logins_ = 0;      // not taken yet
    std::uint32_t refused_logins_all_ = 0;  // since it began
    std::optional<Subscription> subscription_;
    std::string client_host_;  // a request of the batch borrows it
};

/// Runs the task of a call and returns its encoded reply. From any thread.
std::string run_task(Task& task, const Call& call, const Deadline& deadline, const Protocol& protocol,
                     Stats& stats);

}  // namespace karma::net
