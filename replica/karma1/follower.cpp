#include "replica/karma1/follower.h"

#include <algorithm>
#include <set>

#include "engine/error.h"

namespace karma::replica {
namespace {

/// Why this master is not followed any more: until this node has a state of it that is whole.
constexpr std::string_view tail_lost_note = "karma1_tail_lost";

std::string unknown_stream(const Event& event) {
    return "the event with LSN " + std::to_string(event.lsn) + " of the master's log is of ingest stream \"" +
           std::string(stream_of(event.body)) +
           "\", whose beginning the log does not hold any more, so that its counts would be lost: commit or "
           "abort the stream on the master, then store a snapshot of everything there (snapshot.create_all)";
}

}  // namespace

Karma1Follower::Karma1Follower(Replicated& database, MasterClient master, std::uint32_t batch_size,
                               std::filesystem::path directory)
    : database_(database),
      master_(std::move(master)),
      batch_size_(batch_size),
      directory_(std::move(directory)) {}

bool Karma1Follower::needs_bootstrap() const { return database_.durable_lsn() == 0 || needed_lsn_ != 0; }

void Karma1Follower::need_state_at(Lsn lsn, const std::string& why) {
    if (database_.durable_lsn() == 0 || is_masters_) {
        needed_lsn_ = lsn;
        needed_why_ = why;
    }
}

// ---- the state

void Karma1Follower::bootstrap() {
    SnapshotList snapshots = ask_snapshots(master_);
    if (!snapshots.has_log) {
        throw ChannelError("the master has no event log (--wal=false): it cannot be followed");
    }
    if (snapshots.last_lsn() == 0 && snapshots.trees.empty() && needed_lsn_ == 0) {
        is_masters_ = true;
        return;
    }
    const Lsn after = first_position(snapshots);
    if (after < needed_lsn_) {
        throw ChannelError(needed_why_);  // nothing has changed there
    }
    const std::unique_ptr<ForeignStateWriter> state = database_.write_foreign_state();
    add_trees(*state, snapshots);
    if (snapshots.records) {
        add_records(*state, *snapshots.records);
    }
    state->add_checkpoints(ask_checkpoints(master_));
    add_events(*state, after);
    if (ask_snapshots(master_).records != snapshots.records) {
        throw ChannelError("the master has stored a snapshot of everything meanwhile");
    }
    state->install();
    database_.write_note(tail_lost_note, std::nullopt);
    is_masters_ = true;
    needed_lsn_ = 0;
}

/// A whole log is read from its beginning, any other from where the oldest file ends. Where it does not reach
/// back so far, that file is not of the last snapshot of everything, which has cut the log off: its series
/// was dropped before. Karma 1.0 leaves such files behind.
Lsn Karma1Follower::first_position(SnapshotList& snapshots) {
    std::set<Lsn> positions = {0};  // a whole log knows of all streams
    for (const TreeSnapshot& tree : snapshots.trees) {
        positions.insert(tree.last_lsn);
    }
    // Without a snapshot of everything the log is whole, unless somebody has cut it off.
    const Lsn oldest =
        snapshots.trees.empty() ? 0 : *std::next(positions.begin(), positions.size() > 1 ? 1 : 0);
    const Lsn last = snapshots.records ? snapshots.records->last_lsn : oldest;
    positions.insert(last);
    const auto readable = std::ranges::find_if(
        positions, [&](Lsn position) { return position >= last || log_.reaches_back_to(position); });
    const Lsn after = *readable;
    std::erase_if(snapshots.trees, [&](const TreeSnapshot& tree) {
        return tree.last_lsn < after && snapshots.records && tree.timestamp < snapshots.records->timestamp;
    });
    log_.read(after, 1, [](const Event&) {});  // before the files, which take their time
    return after;
}

void Karma1Follower::add_trees(ForeignStateWriter& state, const SnapshotList& snapshots) {
    for (const TreeSnapshot& tree : snapshots.trees) {
        UnnamedFile file(directory_);
        fetch(master_, "snapshot.fetch_chunk", {{"file", tree.file}}, file);
        if (file.size() != tree.bytes) {
            throw ChannelError("snapshot " + tree.file + " has " + std::to_string(file.size()) +
                               " bytes, and the master says " + std::to_string(tree.bytes));
        }
        try {
            state.add_tree(tree.series, tree.last_lsn, file.bytes());
        } catch (const CorruptionError& failure) {
            throw CorruptionError("snapshot " + tree.file + " of the master: " + failure.what());
        }
    }
}

void Karma1Follower::add_records(ForeignStateWriter& state, const RecordsSnapshot& records) {
    UnnamedFile file(directory_);
    try {
        fetch(master_, "idempotency.snapshot_fetch_chunk", {}, file);
    } catch (const RefusedError& refused) {
        if (refused.code() == "not_found") {
            return;
        }
        throw;
    }
    try {
        state.add_records(records.last_lsn, file.bytes());
    } catch (const CorruptionError& failure) {
        throw CorruptionError(std::string("the master's karma.idempotency.json: ") + failure.what());
    }
}

void Karma1Follower::add_events(ForeignStateWriter& state, Lsn after) {
    state.begin_events(after);
    for (Lsn lsn = after; lsn < state.last_needed();) {
        const std::uint64_t limit = std::min<std::uint64_t>(batch_size_, state.last_needed() - lsn);
        const Karma1Log::Page page = log_.read(lsn, limit, [&](const Event& event) {
            try {
                state.apply(event);
            } catch (const RefusedEvent&) {
                const std::string why = unknown_stream(event);
                need_state_at(event.lsn, why);
                throw ChannelError(why);
            }
        });
        lsn += page.count;
        if (page.count == 0) {
            throw ChannelError("the master's log ends at LSN " + std::to_string(lsn) +
                               ", before a snapshot of it, of LSN " + std::to_string(state.last_needed()));
        }
    }
}

// ---- events

Karma1Follower::Polled Karma1Follower::poll() {
    if (const std::optional<std::string> lost = database_.read_note(tail_lost_note)) {
        throw ChannelError(*lost);
    }
    const Lsn after = database_.durable_lsn();
    Polled polled;
    try {
        const Karma1Log::Page page =
            log_.read(after, batch_size_, [&](const Event& event) { replicate(event, polled); });
        polled.source_lsn = page.source_lsn;
    } catch (const TailLostError& lost) {
        // When its log has passed that LSN again nothing shows that other events were there before.
        database_.write_note(
            tail_lost_note,
            std::string("replication_gap: ") + lost.what() +
                ": what this node has after it the master has not; start it once with "
                "--restore=false, which puts its data aside and takes the master's state anew");
        throw ChannelError(*database_.read_note(tail_lost_note));
    } catch (const GapError& gap) {
        if (after != 0 && !is_masters_) {
            throw ChannelError(
                "replication_gap: the master's log begins after LSN " + std::to_string(after) +
                ", where this node is: start it once with --restore=false, which puts its data aside and "
                "takes the master's state anew");
        }
        need_state_at(after + 1, gap.what());
        throw;
    } catch (...) {
        database_.commit_replicated();  // what came before
        throw;
    }
    if (polled.applied != 0) {
        database_.commit_replicated();
        is_masters_ = true;
    }
    return polled;
}

void Karma1Follower::replicate(const Event& event, Polled& polled) {
    try {
        database_.replicate(event);
    } catch (const RefusedEvent& refused) {
        if (is_of_unknown_stream(refused, event.body)) {
            const std::string why = unknown_stream(event);
            need_state_at(event.lsn, why);
            throw ChannelError(why);
        }
        database_.replicate(without_effect(event));
        if (polled.refused++ == 0) {
            polled.first_refused = refused.what();
        }
    }
    ++polled.applied;
}

}  // namespace karma::replica
