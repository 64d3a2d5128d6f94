#include "replica/follower_stream.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "engine/error.h"
#include "replica/discarded.h"
#include "replica/life.h"
#include "replica/unproved_history.h"

namespace karma::replica {
namespace {

/// How often it says how much it has received, while it receives.
constexpr auto alive_interval = std::chrono::milliseconds(100);
/// How often, while it puts a state in place.
constexpr auto installing_alive_interval = std::chrono::milliseconds(500);

}  // namespace

FollowerStream::FollowerStream(const FollowerContext& context, AcceptedConnection accepted)
    : context_(context),
      database_(context.database),
      status_(context.status),
      accepted_(std::move(accepted.reply)),
      channel_(std::move(accepted.stream), std::move(accepted.received)) {
    if (!are_strangers(accepted_.database_id, database_.database_id())) {
        source_epoch_ = accepted_.known_epoch;
    }
    if (accepted_.state_follows) {
        state_ = database_.write_state(accepted_.retention);
        status_.note_state_wanted();
        status_.set_state("bootstrapping");
    } else {
        database_.adopt_database_id(accepted_.database_id);
        database_.use_idempotency_retention(accepted_.retention);
        database_.hold_log(false);  // the source has all of it
        status_.set_state("catching_up");
        is_dirty_ = true;  // says where it is
    }
}

FollowerStream::~FollowerStream() {
    database_.hold_log(true);
    try {
        database_.commit_replicated();
    } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the next connection says why
    }
}

void FollowerStream::run() {
    try {
        take_all();
    } catch (const std::exception& failure) {
        if (state_) {
            status_.note_state_failed(failure.what());
        }
        throw;
    }
}

void FollowerStream::take_all() {
    while (true) {
        check_source_epoch();
        take_frames();
        commit();
        compare_when_ready();
        if (context_.stopping) {
            take_until_stopped();
            throw FollowingStopped{};
        }
        if (comparison_wanted_.exchange(false)) {
            channel_.queue(FrameKind::digest_wanted, {});
        }
        wait_for_source();
    }
}

/// Takes what has arrived, as far as that comes to an end.
void FollowerStream::take_until_stopped() {
    const Clock::time_point end = now() + std::chrono::seconds(1);
    std::uint64_t before = 0;
    do {
        before = channel_.bytes_received();
        channel_.pump(std::chrono::milliseconds(0));
        take_frames();
        commit();
    } while (channel_.bytes_received() != before && now() < end);
}

void FollowerStream::wait_for_source() {
    const FollowerOptions& options = context_.options;
    const std::uint64_t before = channel_.bytes_received();
    channel_.pump(
        std::chrono::milliseconds(options.fails_over() ? options.failover_timeout.count() / 4 + 1 : 1000));
    const std::uint64_t received = channel_.bytes_received() - before;
    if (received == 0) {
        check_silence();  // not before looking: this node may have been busy
        return;
    }
    status_.note_bytes_received(received);
    // Receiving is progress: on a slow connection a group of events takes its time.
    if (now() - alive_at_ >= alive_interval) {
        alive_at_ = now();
        queue_alive();
    }
}

void FollowerStream::check_silence() const {
    const auto limit = context_.options.silence_max();
    if (status_.silence() >= limit) {
        throw ChannelError("the master has been silent for " + std::to_string(limit.count()) + " ms");
    }
}

void FollowerStream::queue_alive() { channel_.queue_numbers(FrameKind::alive, {channel_.bytes_received()}); }

// ---- frames

void FollowerStream::take_frames() {
    while (const std::optional<Frame> frame = channel_.next_frame()) {
        take_frame(frame->kind, frame->payload);
    }
}

void FollowerStream::take_frame(FrameKind kind, std::string_view payload) {
    switch (kind) {
        case FrameKind::state_piece:
            if (!state_) {
                throw ChannelError("the master sends a state that nobody asked for");
            }
            state_->add(payload);
            break;
        case FrameKind::state_end: install(); break;
        case FrameKind::events: take_events(payload); break;
        case FrameKind::heartbeat: take_heartbeat(payload); break;
        case FrameKind::digest_at: take_comparison_place(take_number(payload)); break;
        case FrameKind::digest: source_digests_ = read_digests(payload); break;
        default: throw ChannelError("the master sends a frame that is none of a master");
    }
}

void FollowerStream::take_events(std::string_view payload) {
    if (state_) {
        throw ChannelError("the master sends events before the end of the state");
    }
    std::optional<StateView> view;
    try {
        view = database_.replicate(payload, compare_at_);
    } catch (const CorruptionError& failure) {
        // Nothing of it was applied after the event that does not fit. What fits does not come from here.
        status_.note_gap(std::string("replication_gap: an event of the master does not fit here: ") +
                         failure.what() + ": rebuild this node from the master");
        throw;
    }
    is_dirty_ = true;
    if (view) {
        begin_comparison(std::move(*view));
    }
}

void FollowerStream::commit() {
    if (!std::exchange(is_dirty_, false)) {
        return;
    }
    database_.commit_replicated();
    const Lsn lsn = database_.durable_lsn();
    // After the LSN was looked at: who promises looks at it when the epoch is known.
    check_source_epoch();
    channel_.queue_numbers(FrameKind::acknowledged, {lsn});
    status_.note_committed(lsn);
}

// ---- what the source tells of itself

void FollowerStream::take_heartbeat(std::string_view payload) {
    const Lsn lsn = take_number(payload);
    if (payload.size() > sizeof(std::uint64_t)) {
        take_number(payload);  // the epoch
        take_life(payload);
    } else {
        status_.note_plain_life();
    }
    status_.note_source_lsn(lsn);
    queue_alive();
}

void FollowerStream::take_life(std::string_view text) {
    Life life = read_life(text);
    const std::optional<CountedList> list = std::exchange(life.counted, std::nullopt);
    if (!are_strangers(accepted_.database_id, database_.database_id())) {
        take_epoch(life.known_epoch);
        take_list(list, life.is_master());
        take_peers(life);
    }
    const auto is_this_node = [this](const NodeName& node) { return node.id == database_.node_id(); };
    if (std::ranges::any_of(life.chain, is_this_node)) {
        throw SourceRefused{"refused",
                            "the source follows this node: that is a ring, in which nobody is master"};
    }
    const std::string failure = life.failure;
    if (status_.note_life(std::move(life))) {
        context_.log.warning("source_failed", {{"master", context_.source()},
                                               {"message", failure},
                                               {"advice", "restart that node, or promote a follower"}});
    }
}

void FollowerStream::take_epoch(const Epoch& named) {
    source_epoch_ = named;
    if (!named.is_later_than(database_.known_epoch())) {
        return;
    }
    try {
        database_.fence(named, accepted_.database_id);
    } catch (const RequestError& refused) {
        throw ChannelError(std::string("the source names an epoch that cannot be: ") + refused.what());
    }
}

/// R2: somebody else than the source has named a later epoch than the source has. The source may be the
/// master of an earlier one, and is told nothing more of what this node has.
void FollowerStream::check_source_epoch() const {
    if (source_epoch_ && database_.known_epoch().is_later_than(*source_epoch_)) {
        throw ChannelError("a later epoch than the source's was named by another node");
    }
}

/// R7: the master hears that the list is stored, each time that it tells one.
void FollowerStream::take_list(const std::optional<CountedList>& list, bool is_of_master) {
    if (context_.counted == nullptr || !list || !is_of_master || !list->counts(database_.node_id())) {
        return;
    }
    context_.counted->store_told(*list);
    channel_.queue_numbers(FrameKind::list_stored, {list->epoch.number, list->epoch.id, list->version});
}

/// A node that is promoted announces its epoch to them.
void FollowerStream::take_peers(const Life& life) const {
    if (context_.peers == nullptr) {
        return;
    }
    std::vector<KnownNode> nodes = life.others;
    if (life.peers) {
        nodes.insert(nodes.end(), life.peers->begin(), life.peers->end());
    }
    context_.peers->note_told(placed(std::move(nodes), context_.options.host));
}

// ---- the state

void FollowerStream::install() {
    if (!state_) {
        throw ChannelError("the master ends a state that it did not send");
    }
    const UnprovedHistory unproved(context_, accepted_);
    Replacement replacement;
    Discarded discarded;
    replacement.database_id = accepted_.database_id;
    if (accepted_.is_proved) {
        replacement.lsn_min = database_.is_empty() ? 0 : database_.last_lsn();
    } else {
        replacement.order = context_.options.discard_order;
        replacement.before = [&] { discarded = unproved.keep_discarded(); };
    }
    std::exception_ptr lost;
    const std::filesystem::path aside = install_beside_source(replacement, lost);
    state_.reset();
    database_.hold_log(false);
    if (!accepted_.is_proved) {
        unproved.note_discarded(discarded, aside);
    }
    status_.note_word();
    status_.note_installed();
    context_.log.info("state_taken", {{"master", context_.source()}, {"lsn", database_.durable_lsn()}});
    is_dirty_ = true;
    if (lost) {
        std::rethrow_exception(lost);
    }
}

/// Takes its time, during which the master has to hear that somebody is there. Goes on when the connection is
/// lost meanwhile, which `lost` says: what is being installed is whole.
std::filesystem::path FollowerStream::install_beside_source(const Replacement& replacement,
                                                            std::exception_ptr& lost) {
    status_.note_installing(true);
    Background<std::filesystem::path> installed;
    installed.start(context_.environment.runtime, channel_,
                    [&](const Deadline& /*never*/) { return state_->install(replacement); });
    while (!installed.is_done() && !lost) {
        try {
            queue_alive();
            channel_.pump(installing_alive_interval, false);
        } catch (...) {
            lost = std::current_exception();
        }
    }
    try {
        std::filesystem::path aside = installed.take();
        status_.note_installing(false);
        return aside;
    } catch (...) {
        status_.note_installing(false);
        throw;
    }
}

// ---- comparisons

void FollowerStream::want_comparison() noexcept {
    comparison_wanted_ = true;
    channel_.wake();
}

void FollowerStream::take_comparison_place(Lsn lsn) {
    commit();
    compare_at_ = lsn;
    if (lsn < database_.durable_lsn()) {
        throw ChannelError("the master compares a state that is past");
    }
    if (lsn == database_.durable_lsn()) {
        begin_comparison(database_.view());
    }
}

void FollowerStream::begin_comparison(StateView view) {
    compare_at_.reset();
    own_.start(context_.environment.runtime, channel_,
               [view = std::move(view)](const Deadline& deadline) { return digests_of(view, deadline); });
}

void FollowerStream::compare_when_ready() {
    if (own_.is_done()) {
        own_digests_ = own_.take();
    }
    if (!own_digests_ || !source_digests_) {
        return;
    }
    const Digests own = std::move(*std::exchange(own_digests_, std::nullopt));
    const Digests source = std::move(*std::exchange(source_digests_, std::nullopt));
    if (own.lsn != source.lsn) {
        throw ChannelError("the master compares another state than it has announced");
    }
    const std::string what = difference(own, source);
    channel_.queue_numbers(FrameKind::digest_result, {own.lsn}, what);
    if (!what.empty()) {
        context_.log.error("differs_from_master",
                           {{"master", context_.source()}, {"lsn", own.lsn}, {"message", what}});
    }
    status_.note_compared(own.lsn, own.total().text(), what);
}

}  // namespace karma::replica
