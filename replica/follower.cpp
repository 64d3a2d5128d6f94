#include "replica/follower.h"

#include <algorithm>

#include "engine/error.h"
#include "net/address_text.h"
#include "net/client_connection.h"
#include "replica/discarded.h"
#include "replica/follower_connection.h"
#include "replica/karma1_follower.h"
#include "replica/master_client.h"

namespace karma::replica {
namespace {

constexpr auto connect_timeout_max = std::chrono::milliseconds(2000);
/// Between tries, which are the rarer the longer they fail.
constexpr auto retry_after_min = std::chrono::milliseconds(20);
constexpr auto retry_after_max = std::chrono::milliseconds(500);
/// What a person has to settle is tried again, now and then: it may have been settled on the other side.
constexpr auto retry_refused_after = std::chrono::seconds(2);
/// A connection that lasted less than this was none: the next try waits as after a failed one.
constexpr auto lasting_stream_min = std::chrono::seconds(5);

}  // namespace

Follower::Follower(Replicated& database, net::Log& log, FollowerOptions options,
                   std::function<void()> on_master_lost, const Environment& environment,
                   CountedFollowers* counted, Peers* peers)
    : database_(database),
      log_(log),
      options_(std::move(options)),
      on_master_lost_(std::move(on_master_lost)),
      environment_(environment),
      counted_(counted),
      peers_(peers) {
    figures_.source = source();
    figures_.state = "stopped";
}

Follower::~Follower() { stop(); }

std::string Follower::source() const { return net::address_text(options_.host, options_.port); }

void Follower::start() {
    stop();
    stopping_ = false;
    karma1_.reset();  // this node may have become another one since
    thread_ = environment_.runtime.start_thread([this] { run(); });
}

void Follower::stop() {
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
        if (channel_ != nullptr) {
            channel_->wake();
        }
        changed_->notify_all();
    }
    thread_.reset();
    set_state("stopped");
}

void Follower::run() {
    {
        const std::lock_guard lock(mutex_);
        watch_.begin(now());
    }
    if (!database_.wait_until_ready()) {
        return;
    }
    {
        const std::lock_guard lock(mutex_);
        figures_.replayed_lsn = database_.durable_lsn();
    }
    auto retry_after = retry_after_min;
    while (!stopping_) {
        const std::uint64_t accepted_before = figures().polls.successes;
        const Clock::time_point begun = now();
        try {
            follow();
            continue;
        } catch (const Stopped&) {
            return;
        } catch (const Refused&) {
            wait(retry_refused_after);
            continue;
        } catch (const std::exception& failure) {
            if (stopping_) {
                return;  // what was waited for was given up
            }
            on_lost(failure.what());
        }
        const bool was_accepted = figures().polls.successes != accepted_before;
        if (was_accepted && now() - begun >= lasting_stream_min) {
            retry_after = retry_after_min;
        } else if (!was_accepted && has_lost_master()) {
            // It did not answer just now either: this node has not merely slept for a while.
            on_master_lost_();
        }
        wait(retry_after);
        const auto limit = options_.failover_timeout.count() == 0
                               ? retry_after_max
                               : std::max(options_.failover_timeout / 8, retry_after_min);
        retry_after = std::min({retry_after * 2, limit, retry_after_max});
    }
}

void Follower::on_lost(const std::string& why) {
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.fail(database_.unix_now(), why.c_str());
        figures_.state = "connecting";
        watch_.note_lost(now());
    }
    if (std::exchange(last_error_, why) != why) {
        log_.warning("master_lost", {{"master", source()}, {"message", why}});
    }
}

void Follower::wait(std::chrono::milliseconds time) {
    const Clock::time_point end = now() + time;
    std::unique_lock lock(mutex_);
    for (auto left = time; !stopping_ && left.count() > 0;
         left = std::chrono::ceil<std::chrono::milliseconds>(end - now())) {
        changed_->wait(lock, left);
    }
}

// ---- connecting

Peer Follower::master_within(std::chrono::milliseconds timeout) const {
    return {options_.host, options_.port, timeout, &stopping_};
}

net::Subscription Follower::describe_self() const {
    net::Subscription self;
    self.format = stream_format;
    self.name = options_.name;
    self.is_empty = database_.is_empty();
    if (!self.is_empty || !database_.has_failed()) {
        // Nothing is told of that a crash could take back, and nothing is applied that is not told of.
        if (database_.last_lsn() != database_.durable_lsn()) {
            database_.commit_replicated();
        }
        const auto mark_at = [this](Lsn lsn) { return database_.mark_at(lsn); };
        self.after_lsn = database_.last_lsn();
        self.checksum = mark_at(self.after_lsn).checksum;
        self.marks = marks_below(self.after_lsn, mark_at);
    }
    if (!options_.discard_order.empty() && !database_.is_order_used(options_.discard_order)) {
        self.order = options_.discard_order;
    }
    self.database_id = database_.database_id();
    self.node_id = database_.node_id();
    self.known_epoch = database_.known_epoch();
    self.syncs = database_.syncs();
    self.port = options_.own_port;
    self.stores_lists = counted_ != nullptr;
    self.fails_over = options_.failover_timeout.count() != 0;
    self.epochs = database_.epochs();
    const auto silence =
        options_.failover_timeout.count() == 0 ? options_.timeout : options_.failover_timeout;
    self.heartbeat_ms = static_cast<std::uint64_t>(std::clamp<std::int64_t>(silence.count() / 4, 20, 1000));
    return self;
}

/// An answer is a word of the source, and so is a connection that it closes: only silence is none.
std::string Follower::ask(Line& line, const net::Subscription& self, std::chrono::milliseconds timeout) {
    const Clock::time_point begun = now();
    try {
        std::string answer = line.ask(subscribe_line(self, options_.token));
        note_heard();
        return answer;
    } catch (const net::ConnectionError&) {
        if (now() - begun < timeout) {
            note_heard();
        }
        throw;
    }
}

void Follower::follow() {
    // The LSN that is told is never below what the engine holds.
    database_.commit_replicated();
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.attempt(database_.unix_now());
        if (refusal_.empty()) {
            figures_.state = "connecting";
        }
    }
    auto timeout = std::min(options_.timeout, connect_timeout_max);
    if (options_.failover_timeout.count() != 0) {
        timeout = std::min(timeout, options_.failover_timeout / 4 + retry_after_min);
    }
    constexpr std::size_t reply_bytes_max = std::size_t{1} << 20U;
    Peer master = master_within(timeout);
    master.line_bytes_max = reply_bytes_max;
    std::unique_ptr<Line> line = environment_.network.connect(master);
    const net::Subscription self = describe_self();
    const SubscribeReply reply = read_reply(ask(*line, self, timeout));
    note_epoch(reply);
    if (!reply.accepted) {
        line.reset();
        on_refused(reply);
        return;
    }
    check_offer(self, reply);
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.succeed(database_.unix_now());
        refusal_.clear();
        watch_.note_connected(now());
    }
    note_master_lsn(reply.lsn);
    last_error_.clear();
    log_.info("following", {{"master", source()},
                            {"after_lsn", database_.durable_lsn()},
                            {"master_lsn", reply.lsn},
                            {"gets", !reply.state_follows ? "events"
                                     : reply.is_proved    ? "the state"
                                                          : "the state, by order"}});
    std::string received;
    std::unique_ptr<Wire> wire = line->release(received);
    Channel channel(std::move(wire), std::move(received));
    Connection connection{channel, nullptr, false, {}, {}, {}, {}, {}, reply};
    if (!reply.state_follows) {
        database_.adopt_database_id(reply.database_id);
        database_.use_idempotency_retention(reply.retention);
        database_.hold_log(false);  // the source has all of it
    } else {
        connection.state = database_.write_state(reply.retention);
        const std::lock_guard lock(mutex_);
        figures_.bootstraps.attempt(database_.unix_now());
    }
    {
        const std::lock_guard lock(mutex_);
        channel_ = &channel;
    }
    const auto let_go = [this] {
        database_.hold_log(true);
        const std::lock_guard lock(mutex_);
        channel_ = nullptr;
        changed_->notify_all();
    };
    try {
        stream(connection);
    } catch (const std::exception& failure) {
        let_go();
        commit_applied();
        if (connection.state) {
            const std::lock_guard lock(mutex_);
            figures_.bootstraps.fail(database_.unix_now(), failure.what());
        }
        throw;
    } catch (...) {
        let_go();
        commit_applied();
        throw;
    }
}

void Follower::on_refused(const SubscribeReply& reply) {
    if (reply.error_code == "unknown_command") {
        poll();  // Karma 1.0
        return;
    }
    const bool is_no_master = !reply.role.empty() && reply.role != "master";
    if (is_no_master || reply.known_epoch.is_later_than(last_epoch(database_.epochs()))) {
        forget_sync();  // its silence is no master's any more
    }
    if (reply.error_code == "replication_gap") {
        on_unproved(reply);
    }
    turn_down("refused", "the master refuses: " + reply.message);
}

/// Says at once what a person has to settle.
void Follower::turn_down(const char* state, const std::string& why) {
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.fail(database_.unix_now(), why.c_str());
        figures_.state = state;
        refusal_ = why;
        watch_.note_lost(now());
    }
    if (std::exchange(last_error_, why) != why) {
        log_.warning(state, {{"master", source()}, {"message", why}});
    }
    throw Refused{};
}

// ---- the stream

void Follower::stream(Connection& connection) {
    set_state(connection.state ? "bootstrapping" : "catching_up");
    connection.is_dirty = !connection.state;  // says where it is
    while (true) {
        check_source_epoch();
        take_frames(connection);
        commit(connection);
        compare_when_ready(connection);
        if (stopping_) {
            finish(connection);
            throw Stopped{};
        }
        if (comparison_wanted_.exchange(false)) {
            connection.channel.queue(FrameKind::digest_wanted, {});
        }
        const std::uint64_t before = connection.channel.bytes_received();
        connection.channel.pump(std::chrono::milliseconds(
            options_.failover_timeout.count() == 0 ? 1000 : options_.failover_timeout.count() / 4 + 1));
        if (const std::uint64_t got = connection.channel.bytes_received() - before; got != 0) {
            note_heard();
            say_alive(connection);
            const std::lock_guard lock(mutex_);
            figures_.bytes_received += got;
        } else {
            check_silence();  // not before looking: this node may have been busy
        }
    }
}

/// Takes what has arrived, as far as that comes to an end.
void Follower::finish(Connection& connection) {
    const Clock::time_point end = now() + std::chrono::seconds(1);
    std::uint64_t before = 0;
    do {
        before = connection.channel.bytes_received();
        connection.channel.pump(std::chrono::milliseconds(0));
        take_frames(connection);
        commit(connection);
    } while (connection.channel.bytes_received() != before && now() < end);
}

/// Whatever ended the stream: what was applied is seen by queries, which wait until it is durable.
void Follower::commit_applied() noexcept {
    try {
        database_.commit_replicated();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next connection says why
    }
}

void Follower::take_frames(Connection& connection) {
    while (const std::optional<Frame> frame = connection.channel.next_frame()) {
        std::string_view payload = frame->payload;
        switch (frame->kind) {
            case FrameKind::state_piece:
                if (!connection.state) {
                    throw ChannelError("the master sends a state that nobody asked for");
                }
                connection.state->add(payload);
                break;
            case FrameKind::state_end: install(connection); break;
            case FrameKind::events: take_events(connection, payload); break;
            case FrameKind::heartbeat: take_heartbeat(connection, payload); break;
            case FrameKind::digest_at:
                commit(connection);
                connection.compare_at = take_number(payload);
                if (*connection.compare_at < database_.durable_lsn()) {
                    throw ChannelError("the master compares a state that is past");
                }
                if (*connection.compare_at == database_.durable_lsn()) {
                    begin_comparison(connection, database_.view());
                }
                break;
            case FrameKind::digest: connection.master_digests = read_digests(payload); break;
            default: throw ChannelError("the master sends a frame that is none of a master");
        }
    }
}

void Follower::take_events(Connection& connection, std::string_view payload) {
    if (connection.state) {
        throw ChannelError("the master sends events before the end of the state");
    }
    std::optional<StateView> view;
    try {
        view = database_.replicate(payload, connection.compare_at);
    } catch (const CorruptionError& failure) {
        // Nothing of it was applied after the event that does not fit. What fits does not come from here.
        const std::lock_guard lock(mutex_);
        gap_ = std::string("replication_gap: an event of the master does not fit here: ") + failure.what() +
               ": rebuild this node from the master";
        throw;
    }
    connection.is_dirty = true;
    if (view) {
        begin_comparison(connection, std::move(*view));
    }
}

void Follower::commit(Connection& connection) {
    if (!std::exchange(connection.is_dirty, false)) {
        return;
    }
    database_.commit_replicated();
    const Lsn lsn = database_.durable_lsn();
    // After the LSN was looked at: who promises looks at it when the epoch is known.
    check_source_epoch();
    connection.channel.queue_numbers(FrameKind::acknowledged, {lsn});
    const std::lock_guard lock(mutex_);
    if (lsn > figures_.replayed_lsn) {
        figures_.entries_applied += lsn - figures_.replayed_lsn;
        figures_.last_received_unix = database_.unix_now();
        gap_.clear();
    }
    figures_.replayed_lsn = lsn;
    figures_.source_lsn = std::max(figures_.source_lsn, lsn);
    note_if_in_sync();
}

/// Takes its time, during which the master has to hear that somebody is there.
void Follower::install(Connection& connection) {
    if (!connection.state) {
        throw ChannelError("the master ends a state that it did not send");
    }
    Channel& channel = connection.channel;
    Replacement replacement;
    Discarded discarded;
    replacement.database_id = connection.accepted.database_id;
    if (connection.accepted.is_proved) {
        replacement.lsn_min = database_.is_empty() ? 0 : database_.last_lsn();
    } else {
        replacement.order = options_.discard_order;
        replacement.before = [&] { discarded = keep_discarded(connection.accepted); };
    }
    {
        const std::lock_guard lock(mutex_);
        installs_state_ = true;
    }
    Background<std::filesystem::path> installed;
    installed.start(environment_.runtime, channel,
                    [&](const Deadline& /*never*/) { return connection.state->install(replacement); });
    // Even when the master is lost: what is being installed is whole.
    std::exception_ptr lost;
    while (!installed.is_done() && !lost) {
        try {
            channel.queue_numbers(FrameKind::alive, {channel.bytes_received()});
            channel.pump(std::chrono::milliseconds(500), false);
        } catch (...) {
            lost = std::current_exception();
        }
    }
    const auto done = [this] {
        const std::lock_guard lock(mutex_);
        installs_state_ = false;
    };
    std::filesystem::path aside;
    try {
        aside = installed.take();
    } catch (...) {
        done();
        throw;
    }
    done();
    connection.state.reset();
    database_.hold_log(false);
    if (!connection.accepted.is_proved) {
        note_discarded(discarded, aside);
    }
    note_heard();
    {
        const std::lock_guard lock(mutex_);
        figures_.bootstraps.succeed(database_.unix_now());
        figures_.replayed_lsn = database_.durable_lsn();
        figures_.state = "catching_up";
        comparison_.difference.clear();
        gap_.clear();
    }
    log_.info("state_taken", {{"master", source()}, {"lsn", database_.durable_lsn()}});
    connection.is_dirty = true;
    if (lost) {
        std::rethrow_exception(lost);
    }
}

}  // namespace karma::replica
