#include "cli/import_abort.h"

#include <ostream>
#include <vector>

#include <boost/json/serialize.hpp>

#include "cli/command_line.h"
#include "cli/daemon_reply.h"
#include "cli/import_stream.h"
#include "cli/input_file.h"
#include "cli/text.h"

namespace karma::cli {

namespace {

/// The import of the same options without --abort.
std::string id_of_import(const ImportOptions& options, int standard_input) {
    if (!options.import_id.empty()) return options.import_id;
    InputFile input(options.file, standard_input);
    if (!input.can_rewind()) {
        throw InputError("karma import: " + input.name() +
                         " does not tell the import to abort: name it with --import-id");
    }
    constexpr std::size_t part_bytes = 262'144;
    std::vector<char> part(part_bytes);
    std::size_t count = 0;
    while (input.read(part, count) != InputState::end) {}
    return import_id_of_content(input.content_hash(), options.series, options.mode, options.repeat);
}

}  // namespace

int abort_import(const ImportOptions& options, int standard_input, std::ostream& out, std::ostream& err) {
    try {
        const std::string id = id_of_import(options, standard_input);
        const ImportStream stream{id, options.mode, options.series};
        const boost::json::value aborted =
            DaemonClient(options.client).ask("ingest.abort", {{"stream_id", stream.stream_id()}});
        const boost::json::value* const batches =
            aborted.is_object() ? aborted.get_object().if_contains("last_chunk_seq") : nullptr;
        if (batches == nullptr) no_reply_of_karma(boost::json::serialize(aborted));
        out << "aborted batches=" << *batches << " import_id=" << id << '\n';
        err << "karma import: import " << id << " is closed. What its batches have added to "
            << cli::quoted(options.series)
            << " stays: the same import again begins anew and adds it once more\n";
        return exit_success;
    } catch (const InputError& error) {
        err << error.what() << '\n';
    } catch (const RefusedError& error) {
        err << "karma import: " << error.what() << " (an import that is complete cannot be aborted)\n";
    } catch (const net::ConnectionError& error) {
        err << "karma import: " << error.what() << '\n';
        return exit_no_reply;
    }
    return exit_failure;
}

}  // namespace karma::cli
