#include "persist/export.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <optional>
#include <sys/utsname.h>
#include <system_error>
#include <unistd.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "persist/checkpoints_json.h"
#include "persist/content_hash.h"
#include "persist/errno_text.h"
#include "persist/identity.h"
#include "persist/karma1/records_json.h"
#include "persist/karma1/tree_format.h"
#include "persist/karma1/tree_reader.h"
#include "persist/records_of_series.h"
#include "persist/sync_directory.h"

namespace karma {

namespace json = boost::json;

namespace {

[[noreturn]] void fail(const std::string& what, const std::filesystem::path& path) {
    throw StorageError("cannot " + what + " " + path.string() + ": " + errno_text());
}

/// A file that is gone again unless it becomes whole.
class PartFile {
public:
    explicit PartFile(std::filesystem::path path) : path_(std::move(path)) {
        file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (file_ < 0) {
            fail("create", path_);
        }
    }
    PartFile(const PartFile&) = delete;
    PartFile& operator=(const PartFile&) = delete;
    ~PartFile() {
        if (file_ >= 0) {
            ::close(file_);
            ::unlink(path_.c_str());
        }
    }

    void write(std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t written = ::write(file_, bytes.data(), bytes.size());
            if (written < 0 && errno != EINTR) {
                fail("write", path_);
            }
            const auto count = static_cast<std::size_t>(std::max<ssize_t>(written, 0));
            bytes.remove_prefix(count);
            bytes_ += count;
        }
    }

    /// Puts it on disk.
    void sync() const {
        if (::fsync(file_) != 0) {
            fail("sync", path_);
        }
    }

    std::uint64_t finish(const std::filesystem::path& name) {
        if (::rename(path_.c_str(), name.c_str()) != 0) {
            fail("finish", name);
        }
        ::close(std::exchange(file_, -1));
        return bytes_;
    }

private:
    std::filesystem::path path_;
    int file_ = -1;
    std::uint64_t bytes_ = 0;
};

/// Whether syncfs says when something could not be written, as Linux does from 5.8 on.
bool tells_errors_of_syncfs() {
    utsname system{};
    unsigned major = 0;
    unsigned minor = 0;
    return ::uname(&system) == 0 && std::sscanf(system.release, "%u.%u", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
}

/// A file or directory that is open for a sync.
class Opened {
public:
    explicit Opened(const std::filesystem::path& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        if (file_ < 0) {
            fail("open", path);
        }
    }
    Opened(const Opened&) = delete;
    Opened& operator=(const Opened&) = delete;
    ~Opened() { ::close(file_); }

    int file() const noexcept { return file_; }

private:
    int file_;
};

/// Rows of CSV, handed on some at a time.
class CsvWriter {
public:
    explicit CsvWriter(const ExportDirectory::Sink& sink) : sink_(sink) { rows_ = "key,bucket,value\n"; }

    void add(std::uint64_t key, Point point) {
        rows_ += std::to_string(key) + "," + std::to_string(day_to_yyyymmdd(point.day)) + "," +
                 std::to_string(point.value) + "\n";
        constexpr std::size_t piece = 256U << 10U;
        if (rows_.size() >= piece) {
            finish();
        }
    }
    void finish() {
        sink_(rows_);
        rows_.clear();
    }

private:
    const ExportDirectory::Sink& sink_;
    std::string rows_;
};

void write_csv(const SeriesView& view, const ExportDirectory::Sink& sink) {
    CsvWriter rows(sink);
    for (const std::uint64_t key : scan_all_keys(view, NoDeadline())) {
        view.for_each_point(key, DayRange{}, [&](Point point) { rows.add(key, point); });
    }
    rows.finish();
}

}  // namespace

ExportDirectory::ExportDirectory(std::filesystem::path path) : path_(std::move(path)) {
    std::error_code failure;
    std::filesystem::create_directories(path_, failure);
    if (!std::filesystem::is_directory(path_)) {
        throw StorageError("cannot create directory " + path_.string() +
                           (failure ? ": " + failure.message() : ""));
    }
    if (!std::filesystem::is_empty(path_)) {
        throw StorageError("directory " + path_.string() + " is not empty");
    }
}

std::uint64_t ExportDirectory::write(const std::string& name, const std::function<void(const Sink&)>& fill) {
    PartFile file(path_ / (name + ".part"));
    ContentHash hash;
    fill([&](std::string_view bytes) {
        file.write(bytes);
        hash.add(bytes);
    });
    const std::uint64_t bytes = file.finish(path_ / name);
    files_.insert_or_assign(name, ExportedFile{name, bytes, hash.take()});
    return bytes;
}

void ExportDirectory::remove(const std::string& name) {
    if (::unlink((path_ / name).c_str()) != 0) {
        fail("remove", path_ / name);
    }
    files_.erase(name);
}

/// One sync of the file system is quicker than very many of files, and slower than a few where others write,
/// too.
void ExportDirectory::sync_files() const {
    constexpr std::size_t few = 256;
    if (files_.size() > few && tells_errors_of_syncfs()) {
        const Opened directory(path_);
        if (::syncfs(directory.file()) != 0) {
            fail("sync the files of", path_);
        }
        return;
    }
    for (const auto& [name, written] : files_) {
        const Opened file(path_ / name);
        if (::fsync(file.file()) != 0) {
            fail("sync", path_ / name);
        }
    }
}

void ExportDirectory::sync_names() const {
    if (const std::error_code failure = sync_directory(path_)) {
        errno = failure.value();
        fail("sync", path_);
    }
}

void ExportDirectory::finish(ExportManifest& manifest) {
    sync_files();
    sync_names();
    manifest.files.clear();
    for (const auto& entry : files_) {
        manifest.files.push_back(entry.second);
    }
    PartFile file(path_ / (std::string(export_manifest_name) + ".part"));
    file.write(encoded(manifest));
    file.sync();
    file.finish(path_ / export_manifest_name);
    sync_names();
}

std::string tree_metadata(const ExportedSeries& series, std::int64_t unix_time) {
    return json::serialize(json::object{{"tree", series.name},
                                        {"file", series.file},
                                        {"timestamp", unix_time},
                                        {"last_lsn", series.lsn},
                                        {"bytes", series.bytes},
                                        {"manifest", export_manifest_name}}) +
           "\n";
}

void export_lsn(ExportDirectory& directory, Lsn lsn) {
    directory.write("karma.wal.lsn", [&](const auto& sink) { sink(std::to_string(lsn)); });
}

void export_checkpoints(ExportDirectory& directory, const std::vector<reply::Checkpoint>& checkpoints) {
    directory.write("recovery.json", [&](const auto& sink) {
        sink(json::serialize(json::object{{"checkpoints", checkpoints_json(checkpoints)},
                                          {"manifest", export_manifest_name}}) +
             "\n");
    });
}

std::uint64_t export_csv_of_tree(ExportDirectory& directory, const std::string& name, std::string_view tree,
                                 SeriesTotals& totals) {
    return directory.write(name, [&](const ExportDirectory::Sink& sink) {
        CsvWriter rows(sink);
        read_tree(tree, [&](std::uint64_t key, std::span<const Point> points) {
            ++totals.keys;
            totals.buckets += points.size();
            for (const Point& point : points) {
                totals.total += point.value;
                rows.add(key, point);
            }
        });
        rows.finish();
    });
}

void export_series_names(ExportDirectory& directory, const std::vector<ExportedSeries>& series) {
    json::object names;
    for (const ExportedSeries& one : series) {
        names[one.file] = one.name;
    }
    directory.write("series.json", [&](const auto& sink) { sink(json::serialize(names) + "\n"); });
}

Exported export_state(ExportDirectory& directory, const StateView& state, const Storage& storage,
                      ExportFormat format, std::string_view series, std::int64_t unix_time) {
    Exported exported;
    exported.lsn = state.lsn;
    exported.database_id = read_database_id(storage);
    for (const SeriesView& view : state.series) {
        if (!series.empty() && view.name() != series) {
            continue;
        }
        ExportedSeries one{view.name(), {}, view.totals(), 0, state.lsn};
        if (format == ExportFormat::csv) {
            one.file = file_name_of(view.name()) + ".csv";
            one.bytes = directory.write(one.file, [&](const auto& sink) { write_csv(view, sink); });
        } else {
            one.file = std::to_string(unix_time) + "_" + file_name_of(view.name()) + ".tree";
            const PageSource pages = [&](std::size_t number) { return view.pages()[number]; };
            one.bytes = directory.write(
                one.file, [&](const auto& sink) { write_tree(view.pages().size(), pages, sink); });
            directory.write(one.file + ".meta.json",
                            [&](const auto& sink) { sink(tree_metadata(one, unix_time)); });
        }
        exported.series.push_back(std::move(one));
    }
    if (!series.empty() && exported.series.empty()) {
        throw StorageError("there is no series \"" + std::string(series) + "\" at LSN " +
                           std::to_string(state.lsn));
    }
    if (format == ExportFormat::csv) {
        export_series_names(directory, exported.series);
        return exported;
    }
    export_checkpoints(directory, state.of<Checkpoints>().checkpoints);
    RecordsSelection selection{state.of<IdempotencyIndex>().first_record_lsn, state.lsn, {}, {}};
    std::optional<RecordsOfSeries> of_series;
    if (!series.empty()) {
        of_series.emplace(storage, std::string(series), selection.first_lsn, selection.last_lsn);
        of_series->restrict(selection);
    }
    directory.write("karma.idempotency.json",
                    [&](const auto& sink) { write_records_json(storage, selection, sink); });
    exported.records_left_out = of_series ? of_series->left_out() : 0;
    export_lsn(directory, state.lsn);
    return exported;
}

}  // namespace karma
