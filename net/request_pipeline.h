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

/// Requests that were read together: scratch of a thread, which keeps its memory.
struct Batch {
    struct Refused {
        std::size_t position = 0;  // how many of the requests came before it
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

/// What the pipelines of a thread share. All of it outlives them.
struct PipelineContext {
    const ServerOptions& options;
    Executor& executor;
    Batch& batch;
    bool takes_subscriptions = false;  // somebody deals with replication.subscribe
    std::function<ReplyQueue::Time()> now;
    Budget* request_memory = nullptr;  // of input that is no whole request yet; null: no limit
    Budget* reply_memory = nullptr;    // of large replies that wait for their client; null: no limit
    /// Requests whose reply may be large: one is taken when it is set, which clears it, and a pipeline that
    /// comes to one otherwise pauses. Null: they are taken like any other.
    bool* takes_large = nullptr;
};

/// What a pipeline asks of the connection that it belongs to. Each is called from within the pipeline, which
/// is not to be called back before that returns.
class PipelineHost {
public:
    PipelineHost() = default;
    PipelineHost(const PipelineHost&) = delete;
    PipelineHost& operator=(const PipelineHost&) = delete;
    virtual ~PipelineHost() = default;

    /// Replies wait for this: to release them when it has happened, or has become impossible.
    virtual void await_release(const ReplyQueue::Wait& wait) = 0;
    /// To run the task of a call, and hand its reply to `finish_task`.
    virtual void start_task(std::unique_ptr<Task> task, const Call& call) = 0;
    /// Where the client is, without its port; empty where that is not known.
    virtual std::string client_host() const = 0;
    /// To call `on_records` once the executor has the idempotency records.
    virtual void await_records() = 0;
};

/// From the input of one client to its replies: executes together what its protocol takes out of what has
/// arrived, runs the tasks one after the other, and puts all replies in order into a queue. Knows no socket
/// and no thread; a connection and a simulated one use it alike.
///
/// Its memory is bounded: it takes no further requests while replies wait to be taken or to become durable.
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
    /// replies. True when something was executed that is not durable yet: the executor's `commit` is to be
    /// called.
    bool process(Time now);
    /// It has worked for long, or has come to a request whose reply may be large: `process` is to be called
    /// again after others had their turn.
    bool is_paused() const noexcept { return is_paused_; }
    /// The reply of the task that was started last, to be followed by `process`.
    void finish_task(std::string_view reply);
    /// The idempotency records are known; the same.
    void on_records() noexcept { awaits_records_ = false; }
    /// Lets go what has become durable and acknowledged, or failed.
    void release();
    /// Followers that were waited for have not answered in time.
    void expire_acks(Time now);

    /// There is room for replies, and for requests whose replies wait.
    bool has_room() const noexcept {
        return has_reply_room() && replies_.waiting_request_bytes() <= waiting_request_bytes_max;
    }
    /// Whether the next request can be executed as soon as it is there.
    bool takes_input() const noexcept {
        return !replies_.is_place_held() && !awaits_records_ && !subscription_ && !is_oversized_ &&
               rest_.empty() && has_room();
    }
    /// Every request that was taken was answered, and every answer sent.
    bool owes_nothing() const noexcept { return replies_.empty() && !awaits_records_ && rest_.empty(); }
    /// A request was longer than allowed, found no memory or is of another protocol, or too many had no token
    /// that is known: what follows is not looked at.
    bool is_oversized() const noexcept { return is_oversized_; }

    /// Where to read further input to. Empty, and the client told why, where there is no memory for it.
    std::span<char> input_room();
    /// Replies were taken from the queue.
    void note_sent(std::size_t size);

    /// How many requests had no token that is known, since this was called last.
    std::uint32_t take_refused_logins() noexcept { return std::exchange(refused_logins_, 0); }

    /// What was asked last: the connection goes to who serves it, once nothing is owed.
    bool has_subscription() const noexcept { return subscription_.has_value(); }
    Subscription take_subscription();

private:
    /// Replies of so many bytes wait in a queue for free.
    static constexpr std::size_t free_reply_bytes = 64 * 1024;
    /// No further request is taken while replies of more than this wait to be sent.
    static constexpr std::size_t reply_bytes_max = 1024 * 1024;
    /// ... or while requests of more than this wait to become durable.
    static constexpr std::size_t waiting_request_bytes_max = 1024 * 1024;
    /// So long others wait for what came from one client together, and for one request more.
    static constexpr std::chrono::milliseconds work_time_max{10};
    /// A client that goes on without a token that is known guesses it.
    static constexpr std::uint32_t refused_logins_max = 100;

    ReplyQueue::Progress progress() const noexcept;
    /// Many small replies are taken to be one large one: they wait for their client before they are made.
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
    std::size_t batch_request_bytes_ = 0;  // of requests whose replies are in no range yet
    bool batch_ended_ = false;             // nothing more is decoded into this batch
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

    std::deque<Pending> rest_;               // not answered yet: a task runs, or there is no room
    bool rest_awaits_room_ = false;          // and that is the client's doing
    ReplyQueue::Wait task_wait_{};           // of the reply that a task makes
    WriteError task_write_error_ = nullptr;  // what it becomes where that is needed
    bool awaits_records_ = false;            // the next request needs them
    bool is_oversized_ = false;
    bool is_paused_ = false;
    bool is_known_;       // the client has once sent a request that it may make, or everybody may
    Share reply_memory_;  // of the replies in the queue, where they are many
    std::uint32_t refused_logins_ = 0;      // not taken yet
    std::uint32_t refused_logins_all_ = 0;  // since it began
    std::optional<Subscription> subscription_;
    std::string client_host_;  // what a request of the batch refers to
};

/// Runs the task of a call and gives its reply. From any thread.
std::string run_task(Task& task, const Call& call, const Deadline& deadline, const Protocol& protocol,
                     Stats& stats);

}  // namespace karma::net
