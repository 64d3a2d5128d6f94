#include "net/connection.h"

#include <algorithm>
#include <limits>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <new>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <utility>

#include <boost/asio/post.hpp>

namespace karma::net {
namespace {

using Clock = std::chrono::steady_clock;
using State = ConnectionTimeouts::State;

/// How long what follows the last request is read and forgotten, so that the client can take its replies.
constexpr auto linger_time_max = std::chrono::seconds(1);

/// Of a task: the query timeout from when its request was received, for a query; and an end when the process
/// stops.
class TaskDeadline final : public Deadline {
public:
    TaskDeadline(TaskKind kind, std::chrono::milliseconds query_timeout, Clock::time_point received,
                 const TaskPools& pools)
        : kind_(kind),
          is_limited_(kind == TaskKind::query && query_timeout.count() != 0),
          end_(received + query_timeout),
          pools_(pools) {}

protected:
    bool expired() const override { return is_cancelled() || (is_limited_ && Clock::now() >= end_); }
    bool is_cancelled() const override { return pools_.is_cancelled(kind_); }

private:
    TaskKind kind_;
    bool is_limited_;
    Clock::time_point end_;
    const TaskPools& pools_;
};

}  // namespace

Connection::Connection(Accepted accepted, IoThread& thread)
    : place_(std::move(accepted.place)),
      is_brief_(accepted.is_brief),
      socket_(std::move(accepted.socket), std::move(accepted.tls)),
      thread_(thread),
      options_(thread.server().options),
      pipeline_(*this, thread.pipelines(), thread.new_line_protocol()),
      timeouts_(options_, Clock::now()) {}

void Connection::start() {
    if (!socket_.set_options(options_.nodelay)) {
        close();
        return;
    }
    if (Log& log = thread_.server().log; log.writes(LogLevel::debug)) {
        peer_ = socket_.peer();
        log.debug("connection_opened", {{"client", peer_}});
    }
    if (socket_.stream().is_handshaking()) {
        awaits_handshake_ = true;
        timeouts_.enter(State::receiving, Clock::now());
    }
    read();
}

template <typename Work>
void Connection::guard(Work&& work) noexcept {
    try {
        work();
    } catch (const std::bad_alloc&) {
        thread_.note_uncommitted();
        close();
    }
}

// ---- input

void Connection::read() {
    read_queued_ = false;
    guard([this] { begin_read(); });
}

void Connection::resume() {
    resume_queued_ = false;
    if (!closed_) {
        guard([this] { process(Clock::now()); });
    }
}

void Connection::begin_read() {
    const bool takes_input =
        lingering_ || (!finishing_ && !pipeline_.input().has_ended() && pipeline_.takes_input());
    if (reading_ || closed_ || !takes_input) {
        return;
    }
    if (lingering_) {
        pipeline_.input().clear();
    }
    const std::span<char> room = lingering_ ? pipeline_.input().room() : pipeline_.input_room();
    if (room.empty()) {
        if (lingering_) {
            close();
        } else {
            process(Clock::now());
        }
        return;
    }
    reading_ = true;
    socket_.async_read(room, [self = shared_from_this()](const IoResult& result) { self->on_read(result); });
}

void Connection::on_read(const IoResult& result) {
    reading_ = false;
    guard([&] { handle_read(result); });
}

void Connection::handle_read(const IoResult& result) {
    if (closed_) {
        return;
    }
    const bool has_ended = result.state == IoState::ended;
    if (result.state == IoState::failed || (lingering_ && has_ended)) {
        if (result.state == IoState::failed) {
            note_failure();
        }
        close();
        return;
    }
    if (lingering_) {
        read();
        return;
    }
    pipeline_.input().add(result.size);
    if (has_ended) {
        pipeline_.input().end(true);
    }
    process(Clock::now());
}

/// Takes some of what had reached this machine when the connection began to finish. False when that was all.
bool Connection::read_rest() {
    LineBuffer& input = pipeline_.input();
    if (input.has_ended()) {
        return false;
    }
    ByteStream& stream = socket_.stream();
    if (left_to_read_ != 0) {
        const std::span<char> room = pipeline_.input_room();
        if (room.empty()) {
            left_to_read_ = 0;
            return false;
        }
        const IoResult result = stream.read(room.first(std::min(room.size(), left_to_read_)));
        input.add(result.size);
        left_to_read_ = result.state == IoState::done ? left_to_read_ - result.size : 0;
        return true;
    }
    // Half a request is none, unless its sender has ended with it.
    input.end(stream.has_ended());
    return true;
}

// ---- requests

void Connection::process(Time now) {
    bool was_full = false;
    do {
        do {
            if (pipeline_.process(now)) {
                thread_.note_uncommitted();
            }
        } while (finishing_ && !reading_ && pipeline_.takes_input() && read_rest());
        if (const std::uint32_t refused = pipeline_.take_refused_logins(); refused != 0) {
            note_refused_logins(refused, now);
        }
        was_full = !pipeline_.has_room();
        send();
    } while (!closed_ && was_full &&
             pipeline_.has_room());  // all was taken at once: nobody else would wake it
    go_on(now);
}

/// Of a client that speaks no TLS, or whose certificate is not accepted: it cannot be told.
void Connection::note_failure() {
    if (socket_.stream().is_handshaking()) {
        Stats::add(thread_.server().executor.stats().failed_handshakes, 1);
        thread_.server().log.debug("handshake_failed",
                                   {{"client", socket_.peer()}, {"message", socket_.stream().failure()}});
    }
}

void Connection::note_refused_logins(std::uint32_t count, Time now) {
    const std::string host = client_host();
    Stats::add(thread_.server().executor.stats().refused_logins, count);
    thread_.server().refused_logins.note(host.empty() ? socket_.peer() : host, count, now);
}

std::string Connection::client_host() const { return socket_.peer_host(); }

void Connection::await_release(const ReplyQueue::Wait& wait) {
    if (wait.lsn > thread_.server().executor.durable_lsn()) {
        thread_.wait_durable(wait, shared_from_this());
    }
    if (wait.ack_lsn != 0) {
        thread_.wait_acked(wait, shared_from_this());
    }
}

void Connection::start_task(std::unique_ptr<Task> task, const Call& call) {
    if (const std::optional<EventWait> wait = task->event_wait();
        wait && thread_.wait_event(*wait, shared_from_this())) {
        waiting_task_ = std::move(task);
        waiting_call_ = call;
        return;
    }
    run_task_later(std::move(task), call);
}

void Connection::on_event() {
    if (closed_ || waiting_task_ == nullptr) {
        return;
    }
    guard([this] {
        waiting_call_.received = Clock::now();  // the time of the query begins
        run_task_later(std::move(waiting_task_), waiting_call_);
    });
}

void Connection::run_task_later(std::unique_ptr<Task> task, const Call& call) {
    const TaskKind kind = task->kind();
    thread_.server().tasks.post(kind, [self = shared_from_this(), task = std::move(task), kind, call] {
        const ServerContext& server = self->thread_.server();
        const TaskDeadline deadline(kind, self->options_.query_timeout, call.received, server.tasks);
        std::shared_ptr<const std::string> line;
        try {
            line = std::make_shared<const std::string>(
                run_task(*task, call, deadline, self->pipeline_.protocol(), server.executor.stats()));
        } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): without a reply
        }
        self->finish_task_later(line);
    });
}

/// Without a line, for which memory did not suffice, the connection is closed. Somebody waits: where there is
/// no memory to say that it is there, it is said again.
void Connection::finish_task_later(const std::shared_ptr<const std::string>& line) {
    constexpr auto pause = std::chrono::milliseconds(10);
    for (bool is_posted = false; !is_posted;) {
        try {
            boost::asio::post(thread_.context(), [self = shared_from_this(), line] {
                self->guard([&] {
                    if (line == nullptr) {
                        self->close();
                    } else if (!self->closed_) {
                        self->pipeline_.finish_task(*line);
                        self->process(Clock::now());
                    }
                });
            });
            is_posted = true;
        } catch (const std::bad_alloc&) {
            std::this_thread::sleep_for(pause);
        }
    }
}

void Connection::await_records() { thread_.wait_records(shared_from_this()); }

void Connection::on_records() {
    guard([this] {
        pipeline_.on_records();
        if (!closed_) {
            process(Clock::now());
        }
    });
}

void Connection::on_durable() {
    guard([this] {
        if (!closed_) {
            pipeline_.release();
            process(Clock::now());
        }
    });
}

void Connection::on_ack_timeout(Time now) {
    guard([&] {
        if (!closed_) {
            pipeline_.expire_acks(now);
            process(now);
        }
    });
}

// ---- output

void Connection::send() {
    pipeline_.release();
    ReplyQueue& replies = pipeline_.replies();
    while (!waiting_writable_ && !replies.sendable().empty()) {
        const std::string_view bytes = replies.sendable();
        const IoResult result = socket_.stream().write(bytes);
        if (result.state == IoState::would_block) {
            wait_writable();
            return;
        }
        if (result.state != IoState::done) {
            close();
            return;
        }
        pipeline_.note_sent(result.size);
        untaken_before_ = std::numeric_limits<std::size_t>::max();
    }
}

void Connection::wait_writable() {
    waiting_writable_ = true;
    untaken_before_ = socket_.stream().untaken_bytes();
    timeouts_.enter(State::sending, Clock::now());
    timeouts_.restart(Clock::now());
    socket_.async_wait_writable([self = shared_from_this()](IoState state) {
        self->waiting_writable_ = false;
        if (self->closed_) {
            return;
        }
        if (state == IoState::failed) {
            self->close();
            return;
        }
        self->guard([&] { self->process(Clock::now()); });
    });
}

// ---- what comes next

/// After each step: reads on, or ends.
void Connection::go_on(Time now) {
    if (closed_) {
        return;
    }
    if (pipeline_.has_subscription() && pipeline_.owes_nothing()) {
        hand_over();
        return;
    }
    if (is_idle() && (pipeline_.input().has_ended() || pipeline_.is_oversized())) {
        end(now);
        return;
    }
    note_waiting(now);
    if (pipeline_.is_paused()) {
        if (!std::exchange(resume_queued_, true)) {
            thread_.resume_later(shared_from_this());
        }
        return;
    }
    if (finishing_ || pipeline_.input().has_ended() || reading_ || read_queued_ || !pipeline_.takes_input()) {
        return;
    }
    if (!pipeline_.input().empty()) {
        // A client that sends a request in pieces waits for the acknowledgement of the first one.
        const int one = 1;
        ::setsockopt(socket_.stream().file(), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
    read_queued_ = true;
    thread_.read_later(shared_from_this());
}

/// Says for whom the connection waits from here on.
void Connection::note_waiting(Time now) {
    if (waiting_writable_) {
        return;  // wait_writable has said it
    }
    if (!pipeline_.owes_nothing() || !pipeline_.takes_input() || pipeline_.is_paused()) {
        timeouts_.enter(State::working, now);
        return;
    }
    const bool is_receiving = !pipeline_.input().empty();
    if (!is_receiving && options_.idle_timeout.count() == 0) {
        timeouts_.enter(State::idle, now);
        return;
    }
    // From when it was ready for more, which may be later than `now`.
    const Time ready = Clock::now();
    timeouts_.enter(is_receiving ? State::receiving : State::idle, ready);
    if (const std::size_t taken = pipeline_.input().taken(); taken != lines_taken_) {
        lines_taken_ = taken;
        timeouts_.restart(ready);
    }
}

/// Neither input that was not looked at nor replies that the client's machine has not taken.
bool Connection::has_nothing_under_way() const noexcept {
    return socket_.stream().unread_bytes() == 0 && socket_.stream().untaken_bytes() == 0;
}

bool Connection::is_idle() const noexcept { return pipeline_.owes_nothing() && pipeline_.input().empty(); }

/// Goes to who serves the subscription, once everything before it is answered.
void Connection::hand_over() {
    const std::string address = socket_.peer();
    thread_.server().subscriptions->adopt(socket_.release(), address, pipeline_.take_subscription());
    close();
}

// ---- ends

void Connection::finish() {
    if (closed_ || finishing_) {
        return;
    }
    finishing_ = true;
    if (lingering_) {
        return;
    }
    left_to_read_ = socket_.stream().unread_bytes();
    if (reading_) {
        socket_.cancel();  // on_read goes on
    } else {
        guard([this] { process(Clock::now()); });
    }
}

/// Everything is answered and no more requests are taken: closes, so that the replies arrive.
void Connection::end(Time now) {
    if (lingering_) {
        return;
    }
    if (!finishing_ && !pipeline_.is_oversized()) {
        close();  // the client has ended: nothing unread is left
        return;
    }
    socket_.stream().end_writing();
    lingering_ = true;
    linger_end_ = now + linger_time_max;
    if (finishing_ && has_nothing_under_way()) {
        close();
    } else {
        read();
    }
}

void Connection::close_if_timed_out(Time now) {
    if (lingering_) {
        if (now >= linger_end_ || (finishing_ && has_nothing_under_way())) {
            close();
        }
        return;
    }
    if (awaits_handshake_ && !socket_.stream().is_handshaking()) {
        awaits_handshake_ = false;
        note_waiting(now);
    }
    constexpr auto brief_idle_max = std::chrono::seconds(1);
    const bool is_waited_for = timeouts_.state() == State::idle || timeouts_.state() == State::receiving;
    if (is_brief_ && is_waited_for && timeouts_.waited(now) >= brief_idle_max) {
        close();
        return;
    }
    const bool is_sending = timeouts_.state() == State::sending;
    if (!is_sending && !timeouts_.is_over(now)) {
        return;
    }
    // Replies that were handed to the system are on their way as long as the client takes some of them.
    if (const std::size_t untaken = socket_.stream().untaken_bytes(); untaken < untaken_before_) {
        untaken_before_ = untaken;
        if (is_sending || untaken != 0) {
            timeouts_.restart(now);
        }
    }
    // Input that waits unread is there in time: it is this thread that was late.
    if (timeouts_.is_over(now) && (is_sending || socket_.stream().unread_bytes() == 0)) {
        close();
    }
}

void Connection::close() {
    if (closed_) {
        return;
    }
    closed_ = true;
    const std::shared_ptr<Connection> self = shared_from_this();
    socket_.close();
    if (!peer_.empty()) {
        thread_.server().log.debug("connection_closed", {{"client", peer_}});
    }
    thread_.remove(self);
}

}  // namespace karma::net
