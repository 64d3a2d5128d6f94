#pragma once

#include <filesystem>
#include <ostream>
#include <string>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/program_options/options_description.hpp>
#include <boost/program_options/variables_map.hpp>

#include "engine/engine.h"
#include "engine/history_point.h"
#include "persist/export.h"
#include "persist/restore.h"
#include "persist/stored_database.h"

/// What the subcommands share that work on a stopped daemon's directory.
namespace karma::cli {

/// --until: LSN or TIME; the latest state where it is not given. Throws UsageError.
HistoryPoint until_option(const boost::program_options::variables_map& values);

/// --format. Throws UsageError.
ExportFormat format_option(const boost::program_options::variables_map& values);

/// Prints which of RocksDB's files are damaged; `name` is that of the program.
void warn_of_damage(const StoredDatabase& stored, const std::string& name, std::ostream& err);

/// Rebuilds the state at a point. Refuses a point that is older than what is kept, and names the oldest
/// possible one. Of a damaged database it rebuilds only a state before the damage, and only on request.
Restored rebuild(const StoredDatabase& stored, const HistoryPoint& until, Engine& engine);

/// Prints what was exported.
void print_exported(const Exported& exported, const std::filesystem::path& directory,
                    const ExportManifest& manifest, std::ostream& out);
/// Warns of records that an export lacks; `name` is that of the program.
void warn_of_left_out(const Exported& exported, const std::string& name, std::ostream& err);

}  // namespace karma::cli
