#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/epoch.h"
#include "engine/error.h"
#include "engine/event_selection.h"
#include "engine/mutation.h"
#include "engine/replication_statistics.h"
#include "engine/scan.h"
#include "engine/stats.h"

/// What requests are answered with. Replies own what they hold.
namespace karma::reply {

struct Ok {};
struct Pong {};
/// The `true` of an accepted deletion.
struct Deleted {};

struct Number {
    std::uint64_t value = 0;
};

/// An increment or a decrement, and what there is after it.
struct CounterTotals {
    std::uint64_t value = 0;
    std::uint64_t bucket_total = 0;
    std::uint64_t key_total = 0;
};

struct Added {
    std::uint64_t applied = 0;
    Uint128 total = 0;
};

/// How many items of a batch were set, or added across series.
struct Applied {
    std::uint64_t applied = 0;
};

/// The state of an ingest stream that was begun, now or before, or was committed before.
struct StreamBegun {
    std::string stream_id;
    IngestMode mode = IngestMode::add;
    std::optional<std::string> series;
    std::optional<std::string> granularity;
    bool already_committed = false;
    std::uint64_t last_chunk_seq = 0;
};

struct ChunkApplied {
    std::string stream_id;
    std::uint64_t chunk_seq = 0;
    std::uint64_t applied = 0;
    Uint128 total = 0;
};

/// A repeat.
struct ChunkSkipped {
    std::string stream_id;
    std::uint64_t chunk_seq = 0;
    bool committed = false;
};

struct StreamEnded {
    std::string stream_id;
    bool committed = false;  // or aborted
    std::uint64_t last_chunk_seq = 0;
};

struct Pruned {
    std::uint64_t deleted = 0;
};

struct BatchResetDone {
    std::uint64_t reset = 0;
    std::uint64_t missing = 0;
};

struct BatchDeleted {
    std::uint64_t deleted = 0;
    std::uint64_t missing = 0;
};

/// The part of a list that a reply contains.
struct PageOf {
    std::optional<std::size_t> limit;  // nothing: all of it was asked for
    std::string cursor;                // as it was asked for
    bool has_more = false;             // behind the items that are there
};

struct SeriesNames {
    std::vector<std::string> names;
    PageOf page = {};
    bool is_cut_short = false;  // at the bytes that a reply may have
};

struct Info {
    std::string series;
    SeriesTotals totals;
    std::uint64_t pages = 0;
};

struct Keys {
    std::string series;
    std::size_t limit = 0;
    std::optional<std::uint64_t> cursor;
    KeyPage page;
};

struct Top {
    std::string series;
    std::size_t limit = 0;
    std::vector<KeyValue> items;
};

struct SummaryOf {
    std::string series;
    std::optional<DayRange> range;
    Summary summary;
};

/// The points of every key in `keys`, read from the view when the reply is written.
struct AllPoints {
    SeriesView view;
    DayRange range;
    std::vector<std::uint64_t> keys;
};

struct PointList {
    std::vector<Point> points;
};

/// The sums of all keys of a series, by day.
struct BucketTotals {
    std::vector<DayTotal> totals;
};

struct Sums {
    std::vector<KeyValue> items;
};

struct NamedSum {
    std::string series;
    std::uint64_t key = 0;
    std::uint64_t value = 0;
};

struct NamedSums {
    std::vector<NamedSum> items;
};

struct Checkpoint {
    std::string source;
    std::optional<std::string> offset;
    std::optional<std::string> event_id;
    std::int64_t updated_at_unix = 0;
};

struct Checkpoints {
    std::vector<Checkpoint> checkpoints;  // by source
};

struct Health {
    std::string status;  // "ok", or what is wrong
    double uptime_seconds = 0;
    std::string role;
    bool wal_enabled = true;
    std::string discarded;  // by the operator's order since the start, and where it lies; empty: nothing
};

struct SnapshotOf {
    std::string series;
    std::string file;
    std::int64_t timestamp = 0;  // Unix seconds, those in the file's name
    std::uint64_t bytes = 0;
    Lsn last_lsn = 0;
};

/// The idempotency records and committed streams that belong to a snapshot of everything.
struct IdempotencySnapshot {
    std::int64_t timestamp = 0;
    Lsn last_lsn = 0;
    std::uint64_t records = 0;
    std::uint64_t committed_streams = 0;
    std::optional<std::uint64_t> bytes;  // of the file, where it has been made
};

/// Bytes of a file that need not be in memory as a whole.
class ByteSource {
public:
    ByteSource() = default;
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;
    virtual ~ByteSource() = default;

    /// Appends `count` bytes from `offset` on, which must be there. Throws RequestError.
    virtual void read(std::uint64_t offset, std::size_t count, std::string& out) const = 0;
};

/// A snapshot that is pinned until the export ends. Its file `contents` lists the others.
struct ExportBegun {
    std::string id;
    Lsn lsn = 0;
    std::int64_t timestamp = 0;  // Unix seconds
    std::uint64_t series = 0;
    std::string contents;
    std::uint64_t contents_bytes = 0;
};

/// A file of an export.
struct ExportFile {
    std::string name;
};

/// A file of a snapshot, or a part of it; read when the reply is written.
struct FileBytes {
    std::variant<SnapshotOf, IdempotencySnapshot, ExportFile> about;
    std::shared_ptr<const ByteSource> source;
    std::uint64_t total = 0;   // bytes of the file
    std::uint64_t offset = 0;  // at the end or before it
    std::uint64_t limit = 0;   // 0: it was asked for as a whole
};

struct ReplicationStatus {
    std::string role;
    bool wal_enabled = true;
    Lsn wal_current_lsn = 0;
    std::uint64_t wal_bytes = 0;
    std::vector<Metric> replication;  // by their names in system.stats
    Lsn last_snapshot_lsn = 0;
    std::vector<SnapshotOf> latest_snapshots;  // of each series, the newest first
    Checkpoints recovery;
    std::uint64_t epoch = 0;
    bool fenced = false;
    std::string alarm;   // empty while all is well
    std::string source;  // the master's address; empty without one
    std::string state;   // of following it
    std::vector<FollowerStatistics> followers;
    std::vector<CountedStatistics> counted;
    DatabaseId database_id;  // may be not known
    NodeId node_id = 0;
    std::string discarded;  // by the operator's order since the start, and where it lies; empty: nothing
    PageOf page = {};       // of the latest snapshots
};

/// Events of the log, as the groups that hold them.
struct LogEntries {
    Lsn after_lsn = 0;
    std::size_t limit = 0;
    Lsn source_lsn = 0;               // the last event when it was asked
    std::vector<std::string> groups;  // see read_event_group; they reach to source_lsn or past the limit
    bool truncated = false;           // unless they were too many bytes
    bool shows_idempotency_keys = true;
};

/// Events that a filter lets through.
struct Events {
    Lsn after_lsn = 0;
    std::size_t limit = 0;
    Lsn first_lsn = 0;      // the first event that is kept
    Lsn last_lsn = 0;       // the last event when it was asked
    EventSelection found;   // one more than `limit` at most: then there are more than these
    Lsn searched_lsn = 0;   // up to here the log was searched
    bool complete = false;  // and there is nothing more to be found
    bool shows_idempotency_keys = true;
};

struct SnapshotNames {
    std::vector<std::string> files;  // newest first
    PageOf page = {};
};

struct SnapshotInfo {
    std::uint64_t count = 0;
    std::vector<SnapshotOf> latest;  // of each series, the newest first
    std::optional<IdempotencySnapshot> idempotency;
    Lsn last_snapshot_lsn = 0;
    bool wal_enabled = true;
    std::uint64_t wal_bytes = 0;
    Lsn wal_current_lsn = 0;
    unsigned retained = 0;
    PageOf page = {};  // of `latest`
};

/// The state was rebuilt from storage and is equal to the live one.
struct Verified {
    std::uint64_t snapshots = 0;  // of single series, read back
    std::uint64_t series = 0;
    std::uint64_t keys = 0;
    Lsn snapshot_lsn = 0;      // from which the log was applied
    std::uint64_t events = 0;  // of the log, applied
    Lsn last_lsn = 0;
    std::string digest;
};

struct SnapshotSaved {
    std::string series;
};

/// This node is the master of a new epoch.
struct Promoted {
    Epoch epoch;
    std::vector<std::string> without_promise;  // nodes that were asked and did not answer
};

/// The answer to a node that wants to begin an epoch.
struct PromiseAnswer {
    bool is_given = false;  // or would be
    std::string why_not;    // where it is not
    Epoch known_epoch;      // of who answers, after it
    Epoch last_epoch;       // of its history
    Lsn lsn = 0;            // its last event; it acknowledges nothing after that to an earlier master
    NodeId node_id = 0;
};

struct FollowerForgotten {
    NodeId node_id = 0;
    std::string name;
};

/// The answer to the announcement of an epoch.
struct FenceAnswer {
    std::string role;  // after it
    Epoch epoch;       // the latest one that it knows
};

struct HistoryPosition {
    Lsn lsn = 0;
    std::optional<std::uint32_t> checksum;
    Lsn first_kept_lsn = 0;
    Lsn last_lsn = 0;
    Epochs epochs;
};

/// The nodes have the same state.
struct DigestsCompared {
    Lsn lsn = 0;
    std::string digest;
    std::vector<std::string> with;  // the nodes
};

struct SeriesLoaded {
    std::string series;
};

/// All statistics, as an object.
struct StatsList {
    std::vector<Metric> metrics;
};

/// The same as Prometheus text.
struct MetricsText {
    std::vector<Metric> metrics;
};

}  // namespace karma::reply

namespace karma {

/// A large and rare reply, held by a pointer, so that the common ones stay small.
template <typename Large>
class Boxed {
public:
    Boxed(Large large)  // NOLINT(google-explicit-constructor): it is one
        : large_(std::make_shared<const Large>(std::move(large))) {}
    const Large& operator*() const noexcept { return *large_; }
    const Large* operator->() const noexcept { return large_.get(); }

private:
    std::shared_ptr<const Large> large_;
};

using Reply = std::variant<
    Error, reply::Ok, reply::Pong, reply::Deleted, reply::Number, reply::CounterTotals, reply::Added,
    reply::Applied, reply::BatchResetDone, reply::BatchDeleted, reply::SeriesNames, reply::Info, reply::Keys,
    reply::Top, reply::SummaryOf, reply::AllPoints, reply::PointList, reply::BucketTotals, reply::Sums,
    reply::NamedSums, reply::StreamBegun, reply::ChunkApplied, reply::ChunkSkipped, reply::StreamEnded,
    reply::Pruned, reply::Checkpoint, reply::Checkpoints, reply::Health, Boxed<reply::ReplicationStatus>,
    reply::LogEntries, reply::Events, reply::SnapshotNames, Boxed<reply::SnapshotInfo>, reply::Verified,
    reply::SnapshotSaved, reply::SeriesLoaded, reply::FileBytes, reply::StatsList, reply::MetricsText,
    reply::Promoted, reply::FenceAnswer, reply::PromiseAnswer, reply::FollowerForgotten,
    reply::HistoryPosition, reply::DigestsCompared, Boxed<reply::ExportBegun>>;

/// The kind of a task. It decides which threads run the task, how long it may take, and whether the requests
/// behind it may be executed before it has run.
enum class TaskKind : std::uint8_t {
    /// Reads a view, or up to an LSN, that was fixed when the request was executed: requests behind it may be
    /// executed before it has run. Bound by the query timeout.
    query,
    /// Takes its view, or does its work, when it runs: the request `ends_batch` (engine/executor.h). May take
    /// as
    /// long as it needs, is cancelled when the process stops.
    administration,
    /// The same for the role of this node: takes a short time, and never waits for tasks of the other kinds.
    control,
};

/// What a task waits for before it runs: an event after this one that is durable, or so much time.
struct EventWait {
    Lsn after_lsn = 0;
    std::chrono::milliseconds time_max{0};
};

/// The rest of a request that takes long. It runs once, on any thread, without any lock.
class Task {
public:
    Task() = default;
    Task(const Task&) = delete;
    Task& operator=(const Task&) = delete;
    virtual ~Task() = default;

    virtual TaskKind kind() const = 0;

    /// About how many bytes it reads: decides whether passing a query to another thread is worth it.
    virtual std::size_t cost_bytes() const = 0;

    /// Nothing: it runs at once. To wait is up to who runs it; one that does not finds what is there.
    virtual std::optional<EventWait> event_wait() const { return std::nullopt; }

    /// Throws RequestError, and StorageError if it stores something.
    virtual Reply run(const Deadline& deadline) = 0;
};

/// Whether a request had an idempotency key, and was the first one with it.
enum class Deduplication : std::uint8_t { no_key, first, repeat };

/// The reply to a request, or the task that makes it. The reply may be sent when everything up to `wait_lsn`
/// is durable: before that it would show what a crash can take back.
struct Outcome {
    std::variant<Reply, std::unique_ptr<Task>> result;
    Lsn wait_lsn = 0;
    Deduplication deduplication = Deduplication::no_key;
    /// If it is not 0, enough followers must have everything up to this LSN, too.
    Lsn ack_lsn = 0;
};

}  // namespace karma
