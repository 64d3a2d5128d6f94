#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/event.h"
#include "engine/reply.h"
#include "engine/request.h"
#include "engine/series.h"

namespace karma {

/// Takes the events of accepted mutations, in order, before they are applied. Must not throw.
class EventSink {
public:
    EventSink() = default;
    EventSink(const EventSink&) = delete;
    EventSink& operator=(const EventSink&) = delete;
    virtual ~EventSink() = default;

    virtual void accept(const Event& event) = 0;
};

/// All series at one LSN.
struct StateView {
    Lsn lsn = 0;
    std::vector<SeriesView> series;  // by name
    std::vector<reply::Checkpoint> checkpoints;

    /// Depends on the state alone: see Digest.
    Digest digest(const Deadline& deadline) const;
};

/// The state and the only place where commands become events. It owns no clock, thread or storage; it is not
/// thread-safe: who shares it holds a lock around every call.
class Engine {
public:
    /// Sources of recovery.checkpoint that are kept.
    static constexpr std::size_t checkpoints_max = 10'000;

    /// `sink` outlives the engine. `hash_seed` should differ between databases and never be known to clients.
    Engine(std::uint64_t hash_seed, EventSink& sink);

    /// Answers a mutation or a query at the time `now_ms` (Unix milliseconds). A mutation that is refused
    /// leaves nothing behind; an accepted one is one event.
    Outcome execute(const Request& request, std::int64_t now_ms);

    /// Applies an event of the log: what `execute` did when it accepted it. Series that a snapshot restored
    /// skip what they hold already.
    void apply(const Event& event);

    Lsn last_lsn() const noexcept { return last_lsn_; }
    std::uint64_t hash_seed() const noexcept { return hash_seed_; }
    std::size_t series_count() const noexcept { return series_.size(); }

    /// Keys of all series.
    std::uint64_t key_count() const noexcept;

    StateView view() const;
    /// Null where there is no such series.
    const Series* find_series(std::string_view name) const noexcept;
    std::vector<reply::Checkpoint> checkpoints() const;
    bool has_room_for_checkpoint(std::string_view source) const noexcept {
        return checkpoints_.size() < checkpoints_max || checkpoints_.contains(source);
    }

    /// Puts back what a snapshot holds. Before any event is applied.
    void restore_series(Series series);
    void restore_checkpoints(std::vector<reply::Checkpoint> checkpoints);
    void restore_last_lsn(Lsn lsn) noexcept { last_lsn_ = lsn; }

private:
    friend class Applier;
    friend class Querier;

    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };

    Outcome execute_mutation(Mutation body, std::int64_t now_ms);
    Series* find_mutable(std::string_view name) noexcept;
    /// The LSN that a reply must wait for which shows whether a series exists, or what it holds.
    Lsn wait_lsn(std::string_view series) const noexcept;

    std::uint64_t hash_seed_;
    EventSink& sink_;
    std::unordered_map<std::string, std::unique_ptr<Series>, Hash, std::equal_to<>> series_;
    std::map<std::string, reply::Checkpoint, std::less<>> checkpoints_;
    Lsn last_lsn_ = 0;
    Lsn catalog_lsn_ = 0;      // the last event that created or dropped a series
    Lsn checkpoints_lsn_ = 0;  // the last event that saved a checkpoint
};

}  // namespace karma
