#include "net/connection.h"

#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include "net/address_text.h"

namespace karma::net {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t input_bytes_first = 4096;
constexpr std::size_t input_bytes_large = 64 * 1024;
constexpr std::size_t batch_lines_max = 256;
/// Reading stops while more than this waits to be sent.
constexpr std::size_t output_bytes_max = 1024 * 1024;
/// ... or while requests of more than this wait to become durable.
constexpr std::size_t waiting_request_bytes_max = 1024 * 1024;
constexpr std::size_t output_bytes_kept = 16 * 1024;
/// A scan of this much is quicker done at once than handed to another thread.
constexpr std::size_t inline_task_bytes_max = 256 * 1024;
/// How long the rest of an oversized request is read and forgotten, so that the client can take its reply.
constexpr auto discard_time_max = std::chrono::seconds(1);

class TimeLimit final : public Deadline {
public:
    TimeLimit(std::chrono::milliseconds limit, Clock::time_point begin)
        : limit_(limit), end_(begin + limit) {}

protected:
    bool expired() const override { return limit_.count() != 0 && Clock::now() >= end_; }

private:
    std::chrono::milliseconds limit_;
    Clock::time_point end_;
};

Reply run(Task& task, const Deadline& deadline) {
    try {
        return task.run(deadline);
    } catch (const RequestError& refused) {
        return Error{refused.code(), refused.what()};
    } catch (const std::exception& failure) {
        return Error{ErrorCode::internal_error, failure.what()};
    }
}

void count_reply(const std::optional<ErrorCode>& error, Stats& stats) noexcept {
    if (error) {
        Stats::add(stats.errors, 1);
        if (*error == ErrorCode::query_timeout) {
            Stats::add(stats.query_timeouts, 1);
        }
    }
}

void count_commands(std::uint32_t count, Clock::duration spent, Stats& stats) noexcept {
    const auto ns =
        static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(spent).count());
    Stats::add(stats.commands, count);
    Stats::add(stats.busy_ns, ns);
    stats.last_command_ns.store(ns / count, std::memory_order_relaxed);
}

}  // namespace

Connection::Connection(boost::asio::ip::tcp::socket socket, IoThread& thread)
    : socket_(std::move(socket)),
      thread_(thread),
      options_(thread.server().options),
      last_received_(Clock::now()),
      write_progress_(last_received_) {}

void Connection::start() {
    boost::system::error_code failure;
    socket_.non_blocking(true, failure);
    if (!failure && options_.nodelay) {
        socket_.set_option(boost::asio::ip::tcp::no_delay(true), failure);
    }
    if (failure) {
        close();
        return;
    }
    read();
}

// ---- input

void Connection::read() {
    read_queued_ = false;
    if (reading_ || closed_ || input_ended_ || finishing_ || !takes_input()) {
        return;
    }
    make_room_to_read();
    reading_ = true;
    socket_.async_read_some(boost::asio::buffer(in_.data() + in_end_, in_.size() - in_end_),
                            [self = shared_from_this()](const boost::system::error_code& failure,
                                                        std::size_t size) { self->on_read(failure, size); });
}

void Connection::make_room_to_read() {
    compact_input();
    // A client whose input filled the room sends much at a time.
    const bool wants_more = std::exchange(input_filled_, false) && in_.size() < input_bytes_large;
    if (in_end_ < in_.size() && !wants_more) {
        return;
    }
    // Enough for the longest request with its newline and one byte that shows a longer one.
    const std::size_t largest = std::max(input_bytes_large, options_.request_bytes_max + 2);
    in_.resize(in_.empty() ? input_bytes_first : std::min(in_.size() * 2, largest));
}

void Connection::compact_input() {
    if (in_begin_ == in_end_) {
        in_begin_ = in_end_ = 0;
        if (in_.size() > input_bytes_large) {
            in_ = std::vector<char>();
        }
    } else if (in_begin_ > 0) {
        std::memmove(in_.data(), in_.data() + in_begin_, in_end_ - in_begin_);
        in_end_ -= in_begin_;
        in_begin_ = 0;
    }
    scanned_ = in_begin_;
}

void Connection::on_read(const boost::system::error_code& failure, std::size_t size) {
    reading_ = false;
    if (closed_) {
        return;
    }
    if (failure && failure != boost::asio::error::eof && failure != boost::asio::error::operation_aborted) {
        close();
        return;
    }
    if (discarding_) {
        if (failure) {
            close();
        } else {
            read();
        }
        return;
    }
    last_received_ = Clock::now();
    input_filled_ = in_end_ + size == in_.size();
    in_end_ += size;
    input_ended_ = input_ended_ || failure == boost::asio::error::eof;
    process(last_received_);
}

/// Takes some of what has reached the machine already: the last chance before the end. False when that was
/// all.
bool Connection::drain_socket() {
    if (input_ended_) {
        return false;
    }
    make_room_to_read();
    boost::system::error_code failure;
    const std::size_t size =
        socket_.read_some(boost::asio::buffer(in_.data() + in_end_, in_.size() - in_end_), failure);
    in_end_ += size;
    input_ended_ = static_cast<bool>(failure);
    return true;
}

bool Connection::take_line(std::string_view& line) {
    const char* const begin = in_.data() + in_begin_;
    const std::size_t from = std::max(scanned_, in_begin_);
    const auto* const newline =
        from == in_end_ ? nullptr
                        : static_cast<const char*>(std::memchr(in_.data() + from, '\n', in_end_ - from));
    if (newline != nullptr) {
        line = {begin, static_cast<std::size_t>(newline - begin)};
        in_begin_ += line.size() + 1;
        scanned_ = in_begin_;
        return true;
    }
    scanned_ = in_end_;
    if (in_end_ - in_begin_ <= options_.request_bytes_max && !(input_ended_ && in_begin_ != in_end_)) {
        return false;
    }
    line = {begin, in_end_ - in_begin_};  // too long, or the last one, which its sender did not end
    in_begin_ = in_end_;
    return true;
}

bool Connection::decode_lines() {
    Batch& batch = thread_.batch();
    batch.requests.clear();
    batch.refused.clear();
    batch_request_bytes_ = 0;
    const Executor& executor = thread_.server().executor;
    const bool accepts_writes = executor.accepts_writes();
    std::string_view line;
    while (batch.lines() < batch_lines_max && batch_request_bytes_ <= waiting_request_bytes_max &&
           take_line(line)) {
        batch_request_bytes_ += line.size();
        if (line.size() > options_.request_bytes_max) {
            refuse({ErrorCode::request_too_large,
                    "Request exceeds " + std::to_string(options_.request_bytes_max) + " bytes"});
            discard_input();
            break;
        }
        Request& request = batch.requests.emplace_back();
        if (std::optional<Error> refused = thread_.decoder().decode(line, accepts_writes, request)) {
            batch.requests.pop_back();
            refuse(std::move(*refused));
        } else if (take_subscription(request)) {
            batch.requests.pop_back();
            break;
        } else if (needs_records(request) && !executor.has_records()) {
            batch.requests.pop_back();
            await_records(line);
            break;
        }
    }
    return batch.lines() != 0;
}

void Connection::refuse(Error error) {
    Batch& batch = thread_.batch();
    batch.refused.push_back({batch.requests.size(), std::move(error)});
}

/// Whether the connection goes to somebody else with this request.
bool Connection::take_subscription(const Request& request) {
    const auto* const asked = std::get_if<control::Subscribe>(&request);
    if (asked == nullptr || thread_.server().subscriptions == nullptr) {
        return false;
    }
    subscription_ = subscription_of(*asked);
    return true;
}

/// Once everything before it is answered.
void Connection::hand_over() {
    boost::system::error_code failure;
    const auto peer = socket_.remote_endpoint(failure);
    const std::string address = failure ? "unknown" : address_text(peer.address().to_string(), peer.port());
    const int file = socket_.release(failure);
    if (!failure) {
        thread_.server().subscriptions->adopt(file, address, std::move(*subscription_));
    }
    subscription_.reset();
    close();
}

/// Puts a line back, which can be executed only when the idempotency records are known.
void Connection::await_records(const std::string_view& line) {
    batch_request_bytes_ -= line.size();
    in_begin_ = static_cast<std::size_t>(line.data() - in_.data());
    scanned_ = in_begin_;
    awaits_records_ = true;
    thread_.wait_records(shared_from_this());
}

void Connection::on_records() {
    awaits_records_ = false;
    if (!closed_) {
        process(Clock::now());
    }
}

/// What follows an oversized request is no request.
void Connection::discard_input() {
    in_begin_ = in_end_;
    input_ended_ = true;
    discarding_ = true;
}

// ---- requests

bool Connection::has_output_room() const noexcept { return out_.size() - out_begin_ <= output_bytes_max; }

bool Connection::has_room() const noexcept {
    return has_output_room() && waiting_request_bytes_ <= waiting_request_bytes_max;
}

bool Connection::takes_input() const noexcept {
    return !task_running_ && !awaits_records_ && !subscription_ && rest_.empty() && has_room();
}

void Connection::process(Clock::time_point now) {
    const auto can_go_on = [this] { return !closed_ && takes_input(); };
    work_begin_ = now;
    bool was_full = false;
    do {
        answer_rest();
        do {
            while (can_go_on() && decode_lines()) {
                execute();
                answer_batch();
            }
        } while (finishing_ && !reading_ && can_go_on() && drain_socket());
        was_full = !has_room();
        send();
    } while (!closed_ && was_full && has_room());  // all was taken at once: nobody else would wake this
    go_on();
}

void Connection::execute() {
    Batch& batch = thread_.batch();
    batch.outcomes.resize(batch.requests.size());
    if (!batch.requests.empty()) {
        thread_.server().executor.execute(batch.requests, batch.outcomes);
        thread_.note_executed();
    }
    thread_.decoder().release();
}

void Connection::answer_batch() {
    Batch& batch = thread_.batch();
    const TimeLimit deadline(options_.query_timeout, work_begin_);
    std::size_t next = 0;
    std::size_t next_refused = 0;
    const auto answer_next = [&](Outcome& outcome) {
        if (task_running_ || !rest_.empty() || !has_output_room()) {
            rest_.push_back(std::move(outcome));
        } else {
            answer(outcome, deadline);
        }
    };
    while (next < batch.outcomes.size() || next_refused < batch.refused.size()) {
        if (next_refused < batch.refused.size() && batch.refused[next_refused].position == next) {
            Outcome refused{Reply(std::move(batch.refused[next_refused++].error))};
            answer_next(refused);
        } else {
            answer_next(batch.outcomes[next++]);
        }
    }
    batch.outcomes.clear();  // some hold on to pages
    close_stretch();
}

void Connection::answer_rest() {
    const TimeLimit deadline(options_.query_timeout, work_begin_);
    while (!rest_.empty() && !task_running_ && has_output_room()) {
        Outcome outcome = std::move(rest_.front());
        rest_.pop_front();
        answer(outcome, deadline);
    }
    close_stretch();
}

/// Writes a reply, unless a task of another thread has to make it first.
void Connection::answer(Outcome& outcome, const Deadline& deadline) {
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        if ((*task)->cost_bytes() > inline_task_bytes_max) {
            run_task(std::move(*task), outcome.wait_lsn);
            return;
        }
        outcome.result = run(**task, deadline);
    }
    if (outcome.ack_lsn != 0) {
        close_stretch();  // it may have to be replaced: a stretch of its own
    }
    count_reply(thread_.writer().write(std::get<Reply>(outcome.result), outcome.repetition, deadline, out_),
                thread_.server().executor.stats());
    stretch_.lsn = std::max(stretch_.lsn, outcome.wait_lsn);
    ++stretch_.replies;
    if (outcome.ack_lsn != 0) {
        stretch_.ack_lsn = outcome.ack_lsn;
        close_stretch();
    }
}

void Connection::close_stretch() {
    if (stretch_.replies == 0) {
        return;
    }
    const Clock::time_point now = Clock::now();
    count_commands(stretch_.replies, now - work_begin_, thread_.server().executor.stats());
    work_begin_ = now;
    mark(std::exchange(stretch_, {}));
}

void Connection::run_task(std::unique_ptr<Task> task, Lsn wait_lsn) {
    task_running_ = true;
    boost::asio::post(thread_.server().workers, [self = shared_from_this(), task = std::move(task),
                                                 wait_lsn] {
        const Clock::time_point begin = Clock::now();
        const TimeLimit deadline(self->options_.query_timeout, begin);
        Stats& stats = self->thread_.server().executor.stats();
        std::string line;
        count_reply(self->thread_.writer().write(run(*task, deadline), Repetition::no_key, deadline, line),
                    stats);
        count_commands(1, Clock::now() - begin, stats);
        boost::asio::post(self->socket_.get_executor(),
                          [self, line = std::move(line), wait_lsn] { self->on_task_done(line, wait_lsn); });
    });
}

void Connection::on_task_done(const std::string& line, Lsn wait_lsn) {
    task_running_ = false;
    if (closed_) {
        return;
    }
    out_ += line;
    Mark stretch;
    stretch.lsn = wait_lsn;
    stretch.replies = 1;
    mark(stretch);
    process(Clock::now());
}

// ---- output

void Connection::mark(Mark stretch) {
    const Executor& executor = thread_.server().executor;
    produced_ = sent_ + (out_.size() - out_begin_);
    stretch.end = produced_;
    stretch.request_bytes = std::exchange(batch_request_bytes_, 0);
    const bool is_acked = stretch.ack_lsn == 0 || stretch.ack_lsn <= executor.acked_lsn();
    if (marks_.empty() && stretch.lsn <= executor.durable_lsn() && is_acked) {
        sendable_ = produced_;
        return;
    }
    waiting_request_bytes_ += stretch.request_bytes;
    if (is_acked) {
        stretch.ack_lsn = 0;
    } else {
        stretch.ack_deadline = Clock::now() + executor.ack_timeout().value_or(std::chrono::milliseconds(0));
        thread_.wait_acked(stretch.ack_lsn, stretch.ack_deadline, shared_from_this());
    }
    thread_.wait_durable(stretch.lsn, shared_from_this());
    marks_.push(stretch);
}

void Connection::on_durable() {
    if (closed_) {
        return;
    }
    if (thread_.server().executor.has_failed()) {
        fail_waiting();
    }
    process(Clock::now());
}

/// The log cannot be written: what these replies say may be lost. Each becomes an error.
void Connection::fail_waiting() {
    const Lsn durable_lsn = thread_.server().executor.durable_lsn();
    const Error error{ErrorCode::internal_error,
                      "The event log could not be written: this may or may not be stored"};
    replace_replies(error, [&](Mark& waiting) {
        if (waiting.lsn <= durable_lsn) {
            return false;
        }
        waiting.lsn = 0;
        waiting.ack_lsn = 0;
        return true;
    });
}

void Connection::on_ack_timeout(Clock::time_point now) {
    if (closed_) {
        return;
    }
    const Lsn acked_lsn = thread_.server().executor.acked_lsn();
    replace_replies({ErrorCode::replication_error, not_acked_text}, [&](Mark& waiting) {
        if (waiting.ack_lsn <= acked_lsn || waiting.ack_deadline > now) {
            return false;
        }
        waiting.ack_lsn = 0;  // what it says is durable all the same
        return true;
    });
    process(now);
}

/// Puts an error in the place of each reply of the stretches that `end_wait` says have waited enough, and
/// which it lets wait for less.
template <typename EndWait>
void Connection::replace_replies(const Error& error, EndWait&& end_wait) {
    std::uint64_t position = sendable_;
    std::uint64_t moved = 0;  // wraps when the errors are shorter than what they replace
    for (Mark& waiting : marks_) {
        waiting.end += moved;
        if (end_wait(waiting)) {
            std::string errors;
            for (std::uint32_t i = 0; i < waiting.replies; ++i) {
                ReplyWriter::write_error(error, errors);
            }
            const std::uint64_t size = waiting.end - position;
            out_.replace(out_begin_ + static_cast<std::size_t>(position - sent_),
                         static_cast<std::size_t>(size), errors);
            waiting.end += errors.size() - size;
            moved += errors.size() - size;
        }
        position = waiting.end;
    }
    produced_ += moved;
}

void Connection::send() {
    const Lsn durable_lsn = thread_.server().executor.durable_lsn();
    const Lsn acked_lsn = thread_.server().executor.acked_lsn();
    while (!marks_.empty() && marks_.front().lsn <= durable_lsn && marks_.front().ack_lsn <= acked_lsn) {
        const Mark first = marks_.pop();
        sendable_ = first.end;
        waiting_request_bytes_ -= first.request_bytes;
    }
    if (marks_.empty()) {
        sendable_ = produced_;
    }
    while (sent_ < sendable_ && !waiting_writable_) {
        boost::system::error_code failure;
        const std::size_t size = socket_.write_some(
            boost::asio::buffer(out_.data() + out_begin_, static_cast<std::size_t>(sendable_ - sent_)),
            failure);
        if (failure == boost::asio::error::would_block) {
            wait_writable();
            break;
        }
        if (failure) {
            close();
            return;
        }
        sent_ += size;
        out_begin_ += size;
    }
    if (sent_ == produced_) {
        out_begin_ = 0;
        out_.clear();
        if (out_.capacity() > output_bytes_kept) {
            out_ = std::string();
        }
    } else if (out_begin_ > output_bytes_max) {
        out_.erase(0, out_begin_);
        out_begin_ = 0;
    }
}

void Connection::wait_writable() {
    waiting_writable_ = true;
    write_progress_ = Clock::now();
    socket_.async_wait(boost::asio::ip::tcp::socket::wait_write,
                       [self = shared_from_this()](const boost::system::error_code& failure) {
                           self->waiting_writable_ = false;
                           if (self->closed_) {
                               return;
                           }
                           if (failure && failure != boost::asio::error::operation_aborted) {
                               self->close();
                               return;
                           }
                           self->process(Clock::now());
                       });
}

/// After each step: sends what can be sent and reads on, or ends.
void Connection::go_on() {
    if (closed_) {
        return;
    }
    if (subscription_ && owes_nothing()) {
        hand_over();
        return;
    }
    if (is_idle() && input_ended_) {
        if (discarding_) {
            boost::system::error_code ignored;
            socket_.shutdown(boost::asio::ip::tcp::socket::shutdown_send, ignored);
            input_ended_ = false;
            read();
        } else {
            close();
        }
        return;
    }
    if (input_ended_ || reading_ || read_queued_ || !takes_input()) {
        return;
    }
    if (in_begin_ != in_end_) {
        // A client that sends a request in pieces waits for the acknowledgement of the first one.
        const int one = 1;
        ::setsockopt(socket_.native_handle(), IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
    }
    read_queued_ = true;
    thread_.read_later(shared_from_this());
}

bool Connection::is_idle() const noexcept { return owes_nothing() && in_begin_ == in_end_; }

bool Connection::owes_nothing() const noexcept {
    return !task_running_ && !awaits_records_ && rest_.empty() && marks_.empty() && sent_ == produced_;
}

// ---- ends

void Connection::finish() {
    if (closed_ || finishing_) {
        return;
    }
    finishing_ = true;
    if (reading_) {
        boost::system::error_code ignored;
        socket_.cancel(ignored);  // on_read takes what has arrived
    } else {
        process(Clock::now());
    }
}

void Connection::close_if_timed_out(Clock::time_point now) {
    const bool silent = now - last_received_ > options_.read_timeout;
    const bool stuck = waiting_writable_ && now - write_progress_ > options_.write_timeout;
    const bool discarded_enough = discarding_ && is_idle() && now - last_received_ > discard_time_max;
    if ((silent && owes_nothing()) || stuck || discarded_enough) {
        close();
    }
}

void Connection::close() {
    if (closed_) {
        return;
    }
    closed_ = true;
    const std::shared_ptr<Connection> self = shared_from_this();
    boost::system::error_code ignored;
    socket_.close(ignored);
    thread_.remove(self);
}

}  // namespace karma::net
