#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/epoch.h"
#include "engine/error.h"
#include "engine/history_mark.h"
#include "engine/storage.h"

namespace karma {

/// The state of a database at one LSN in pieces, for a node that has nothing to begin with. What is in a
/// piece is the business of who makes and who takes them. Used by one thread.
class StateReader {
public:
    StateReader() = default;
    StateReader(const StateReader&) = delete;
    StateReader& operator=(const StateReader&) = delete;
    virtual ~StateReader() = default;

    virtual Lsn lsn() const noexcept = 0;
    /// Hands out all pieces, of some 256 KiB each. Throws StorageError, and what `take` throws.
    virtual void read(const std::function<void(std::string_view piece)>& take) = 0;
};

/// How a state takes the place of what a database holds.
struct Replacement {
    DatabaseId database_id;  // that the state has to be of; not known: any
    Lsn lsn_min = 0;         // it has to reach
    /// Of the operator, which is used up in the same step: what there was is moved aside as a whole before,
    /// where it lies in files. Empty: the state is a continuation.
    std::string order;
    /// Called when the state is whole and checked, before anything is given up; ends it by throwing.
    std::function<void()> before = {};
};

/// Takes such pieces, in their order, and puts the state in the place of a database's. Used by one thread.
class StateWriter {
public:
    StateWriter() = default;
    StateWriter(const StateWriter&) = delete;
    StateWriter& operator=(const StateWriter&) = delete;
    virtual ~StateWriter() = default;

    /// Throws CorruptionError when the piece is none.
    virtual void add(std::string_view piece) = 0;

    /// Puts the state in place, durable, and forgets the one before with all its history: reads are answered
    /// from one or the other. Takes its time. A crash meanwhile leaves an empty database. Gives where what
    /// there was lies now, where it was moved aside. Throws CorruptionError when pieces are missing or it is
    /// not the state that has to be, and StorageError.
    virtual std::filesystem::path install(const Replacement& replacement) = 0;
};

/// A state that is built from what Karma 1.0 keeps: a file for each series, each of an LSN of its own, its
/// idempotency records, and the events of its log from there on. Used by one thread, in the order of the
/// functions.
class ForeignStateWriter {
public:
    ForeignStateWriter() = default;
    ForeignStateWriter(const ForeignStateWriter&) = delete;
    ForeignStateWriter& operator=(const ForeignStateWriter&) = delete;
    virtual ~ForeignStateWriter() = default;

    /// A series from the bytes of its `.tree` file, which holds all its events up to `lsn`. Throws
    /// CorruptionError.
    virtual void add_tree(const std::string& series, Lsn lsn, std::string_view bytes) = 0;
    /// Idempotency records and committed streams as they were at `lsn`, from the bytes of
    /// `karma.idempotency.json`. Throws CorruptionError.
    virtual void add_records(Lsn lsn, std::string_view json) = 0;
    /// All recovery checkpoints, as they were at the end of the events that will be applied, or later.
    virtual void add_checkpoints(std::vector<reply::Checkpoint> checkpoints) = 0;

    /// Says that the events after `lsn` come now: what was added holds everything up to there.
    virtual void begin_events(Lsn lsn) = 0;
    /// The last of the events that are needed: what was added holds some of what they did.
    virtual Lsn last_needed() const = 0;
    /// Takes the next event. What a file holds already is not counted again, but has its effect on streams
    /// and records. False where it has none: Karma 1.0 logs events that it refuses then. Throws
    /// CorruptionError when it is not the next one, and RefusedEvent with `not_found` when it is of an ingest
    /// stream whose beginning is neither in the files nor among the events.
    virtual bool apply(const Event& event) = 0;

    /// As StateWriter's, of the state after the last event. Throws CorruptionError when events are missing.
    virtual void install() = 0;
};

/// Whether an event was refused because its ingest stream is not known: what it did would be lost. An abort
/// does nothing that could be.
inline bool is_of_unknown_stream(const RefusedEvent& refused, const Fact& body) noexcept {
    return refused.code() == ErrorCode::not_found &&
           (std::holds_alternative<fact::AddChunk>(body) || std::holds_alternative<fact::CommitStream>(body));
}

/// Keeps the log from being cut off while it lives.
class LogPin {
public:
    LogPin() = default;
    LogPin(const LogPin&) = delete;
    LogPin& operator=(const LogPin&) = delete;
    virtual ~LogPin() = default;

    /// Events above this LSN are kept.
    virtual void advance(Lsn lsn) = 0;
};

/// What a node may be in.
enum class Role : std::uint8_t {
    master,
    slave,   // takes events from another node, and no writes
    fenced,  // was a master, and has met a later epoch than its own: takes no writes
};

/// The note that holds the nodes that this one knows of: it stays when another state is put in place.
inline constexpr std::string_view peers_note = "peers";

/// The note that holds the followers whose acknowledgements count, and the epoch in which they do: it stays
/// when another state of the same database is put in place, and a copy of the database loses it.
inline constexpr std::string_view counted_note = "counted_followers";

/// What replication needs of a database, whichever end of it. Thread-safe, except for what is said of one
/// thread.
class Replicated {
public:
    Replicated() = default;
    Replicated(const Replicated&) = delete;
    Replicated& operator=(const Replicated&) = delete;
    virtual ~Replicated() = default;

    /// False without an event log: it can neither be followed nor follow.
    virtual bool has_log() const noexcept = 0;
    virtual Role role() const noexcept = 0;
    /// The clock by which events are made, in Unix milliseconds.
    virtual std::int64_t now_ms() const = 0;
    /// The same in seconds.
    std::uint64_t unix_now() const { return static_cast<std::uint64_t>(now_ms() / 1000); }
    virtual Lsn durable_lsn() const noexcept = 0;
    /// The last event that was applied, which may not be durable yet.
    virtual Lsn last_lsn() const = 0;
    /// No event, no series, no record; also where a state was put in place half-way, and nothing is left.
    virtual bool is_empty() const = 0;
    /// Nothing can be written any more; after a state that was put in place half-way only another state can.
    virtual bool has_failed() const noexcept = 0;
    /// Whether what is durable survives a loss of power: events are synced to a disk.
    virtual bool syncs() const noexcept = 0;

    /// Not known before a follower has its first state.
    virtual DatabaseId database_id() const = 0;
    /// Never another one while this lives.
    virtual NodeId node_id() const noexcept = 0;
    /// The latest epoch that this node was ever told of, not before the last one of its history: durable.
    /// Its `first_lsn` and `node` may not be known. A node that holds no database yet knows of none.
    virtual Epoch known_epoch() const = 0;
    virtual Epochs epochs() const = 0;
    /// Where an event lies in this history. Throws StorageError.
    virtual HistoryMark mark_at(Lsn lsn) const = 0;
    /// The first event that is kept, or the next one to come.
    virtual Lsn first_kept_lsn() const = 0;
    /// Another number each time that the role of this node changes or another history is put in place: what
    /// followers had before says nothing of what comes after.
    virtual std::uint64_t generation() const noexcept = 0;

    /// As Storage::read_log, of events that are durable.
    virtual void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const = 0;
    virtual std::unique_ptr<LogPin> pin_log(Lsn lsn) = 0;
    /// The state as it is now. `pin`, which holds no later event, is advanced to it.
    virtual std::unique_ptr<StateReader> read_state(LogPin& pin) = 0;
    virtual StateView view() const = 0;

    virtual int add_durable_listener(std::function<void()> listener) = 0;
    virtual void remove_durable_listener(int number) = 0;

    /// Enough followers have everything up to this event of the history of this generation; without effect in
    /// any other one, and on a node that is no master.
    virtual void set_acked_lsn(Lsn lsn, std::uint64_t generation) = 0;

    /// What replication keeps for itself through restarts, under a name; nothing where there is none. Throws
    /// StorageError.
    virtual std::optional<std::string> read_note(std::string_view name) const = 0;
    /// Durable when it returns. `std::nullopt` removes it. Throws StorageError.
    virtual void write_note(std::string_view name, std::optional<std::string> text) = 0;

    // A slave's, from the one thread that follows:

    /// Blocks until events can be taken. False when the database is about to end.
    virtual bool wait_until_ready() = 0;
    /// Applies the events of a group that come after the last one. Gives the state as it is at `view_at`,
    /// when that is among them. They are durable after `commit_replicated`. Throws CorruptionError when they
    /// do not follow from the state.
    virtual std::optional<StateView> replicate(std::string_view group, std::optional<Lsn> view_at) = 0;
    /// The same of one event, the next one. Throws RefusedEvent when the state refuses it.
    virtual void replicate(const Event& event) = 0;
    /// Throws StorageError when the log cannot be written.
    virtual void commit_replicated() = 0;
    /// `retention`: the sender's limits, by which idempotency records live here when the state is in place.
    virtual std::unique_ptr<StateWriter> write_state(const IdempotencyRetention& retention) = 0;
    /// Takes the id of the database that the source holds, which has proved that this is the same one.
    virtual void adopt_database_id(const DatabaseId& id) = 0;
    /// How long idempotency records live, which is a part of the state: a follower uses its master's limits,
    /// after restarts too.
    virtual IdempotencyRetention idempotency_retention() const = 0;
    virtual void use_idempotency_retention(const IdempotencyRetention& retention) = 0;
    /// While it is held retention removes no event: it is not known whether the master has them. A slave
    /// begins with it held.
    virtual void hold_log(bool held) = 0;
    /// Whether an order of the operator was carried out here before.
    virtual bool is_order_used(const std::string& order) const = 0;
    /// An order of which that is not so, for messages.
    virtual std::string unused_order() const = 0;
    virtual std::unique_ptr<ForeignStateWriter> write_foreign_state() = 0;

    // Changes of roles, from any thread:

    /// An epoch that would be later than all that this node knows, begun by it: another one at each call.
    /// Throws RequestError.
    virtual Epoch draw_epoch() const = 0;
    /// Makes a follower that takes no more events, or a fenced node, a master, and begins a new epoch:
    /// `drawn`, unless a later one is known by now. Throws RequestError.
    virtual Epoch promote(std::optional<Epoch> drawn = std::nullopt) = 0;
    /// Takes note of an epoch that somebody has named, durably when it returns; a master whose history ends
    /// in an earlier one becomes fenced. `database`: whose epoch it is, as far as who named it knows; a node
    /// that holds no database yet takes note of none, since it may get another database than that one. False
    /// when it is not noted, or not later than the last one of this history. Throws RequestError where it is
    /// of another database, or the number is so far above all known ones that it can only be damage, and
    /// StorageError where it cannot be made durable: nothing has changed then. Waits while a state is being
    /// put in place.
    virtual bool fence(const Epoch& named, const DatabaseId& database) = 0;
    /// Makes a fenced master a slave again, when all that it has applied is durable. Throws StorageError when
    /// that cannot be.
    virtual void demote() = 0;
};

/// The checksum of an event alone, whatever group it lies in: CRC-32 of its group of one.
std::uint32_t checksum_of(const Event& event);

}  // namespace karma
