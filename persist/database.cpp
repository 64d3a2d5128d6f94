#include "persist/database.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <limits>
#include <random>

#include "engine/event_codec.h"
#include "engine/querier.h"
#include "persist/memory_storage.h"
#include "persist/rocksdb_storage.h"
#include "persist/statistics.h"

namespace karma {
namespace {

constexpr const char* hash_seed_key = "hash_seed";

std::int64_t machine_clock_ms() {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               std::chrono::system_clock::now().time_since_epoch())
        .count();
}

/// The seed that this database was created with; a new database gets one that no client knows.
std::uint64_t hash_seed_of(Storage& storage) {
    if (const std::optional<std::string> stored = storage.read(Table::meta, hash_seed_key)) {
        std::uint64_t seed = 0;
        const auto [end, failure] = std::from_chars(stored->data(), stored->data() + stored->size(), seed);
        if (failure != std::errc{} || end != stored->data() + stored->size()) {
            throw CorruptionError("the database's hash seed is not a number");
        }
        return seed;
    }
    std::random_device device;
    const std::uint64_t seed = (std::uint64_t{device()} << 32U) | device();
    const RecordChange change{Table::meta, hash_seed_key, std::to_string(seed)};
    storage.write(std::span(&change, 1), true);
    return seed;
}

Error log_failed() {
    return {ErrorCode::internal_error,
            "The event log could not be written: nothing is accepted until the daemon is restarted"};
}

template <typename Body>
constexpr bool is_control =
    std::is_same_v<Body, control::SaveSnapshot> || std::is_same_v<Body, control::SaveAllSnapshots> ||
    std::is_same_v<Body, control::ReportReconciliation>;

}  // namespace

/// Stores a snapshot of a view that was pinned when it was asked for.
class SnapshotTask final : public Task {
public:
    SnapshotTask(Database& database, StateView all) : database_(database), all_(std::move(all)) {}
    SnapshotTask(Database& database, SeriesView one) : database_(database), one_(std::move(one)) {}

    std::size_t cost_bytes() const override { return std::numeric_limits<std::size_t>::max(); }

    Reply run(const Deadline& /*deadline*/) override {
        const Lsn lsn = one_ ? one_->lsn() : all_.lsn;
        if (database_.committer_ && !database_.committer_->wait_durable(lsn)) {
            return log_failed();
        }
        const unsigned retained = database_.options_.snapshots_retained;
        if (one_) {
            database_.snapshots_.save_series(*one_, database_.now_ms(), retained);
            return reply::SnapshotSaved{one_->name()};
        }
        database_.snapshots_.save_all(all_, database_.now_ms(), retained);
        return reply::Ok{};
    }

private:
    Database& database_;
    StateView all_;
    std::optional<SeriesView> one_;
};

std::unique_ptr<Database> Database::open(const DatabaseOptions& options) {
    auto directory = std::make_unique<DataDirectory>(options.directory);
    std::unique_ptr<Storage> storage;
    std::string aside;
    if (options.storage == StorageKind::memory) {
        storage = std::make_unique<MemoryStorage>();
    } else {
        if (!options.restore) {
            aside = directory->set_aside(std::to_string(machine_clock_ms() / 1000)).string();
        }
        storage = std::make_unique<RocksdbStorage>(
            RocksdbStorage::Options{directory->database(), options.wal_segment_bytes, nullptr});
    }
    Storage* const raw = storage.get();
    std::unique_ptr<Database> database(new Database(options, std::move(directory), std::move(storage), raw));
    if (!aside.empty()) {
        database->restore_summary_ +=
            "; --restore=false: the earlier database was left untouched as " + aside;
    }
    return database;
}

std::unique_ptr<Database> Database::open(const DatabaseOptions& options, Storage& storage) {
    return std::unique_ptr<Database>(new Database(options, nullptr, nullptr, &storage));
}

Database::Database(const DatabaseOptions& options, std::unique_ptr<DataDirectory> directory,
                   std::unique_ptr<Storage> owned, Storage* storage)
    : options_(options),
      directory_(std::move(directory)),
      owned_storage_(std::move(owned)),
      storage_(*storage),
      engine_(hash_seed_of(*storage), *this),
      snapshots_(*storage) {
    if (!options_.clock_ms) {
        options_.clock_ms = machine_clock_ms;
    }
    opened_ms_ = now_ms();
    restore();
    if (options_.wal) {
        if (engine_.last_lsn() >= storage_.next_lsn()) {
            // What was accepted without a log is in no log: the log can only go on after a snapshot of
            // everything.
            snapshots_.save_all(engine_.view(), now_ms(), options_.snapshots_retained);
        }
        storage_.skip_to(engine_.last_lsn() + 1);
        committer_ = std::make_unique<GroupCommitter>(
            storage_, mutex_,
            GroupCommitter::Options{options_.wal_fsync, options_.wal_batch_size, options_.wal_batch_wait_us});
    }
}

Database::~Database() = default;

void Database::restore() {
    const Lsn snapshot_lsn = snapshots_.restore(engine_);
    std::uint64_t events = 0;
    Lsn expected = snapshot_lsn + 1;
    storage_.read_log(expected, [&](const EventGroup& group) {
        if (group.first_lsn > expected) {
            throw CorruptionError("event log: the events from LSN " + std::to_string(expected) + " to " +
                                  std::to_string(group.first_lsn - 1) + " are missing");
        }
        const EventGroupInfo info = read_event_group(group.bytes, [&](const Event& event) {
            if (event.lsn == expected) {
                engine_.apply(event);
                ++expected;
                ++events;
            }
        });
        if (info.first_lsn != group.first_lsn || info.count != group.count) {
            throw CorruptionError("event log: the group at LSN " + std::to_string(group.first_lsn) +
                                  " does not hold the events that its key says");
        }
        return true;
    });
    // Without a log a snapshot of one series may be ahead of everything else.
    engine_.restore_last_lsn(std::max(engine_.last_lsn(), snapshots_.last_lsn()));
    restore_summary_ = "restored " + std::to_string(engine_.series_count()) + " series: snapshot at LSN " +
                       std::to_string(snapshot_lsn) + ", then " + std::to_string(events) +
                       " events; last LSN " + std::to_string(engine_.last_lsn());
}

void Database::accept(const Event& event) {
    if (committer_) {
        committer_->add(event);
    }
}

void Database::execute(std::span<const Request> requests, std::span<Outcome> outcomes) {
    const std::int64_t now = now_ms();
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < requests.size(); ++i) {
        outcomes[i] = execute_one(requests[i], now);
        const Reply* const reply = std::get_if<Reply>(&outcomes[i].result);
        if (reply == nullptr || !std::holds_alternative<Error>(*reply)) {
            count_request(requests[i], stats_);
        }
    }
}

bool Database::commit() {
    if (!committer_) {
        return false;
    }
    if (committer_->prefers_commit_here()) {
        return committer_->commit_here();
    }
    const std::lock_guard lock(mutex_);
    committer_->flush();
    return false;
}

Outcome Database::execute_one(const Request& request, std::int64_t now) {
    return std::visit(
        [&](const auto& body) -> Outcome {
            using Body = std::decay_t<decltype(body)>;
            if constexpr (std::is_same_v<Body, Mutation> || is_control<Body>) {
                if (has_failed()) {
                    return {Reply(log_failed()), 0};
                }
                if (options_.read_only) {
                    return {
                        Reply(Error{ErrorCode::forbidden, "Slave role cannot execute commands that write"}),
                        0};
                }
            }
            if constexpr (std::is_same_v<Body, query::Ping>) {
                return {Reply(reply::Pong{}), 0};
            } else if constexpr (std::is_same_v<Body, query::Health>) {
                return {Reply(health()), 0};
            } else if constexpr (std::is_same_v<Body, query::ReplicationStatus>) {
                return {Reply(replication_status()), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::Stats>) {
                return {Reply(reply::StatsList{metrics()}), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, query::Metrics>) {
                return {Reply(reply::MetricsText{metrics()}), engine_.last_lsn()};
            } else if constexpr (std::is_same_v<Body, control::ReportReconciliation>) {
                count_reconciliation(body, static_cast<std::uint64_t>(now / 1000), stats_);
                return {Reply(reply::Ok{}), 0};
            } else if constexpr (std::is_same_v<Body, control::SaveSnapshot>) {
                return save_snapshot_later(body.series);
            } else if constexpr (std::is_same_v<Body, control::SaveAllSnapshots>) {
                return save_snapshot_later(std::nullopt);
            } else {
                return engine_.execute(request, now);
            }
        },
        request);
}

Outcome Database::save_snapshot_later(std::optional<std::string_view> series) {
    if (!series) {
        return {std::unique_ptr<Task>(std::make_unique<SnapshotTask>(*this, engine_.view())),
                engine_.last_lsn()};
    }
    const Series* const found = engine_.find_series(*series);
    if (found == nullptr) {
        return {Reply(series_not_found(*series)), engine_.last_lsn()};
    }
    return {std::unique_ptr<Task>(std::make_unique<SnapshotTask>(*this, found->view())), found->last_lsn()};
}

reply::Health Database::health() const {
    const std::string status = has_failed() ? "failed: " + committer_->failure() : "ok";
    return {status, static_cast<double>(now_ms() - opened_ms_) / 1000.0,
            options_.read_only ? "slave" : "master", options_.wal};
}

reply::ReplicationStatus Database::replication_status() const {
    return {options_.read_only ? "slave" : "master", options_.wal,          engine_.last_lsn(),
            options_.wal ? storage_.log_bytes() : 0, snapshots_.last_lsn(), {engine_.checkpoints()}};
}

std::vector<Metric> Database::metrics() const {
    DatabaseFigures figures;
    figures.uptime_seconds = static_cast<double>(now_ms() - opened_ms_) / 1000.0;
    figures.read_only = options_.read_only;
    figures.wal_enabled = options_.wal;
    figures.series = engine_.series_count();
    figures.keys = engine_.key_count();
    for (const SnapshotStore::Manifest& manifest : snapshots_.manifests()) {
        figures.snapshots += manifest.series.size();
    }
    figures.wal_bytes = options_.wal ? storage_.log_bytes() : 0;
    figures.wal_current_lsn = engine_.last_lsn();
    for (const reply::Checkpoint& checkpoint : engine_.checkpoints()) {
        ++figures.checkpoints;
        figures.last_checkpoint_unix =
            std::max(figures.last_checkpoint_unix, static_cast<std::uint64_t>(checkpoint.updated_at_unix));
    }
    return collect_metrics(figures, stats_);
}

Lsn Database::durable_lsn() const noexcept {
    return committer_ ? committer_->durable_lsn() : std::numeric_limits<Lsn>::max();
}

bool Database::has_failed() const noexcept { return committer_ && committer_->has_failed(); }

int Database::add_durable_listener(std::function<void()> listener) {
    return committer_ ? committer_->add_listener(std::move(listener)) : 0;
}

void Database::remove_durable_listener(int number) {
    if (committer_) {
        committer_->remove_listener(number);
    }
}

Reply Database::call(const Request& request) {
    Outcome outcome;
    execute(std::span(&request, 1), std::span(&outcome, 1));
    commit();
    if (auto* const task = std::get_if<std::unique_ptr<Task>>(&outcome.result)) {
        try {
            outcome.result = (*task)->run(NoDeadline());
        } catch (const RequestError& refused) {
            return Error{refused.code(), refused.what()};
        } catch (const std::exception& failure) {
            return Error{ErrorCode::internal_error, failure.what()};
        }
    }
    if (committer_ && !committer_->wait_durable(outcome.wait_lsn)) {
        return log_failed();
    }
    return std::move(std::get<Reply>(outcome.result));
}

namespace {

void throw_if_refused(const Reply& reply) {
    if (const auto* const refused = std::get_if<Error>(&reply)) {
        throw RequestError(refused->code, refused->message);
    }
}

}  // namespace

void Database::increment(std::string_view series, std::uint64_t key, std::uint64_t value, Day day) {
    if (series.empty() || value == 0) {
        throw RequestError(ErrorCode::validation_error,
                           series.empty() ? "series must not be empty" : "value must be greater than 0");
    }
    throw_if_refused(call(Mutation(mutation::Increment{series, key, day, value})));
}

std::uint64_t Database::sum(std::string_view series, std::uint64_t key,
                            const std::optional<DayRange>& range) {
    const Reply reply = call(query::Sum{series, key, range});
    throw_if_refused(reply);
    return std::get<reply::Number>(reply).value;
}

void Database::save_snapshot() { throw_if_refused(call(control::SaveAllSnapshots{})); }

StateView Database::view() const {
    const std::lock_guard lock(mutex_);
    return engine_.view();
}

Digest Database::digest() const { return view().digest(NoDeadline()); }

Lsn Database::last_lsn() const {
    const std::lock_guard lock(mutex_);
    return engine_.last_lsn();
}

}  // namespace karma
