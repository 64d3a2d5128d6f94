#include "cli/offline.h"

#include <iomanip>

#include "cli/command_line.h"
#include "cli/text.h"
#include "engine/error.h"
#include "persist/log_search.h"
#include "persist/record_store.h"

namespace karma::cli {

namespace po = boost::program_options;

HistoryPoint until_option(const po::variables_map& values) {
    if (values.count("until") == 0) {
        return {};
    }
    const auto& text = values["until"].as<std::string>();
    const std::optional<HistoryPoint> point = history_point_from_text(text);
    if (!point) {
        throw UsageError(
            "--until must be an LSN, a time such as 2026-05-05T00:00:00Z or a UTC day such as "
            "2026-05-05, which means its end, not " +
            cli::quoted(text));
    }
    return *point;
}

ExportFormat format_option(const po::variables_map& values) {
    const auto& text = values["format"].as<std::string>();
    if (text != "tree" && text != "csv") {
        throw UsageError("--format must be tree or csv, not " + cli::quoted(text));
    }
    return text == "csv" ? ExportFormat::csv : ExportFormat::tree;
}

namespace {

/// Of a damaged log the end may be missing: a state is known to be whole only where an LSN says so, or an
/// event that follows.
void check_reaches(const StoredDatabase& stored, const HistoryPoint& until, const Engine& engine) {
    if (until.lsn != HistoryPoint().lsn) {
        if (engine.last_lsn() < until.lsn) {
            throw CorruptionError("the last event has LSN " + std::to_string(engine.last_lsn()));
        }
        return;
    }
    if (stored.damage().empty()) {
        return;
    }
    bool is_followed = false;
    if (until != HistoryPoint()) {
        stored.storage().read_log(engine.last_lsn() + 1, [&](const EventGroup& group) {
            is_followed = group.first_lsn <= engine.last_lsn() + 1;
            return false;
        });
    }
    if (!is_followed) {
        throw CorruptionError("the database is damaged, and events may be missing after LSN " +
                              std::to_string(engine.last_lsn()) +
                              ": say with --until LSN up to where it is "
                              "to be taken; the events are sound up to LSN " +
                              std::to_string(stored.sound_until()));
    }
}

std::string text_of_kept(const StoredDatabase& stored) {
    std::string kept = "; kept are the events from LSN " + std::to_string(first_kept_lsn(stored.storage())) +
                       " to " + std::to_string(stored.storage().next_lsn() - 1) +
                       " and snapshots of everything at LSN";
    for (const SnapshotStore::ManifestRef& manifest : stored.snapshots().manifests()) {
        if (manifest->full) {
            kept += " " + std::to_string(manifest->lsn);
        }
    }
    if (!stored.damage().empty()) {
        kept += "; damaged: " + stored.damage().front() + "; the events are sound up to LSN " +
                std::to_string(stored.sound_until());
    }
    return kept;
}

}  // namespace

void warn_of_damage(const StoredDatabase& stored, const std::string& name, std::ostream& err) {
    for (const std::string& damage : stored.damage()) {
        err << name << ": warning: damaged: " << damage << '\n';
    }
    if (!stored.doubt().empty()) {
        err << name << ": warning: " << stored.doubt() << '\n';
    }
}

Restored rebuild(const StoredDatabase& stored, const HistoryPoint& until, Engine& engine) {
    try {
        Restored restored = restore_state(engine, stored.storage(), stored.snapshots(), NoDeadline(), until);
        check_reaches(stored, until, engine);
        if (engine.last_lsn() + 1 >= stored.storage().next_lsn()) {
            // The log was applied without records: what it forgot since the snapshot is told beside it.
            engine.restore_first_record_lsn(read_first_record_lsn(stored.storage()));
        }
        return restored;
    } catch (const CorruptionError& failure) {
        throw CorruptionError(failure.what() + text_of_kept(stored));
    }
}

void warn_of_left_out(const Exported& exported, const std::string& name, std::ostream& err) {
    if (exported.records_left_out != 0) {
        err << name << ": warning: " << counted(exported.records_left_out, "idempotency record")
            << " left out: the log does not hold the events any more that tell of which series they are\n";
    }
    if (exported.records_hidden != 0) {
        err << name << ": warning: " << counted(exported.records_hidden, "idempotency record")
            << " left out, because their keys are not shown to a token that may only read: a database that "
               "is "
               "made of this export counts those requests again where they are sent again. Export with a "
               "token "
               "that may write\n";
    }
}

void print_exported(const Exported& exported, const std::filesystem::path& directory,
                    const ExportManifest& manifest, std::ostream& out) {
    constexpr int wide = 16;
    std::uint64_t bytes = 0;
    for (const ExportedSeries& one : exported.series) {
        out << std::setw(wide) << grouped(one.totals.keys) << " keys" << std::setw(wide)
            << grouped(one.totals.buckets) << " points  LSN " << one.lsn << "  " << one.file << "  ("
            << cli::quoted(one.name) << ")\n";
        bytes += one.bytes;
    }
    out << counted(exported.series.size(), "series file") << ", " << grouped(bytes) << " bytes, in "
        << directory.string() << ", LSN " << manifest.lsn << '\n';
    if (!manifest.digest.empty()) {
        out << "digest " << manifest.digest << '\n';
    }
}

}  // namespace karma::cli
