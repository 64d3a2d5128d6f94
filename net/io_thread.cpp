#include "net/io_thread.h"

#include <algorithm>
#include <new>
#include <utility>

#include <boost/asio/post.hpp>

#include "net/connection.h"
#include "net/line_protocol.h"

namespace karma::net {

using Clock = std::chrono::steady_clock;

namespace {

/// How often connections are looked at while they are being closed.
constexpr auto shutdown_tick = std::chrono::milliseconds(20);

/// How often the time of connections is looked at: in an eighth of the shortest timeout.
std::chrono::milliseconds tick_period(const ServerOptions& options) {
    std::chrono::milliseconds period(500);
    for (const auto timeout : {options.read_timeout, options.write_timeout, options.idle_timeout}) {
        if (timeout.count() != 0) {
            period = std::min(period, timeout / 8);
        }
    }
    return std::max(period, std::chrono::milliseconds(10));
}

}  // namespace

IoThread::IoThread(const ServerContext& server)
    : server_(server),
      work_(boost::asio::make_work_guard(context_)),
      tick_timer_(context_),
      ack_timer_(context_),
      decoder_(server.access, {.response_bytes_max = server.options.response_bytes_max,
                               .refuses_unknown_fields = server.options.refuse_unknown_fields}),
      v1_decoder_(server.access, server.options.response_bytes_max),
      writer_(server.options.response_bytes_max),
      pipelines_{server.options,
                 server.executor,
                 batch_,
                 server.subscriptions != nullptr,
                 [] { return Clock::now(); },
                 &server.request_memory,
                 &server.reply_memory,
                 &takes_large_},
      event_waits_(context_, server.executor, [this] { wake(); }) {}

IoThread::~IoThread() = default;

std::unique_ptr<Protocol> IoThread::new_line_protocol() {
    return std::make_unique<LineProtocol>(decoder_, writer_, server_.options.request_bytes_max,
                                          server_.options.protocol_v1 ? &v1_decoder_ : nullptr);
}

void IoThread::start() {
    schedule_tick();
    thread_ = std::thread([this] { run(); });
}

void IoThread::run() {
    bool goes_on = true;
    while (goes_on) {
        try {
            goes_on = run_iteration();
        } catch (const std::bad_alloc&) {
            // What a connection did has closed it; the rest is done again in the next iteration.
            uncommitted_ = true;
            has_to_repair_ = true;
        }
    }
}

/// False once nothing is left to do.
bool IoThread::run_iteration() {
    constexpr unsigned handlers_max = 512;  // of an iteration: others may wait for its end
    if (!wait_for_work()) {
        return false;
    }
    if (has_to_repair_) {
        repair();
    }
    for (unsigned i = 1; i < handlers_max && context_.poll_one() != 0; ++i) {}
    end_iteration();
    begin_reads();
    if (!paused_.empty()) {
        takes_large_ = true;
        paused_.pop()->resume();
        takes_large_ = false;
        end_iteration();
    }
    return true;
}

/// False once nothing is left to do.
bool IoThread::wait_for_work() {
    constexpr auto repair_after = std::chrono::milliseconds(10);
    // Who has paused does not wait for others to come.
    if (!paused_.empty()) {
        context_.poll_one();
        return true;
    }
    if (has_to_repair_) {
        context_.run_one_for(repair_after);
        return !context_.stopped();
    }
    return context_.run_one() != 0;
}

/// A timer or a listener that found no memory to wait for its next turn would never have one.
void IoThread::repair() {
    if (!is_ticking_ && !(shutting_down_ && connections_.empty())) {
        schedule_tick();
    }
    if (!awaiting_acks_.empty()) {
        schedule_ack_timeout();
    }
    event_waits_.repair();
    if (repair_) {
        repair_();
    }
    has_to_repair_ = false;
}

/// A read that finds nothing costs a system call: at the end of an iteration clients have had time to send
/// again.
void IoThread::begin_reads() {
    reading_now_.swap(readers_);
    for (const std::shared_ptr<Connection>& connection : reading_now_) {
        connection->read();
    }
    reading_now_.clear();
}

/// Commits what was executed, even if no connection waits for it yet: its reply may be behind a task or
/// behind replies that the client does not take, or the connection may be gone. Connections that go on now
/// may execute more.
void IoThread::end_iteration() {
    while (uncommitted_) {
        if (!waiting_.empty()) {
            delay_commit();
        }
        uncommitted_ = false;
        if (server_.executor.commit()) {
            release_durable();
        }
    }
}

/// Clients that got their replies together come back one after the other, within microseconds: a commit for
/// all of them is worth a delay that is short beside a sync. Many clients fill their commits by themselves.
void IoThread::delay_commit() {
    constexpr auto batching_delay_max = std::chrono::microseconds(30);
    constexpr std::size_t batch_threshold = 16;
    const Clock::time_point end = Clock::now() + batching_delay_max;
    while (waiting_before_ <= batch_threshold && waiting_.size() < waiting_before_ && Clock::now() < end) {
        context_.poll_one();
    }
    // Grows at once with the number of clients, and forgets it slowly.
    waiting_before_ = std::max(waiting_.size(), waiting_before_ - (waiting_before_ + 7) / 8);
}

void IoThread::join() {
    if (thread_.joinable()) {
        thread_.join();
    }
}

void IoThread::adopt(Accepted accepted) {
    boost::asio::post(context_, [this, accepted = std::move(accepted)]() mutable {
        if (shutting_down_) {
            return;
        }
        const auto connection = std::make_shared<Connection>(std::move(accepted), *this);
        connections_.insert(connection);
        connection->start();
    });
}

void IoThread::wake() {
    if (!wake_posted_.exchange(true, std::memory_order_acq_rel)) {
        try {
            boost::asio::post(context_, [this] { on_wake(); });
        } catch (const std::bad_alloc&) {
            wake_missed_ = true;  // the next tick does it
        }
    }
}

void IoThread::on_wake() {
    wake_posted_.store(false, std::memory_order_release);
    release_records();
    release_ended();
    release_durable();
    release_acked();
    event_waits_.release();
}

void IoThread::wait_acked(const ReplyQueue::Wait& wait, std::shared_ptr<Connection> connection) {
    awaiting_acks_.push_back({wait.ack_lsn, wait.generation, wait.ack_deadline, std::move(connection)});
    if (awaiting_acks_.size() == 1) {
        schedule_ack_timeout();
    }
    if (server_.executor.acked_lsn() >= wait.ack_lsn) {
        wake();
    }
    note_wait(wait.generation);
}

/// The generation may have ended before somebody began to wait in it.
void IoThread::note_wait(std::uint64_t generation) {
    if (generation != server_.executor.generation()) {
        has_ended_waits_ = true;
        wake();
    }
}

/// A change of the role or the history ends all waits of before: their LSNs mean nothing any more, and those
/// of the new history may be lower.
void IoThread::release_ended() {
    const std::uint64_t generation = server_.executor.generation();
    if (generation == generation_ && !has_ended_waits_) {
        return;
    }
    generation_ = generation;
    has_ended_waits_ = false;
    std::vector<std::shared_ptr<Connection>> ended;
    const auto take_ended = [&](auto& one) {
        const bool is_ended = one.generation != generation;
        if (is_ended) {
            ended.push_back(std::move(one.connection));
        }
        return is_ended;
    };
    for (std::size_t left = waiting_.size(); left > 0; --left) {
        if (Waiting one = waiting_.pop(); !take_ended(one)) {
            waiting_.push(std::move(one));
        }
    }
    std::erase_if(awaiting_acks_, take_ended);
    for (const std::shared_ptr<Connection>& connection : ended) {
        connection->on_durable();
    }
}

void IoThread::release_acked() {
    if (awaiting_acks_.empty()) {
        return;
    }
    const Lsn acked_lsn = server_.executor.acked_lsn();
    std::vector<std::shared_ptr<Connection>> released;
    std::erase_if(awaiting_acks_, [&](AwaitingAck& one) {
        if (one.lsn > acked_lsn) {
            return false;
        }
        released.push_back(std::move(one.connection));
        return true;
    });
    for (const std::shared_ptr<Connection>& connection : released) {
        connection->on_durable();
    }
}

void IoThread::schedule_ack_timeout() {
    ack_timer_.expires_at(awaiting_acks_.front().deadline);
    ack_timer_.async_wait([this](const boost::system::error_code& failure) {
        if (!failure) {
            end_ack_waits();
        }
    });
}

void IoThread::end_ack_waits() {
    const Clock::time_point now = Clock::now();
    while (!awaiting_acks_.empty() && awaiting_acks_.front().deadline <= now) {
        const std::shared_ptr<Connection> connection = std::move(awaiting_acks_.front().connection);
        awaiting_acks_.pop_front();
        connection->on_ack_timeout(now);
    }
    if (!awaiting_acks_.empty()) {
        schedule_ack_timeout();
    }
}

bool IoThread::wait_event(const EventWait& wait, std::shared_ptr<Connection> connection) {
    if (shutting_down_ || server_.executor.durable_lsn() > wait.after_lsn || server_.executor.has_failed()) {
        return false;
    }
    event_waits_.add(wait, std::move(connection));
    return true;
}

void IoThread::release_records() {
    if (!awaiting_records_.empty() && server_.executor.has_records()) {
        for (const std::shared_ptr<Connection>& connection : std::exchange(awaiting_records_, {})) {
            connection->on_records();
        }
    }
}

void IoThread::wait_records(std::shared_ptr<Connection> connection) {
    awaiting_records_.push_back(std::move(connection));
    // Those that came before this line were not told.
    if (server_.executor.has_records()) {
        wake();
    }
}

void IoThread::release_durable() {
    const Lsn durable_lsn = server_.executor.durable_lsn();
    const bool failed = server_.executor.has_failed();
    // Those who come to wait again meanwhile are behind these.
    for (std::size_t left = waiting_.size(); left > 0; --left) {
        if (waiting_.front().lsn > durable_lsn && !failed) {
            break;
        }
        const std::shared_ptr<Connection> connection = waiting_.pop().connection;
        connection->on_durable();
    }
}

void IoThread::wait_durable(const ReplyQueue::Wait& wait, std::shared_ptr<Connection> connection) {
    waiting_.push({wait.lsn, wait.generation, std::move(connection)});
    // Check again: the LSN may have become durable before this connection was registered.
    if (server_.executor.durable_lsn() >= wait.lsn || server_.executor.has_failed()) {
        wake();
    }
    note_wait(wait.generation);
}

void IoThread::remove(const std::shared_ptr<Connection>& connection) {
    connections_.erase(connection);
    end_if_idle();
}

void IoThread::schedule_tick() {
    tick_timer_.expires_after(shutting_down_ ? shutdown_tick : tick_period(server_.options));
    tick_timer_.async_wait([this](const boost::system::error_code& failure) {
        if (!failure) {
            is_ticking_ = false;
            tick();
        }
    });
    is_ticking_ = true;  // unless there was no memory
}

void IoThread::tick() {
    try {
        tick_connections();
    } catch (const std::bad_alloc&) {  // NOLINT(bugprone-empty-catch): the next tick does it
    }
    if (!shutting_down_ || !connections_.empty()) {
        schedule_tick();
    }
}

void IoThread::tick_connections() {
    if (wake_missed_.exchange(false)) {
        on_wake();
    }
    const Clock::time_point now = Clock::now();
    const bool is_over = shutting_down_ && now >= shutdown_deadline_;
    if (is_over) {
        server_.tasks.cancel(TaskKind::query);
    }
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const std::shared_ptr<Connection>& connection : all) {
        if (is_over) {
            connection->close();
        } else {
            connection->close_if_timed_out(now);
        }
    }
}

void IoThread::begin_shutdown() {
    boost::asio::post(context_, [this] { shut_down(); });
}

void IoThread::shut_down() {
    if (shutting_down_) {
        return;
    }
    shutting_down_ = true;
    shutdown_deadline_ = Clock::now() + server_.options.shutdown_timeout;
    const std::vector<std::shared_ptr<Connection>> all(connections_.begin(), connections_.end());
    for (const std::shared_ptr<Connection>& connection : all) {
        connection->finish();
    }
    event_waits_.release_all();
    schedule_tick();
    end_if_idle();
}

void IoThread::end_if_idle() {
    if (shutting_down_ && connections_.empty()) {
        tick_timer_.cancel();
        ack_timer_.cancel();
        work_.reset();
    }
}

}  // namespace karma::net
