#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/engine.h"
#include "engine/epoch.h"
#include "engine/storage.h"

namespace karma {

/// A place in a history. Two nodes that have the same event there, in the same epochs, have the same history
/// up to it.
struct HistoryMark {
    Lsn lsn = 0;
    /// Of the event with that LSN; nothing where it is not kept. 0 at LSN 0.
    std::optional<std::uint32_t> checksum;
};

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
    /// from one or the other. Takes its time. A crash meanwhile leaves an empty database. Throws
    /// CorruptionError when pieces are missing, and StorageError.
    virtual void install() = 0;
};

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
    virtual Lsn durable_lsn() const noexcept = 0;
    virtual Epochs epochs() const = 0;
    /// Where an event lies in this history. Throws StorageError.
    virtual HistoryMark mark_at(Lsn lsn) const = 0;
    /// The first event that is kept, or the next one to come.
    virtual Lsn first_kept_lsn() const = 0;
    /// Changes each time that another state with another history was put in place.
    virtual std::uint64_t generation() const noexcept = 0;

    /// As Storage::read_log, of events that are durable.
    virtual void read_log(Lsn from, const std::function<bool(const EventGroup&)>& visit) const = 0;
    virtual std::unique_ptr<LogPin> pin_log(Lsn lsn) = 0;
    /// The state as it is now. `pin`, which holds no later event, is advanced to it.
    virtual std::unique_ptr<StateReader> read_state(LogPin& pin) = 0;
    virtual StateView view() const = 0;

    virtual int add_durable_listener(std::function<void()> listener) = 0;
    virtual void remove_durable_listener(int number) = 0;

    /// Enough followers have everything up to this event.
    virtual void set_acked_lsn(Lsn lsn) = 0;

    // A slave's, from the one thread that follows:

    /// Blocks until events can be taken. False when the database is about to end.
    virtual bool wait_until_ready() = 0;
    /// Applies the events of a group that come after the last one. Gives the state as it is at `view_at`,
    /// when that is among them. They are durable after `commit_replicated`. Throws CorruptionError when they
    /// do not follow from the state.
    virtual std::optional<StateView> replicate(std::string_view group, std::optional<Lsn> view_at) = 0;
    /// The same of one event.
    virtual void replicate(const Event& event) = 0;
    /// Throws StorageError when the log cannot be written.
    virtual void commit_replicated() = 0;
    virtual std::unique_ptr<StateWriter> write_state() = 0;

    // Changes of roles, from any thread:

    /// Makes a slave that takes no more events a master, and begins a new epoch. Throws RequestError.
    virtual Epoch promote() = 0;
    /// Says that there is a later epoch somewhere: a master becomes fenced. False when it is none for this
    /// node.
    virtual bool fence(const Epoch& later) = 0;
    /// Makes a fenced master a slave again.
    virtual void demote() = 0;
};

/// The checksum of an event alone, whatever group it lies in: CRC-32 of its group of one.
std::uint32_t checksum_of(const Event& event);

}  // namespace karma
