#include "cli/karma1/directory_importer.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "cli/input_file.h"
#include "cli/text.h"
#include "engine/check.h"
#include "engine/error.h"
#include "persist/export.h"
#include "persist/file_content.h"
#include "persist/hash_seed.h"
#include "persist/karma1/tree_reader.h"
#include "persist/random_number.h"
#include "persist/rocksdb_storage.h"
#include "persist/snapshot_store.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

/// The last second of the year 9999: later times cannot be written as dates.
constexpr std::int64_t latest_unix = 253'402'300'799;

/// The daemon that runs on the database forgets records by its own limits.
constexpr IdempotencyRetention keeps_all_records{std::uint64_t{1} << 31U, 0};

/// The time at which an entry with an idempotency key was accepted; one that cannot be true is as one that is
/// not there.
std::int64_t created_unix(std::string_view entry, std::int64_t otherwise) {
    boost::system::error_code failure;
    const json::value value = json::parse(entry, failure);
    const json::value* const created = failure || !value.is_object()
                                           ? nullptr
                                           : value.get_object().if_contains("idempotency_created_at_unix");
    const auto unix_time = created == nullptr ? otherwise : created->to_number<std::int64_t>(failure);
    return failure || unix_time < 0 || unix_time > latest_unix ? otherwise : unix_time;
}

std::optional<std::string> text_or_number(const json::object& object, const char* name) {
    const json::value* const value = object.if_contains(name);
    if (value == nullptr || value->is_null()) {
        return std::nullopt;
    }
    return value->is_string() ? std::string(value->get_string()) : json::serialize(*value);
}

}  // namespace

DirectoryImporter::DirectoryImporter(std::filesystem::path directory, Keep keep, std::optional<Day> wal_day)
    : directory_(std::move(directory)),
      keep_(keep),
      hash_seed_(random_number()),
      state_(hash_seed_, keeps_all_records, [this](ReceivedState& state) { install_(state); }),
      v1_log_(directory_, state_.engine(), wal_day) {}

void DirectoryImporter::read() {
    read_trees();
    read_records();
    read_checkpoints();
    last_lsn_ = std::max(last_lsn_, read_lsn_file(directory_ / "karma.wal.lsn"));
    read_log();
    state_.begin_events(std::max(last_lsn_, std::as_const(state_).engine().last_lsn()));
    state_.end_events();
    warn_of_dropped();
    note_v1_log();
}

void DirectoryImporter::read_trees() {
    result_.files = find_tree_files(directory_);
    for (const TreeFile& file : result_.files) {
        try {
            read_tree_file(file);
        } catch (const CorruptionError& failure) {
            throw InputError(file.path.string() + ": " + failure.what());
        }
        file_lsns_[file.series] = file.last_lsn.value_or(0);
        if (!file.last_lsn) {
            without_lsn_.insert(file.series);
        }
        last_lsn_ = std::max(last_lsn_, file.last_lsn.value_or(0));
    }
}

void DirectoryImporter::read_tree_file(const TreeFile& file) {
    const FileContent content(file.path);
    const Lsn lsn = file.last_lsn.value_or(0);
    if (keep_ == Keep::all) {
        state_.add_tree(file.series, lsn, content.bytes());
        return;
    }
    NullSink sink;
    Engine of_one(hash_seed_, sink);
    of_one.restore_series(read_tree_series(file.series, hash_seed_, lsn, content.bytes()));
    const StateView view = of_one.view();
    dropped_digest_ += view.digest(NoDeadline());
    dropped_.keys += view.series.front().totals().keys;
    ++dropped_.series;
}

ReadBack DirectoryImporter::read_back() const {
    ReadBack found = dropped_;
    const StateView view = state_.engine().view();
    for (const SeriesView& series : view.series) {
        ++found.series;
        found.keys += series.totals().keys;
    }
    Digest digest = dropped_digest_;
    digest += view.digest(NoDeadline());
    found.digest = digest.text();
    found.records = state_.records();
    found.streams = state_.engine().streams().committed_streams().size();
    return found;
}

void DirectoryImporter::read_records() {
    const std::filesystem::path path = directory_ / "karma.idempotency.json";
    if (!std::filesystem::exists(path)) {
        return;
    }
    const FileContent content(path);
    try {
        state_.add_records_of_unknown_lsn(content.bytes());
    } catch (const CorruptionError& failure) {
        throw InputError(path.string() + ": " + failure.what());
    }
}

void DirectoryImporter::read_checkpoints() {
    const std::filesystem::path path = directory_ / "recovery.json";
    if (!std::filesystem::exists(path)) {
        return;
    }
    const FileContent content(path);
    boost::system::error_code failure;
    const json::value document = json::parse(content.bytes(), failure);
    const json::value* const all =
        failure || !document.is_object() ? nullptr : document.get_object().if_contains("checkpoints");
    if (all == nullptr || !all->is_array()) {
        throw InputError(path.string() + ": no JSON object with an array checkpoints");
    }
    std::vector<reply::Checkpoint> checkpoints;
    for (const json::value& one : all->get_array()) {
        const json::object* const object = one.if_object();
        const json::value* const updated =
            object == nullptr ? nullptr : object->if_contains("updated_at_unix");
        const std::optional<std::string> source =
            object == nullptr ? std::nullopt : text_or_number(*object, "source");
        boost::system::error_code no_time;
        const auto updated_unix =
            updated == nullptr ? std::int64_t{0} : updated->to_number<std::int64_t>(no_time);
        if (!source || updated == nullptr || no_time) {
            throw InputError(path.string() + ": a checkpoint without source or updated_at_unix: " +
                             cli::quoted(json::serialize(one)));
        }
        checkpoints.push_back(
            {*source, text_or_number(*object, "offset"), text_or_number(*object, "event_id"), updated_unix});
    }
    state_.add_checkpoints(std::move(checkpoints));
}

// ---- the log

void DirectoryImporter::read_log() {
    result_.log = read_log_files(directory_, [this](const LogLine& line) { apply(line); });
    for (const std::string& gap : result_.log.gaps) {
        result_.warnings.push_back("the log has no entries " + gap);
    }
    if (!result_.log.torn.empty()) {
        result_.warnings.push_back(result_.log.torn +
                                   ": the last line is cut short and was ignored: it was never acknowledged");
    }
}

void DirectoryImporter::apply_v1(const LogLine& line) {
    if (result_.files.size() != without_lsn_.size()) {
        throw InputError(line.place +
                         " is of Karma 0.1, and a .tree file has a .meta.json of Karma 1.0: these "
                         "are the files of two databases");
    }
    if (const std::optional<std::string> why = v1_log_.apply(line)) {
        refuse(line, *why);
    } else {
        ++result_.applied;
    }
}

void DirectoryImporter::note_v1_log() {
    if (result_.log.is_v1) {
        result_.wal_day = v1_log_.day();
        result_.is_wal_day_given = v1_log_.is_day_given();
        std::ranges::move(v1_log_.warnings(result_.files), std::back_inserter(result_.warnings));
    } else if (v1_log_.is_day_given()) {
        result_.warnings.emplace_back("--wal-day has no effect: the log has no entries of Karma 0.1");
    }
}

void DirectoryImporter::apply(const LogLine& line) {
    last_lsn_ = std::max(last_lsn_, line.lsn);
    if (line.is_v1) {
        apply_v1(line);
        return;
    }
    // The file's time stands in for the time that an entry without a key does not have.
    const std::int64_t time_ms = created_unix(line.entry, line.modified_unix) * 1000;
    net::Karma1Entry decoded = decoder_.decode(line.lsn, time_ms, line.entry);
    if (!decoded.is_request) {
        throw InputError(line.place + ": " + decoded.why_not);
    }
    if (!decoded.event) {
        refuse(line, decoded.why_not);
        return;
    }
    Event& event = *decoded.event;
    resolve_day(event.body, time_ms);
    check_file_of_series(event.body, line);
    Karma1State::Taken taken;
    try {
        taken = state_.take(event);
    } catch (const CorruptionError& failure) {
        throw InputError(line.place + ": " + failure.what());
    }
    switch (taken.how) {
        case Karma1State::Taken::How::applied: ++result_.applied; break;
        case Karma1State::Taken::How::held_by_files: ++result_.older; break;
        case Karma1State::Taken::How::refused: refuse(line, taken.why_refused); break;
    }
}

void DirectoryImporter::check_file_of_series(const Mutation& body, const LogLine& line) const {
    const auto found = without_lsn_.find(series_of(body));
    if (found != without_lsn_.end()) {
        throw InputError(line.place + " concerns series " + cli::quoted(*found) +
                         ", whose latest .tree file has no .meta.json: it cannot be told whether the file "
                         "holds this entry, which could be counted twice");
    }
}

void DirectoryImporter::refuse(const LogLine& line, const std::string& why) {
    constexpr std::size_t kept_max = 20;
    ++result_.refused;
    if (result_.first_refused.size() < kept_max) {
        result_.first_refused.push_back({line.lsn, why});
    }
}

/// A series that was dropped before the newest snapshots leaves its old file behind, and nothing says so.
void DirectoryImporter::warn_of_dropped() {
    Lsn newest = 0;
    for (const auto& entry : file_lsns_) {
        newest = std::max(newest, entry.second);
    }
    for (const auto& [series, lsn] : file_lsns_) {
        const Series* const found = std::as_const(state_).engine().find_series(series);
        if (lsn < newest && found != nullptr && found->last_lsn() <= lsn) {
            result_.warnings.push_back("series " + cli::quoted(series) + ": its latest file is of LSN " +
                                       std::to_string(lsn) + ", others of LSN " + std::to_string(newest) +
                                       ": if it was dropped in between, drop it again");
        }
    }
}

// ---- storing

DirectoryImport DirectoryImporter::store(const std::filesystem::path& path, std::int64_t now_ms) {
    // Each record needs an LSN of its own, and what there is came from some event: only a directory in which
    // there is nothing stays at LSN 0.
    Engine& engine = state_.engine();
    const StateView found = engine.view();
    result_.streams = engine.streams().committed_streams().size();
    const bool is_empty =
        found.series.empty() && found.of<Checkpoints>().checkpoints.empty() && result_.streams == 0;
    engine.restore_last_lsn(std::max<Lsn>({last_lsn_, state_.records(), is_empty ? 0U : 1U}));
    install_ = [&](ReceivedState& state) { write_database(path, now_ms, std::move(state.records)); };
    state_.install();
    result_.records = state_.records();
    result_.digest = result_.state.digest(NoDeadline()).text();
    return std::move(result_);
}

void DirectoryImporter::write_database(const std::filesystem::path& path, std::int64_t now_ms,
                                       std::vector<RecordChange> records) {
    const std::filesystem::path unfinished = path.string() + ".import";
    std::filesystem::remove_all(unfinished);
    {
        RocksdbStorage::Options options;
        options.path = unfinished;
        RocksdbStorage storage(options);
        write_hash_seed(storage, hash_seed_);
        SnapshotStore snapshots(storage);
        result_.state = state_.engine().view();
        snapshots.save_all(snapshots.begin_saving(), result_.state, now_ms, std::move(records));
    }
    std::filesystem::rename(unfinished, path);
}

}  // namespace karma::cli
