#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <variant>

#include "engine/history_point.h"
#include "engine/identity.h"
#include "engine/mutation.h"
#include "engine/number.h"
#include "engine/period.h"

/// Questions: nothing changes. Texts and spans are borrowed from whoever made the request.
///
/// Queries with an `as_of` can be asked as of a point: an engine knows only the present, its owner answers
/// them from what is stored.
namespace karma::query {

/// A page of a list: `limit` items after the one that the cursor names.
struct Page {
    std::optional<std::size_t> limit;  // nothing: all of the list, as far as a reply holds it
    std::string_view cursor;           // the last item of the page before; empty: from the beginning

    bool is_asked() const noexcept { return limit.has_value(); }
};

struct Ping {};
struct Health {};

struct ListSeries {
    Page page;
    std::size_t bytes_max = 0;  // names of more than this need not be given: no reply holds them; 0: all
};

struct SeriesInfo {
    std::string_view series;
};

struct SeriesKeys {
    std::string_view series;
    std::size_t limit = 100;
    std::optional<std::uint64_t> cursor;
};

struct SeriesTop {
    std::string_view series;
    std::size_t limit = 50;
    std::optional<Period> range;
    std::optional<HistoryPoint> as_of = {};
};

struct SeriesSummary {
    std::string_view series;
    std::optional<Period> range;
    std::optional<HistoryPoint> as_of = {};
};

/// All buckets of all keys in the range.
struct SeriesPoints {
    std::string_view series;
    Period range;
};

/// The sums of all keys, bucket by bucket.
struct BucketTotals {
    std::string_view series;
    Period range;
    std::optional<HistoryPoint> as_of = {};
};

struct Sum {
    std::string_view series;
    std::uint64_t key = 0;
    std::optional<Period> range;
    std::optional<HistoryPoint> as_of = {};
};

/// The buckets of one key.
struct Points {
    std::string_view series;
    std::uint64_t key = 0;
    Period range;
    std::optional<HistoryPoint> as_of = {};
};

struct BatchSum {
    std::string_view series;
    std::span<const std::uint64_t> keys;
    std::optional<Period> range;
    std::optional<HistoryPoint> as_of = {};
};

struct SeriesKey {
    std::string_view series;
    std::uint64_t key = 0;
};

struct MultiSum {
    std::span<const SeriesKey> items;
    std::optional<Period> range;
};

struct Checkpoints {
    std::optional<std::string_view> source;
};

/// `page` is that of the latest snapshots.
struct ReplicationStatus {
    Page page;
};

/// Events of the log above an LSN.
struct LogEntries {
    Lsn after_lsn = 0;
    std::size_t limit = 1'000;
    bool shows_idempotency_keys = true;  // false for who may only read, as in the requests below
};

/// Events of the log above an LSN, as far as a filter lets them through.
struct Events {
    std::optional<Lsn> after_lsn;  // none: from the first that is kept
    std::size_t limit = 100;
    std::optional<std::string_view> series;
    std::optional<std::uint64_t> key;
    std::optional<std::int64_t> from_ms;  // Unix milliseconds, inclusive, as is the next one
    std::optional<std::int64_t> to_ms;
    /// So long a server waits for the first event above the LSN, whatever the filter says of it; 0: not at
    /// all. Who embeds a database gets what is there.
    std::chrono::milliseconds wait{0};
    bool shows_idempotency_keys = true;
};

/// The file names of the snapshots that are kept.
struct Snapshots {
    Page page;
};

/// `page` is that of the latest snapshots.
struct SnapshotInfo {
    Page page;
};

/// A part of the file of a snapshot.
struct FetchSnapshot {
    std::string_view file;
    std::uint64_t offset = 0;
    std::uint64_t limit = 0;  // bytes; 0: the whole file, as snapshot.fetch gives it
};

/// The same of the file of idempotency records of a snapshot of everything.
struct FetchRecords {
    std::uint64_t offset = 0;
    std::uint64_t limit = 0;
    /// The snapshot's LSN. Without it: the latest one, and behind the beginning of the file the one whose
    /// file is being fetched up to this offset.
    std::optional<Lsn> last_lsn = {};
};

/// Pins a snapshot of everything and its records, to be fetched file by file.
struct BeginExport {
    std::optional<std::string_view> series;  // only this one
    bool is_new = true;                      // a snapshot of the present state; false: the latest one
    bool shows_idempotency_keys = true;      // false: without idempotency records
};

struct FetchExport {
    std::string_view export_id;
    std::string_view file;
    std::uint64_t offset = 0;
    std::uint64_t limit = 0;
    bool shows_idempotency_keys = true;
};

struct EndExport {
    std::string_view export_id;
};

/// Where an event lies in this history, the last one by default.
struct HistoryPositionAt {
    std::optional<Lsn> lsn;
};

/// Whether followers, or the master, have the same state as this node.
struct CompareDigests {};

/// Whether what is stored gives the live state.
struct VerifySnapshots {};

struct Stats {};
struct Metrics {};

}  // namespace karma::query

/// Orders to the database that change no counter.
namespace karma::control {

struct SaveSnapshot {
    std::string_view series;
};

struct SaveAllSnapshots {};

/// Gives a series the contents of a snapshot, named as in the list of snapshots.
struct LoadSnapshot {
    std::string_view file;
};

/// The result of a comparison with another source of the data: counted in the statistics.
struct ReportReconciliation {
    std::uint64_t checked_points = 0;
    std::uint64_t mismatches = 0;
    std::uint64_t absolute_drift = 0;
    std::uint64_t max_abs_delta = 0;
};

/// Makes a follower a master.
struct Promote {
    bool is_forced = false;  // whatever others have promised; of a fenced node as well
};

/// The question of a follower that wants to be master to another one: docs/replication-protocol.md, R7.
struct Promise {
    std::uint64_t epoch = 0;  // that it wants to begin; 0: it only asks what would be answered
    std::uint64_t epoch_id = 0;
    DatabaseId database_id;
    NodeId node_id = 0;            // of who asks
    std::uint64_t silence_ms = 0;  // after which it takes the master for lost
    bool is_ordered = false;       // by an operator: the master may have been heard
};

/// Removes a follower from those whose acknowledgements count.
struct ForgetFollower {
    NodeId node_id = 0;     // 0: named by
    std::string_view name;  // empty: not known
};

/// Announces an epoch, and the address of the node that began it.
struct Fence {
    std::uint64_t number = 0;
    std::uint64_t id = 0;
    DatabaseId database_id;      // of whose history it is; may be not known
    NodeId node_id = 0;          // of who began it; 0: not known
    std::string_view name = {};  // of that node
    /// Empty if the sender does not name it: the connection then fills in the sender's own address.
    std::string_view host = {};
    std::uint16_t port = 0;  // on which that node can be asked; 0: not known
};

/// Makes the connection a stream of events; the fields describe the follower. The owner of the connection
/// handles it.
struct Subscribe {
    std::uint64_t format = 0;
    std::string_view name;  // of the follower, for people
    Lsn after_lsn = 0;
    std::optional<std::uint64_t> checksum;  // of the event there
    std::span<const std::uint64_t> epochs;  // number, id and first LSN of each
    std::uint64_t epochs_skipped = 0;       // earlier ones
    std::span<const std::uint64_t> marks;   // LSN and checksum of each, the latest first
    std::uint64_t heartbeat_ms = 1000;
    DatabaseId database_id;
    NodeId node_id = 0;
    std::uint64_t known_epoch = 0;
    std::uint64_t known_epoch_id = 0;
    bool is_empty = false;
    bool syncs = false;         // what it acknowledges is on its disk
    std::uint16_t port = 0;     // on which it can be asked; 0: not known
    bool fails_over = false;    // it may promote itself
    bool stores_lists = false;  // of counted followers, and confirms them
    std::string_view order;     // of its operator, to replace what it has; empty: none
};

}  // namespace karma::control

namespace karma {

/// A mutation that may be sent again and is executed once: a repeat gets the first one's response. On the
/// ten mutations that have an `Operation` and are no part of an ingest stream.
struct KeyedMutation {
    const Mutation* body = nullptr;  // borrowed
    std::string_view key;            // 1 to 256 bytes
    std::string_view fingerprint;    // what the client says that the request's is; empty: nothing
};

using Request =
    std::variant<Mutation, KeyedMutation, query::Ping, query::Health, query::ListSeries, query::SeriesInfo,
                 query::SeriesKeys, query::SeriesTop, query::SeriesSummary, query::SeriesPoints,
                 query::BucketTotals, query::Sum, query::Points, query::BatchSum, query::MultiSum,
                 query::Checkpoints, query::ReplicationStatus, query::LogEntries, query::Events, query::Stats,
                 query::Metrics, query::Snapshots, query::SnapshotInfo, query::VerifySnapshots,
                 query::FetchSnapshot, query::FetchRecords, control::SaveSnapshot, control::SaveAllSnapshots,
                 control::LoadSnapshot, control::ReportReconciliation, control::Promote, control::Promise,
                 control::ForgetFollower, control::Fence, control::Subscribe, query::HistoryPositionAt,
                 query::CompareDigests, query::BeginExport, query::FetchExport, query::EndExport>;

}  // namespace karma
