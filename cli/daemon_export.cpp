#include "cli/daemon_export.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>

#include <boost/json/parse.hpp>

#include "cli/daemon_reply.h"
#include "cli/text.h"
#include "engine/error.h"
#include "net/base64.h"
#include "persist/file_content.h"
#include "persist/karma1/tree_reader.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

/// An export that a running daemon makes: one snapshot, whose files are fetched part by part. Goes on with a
/// new connection where the daemon has closed one that was silent for a while.
class DaemonExport {
public:
    DaemonExport(const ClientOptions& options, const std::string& series, bool new_snapshot)
        : options_(options) {
        json::object fields = {{"snapshot", new_snapshot ? "new" : "latest"}};
        if (!series.empty()) {
            fields["series"] = series;
        }
        begin(std::move(fields));
    }
    DaemonExport(const DaemonExport&) = delete;
    DaemonExport& operator=(const DaemonExport&) = delete;

    /// Ends it; where that fails the daemon does so by itself after some minutes.
    ~DaemonExport() {
        try {
            ask("export.end", {{"export_id", id_}});
        } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): see above
        }
    }

    /// What the daemon says that the export holds.
    json::value contents() {
        std::string text;
        fetch(contents_file_, [&](std::string_view bytes) { text += bytes; });
        return json::parse(text);
    }

    /// Fetches a file.
    void fetch(const std::string& file, const ExportDirectory::Sink& sink) {
        std::uint64_t offset = 0;
        for (bool done = false; !done;) {
            const json::value part = fetch_part(file, offset);
            const std::optional<std::string> bytes = net::decode_base64(part.at("data_base64").as_string());
            if (!bytes) {
                throw net::ConnectionError("the daemon sends data that is no base64");
            }
            done = part.at("done").as_bool();
            if (bytes->empty() && !done) {
                throw net::ConnectionError("the daemon sends nothing more of " + file);
            }
            sink(*bytes);
            offset += bytes->size();
        }
    }

private:
    void begin(json::object fields) {
        daemon_.emplace(options_);
        try {
            // It makes a snapshot: a minute for a million series, several on a busy machine.
            constexpr std::chrono::hours snapshot_time_max(1);
            const json::value begun =
                daemon_->ask_patiently("export.begin", std::move(fields), snapshot_time_max);
            id_ = text_member(begun.as_object(), "export_id");
            contents_file_ = text_member(begun.at("contents").as_object(), "file");
            chunk_bytes_ = std::min(chunk_bytes_, begun.at("chunk_bytes_max").to_number<std::uint64_t>());
        } catch (const RefusedError& refused) {
            if (is_of(refused, "unknown_command")) {
                throw RefusedError(
                    "the daemon is of an earlier version and does not know export.begin: start it with this "
                    "version, or stop it and export its directory with --directory");
            }
            throw;
        }
    }

    json::value fetch_part(const std::string& file, std::uint64_t offset) {
        constexpr std::uint64_t chunk_bytes_min = 1024;
        constexpr int timeouts_max = 3;
        for (int timeouts = 0;;) {
            try {
                return ask("export.fetch",
                           {{"export_id", id_}, {"file", file}, {"offset", offset}, {"limit", chunk_bytes_}});
            } catch (const RefusedError& refused) {
                if (is_of(refused, "response_too_large") && chunk_bytes_ > chunk_bytes_min) {
                    chunk_bytes_ /= 2;
                } else if (!is_of(refused, "query_timeout") || ++timeouts > timeouts_max) {
                    throw;  // finding the first part of a large file takes long once
                }
            }
        }
    }

    json::value ask(const char* op, const json::object& fields) {
        try {
            if (daemon_) {
                return daemon_->ask(op, fields);
            }
        } catch (const net::ConnectionError&) {
            daemon_.reset();  // closed while this side was busy
        }
        daemon_.emplace(options_);
        return daemon_->ask(op, fields);
    }

    static bool is_of(const RefusedError& refused, const std::string& code) {
        return std::string_view(refused.what()).find(": " + code + ": ") != std::string_view::npos;
    }

    ClientOptions options_;
    std::optional<DaemonClient> daemon_;
    std::string id_;
    std::string contents_file_;
    std::uint64_t chunk_bytes_ = 524'288;
};

SeriesTotals totals_of(std::string_view tree) {
    SeriesTotals totals;
    read_tree(tree, [&](std::uint64_t, std::span<const Point> points) {
        ++totals.keys;
        totals.buckets += points.size();
        for (const Point& point : points) {
            totals.total += point.value;
        }
    });
    return totals;
}

/// Takes what is counted of a file that was fetched, and gives it its format.
void finish_series(ExportedSeries& one, std::int64_t timestamp, ExportDirectory& directory,
                   ExportFormat format) {
    const std::string fetched = one.file;
    const FileContent tree(directory.path() / fetched);
    if (format == ExportFormat::tree) {
        one.totals = totals_of(tree.bytes());
        directory.write(one.file + ".meta.json",
                        [&](const auto& sink) { sink(tree_metadata(one, timestamp)); });
        return;
    }
    one.file = file_name_of(one.name) + ".csv";
    one.bytes = export_csv_of_tree(directory, one.file, tree.bytes(), one.totals);
    directory.remove(fetched);
}

std::vector<reply::Checkpoint> checkpoints_in(const json::value& response) {
    const auto text = [](const json::value& value) {
        return value.is_string() ? std::optional<std::string>(value.get_string()) : std::nullopt;
    };
    std::vector<reply::Checkpoint> checkpoints;
    for (const json::value& one : response.at("checkpoints").as_array()) {
        checkpoints.push_back({text(one.at("source")).value_or(""), text(one.at("offset")),
                               text(one.at("event_id")),
                               one.at("updated_at_unix").to_number<std::int64_t>()});
    }
    return checkpoints;
}

/// What the export does not have of idempotency records. Daemons of before show all keys.
void take_left_out(const json::object& records, Exported& exported) {
    exported.records_left_out = records.at("left_out").to_number<std::uint64_t>();
    if (const json::value* const shown = records.if_contains("keys_shown")) {
        exported.has_idempotency_keys = shown->as_bool();
        exported.records_hidden = records.at("hidden").to_number<std::uint64_t>();
    }
}

}  // namespace

Exported export_from_daemon(const ClientOptions& options, ExportDirectory& directory, ExportFormat format,
                            const std::string& series, bool new_snapshot) {
    Exported exported;
    json::value contents;
    {
        DaemonExport from(options, series, new_snapshot);
        contents = from.contents();
        for (const json::value& file : contents.at("files").as_array()) {
            ExportedSeries& one = exported.series.emplace_back();
            one.name = text_member(file.as_object(), "tree");
            one.file = text_member(file.as_object(), "file");
            if (one.file.find('/') != std::string::npos) {
                throw net::ConnectionError("the daemon names a file " + cli::quoted(one.file));
            }
            one.lsn = file.at("last_lsn").to_number<Lsn>();
            one.bytes = directory.write(one.file, [&](const auto& sink) { from.fetch(one.file, sink); });
        }
        if (format == ExportFormat::tree) {
            const std::string records = text_member(contents.at("records").as_object(), "file");
            directory.write("karma.idempotency.json", [&](const auto& sink) { from.fetch(records, sink); });
            take_left_out(contents.at("records").as_object(), exported);
        }
    }
    // Without the daemon, which need not wait for it.
    const auto timestamp = contents.at("timestamp").to_number<std::int64_t>();
    exported.lsn = contents.at("lsn").to_number<Lsn>();
    exported.database_id =
        DatabaseId::from_text(text_member(contents.as_object(), "database_id")).value_or(DatabaseId{});
    for (ExportedSeries& one : exported.series) {
        finish_series(one, timestamp, directory, format);
    }
    if (format == ExportFormat::csv) {
        export_series_names(directory, exported.series);
        return exported;
    }
    export_checkpoints(directory, checkpoints_in(contents));
    export_lsn(directory, exported.lsn);
    return exported;
}

}  // namespace karma::cli
