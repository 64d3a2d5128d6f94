#include "replica/follower.h"

#include <algorithm>

#include "engine/error.h"
#include "net/address_text.h"
#include "replica/background.h"
#include "replica/discarded.h"
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

}  // namespace

/// What belongs to one connection to the master.
struct Follower::Connection {
    Channel& channel;
    std::unique_ptr<StateWriter> state;  // while it is being received
    bool is_dirty = false;               // events were applied and not committed
    std::optional<Lsn> compare_at;       // the event after which the state is to be looked at
    Background<Digests> own;
    std::optional<Digests> own_digests;
    std::optional<Digests> master_digests;
    SubscribeReply accepted;  // how it began
};

Follower::Follower(Replicated& database, net::Log& log, FollowerOptions options,
                   std::function<void()> on_master_lost, const Ground& ground)
    : database_(database),
      log_(log),
      options_(std::move(options)),
      on_master_lost_(std::move(on_master_lost)),
      ground_(ground) {
    figures_.source = source();
    figures_.state = "stopped";
}

Follower::~Follower() { stop(); }

std::string Follower::source() const { return net::address_text(options_.host, options_.port); }

void Follower::start() {
    stop();
    stopping_ = false;
    karma1_.reset();  // this node may have become another one since
    thread_ = ground_.runtime.start_thread([this] { run(); });
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
    forget_sync();
    last_heard_ = now();
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
        try {
            follow();
            continue;
        } catch (const Stopped&) {
            return;
        } catch (const std::exception& failure) {
            if (stopping_) {
                return;  // what was waited for was given up
            }
            {
                const std::lock_guard lock(mutex_);
                figures_.polls.fail(database_.unix_now(), failure.what());
            }
            if (last_error_ != failure.what()) {
                last_error_ = failure.what();
                log_.warning("master_lost", {{"master", source()}, {"message", failure.what()}});
            }
        }
        set_state("connecting");
        if (figures().polls.successes != accepted_before) {
            retry_after = retry_after_min;
        } else if (is_failing_over()) {
            // It did not answer just now either: this node has not merely slept for a while.
            forget_sync();
            on_master_lost_();
        }
        wait(retry_after);
        const auto limit = options_.failover_timeout.count() == 0
                               ? retry_after_max
                               : std::max(options_.failover_timeout / 8, retry_after_min);
        retry_after = std::min({retry_after * 2, limit, retry_after_max});
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

bool Follower::is_failing_over() const {
    const auto limit = options_.failover_timeout;
    if (limit.count() == 0 || now() - last_heard_ < limit) {
        return false;
    }
    const std::lock_guard lock(mutex_);
    const bool was_in_sync = in_sync_at_ != Clock::time_point() && last_heard_ - in_sync_at_ <= limit / 2;
    return was_in_sync && comparison_.difference.empty();
}

void Follower::forget_sync() {
    const std::lock_guard lock(mutex_);
    in_sync_at_ = {};
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
    self.epochs = database_.epochs();
    const auto silence =
        options_.failover_timeout.count() == 0 ? options_.timeout : options_.failover_timeout;
    self.heartbeat_ms = static_cast<std::uint64_t>(std::clamp<std::int64_t>(silence.count() / 4, 20, 1000));
    return self;
}

void Follower::follow() {
    set_state("connecting");
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.attempt(database_.unix_now());
    }
    auto timeout = std::min(options_.timeout, connect_timeout_max);
    if (options_.failover_timeout.count() != 0) {
        timeout = std::min(timeout, options_.failover_timeout / 4 + retry_after_min);
    }
    constexpr std::size_t reply_bytes_max = std::size_t{1} << 20U;
    Peer master = master_within(timeout);
    master.line_bytes_max = reply_bytes_max;
    std::unique_ptr<Line> line = ground_.network.connect(master);
    const net::Subscription self = describe_self();
    const SubscribeReply reply = read_reply(line->ask(subscribe_line(self, options_.token)));
    note_heard();
    note_epoch(reply);
    if (!reply.accepted) {
        line.reset();
        on_refused(reply);
        return;
    }
    check_offer(self, reply);
    note_master_lsn(reply.lsn);
    {
        const std::lock_guard lock(mutex_);
        figures_.polls.succeed(database_.unix_now());
        alarm_.clear();
    }
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
    Connection connection{channel, nullptr, false, {}, {}, {}, {}, reply};
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
    };
    try {
        stream(connection);
    } catch (const std::exception& failure) {
        let_go();
        if (connection.state) {
            const std::lock_guard lock(mutex_);
            figures_.bootstraps.fail(database_.unix_now(), failure.what());
        }
        throw;
    } catch (...) {
        let_go();
        throw;
    }
}

void Follower::on_refused(const SubscribeReply& reply) {
    if (reply.error_code == "unknown_command") {
        poll();  // Karma 1.0
        return;
    }
    if (reply.error_code == "replication_gap") {
        on_unproved(reply);
    }
    turn_down("refused", "the master refuses: " + reply.message);
}

void Follower::turn_down(const char* state, const std::string& why) {
    set_alarm(why);
    set_state(state);
    wait(retry_refused_after);
    throw ChannelError(why);
}

// ---- the stream

void Follower::stream(Connection& connection) {
    set_state(connection.state ? "bootstrapping" : "catching_up");
    connection.is_dirty = !connection.state;  // says where it is
    while (true) {
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

void Follower::check_silence() const {
    const auto limit = options_.failover_timeout.count() == 0 ? options_.timeout : options_.failover_timeout;
    if (now() - last_heard_ >= limit) {
        throw ChannelError("the master has been silent for " + std::to_string(limit.count()) + " ms");
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
            case FrameKind::heartbeat:
                note_master_lsn(take_number(payload));
                connection.channel.queue(FrameKind::alive, {});
                break;
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
        set_alarm(std::string("replication_gap: an event of the master does not fit here: ") +
                  failure.what() + ": rebuild this node from the master");
        throw;
    }
    connection.is_dirty = true;
    if (view) {
        begin_comparison(connection, std::move(*view));
    }
}

void Follower::note_master_lsn(Lsn lsn) {
    const std::lock_guard lock(mutex_);
    const bool was_behind = figures_.source_lsn > figures_.replayed_lsn;
    figures_.source_lsn = lsn;
    if (lsn > figures_.replayed_lsn && !was_behind) {
        behind_since_ = now();
    }
    if (channel_ != nullptr) {
        note_if_in_sync();
    }
}

void Follower::commit(Connection& connection) {
    if (!std::exchange(connection.is_dirty, false)) {
        return;
    }
    database_.commit_replicated();
    const Lsn lsn = database_.durable_lsn();
    connection.channel.queue_numbers(FrameKind::acknowledged, {lsn});
    const std::lock_guard lock(mutex_);
    if (lsn > figures_.replayed_lsn) {
        figures_.entries_applied += lsn - figures_.replayed_lsn;
        figures_.last_received_unix = database_.unix_now();
    }
    figures_.replayed_lsn = lsn;
    figures_.source_lsn = std::max(figures_.source_lsn, lsn);
    note_if_in_sync();
}

/// Under load there is always something on its way: what counts is when there was nothing last.
void Follower::note_if_in_sync() {
    if (figures_.replayed_lsn >= figures_.source_lsn) {
        in_sync_at_ = now();
        if (channel_ != nullptr) {
            figures_.state = "streaming";
        }
    }
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
    Background<std::filesystem::path> installed;
    installed.start(ground_.runtime, channel, [&] { return connection.state->install(replacement); });
    // Even when the master is lost: what is being installed is whole.
    std::exception_ptr lost;
    while (!installed.is_done() && !lost) {
        try {
            channel.queue(FrameKind::alive, {});
            channel.pump(std::chrono::milliseconds(500), false);
        } catch (...) {
            lost = std::current_exception();
        }
    }
    const std::filesystem::path aside = installed.take();
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
    }
    log_.info("state_taken", {{"master", source()}, {"lsn", database_.durable_lsn()}});
    connection.is_dirty = true;
    if (lost) {
        std::rethrow_exception(lost);
    }
}

// ---- digests

void Follower::begin_comparison(Connection& connection, StateView view) {
    connection.compare_at.reset();
    connection.own.start(ground_.runtime, connection.channel,
                         [view = std::move(view)] { return digests_of(view); });
}

void Follower::compare_when_ready(Connection& connection) {
    if (connection.own.is_done()) {
        connection.own_digests = connection.own.take();
    }
    if (!connection.own_digests || !connection.master_digests) {
        return;
    }
    const Digests own = std::move(*std::exchange(connection.own_digests, std::nullopt));
    const Digests master = std::move(*std::exchange(connection.master_digests, std::nullopt));
    if (own.lsn != master.lsn) {
        throw ChannelError("the master compares another state than it has announced");
    }
    const std::string what = difference(own, master);
    connection.channel.queue_numbers(FrameKind::digest_result, {own.lsn}, what);
    if (!what.empty()) {
        log_.error("differs_from_master", {{"master", source()}, {"lsn", own.lsn}, {"message", what}});
    }
    {
        const std::lock_guard lock(mutex_);
        comparison_ = {comparison_.number + 1, own.lsn, own.total().text(), what};
        ++figures_.digests_compared;
        figures_.digests_different += what.empty() ? 0 : 1;
        figures_.last_compared_unix = database_.unix_now();
        figures_.last_compared_lsn = own.lsn;
    }
    changed_->notify_all();
}

reply::DigestsCompared Follower::compare(const Deadline& deadline) {
    std::unique_lock lock(mutex_);
    if (channel_ == nullptr) {
        throw RequestError(ErrorCode::replication_error, "There is no stream from a master to compare with");
    }
    const std::uint64_t before = comparison_.number;
    const std::uint64_t connection = figures_.polls.successes;
    comparison_wanted_ = true;
    channel_->wake();
    while (comparison_.number == before) {
        changed_->wait(lock, std::chrono::milliseconds(20));
        deadline.check();
        if (comparison_.number == before && (channel_ == nullptr || figures_.polls.successes != connection)) {
            throw RequestError(ErrorCode::replication_error,
                               "The stream from the master was lost during the comparison");
        }
    }
    if (!comparison_.difference.empty()) {
        throw RequestError(ErrorCode::replication_error, "This node differs from its master at LSN " +
                                                             std::to_string(comparison_.lsn) + ": " +
                                                             comparison_.difference);
    }
    return {comparison_.lsn, comparison_.digest, {figures_.source}};
}

// ---- what is shown

void Follower::set_state(const std::string& state) {
    const std::lock_guard lock(mutex_);
    figures_.state = state;
}

void Follower::set_alarm(const std::string& alarm) {
    const std::lock_guard lock(mutex_);
    alarm_ = alarm;
}

ReplicationFigures Follower::figures() const {
    const std::lock_guard lock(mutex_);
    ReplicationFigures figures = figures_;
    if (figures.source_lsn > figures.replayed_lsn) {
        figures.lag_seconds = std::chrono::duration<double>(now() - behind_since_).count();
        constexpr double far_behind_s = 2;
        if (figures.state == "streaming" && figures.lag_seconds > far_behind_s) {
            figures.state = "catching_up";
        }
    }
    return figures;
}

bool Follower::has_nothing() const {
    const std::lock_guard lock(mutex_);
    const bool is_master_empty = figures_.polls.successes != 0 && figures_.source_lsn == 0;
    return database_.durable_lsn() == 0 && !is_master_empty;
}

std::string Follower::alarm() const {
    const std::lock_guard lock(mutex_);
    if (!comparison_.difference.empty()) {
        return "differs from its master at LSN " + std::to_string(comparison_.lsn) + ": " +
               comparison_.difference;
    }
    return alarm_;
}

}  // namespace karma::replica
