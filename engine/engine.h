#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/components.h"
#include "engine/epoch.h"
#include "engine/event.h"
#include "engine/fingerprinter.h"
#include "engine/idempotency.h"
#include "engine/ingest.h"
#include "engine/record_codec.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/series_table.h"

namespace karma {

/// What follows from an event and is stored in one atomic batch with it.
struct EventRecords {
    const IdempotencyRecord* idempotency = nullptr;  // the event had a key
    const StreamInfo* stream = nullptr;              // the event committed it
    std::optional<Lsn> first_record_lsn;             // the event removed the idempotency records below
    std::span<const std::string> pruned_streams;     // the event removed these committed ones
};

/// Takes the events of accepted mutations, in order, and what follows from them. Must not throw.
class EventSink {
public:
    EventSink() = default;
    EventSink(const EventSink&) = delete;
    EventSink& operator=(const EventSink&) = delete;
    virtual ~EventSink() = default;

    virtual void accept(const Event& event, const EventRecords& records) = 0;
};

/// The sink of an engine that only applies what was.
class NullSink final : public EventSink {
public:
    void accept(const Event& /*event*/, const EventRecords& /*records*/) override {}
};

/// All series at one LSN.
struct StateView {
    Lsn lsn = 0;
    std::vector<SeriesView> series;  // by name
    ComponentViews components;
    /// Of the idempotency records that the last event finds young enough; nothing where not all of them have
    /// been read yet, or its time is not known.
    std::optional<RecordsDigest> records;

    /// Depends on the contents alone: see Digest. Idempotency records are not part of it: how long they live
    /// is an option. Epochs are not either: they say who wrote the history, and an import of the same
    /// contents begins one of its own.
    Digest digest(const Deadline& deadline) const;
    /// The part of it that is of no series.
    Digest digest_beside_series(const Deadline& deadline) const;
    /// Of who wrote the history.
    Digest digest_of_history() const;
    /// What a component holds.
    template <typename C>
    const typename C::View& of() const {
        return components.get<C>();
    }
};

/// A view that is being made: what is not of a series at once, the series some at a time, while events are
/// executed between. All of it is of one LSN.
struct ViewCollection {
    StateView view;  // its series: those that were collected, by name
    /// Of series that an event has changed before they were collected: as they were.
    std::vector<SeriesView> changed;
    std::string last_name;  // of the last one that was collected
    bool has_begun = false;
};

/// What takes time and can be known of a mutation without the state: it is made before the lock.
struct PreparedMutation {
    KeyHash key;  // where it has an idempotency key
    Fingerprint fingerprint;
    bool fingerprint_denied = false;  // the client says that it is another one
};

/// Prepares mutations; any number of these may be at work beside an engine. Not thread-safe itself.
class Preparer {
public:
    /// Whether a request has to be prepared: a keyed mutation, or a chunk of a stream.
    static bool concerns(const Request& request) noexcept;
    /// Prepares a request that it concerns for the engine with this seed; `now_ms` must be the time at which
    /// it will be executed.
    PreparedMutation prepare(const Request& request, std::uint64_t hash_seed, std::int64_t now_ms);
    /// Prepares what an event with an idempotency key has to be known by.
    PreparedMutation prepare(const Event& event, std::uint64_t hash_seed);

private:
    Fingerprinter fingerprinter_;
};

/// The state and the only place where commands become events. It owns no clock, thread or storage; it is not
/// thread-safe: who shares it holds a lock around every call.
class Engine {
public:
    /// `sink` outlives the engine. `hash_seed` should differ between databases and never be known to clients.
    Engine(std::uint64_t hash_seed, EventSink& sink, const IdempotencyRetention& retention = {});

    /// Answers a mutation or a query at the time `now_ms` (Unix milliseconds). A mutation that is refused
    /// leaves nothing behind; an accepted one is one event, of that time or of the last event's where that is
    /// later.
    Outcome execute(const Request& request, std::int64_t now_ms);

    /// The same for a request, a mutation, that was prepared for the same time.
    Outcome execute(const Request& request, const PreparedMutation& prepared, std::int64_t now_ms);

    /// Fetches the memory that executing the request will look at first.
    void prefetch(const PreparedMutation& prepared) const noexcept { idempotency().prefetch(prepared.key); }
    /// The same for requests about single counters: `prefetch_max` of them are worth it at once.
    void prefetch(std::span<const Request> requests) const noexcept;
    static constexpr std::size_t prefetch_max = 32;

    /// Applies an event of the log: what `execute` did when it accepted it. Series that a snapshot restored
    /// skip what they hold already. The idempotency record of the event is not made: it lies in storage.
    void apply(const Event& event);

    /// Applies the next event of another node's log and hands it to the sink, with all that follows from it:
    /// what that node's `execute` did. Throws CorruptionError, with nothing changed, when it is not the next
    /// one, and RefusedEvent when the state refuses it: then it is not the other node's.
    void replicate(const Event& event);

    Lsn last_lsn() const noexcept { return last_lsn_; }
    /// From any thread.
    std::uint64_t hash_seed() const noexcept { return hash_seed_.load(std::memory_order_relaxed); }
    std::size_t series_count() const noexcept { return series_.size(); }

    /// Keys of all series.
    std::uint64_t key_count() const noexcept { return keys_of_series_; }

    StateView view() const;
    /// Begins to make a view, which takes no longer the more series there are. One at a time: the one before
    /// is complete, or nobody wants it any more.
    std::shared_ptr<ViewCollection> begin_view();
    /// Collects up to `series_max` of its series. False once it is complete; its series are then to be put in
    /// order by `ordered`.
    bool collect_view(ViewCollection& collection, std::size_t series_max);
    /// Without a lock: the view of a collection that is complete.
    static StateView ordered(ViewCollection&& collection);
    /// Null where there is no such series.
    const Series* find_series(std::string_view name) const noexcept { return series_.find(name); }

    const Checkpoints& checkpoints() const noexcept { return components_->get<Checkpoints>(); }
    const IngestStreams& streams() const noexcept { return components_->get<IngestStreams>(); }
    const Epochs& epochs() const noexcept { return components_->get<EpochHistory>().all(); }
    const IdempotencyIndex& idempotency() const noexcept { return components_->get<IdempotencyIndex>(); }

    /// Puts back an idempotency record that lies in storage: in the order of their LSNs, before any request
    /// that `needs_records` is executed.
    void restore_record(const IdempotencyRecord& record);
    /// Forgets records that are too old, and gives back the memory of `max` forgotten ones. False when
    /// nothing is left to do. At the time of an event: a clock that is ahead, here or on another node, must
    /// not forget what an event finds elsewhere.
    bool sweep_records(std::size_t max, std::int64_t event_ms);
    /// The time of the last event, below which none that is accepted comes; the lowest number where it is
    /// not known.
    std::int64_t last_event_ms() const noexcept { return last_event_ms_; }
    /// Refuses requests that would make more series; 0: none. Events of other nodes are applied all the same.
    void set_series_max(std::size_t max) noexcept { series_max_ = max; }
    /// The same of ingest streams and their chunks, by their `IngestStreams::weight`.
    void set_streams_max(std::size_t max) noexcept { streams_max_ = max; }
    /// An event was applied in part when memory ended: this state is none that any log gives, and what that
    /// event has touched shows its LSN. Nothing more is to be executed, and no snapshot to be stored.
    bool is_half_changed() const noexcept { return is_half_changed_; }
    void restore_last_event_ms(std::int64_t time_ms) noexcept { last_event_ms_ = time_ms; }
    /// Idempotency records are not older than they would be at this time (Unix milliseconds), whatever the
    /// time of a request or event says. No limit by default.
    void limit_age(std::int64_t age_ms) noexcept { age_ms_ = age_ms; }
    void set_retention(const IdempotencyRetention& retention) { keys().set_retention(retention); }

    /// Series that dropping or replacing took out of the state since the last call: destroying a large one
    /// takes time that nobody should wait for.
    std::vector<std::unique_ptr<Series>> take_deferred() { return std::exchange(deferred_, {}); }
    bool has_deferred() const noexcept { return !deferred_.empty(); }

    /// Puts back what a snapshot holds. Before any event is applied.
    void restore_stream(StreamInfo info, std::unique_ptr<Series> staged);
    void restore_series(Series series);
    void restore_checkpoints(std::vector<reply::Checkpoint> checkpoints) {
        components_->get<Checkpoints>().restore(std::move(checkpoints));
    }
    /// What a view of all components holds, or of those without which the events of one series cannot be
    /// applied. Throws CorruptionError where that does not go with what was put back before.
    void restore_components(const ComponentViews& views, const TakeSeries& take_series) {
        components_->restore(views, take_series, false);
    }
    void restore_components_of_series(const ComponentViews& views, const TakeSeries& take_series) {
        components_->restore(views, take_series, true);
    }
    void restore_last_lsn(Lsn lsn) noexcept { last_lsn_ = lsn; }
    /// Says that the idempotency records of lower LSNs are forgotten, whether they are still stored or not.
    void restore_first_record_lsn(Lsn lsn) noexcept { keys().restore_first_live_lsn(lsn); }

    /// Gives this engine the state of another one, with its hash seed, and the other one this one's. The
    /// sinks stay where they are.
    void exchange_state(Engine& other) noexcept;

private:
    friend class Applier;
    friend class Decider;
    friend class FactChecker;
    friend class Querier;

    /// What a prepared mutation brings along; null for others.
    using Prepared = const PreparedMutation*;

    /// To be called before a series is changed, dropped or replaced.
    void keep_for_view(const Series& series) {
        if (collecting_ != nullptr) [[unlikely]] {
            keep_for_collection(series);
        }
    }
    void keep_for_collection(const Series& series);
    StateView view_beside_series() const;
    /// `key`: its idempotency key; empty where it has none.
    Outcome execute_mutation(const Mutation& command, std::int64_t now_ms, std::string_view key,
                             Prepared prepared);
    Outcome execute_keyed(const KeyedMutation& keyed, const PreparedMutation& prepared, std::int64_t now_ms);
    /// What a keyed request is answered with that was executed before.
    Outcome repeat(const Mutation& command, const IdempotencyIndex::Record& first, std::int64_t now_ms) const;
    /// Shows the totals in an outcome if the command asks for them: they are no part of the fact.
    void show_totals(const Mutation& command, std::int64_t now_ms, Outcome& outcome) const;
    /// The time of an event that follows from a command of this time.
    std::int64_t event_time(std::int64_t now_ms) const noexcept { return std::max(now_ms, last_event_ms_); }
    /// The time, in Unix seconds, at which a request or an event of this time finds idempotency records.
    std::int64_t records_unix(std::int64_t time_ms) const noexcept {
        return std::min(time_ms, age_ms_) / 1000;
    }
    /// Applies an event and gives it to the sink. `prepared` where it has an idempotency key.
    Reply record(const Event& event, Prepared prepared);
    Reply record_whole(const Event& event, Prepared prepared);
    void defer_free(std::unique_ptr<Series> series);
    IdempotencyIndex& keys() noexcept { return components_->get<IdempotencyIndex>(); }
    IngestStreams& open_streams() noexcept { return components_->get<IngestStreams>(); }
    /// The LSN that a reply must wait for which shows whether a series exists, or what it holds.
    Lsn wait_lsn(std::string_view series) const noexcept;

    std::atomic<std::uint64_t> hash_seed_;
    EventSink& sink_;
    SeriesTable series_;
    std::shared_ptr<ViewCollection> collecting_;  // null when no view is being made
    std::size_t series_max_ = 0;                  // 0: no limit
    std::size_t streams_max_ = 0;                 // 0: no limit
    bool is_half_changed_ = false;
    std::uint64_t keys_of_series_ = 0;  // in all of them
    std::unique_ptr<Components> components_;
    std::vector<std::unique_ptr<Series>> deferred_;
    Preparer preparer_;
    FactMemory fact_memory_;
    Lsn last_lsn_ = 0;
    std::int64_t last_event_ms_ = std::numeric_limits<std::int64_t>::min();
    std::int64_t age_ms_ = std::numeric_limits<std::int64_t>::max();
    Lsn catalog_lsn_ = 0;  // the last event that created or dropped a series
};

}  // namespace karma
