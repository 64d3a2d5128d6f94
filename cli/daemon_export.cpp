#include "cli/daemon_export.h"

#include <filesystem>
#include <optional>

#include "cli/daemon_reply.h"
#include "cli/text.h"
#include "engine/error.h"
#include "net/base64.h"
#include "persist/mapped_file.h"
#include "persist/tree_reader.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

/// What a reply of the default longest size has room for.
constexpr std::uint64_t chunk_bytes = 524'288;

/// Fetches a file of the daemon's with `op`.
std::uint64_t fetch(DaemonClient& daemon, const char* op, json::object fields,
                    const ExportDirectory& directory, const std::string& name) {
    return directory.write(name, [&](const ExportDirectory::Sink& sink) {
        std::uint64_t offset = 0;
        for (bool done = false; !done;) {
            fields["offset"] = offset;
            fields["limit"] = chunk_bytes;
            const json::value part = daemon.ask(op, fields);
            const std::optional<std::string> bytes = net::decode_base64(part.at("data_base64").as_string());
            if (!bytes) {
                throw net::ConnectionError("the daemon sends data that is no base64");
            }
            done = part.at("done").as_bool();
            if (bytes->empty() && !done) {
                throw net::ConnectionError(std::string("the daemon sends nothing more of ") + name);
            }
            sink(*bytes);
            offset += bytes->size();
        }
    });
}

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

ExportedSeries export_series(DaemonClient& daemon, const json::object& snapshot,
                             const ExportDirectory& directory, ExportFormat format) {
    ExportedSeries one;
    one.name = text_member(snapshot, "tree");
    one.lsn = snapshot.at("last_lsn").to_number<Lsn>();
    const auto timestamp = snapshot.at("timestamp").to_number<std::int64_t>();
    one.file = std::to_string(timestamp) + "_" + file_name_of(one.name) + ".tree";
    one.bytes =
        fetch(daemon, "snapshot.fetch_chunk", {{"file", text_member(snapshot, "file")}}, directory, one.file);
    const std::filesystem::path path = directory.path() / one.file;
    const MappedFile tree(path);
    if (format == ExportFormat::tree) {
        one.totals = totals_of(tree.bytes());
        directory.write(one.file + ".meta.json",
                        [&](const auto& sink) { sink(tree_metadata(one, timestamp)); });
        return one;
    }
    one.file = file_name_of(one.name) + ".csv";
    one.bytes = export_csv_of_tree(directory, one.file, tree.bytes(), one.totals);
    std::filesystem::remove(path);
    return one;
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

}  // namespace

std::vector<ExportedSeries> export_from_daemon(const ClientOptions& options, const ExportDirectory& directory,
                                               ExportFormat format, const std::string& series,
                                               bool new_snapshot) {
    DaemonClient daemon(options);
    if (new_snapshot) {
        daemon.ask("snapshot.create_all");
    }
    const json::value info = daemon.ask("snapshot.info");
    std::vector<ExportedSeries> exported;
    for (const json::value& snapshot : info.at("latest_by_tree").as_array()) {
        if (series.empty() || text_member(snapshot.as_object(), "tree") == series) {
            exported.push_back(export_series(daemon, snapshot.as_object(), directory, format));
        }
    }
    if (!series.empty() && exported.empty()) {
        throw RefusedError("there is no snapshot of series " + cli::quoted(series));
    }
    if (format == ExportFormat::csv) {
        export_series_names(directory, exported);
        return exported;
    }
    if (info.at("idempotency_snapshot").is_object()) {
        fetch(daemon, "idempotency.snapshot_fetch_chunk", {}, directory, "karma.idempotency.json");
    }
    export_checkpoints(directory, checkpoints_in(daemon.ask("recovery.status")));
    export_lsn(directory, info.at("last_snapshot_lsn").to_number<Lsn>());
    return exported;
}

}  // namespace karma::cli
