#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <type_traits>

#include "engine/reply.h"
#include "engine/request.h"

namespace karma {

/// Whether a request can be executed only after all idempotency records were read.
inline bool needs_records(const Request& request) noexcept {
    if (const auto* const mutation = std::get_if<Mutation>(&request)) {
        return std::holds_alternative<mutation::PruneRecords>(*mutation);
    }
    return std::holds_alternative<KeyedMutation>(request);
}

/// Whether a request ends its batch: nothing behind it on its connection is executed before it is done,
/// because its task is not a `TaskKind::query`.
template <typename Body>
inline constexpr bool ends_batch_v =
    std::is_same_v<Body, control::SaveSnapshot> || std::is_same_v<Body, control::SaveAllSnapshots> ||
    std::is_same_v<Body, control::LoadSnapshot> || std::is_same_v<Body, control::Promote> ||
    std::is_same_v<Body, control::Fence> || std::is_same_v<Body, control::Promise> ||
    std::is_same_v<Body, control::ForgetFollower> || std::is_same_v<Body, query::VerifySnapshots> ||
    std::is_same_v<Body, query::FetchSnapshot> || std::is_same_v<Body, query::FetchRecords> ||
    std::is_same_v<Body, query::BeginExport> || std::is_same_v<Body, query::FetchExport> ||
    std::is_same_v<Body, query::CompareDigests> || std::is_same_v<Body, query::HistoryPositionAt>;

namespace detail {

template <typename... Bodies>
constexpr std::array<bool, sizeof...(Bodies)> ends_batch_table(const std::variant<Bodies...>* /*of*/) {
    return {ends_batch_v<Bodies>...};
}

}  // namespace detail

inline bool ends_batch(const Request& request) noexcept {
    constexpr auto table = detail::ends_batch_table(static_cast<const Request*>(nullptr));
    return table[request.index()];
}

/// Whether the reply to a request may be much larger than the request, and is made while it is executed. A
/// batch has at most one such request, because all replies of a batch are made before any of them is sent.
template <typename Body>
inline constexpr bool makes_large_reply_v =
    std::is_same_v<Body, query::Points> || std::is_same_v<Body, query::ListSeries> ||
    std::is_same_v<Body, query::Checkpoints> || std::is_same_v<Body, query::ReplicationStatus> ||
    std::is_same_v<Body, query::Snapshots> || std::is_same_v<Body, query::SnapshotInfo> ||
    std::is_same_v<Body, query::Stats> || std::is_same_v<Body, query::Metrics>;

namespace detail {

template <typename... Bodies>
constexpr std::array<bool, sizeof...(Bodies)> makes_large_reply_table(const std::variant<Bodies...>* /*of*/) {
    return {makes_large_reply_v<Bodies>...};
}

}  // namespace detail

inline bool makes_large_reply(const Request& request) noexcept {
    constexpr std::int64_t days_max = 36'525;  // of a counter: a reply of more points is large
    constexpr auto table = detail::makes_large_reply_table(static_cast<const Request*>(nullptr));
    if (!table[request.index()]) {
        return false;
    }
    const auto* const points = std::get_if<query::Points>(&request);
    return points == nullptr || points->range.day_count_max() > days_max;
}

/// The error in place of the reply to a mutation whose history may not be continued.
inline constexpr const char* generation_ended_text =
    "This node's role has changed since: this may or may not be counted. Send it again, with its idempotency "
    "key, to the node that is master now";

/// The error in place of the reply to a mutation when too few followers have its event in time.
inline constexpr const char* not_acked_text =
    "This is stored on the master and not yet on enough followers: it stays, and is on them when they have "
    "caught up";

/// The interface of a database that a server needs. Thread-safe.
class Executor {
public:
    Executor() = default;
    Executor(const Executor&) = delete;
    Executor& operator=(const Executor&) = delete;
    virtual ~Executor() = default;

    /// Executes requests in order, each seeing the effect of those before it; outcomes[i] answers
    /// requests[i]. The spans are equally long. A request that `ends_batch` is the last of its span, and the
    /// caller executes the next span after its task has run. Never waits for storage: see `commit`. What the
    /// requests borrow may be freed when this returns.
    virtual void execute(std::span<const Request> requests, std::span<Outcome> outcomes) = 0;

    /// Starts the commit of accepted mutations. The caller calls it after one or more `execute`, when it has
    /// no further requests at hand, if the `wait_lsn` of any outcome was not durable. Commits before it
    /// returns if that is quicker than waking another thread. True when durable_lsn has risen.
    virtual bool commit() { return false; }

    /// False while the idempotency records are still being read after the start: a request that
    /// `needs_records` must not be executed then. Durable listeners are called when it changes.
    virtual bool has_records() const noexcept { return true; }

    /// The statistics that the server updates. Outlives the server.
    virtual Stats& stats() noexcept = 0;

    /// False for a follower, which answers queries only, and for a fenced node.
    virtual bool accepts_writes() const noexcept = 0;

    /// How long the reply to a mutation waits until enough followers have its event, before it becomes a
    /// `replication_error`; nothing if it does not wait.
    virtual std::optional<std::chrono::milliseconds> ack_timeout() const noexcept { return std::nullopt; }

    /// Enough followers have everything up to this event. Durable listeners are called when it changes.
    virtual Lsn acked_lsn() const noexcept { return std::numeric_limits<Lsn>::max(); }

    /// A number that changes each time that the role of this node changes or another history is put in place.
    /// A reply to a mutation that was executed in an earlier generation will never be acknowledged:
    /// `durable_lsn` and `acked_lsn` say nothing about it any more, and it becomes a `replication_error`
    /// (generation_ended_text). Durable listeners are called when it changes.
    virtual std::uint64_t generation() const noexcept { return 0; }

    /// Everything up to this event is durable, as far as the options ask for it.
    virtual Lsn durable_lsn() const noexcept = 0;

    /// True once the log could not be written: no pending reply will become durable any more, and every
    /// mutation is refused with `internal_error`.
    virtual bool has_failed() const noexcept = 0;

    /// `listener` is called, from another thread, each time that durable_lsn, acked_lsn, generation,
    /// has_failed or has_records has changed; it must be quick. Returns a number for `remove_listener`, after
    /// which it is not called any more.
    virtual int add_durable_listener(std::function<void()> listener) = 0;
    virtual void remove_durable_listener(int number) = 0;
};

}  // namespace karma
