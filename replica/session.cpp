#include "replica/session.h"

#include <algorithm>
#include <limits>

#include "engine/error.h"
#include "replica/handshake.h"
#include "replica/life.h"

namespace karma::replica {
namespace {

/// No more is queued while this much waits to be sent.
constexpr std::size_t queued_bytes_max = 1U << 20U;
/// The longest frame of a follower: what differs, as a text.
constexpr std::size_t follower_payload_max = 64 * 1024;
constexpr std::uint64_t heartbeat_ms_min = 20;
constexpr std::uint64_t heartbeat_ms_max = 10'000;

/// The node is about to end, or has another history now: nothing to be told.
struct Ended {};

}  // namespace

Session::Session(Source& source, std::unique_ptr<PeerStream> stream, std::string address,
                 net::Subscription subscription)
    : source_(source),
      database_(source.database()),
      runtime_(source.runtime()),
      address_(std::move(address)),
      subscription_(std::move(subscription)),
      channel_(std::move(stream), {}, follower_payload_max),
      heartbeat_(std::clamp(subscription_.heartbeat_ms, heartbeat_ms_min, heartbeat_ms_max)),
      progress_(runtime_.now()),
      connected_unix_(database_.unix_now()) {}

Session::~Session() {
    stop();
    thread_.reset();
}

void Session::start() {
    thread_ = runtime_.start_thread([this] { run(); });
}

void Session::stop() noexcept {
    stopping_ = true;
    channel_.wake();
}

void Session::say(std::string_view text) noexcept {
    try {
        channel_.queue_raw(text);
        channel_.pump(std::chrono::milliseconds(0), false);
    } catch (
        const std::exception&) {  // NOLINT(bugprone-empty-catch): it has gone, whether it knows why or not
    }
    channel_.end();
}

void Session::wake() noexcept {
    if (sleeping_.exchange(false)) {
        channel_.wake();
    }
}

void Session::want_comparison() noexcept {
    comparison_wanted_ = true;
    channel_.wake();
}

void Session::want_heartbeat() noexcept {
    heartbeat_wanted_ = true;
    channel_.wake();
}

/// A refusal is always sent, whatever is in the way.
bool Session::begins() {
    try {
        return shake_hands();
    } catch (const StorageError& failure) {
        refuse("replication_error", "failed", std::string("This node cannot be followed: ") + failure.what(),
               {});
        return false;
    }
}

void Session::run() {
    try {
        if (begins()) {
            if (sends_state_) {
                send_state();
            }
            stream();
        }
    } catch (const Ended&) {
        // said elsewhere
    } catch (const std::exception& failure) {
        source_.log().warning("follower_lost", {{"follower", subscription_.name},
                                                {"address", address_},
                                                {"message", failure.what()},
                                                {"acked_lsn", acked_lsn_.load()}});
    }
    channel_.end();
    pin_.reset();
    streaming_ = false;
    *ended_ = true;
    try {
        source_.note_ended(*this);
    } catch (const std::exception& failure) {
        source_.log().warning("counted_followers_not_stored", {{"message", failure.what()}});
    }
    source_.on_acknowledged();
}

// ---- the beginning

/// What either kind of reply says of this node.
void Session::describe(SubscribeReply& reply) const {
    reply.lsn = database_.durable_lsn();
    reply.known_epoch = database_.known_epoch();
    reply.database_id = database_.database_id();
    reply.node_id = database_.node_id();
    reply.role = role_text(database_.role());
    reply.chain = source_.chain();
}

void Session::refuse(const Decision& decision, const OwnHistory& own) {
    const char* const code = decision.verdict == Verdict::itself || decision.verdict == Verdict::stale
                                 ? "replication_error"
                                 : "replication_gap";
    std::string message = why_refused(decision, subscription_, own);
    if (decision.verdict == Verdict::stale) {
        const Epoch later = std::max(subscription_.known_epoch, last_epoch(subscription_.epochs),
                                     [](const Epoch& a, const Epoch& b) { return b.is_later_than(a); });
        try {
            database_.fence(later, subscription_.database_id);
            source_.note_follower(*this);
        } catch (const RequestError& damaged) {
            message = damaged.what();
        }
    }
    refuse(code, std::string(name_of(decision.verdict)), message, decision.common_lsn);
}

void Session::refuse(const std::string& code, const std::string& reason, const std::string& message,
                     std::optional<Lsn> common_lsn) {
    SubscribeReply reply;
    reply.error_code = code;
    reply.reason = reason;
    reply.message = message;
    reply.common_lsn = common_lsn;
    describe(reply);
    channel_.queue_raw(reply_line(reply));
    // Not by the message: it may name positions, which move.
    source_.log_refusal(subscription_.name, address_, reason + ' ' + std::to_string(common_lsn.value_or(0)),
                        message);
    try {
        while (channel_.queued_bytes() != 0) {
            pump(std::chrono::milliseconds(100));
            check_progress();
        }
    } catch (const ChannelError&) {  // NOLINT(bugprone-empty-catch): it has gone, whether it knows why or not
    }
}

bool Session::shake_hands() {
    if (!database_.has_log()) {
        refuse("replication_error", "no_log", "This node has no event log: it was started with --wal=false",
               {});
        return false;
    }
    if (subscription_.format != stream_format) {
        refuse("replication_error", "format",
               "This node speaks format " + std::to_string(stream_format) + " of the stream, the follower " +
                   std::to_string(subscription_.format) + ": they need programs of one version",
               {});
        return false;
    }
    generation_ = database_.generation();  // first: what is read afterwards is of this one, or it ends
    pin_ = database_.pin_log(0);           // until it is known what is needed
    OwnHistory own{database_.durable_lsn(), database_.first_kept_lsn(), database_.epochs(),
                   [this](Lsn lsn) { return database_.mark_at(lsn); }};
    own.database_id = database_.database_id();
    own.chain = source_.chain();
    own.known_epoch = database_.known_epoch();
    own.is_empty = database_.is_empty();
    own.is_half_way = own.is_empty && database_.has_failed();
    own.is_master = database_.role() == Role::master;
    const Decision decision = decide(subscription_, own);
    if (decision.verdict != Verdict::stream && decision.verdict != Verdict::state) {
        refuse(decision, own);
        return false;
    }
    sends_state_ = decision.verdict == Verdict::state;
    if (sends_state_ && database_.has_failed()) {
        refuse("replication_error", "failed",
               "This node has failed, and cannot send its state: restart it. A follower that needs no more "
               "than the events that are durable here gets them",
               {});
        return false;
    }
    next_lsn_ = subscription_.after_lsn + 1;
    if (!sends_state_) {
        pin_->advance(subscription_.after_lsn);
        acked_lsn_ = subscription_.after_lsn;
    }
    SubscribeReply reply;
    reply.accepted = true;
    reply.state_follows = sends_state_;
    reply.is_proved = !decision.is_ordered;
    reply.common_lsn = decision.common_lsn;
    if (decision.is_ordered) {
        reply.reason = name_of(decision.without_order);
    }
    reply.retention = database_.idempotency_retention();
    describe(reply);
    reply.lsn = own.last_lsn;
    const std::string line = reply_line(reply);
    reply_bytes_ = line.size();
    channel_.queue_raw(line);
    source_.note_accepted(*this);
    source_.log().info("follower_accepted", {{"follower", subscription_.name},
                                             {"address", address_},
                                             {"after_lsn", subscription_.after_lsn},
                                             {"gets", sends_state_ ? "the state" : "events"}});
    return true;
}

void Session::send_state() {
    state_end_at_ = std::numeric_limits<std::uint64_t>::max();
    next_heartbeat_ = now();
    const std::unique_ptr<StateReader> state = database_.read_state(*pin_);
    state->read([this](std::string_view piece) {
        channel_.queue(FrameKind::state_piece, piece);
        do {
            if (now() >= next_heartbeat_) {
                send_heartbeat();
            }
            pump(std::chrono::milliseconds(channel_.queued_bytes() > queued_bytes_max ? 100 : 0));
            take_wishes();
            check_progress();
        } while (channel_.queued_bytes() > queued_bytes_max);
    });
    channel_.queue_numbers(FrameKind::state_end, {state->lsn()});
    state_end_at_ = channel_.bytes_sent() + channel_.queued_bytes();
    next_lsn_ = state->lsn() + 1;
}

/// Who has not got the state can only say that it is alive, and wish for a comparison. What is not looked at
/// would pile up.
void Session::take_wishes() {
    while (const std::optional<Frame> frame = channel_.next_frame()) {
        heard_ = now();
        if (frame->kind == FrameKind::alive) {
            note_alive(frame->payload);
            continue;
        }
        if (frame->kind != FrameKind::digest_wanted) {
            throw ChannelError("it sends a frame that belongs behind the state");
        }
        comparison_wanted_ = true;
    }
}

// ---- the stream

void Session::stream() {
    next_comparison_ = now() + source_.options().digest_interval;
    while (true) {
        check_goes_on();
        // From here on a new event ends the wait.
        sleeping_ = true;
        send_events();
        if (heartbeat_wanted_.exchange(false) || now() >= next_heartbeat_) {
            send_heartbeat();
        }
        go_on_comparing();
        const bool has_more = next_lsn_ <= database_.durable_lsn();
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next_heartbeat_ - now());
        pump(has_more && channel_.queued_bytes() < queued_bytes_max
                 ? std::chrono::milliseconds(0)
                 : std::clamp(left, std::chrono::milliseconds(0), heartbeat_));
        take_frames();
        check_progress();
    }
}

void Session::check_goes_on() const {
    if (stopping_ || generation_ != database_.generation()) {
        throw Ended{};
    }
}

void Session::pump(std::chrono::milliseconds wait_max) {
    check_goes_on();
    channel_.pump(wait_max);
    bytes_sent_ = channel_.bytes_sent();
}

/// After what has arrived was looked at: this node may have been busy.
void Session::check_progress() {
    // It answers heartbeats, and says that it is alive while it is busy.
    const auto limit = source_.options().timeout;
    if (streaming_ && now() - heard_ > limit + heartbeat_) {
        throw ChannelError("it has been silent for " + std::to_string(limit.count()) + " ms: dropped");
    }
    // What it receives is progress as well, which it says: a frame may take long on a slow connection.
    if (!owes()) {
        note_progress();
    } else if (now() - progress_ > source_.options().timeout) {
        throw ChannelError("it has taken nothing for " + std::to_string(source_.options().timeout.count()) +
                           " ms: dropped");
    }
}

/// Its first acknowledgement too, even where there is nothing to be sent: only then heartbeats count.
bool Session::owes() const {
    return channel_.queued_bytes() != 0 || !streaming_ || acked_lsn_ + 1 < next_lsn_;
}

void Session::send_events() {
    if (channel_.queued_bytes() >= queued_bytes_max || next_lsn_ > database_.durable_lsn()) {
        return;
    }
    const Lsn expected = next_lsn_;
    const bool owed_before = owes();
    database_.read_log(next_lsn_, [&](const EventGroup& group) {
        if (group.first_lsn > next_lsn_) {
            throw ChannelError("the events from LSN " + std::to_string(next_lsn_) + " on are gone");
        }
        channel_.queue(FrameKind::events, group.bytes);
        next_lsn_ = group.first_lsn + group.count;
        return channel_.queued_bytes() < queued_bytes_max;
    });
    if (!owed_before) {
        note_progress();  // reading it took this node's time
    }
    if (next_lsn_ == expected && generation_ == database_.generation() &&
        expected <= database_.durable_lsn()) {
        throw ChannelError("the events from LSN " + std::to_string(expected) + " on are gone");
    }
}

void Session::find_out_if_counted() {
    const bool counts = source_.consider(*this);
    if (counted_.exchange(counts) != counts) {
        source_.on_acknowledged();
    }
}

void Session::send_heartbeat() {
    const Clock::time_point sent_at = now();
    next_heartbeat_ = sent_at + heartbeat_;
    const Lsn lsn = database_.durable_lsn();
    find_out_if_counted();
    Life life = source_.life_for(*this);
    if (life.peers && life.peers == peers_told_) {
        life.peers.reset();
    } else if (life.peers) {
        peers_told_ = *life.peers;
    }
    channel_.queue_numbers(FrameKind::heartbeat, {lsn, last_epoch(database_.epochs()).number},
                           write_life(life));
    const std::lock_guard lock(samples_mutex_);
    constexpr std::size_t samples_max = 4096;
    while (!samples_.empty() && (samples_.front().first <= acked_lsn_ || samples_.size() >= samples_max)) {
        samples_.pop_front();
    }
    if (lsn > acked_lsn_ && (samples_.empty() || samples_.back().first < lsn)) {
        samples_.emplace_back(lsn, sent_at);
    }
}

void Session::take_frames() {
    while (const std::optional<Frame> frame = channel_.next_frame()) {
        heard_ = now();
        std::string_view payload = frame->payload;
        switch (frame->kind) {
            case FrameKind::acknowledged: note_acknowledged(take_number(payload)); break;
            case FrameKind::list_stored: {
                const std::uint64_t number = take_number(payload);
                const std::uint64_t id = take_number(payload);
                source_.note_list_stored(*this, {number, id, 0}, take_number(payload));
                break;
            }
            case FrameKind::alive: note_alive(payload); break;
            case FrameKind::digest_wanted: comparison_wanted_ = true; break;
            case FrameKind::digest_result: {
                const Lsn lsn = take_number(payload);
                if (lsn == compared_lsn_) {
                    source_.on_compared(subscription_.name, lsn, compared_digest_, std::string(payload));
                    compared_lsn_ = 0;
                }
                break;
            }
            default: throw ChannelError("it sends a frame that is none of a follower");
        }
    }
}

void Session::note_acknowledged(Lsn lsn) {
    if (lsn >= next_lsn_) {
        throw ChannelError("it acknowledges events that it was not sent");
    }
    if (lsn <= acked_lsn_ && streaming_) {
        return;
    }
    note_progress();
    acked_lsn_ = std::max(lsn, acked_lsn_.load());
    if (!streaming_.exchange(true)) {
        find_out_if_counted();
        next_heartbeat_ = now();  // which tells it so
    }
    pin_->advance(lsn);
    source_.on_acknowledged();
}

void Session::note_alive(std::string_view payload) {
    const bool says_how_far = !payload.empty();
    if (says_how_far) {
        const std::uint64_t sent = channel_.bytes_sent();
        const std::uint64_t received = take_number(payload);
        if (reply_bytes_ > sent || received > sent - reply_bytes_) {
            throw ChannelError("it has received more than it was sent");
        }
        if (received + reply_bytes_ > received_) {
            received_ = received + reply_bytes_;
            note_progress();
        }
    }
    // Of a state it can say no more than that until it is in place; events it has to acknowledge.
    if (sends_state_ && !streaming_ && (!says_how_far || received_ >= state_end_at_)) {
        note_progress();
    }
}

KnownNode Session::node() const {
    const std::size_t colon = address_.rfind(':');
    std::string host = address_.substr(0, colon);
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
    }
    return {{subscription_.node_id, subscription_.name}, std::move(host), subscription_.port};
}

// ---- digests

void Session::begin_comparison() {
    comparison_wanted_ = false;
    next_comparison_ = now() + source_.options().digest_interval;
    // The follower takes its view when it has come to this event, which it was not sent yet, or just now.
    StateView view = database_.view();
    compared_lsn_ = view.lsn;
    channel_.queue_numbers(FrameKind::digest_at, {view.lsn});
    digests_.start(runtime_, channel_,
                   [view = std::move(view)](const Deadline& deadline) { return digests_of(view, deadline); });
}

void Session::go_on_comparing() {
    if (digests_.is_done()) {
        const Digests digests = digests_.take();
        compared_digest_ = digests.total().text();
        channel_.queue(FrameKind::digest, write_digests(digests));
        return;
    }
    if (digests_.is_under_way() || compared_lsn_ != 0) {
        return;  // the follower may take longer than this node: one after the other
    }
    const bool is_due = source_.options().digest_interval.count() != 0 && now() >= next_comparison_;
    if ((comparison_wanted_ || is_due) && streaming_) {
        begin_comparison();
    }
}

FollowerStatistics Session::statistics() const {
    FollowerStatistics statistics;
    statistics.name = subscription_.name;
    statistics.address = address_;
    const Lsn acked = acked_lsn_;
    const Lsn durable = database_.durable_lsn();
    statistics.acked_lsn = acked;
    statistics.lag_entries = durable > acked ? durable - acked : 0;
    statistics.bytes_sent = bytes_sent_;
    statistics.connected_unix = connected_unix_;
    {
        const std::lock_guard lock(samples_mutex_);
        const auto behind =
            std::ranges::find_if(samples_, [&](const auto& sample) { return sample.first > acked; });
        if (behind != samples_.end()) {
            statistics.lag_seconds = std::chrono::duration<double>(now() - behind->second).count();
        }
    }
    const bool is_near = statistics.lag_seconds < 1.0;
    statistics.state = !streaming_ ? "bootstrapping" : is_near ? "streaming" : "catching_up";
    return statistics;
}

}  // namespace karma::replica
