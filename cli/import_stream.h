#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace karma::cli {

enum class BatchMode { add, set };

/// The ingest stream of an import. The same import uses the same stream each time, and the daemon skips the
/// batches that it has applied.
struct ImportStream {
    std::string import_id;  // what --import-id says, or stands in for it
    BatchMode mode = BatchMode::add;
    std::string series;

    /// The stream_id of the protocol: of a name space of its own, apart from those of other producers.
    std::string stream_id() const { return "import/" + import_id; }
    /// As the protocol names the mode.
    std::string_view mode_name() const { return mode == BatchMode::add ? "add" : "set"; }
};

/// The import id of content with this hash: it depends on the content, the series, the mode and how many
/// times the content is to be imported, and on nothing else, so that an import that is run with other
/// options is told from another import. 64 hexadecimal digits.
std::string import_id_of_content(std::string_view content_hash, std::string_view series, BatchMode mode,
                                 std::uint64_t repeat);

/// For input that cannot be read twice. 32 hexadecimal digits.
std::string random_import_id();

}  // namespace karma::cli
