#include "persist/snapshot_tasks.h"

#include <filesystem>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>

#include "engine/error.h"
#include "persist/database_tasks.h"
#include "persist/file_content.h"
#include "persist/file_name.h"
#include "persist/karma1/tree_reader.h"
#include "persist/snapshot_load.h"

namespace karma {
namespace {

/// `<unix seconds>_<series>.tree`: the part between; empty where the name is not of that form.
std::string_view series_part_of(std::string_view name) {
    const std::size_t underscore = name.find_first_not_of("0123456789");
    constexpr std::string_view extension = ".tree";
    if (underscore == std::string_view::npos || underscore == 0 || name[underscore] != '_' ||
        name.size() <= underscore + 1 + extension.size()) {
        return {};
    }
    return name.substr(underscore + 1, name.size() - underscore - 1 - extension.size());
}

/// The series that the metadata beside a file names; nothing without metadata. Throws RequestError.
std::optional<std::string> series_in_metadata(const std::filesystem::path& tree) {
    const std::filesystem::path path = tree.string() + ".meta.json";
    if (!std::filesystem::exists(path)) {
        return std::nullopt;
    }
    const FileContent file(path);
    boost::system::error_code failure;
    const boost::json::value metadata = boost::json::parse(file.bytes(), failure);
    const boost::json::value* const name =
        !failure && metadata.is_object() ? metadata.get_object().if_contains("tree") : nullptr;
    if (name == nullptr || !name->is_string() || name->get_string().empty()) {
        throw RequestError(ErrorCode::validation_error, "File \"" + path.filename().string() +
                                                            "\" does not name the series in a field tree");
    }
    return std::string(name->get_string());
}

/// The series of a file that somebody has put into the data directory. Throws RequestError.
std::string series_of_file(const std::filesystem::path& path, std::string_view part) {
    if (std::optional<std::string> named = series_in_metadata(path)) {
        return *named;
    }
    if (std::optional<std::string> series = series_of_file_name(part)) {
        return *series;
    }
    throw RequestError(ErrorCode::validation_error,
                       "The name of file \"" + path.filename().string() +
                           "\" is not one that an export writes, and does not tell the series: put its "
                           "metadata beside it, or rename it");
}

}  // namespace

Error past_the_end(std::uint64_t total) {
    return {ErrorCode::validation_error,
            "Field offset must be less than or equal to " + std::to_string(total) + ", the size of the file"};
}

/// A load that the deadline cuts short leaves the series as it was.
Reply LoadTask::run(const Deadline& deadline) {
    const auto execute = [this](const Mutation& body) { return parts_.live.execute_own(body); };
    const std::uint64_t generation = parts_.node.generation();
    const auto load = [&](const std::string& series, const auto& add_to) -> Reply {
        const std::string load_id = std::string(load_stream_prefix) + file_ + "#" +
                                    std::to_string(parts_.live.now_ms()) + "." +
                                    std::to_string(parts_.files.next_load());
        SeriesLoader loader(series, load_id, execute);
        add_to(loader);
        const Lsn lsn = loader.finish();
        parts_.live.commit();
        if (!parts_.live.wait_durable(lsn)) {
            return log_failed();
        }
        parts_.live.wait_acked(lsn, generation, deadline);
        return reply::SeriesLoaded{series};
    };
    const std::filesystem::path path = parts_.files.file_in_directory(file_);
    if (const std::optional<SnapshotFile> found = parts_.files.find_snapshot(file_)) {
        if (!path.empty()) {
            return Error{ErrorCode::validation_error,
                         "Field file is the name of a snapshot and of a file in the "
                         "data directory: give the file another name"};
        }
        const auto kept = parts_.snapshots.keep_all();
        const Series stored = parts_.snapshots.load(*found->manifest, *found->series, deadline);
        return load(stored.name(), [&](SeriesLoader& loader) {
            std::vector<Point> points;
            const SeriesView view = stored.view();
            for (const PageRef& page : view.pages()) {
                deadline.check();
                page->for_each([&](Counter counter) {
                    points.clear();
                    counter.for_each(DayRange{}, [&](Point point) { points.push_back(point); });
                    loader.add(counter.key(), points);
                });
            }
        });
    }
    const std::string_view part = series_part_of(file_);
    if (part.empty() || path.empty()) {
        return Error{ErrorCode::not_found,
                     "Dump \"" + (part.empty() ? file_ : std::string(part)) + "\" not found"};
    }
    const std::string series = series_of_file(path, part);
    const FileContent content(path);
    const auto check_only = [&](std::uint64_t, std::span<const Point>) { deadline.check(); };
    try {
        read_tree(content.bytes(), check_only);  // all of it is sound before any of it is an event
    } catch (const CorruptionError& failure) {
        return Error{ErrorCode::validation_error, "File \"" + file_ + "\": " + failure.what()};
    }
    return load(series, [&](SeriesLoader& loader) {
        read_tree(content.bytes(), [&](std::uint64_t key, std::span<const Point> points) {
            deadline.check();
            loader.add(key, points);
        });
    });
}

Reply FetchTask::run(const Deadline& deadline) {
    const std::optional<SnapshotFile> file = parts_.files.find_snapshot(file_);
    if (!file) {
        return Error{ErrorCode::not_found, "Snapshot \"" + file_ + "\" not found"};
    }
    const std::shared_ptr<const reply::ByteSource> source = parts_.files.trees.open(*file, deadline);
    if (offset_ > file->series->tree_bytes) {
        return past_the_end(file->series->tree_bytes);
    }
    return reply::FileBytes{file->describe(), source, file->series->tree_bytes, offset_, limit_};
}

Reply FetchRecordsTask::run(const Deadline& deadline) {
    const SnapshotStore::ManifestRef full = parts_.snapshots.newest_full();
    if (full == nullptr) {
        return Error{ErrorCode::not_found, "Snapshot \"karma.idempotency.json\" not found"};
    }
    const RecordsFiles::Opened opened =
        parts_.files.records.open(idempotency_snapshot(*full), full->of<IdempotencyIndex>().first_record_lsn,
                                  query_.last_lsn, query_.offset, query_.limit, deadline);
    if (query_.offset > opened.file->size()) {
        return past_the_end(opened.file->size());
    }
    return reply::FileBytes{opened.about, opened.file, opened.file->size(), query_.offset, query_.limit};
}

}  // namespace karma
