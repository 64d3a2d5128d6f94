#include "persist/snapshot_tasks.h"

#include <filesystem>

#include "engine/error.h"
#include "persist/database_tasks.h"
#include "persist/mapped_file.h"
#include "persist/snapshot_load.h"
#include "persist/tree_reader.h"

namespace karma {
namespace {

/// `<unix seconds>_<series>.tree`; empty where the name is not of that form.
std::string series_of_file(const std::string& name) {
    const std::size_t underscore = name.find_first_not_of("0123456789");
    constexpr std::string_view extension = ".tree";
    if (underscore == std::string::npos || underscore == 0 || name[underscore] != '_' ||
        name.size() <= underscore + 1 + extension.size()) {
        return {};
    }
    return name.substr(underscore + 1, name.size() - underscore - 1 - extension.size());
}

Error past_the_end(std::uint64_t total) {
    return {ErrorCode::validation_error,
            "Field offset must be less than or equal to " + std::to_string(total) + ", the size of the file"};
}

}  // namespace

Reply LoadTask::run(const Deadline& /*deadline*/) {
    const auto execute = [this](const Mutation& body) { return database_.execute_own(body); };
    const std::uint64_t generation = database_.generation();
    const auto load = [&](const std::string& series, const auto& add_to) -> Reply {
        SeriesLoader loader(series, database_.new_load_id(file_), execute);
        add_to(loader);
        const Lsn lsn = loader.finish();
        database_.commit();
        if (!database_.wait_durable(lsn)) {
            return log_failed();
        }
        database_.wait_acked(lsn, generation);
        return reply::SeriesLoaded{series};
    };
    const std::filesystem::path path = database_.file_in_directory(file_);
    if (const std::optional<SnapshotFile> found = database_.find_snapshot(file_)) {
        if (!path.empty()) {
            return Error{ErrorCode::validation_error,
                         "Field file is the name of a snapshot and of a file in the "
                         "data directory: give the file another name"};
        }
        const auto kept = database_.snapshots_.keep_all();
        const Series stored = database_.snapshots_.load(*found->manifest, *found->series);
        return load(stored.name(), [&](SeriesLoader& loader) {
            std::vector<Point> points;
            const SeriesView view = stored.view();
            for (const PageRef& page : view.pages()) {
                page->for_each([&](Counter counter) {
                    points.clear();
                    counter.for_each(DayRange{}, [&](Point point) { points.push_back(point); });
                    loader.add(counter.key(), points);
                });
            }
        });
    }
    const std::string series = series_of_file(file_);
    if (series.empty() || path.empty()) {
        return Error{ErrorCode::not_found, "Dump \"" + (series.empty() ? file_ : series) + "\" not found"};
    }
    const MappedFile mapped(path);
    const auto nothing = [](std::uint64_t, std::span<const Point>) {};
    try {
        read_tree(mapped.bytes(), nothing);  // all of it is sound before any of it is an event
    } catch (const CorruptionError& failure) {
        return Error{ErrorCode::validation_error, "File \"" + file_ + "\": " + failure.what()};
    }
    return load(series, [&](SeriesLoader& loader) {
        read_tree(mapped.bytes(),
                  [&](std::uint64_t key, std::span<const Point> points) { loader.add(key, points); });
    });
}

Reply FetchTask::run(const Deadline& /*deadline*/) {
    const std::optional<SnapshotFile> file = database_.find_snapshot(file_);
    if (!file) {
        return Error{ErrorCode::not_found, "Snapshot \"" + file_ + "\" not found"};
    }
    const std::shared_ptr<const reply::ByteSource> source = database_.tree_files_.open(*file);
    if (offset_ > file->series->tree_bytes) {
        return past_the_end(file->series->tree_bytes);
    }
    return reply::FileBytes{file->describe(), source, file->series->tree_bytes, offset_, limit_};
}

Reply FetchRecordsTask::run(const Deadline& deadline) {
    const std::optional<reply::IdempotencySnapshot> about =
        idempotency_snapshot(database_.snapshots_.manifests());
    if (!about) {
        return Error{ErrorCode::not_found, "Snapshot \"karma.idempotency.json\" not found"};
    }
    const std::shared_ptr<const RecordsFile> file = database_.records_file(*about, query_.offset, deadline);
    if (query_.offset > file->size()) {
        return past_the_end(file->size());
    }
    reply::IdempotencySnapshot described = file->about();
    described.bytes = file->size();
    return reply::FileBytes{described, file, file->size(), query_.offset, query_.limit};
}

}  // namespace karma
