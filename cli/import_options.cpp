#include "cli/import_options.h"

#include <limits>
#include <ostream>
#include <vector>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"
#include "cli/text.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr const char* import_csv_usage =
    "Usage: karma import [options] FILE --series SERIES\n"
    "       karma import [options] - --series SERIES        (reads standard input)\n"
    "       karma import [--directory TARGET] DIR           (takes a Karma 1.0 directory over:\n"
    "                                                        karma import DIR --help)\n"
    "\n"
    "Sends the rows of a CSV file, plain or gzip, to a running daemon. A row is key,bucket,value:\n"
    "\n"
    "  42,20260505,3\n"
    "  42,2026-05-06,1\n"
    "\n"
    "A first line that begins with no number names the columns, in any order: key, bucket (or\n"
    "date), value. Without a value column every value is 1.\n"
    "\n"
    "An import counts exactly once: whatever goes wrong, run the same command again. The daemon knows\n"
    "the import by the content of the file (plain and gzip are the same), the series and the mode, and\n"
    "passes over the batches that it has; where a run would cut the content into other batches than the\n"
    "one before (--from-line, --request-bytes, --batch-items), it is refused. A file is read twice: all\n"
    "of it is checked before anything is sent. Standard input and pipes are read once: name them with\n"
    "--import-id, or send them again under the import id that is printed.\n";

constexpr const char* behind_import_csv_options =
    "\n"
    "The last line on standard output is always:\n"
    "acknowledged rows=N batches=M last_line=L applied=A skipped=S unknown=U import_id=ID\n"
    "The daemon has confirmed the first N rows, up to line L: this run has added A of them, S had been\n"
    "added before. Of U more rows it is not known; the same command again says.\n"
    "\n"
    "Exit status: 0 done, 1 stopped on the way (a bad row, an error, an interrupt), 2 wrong\n"
    "usage, 3 no connection.\n";

BatchMode read_mode(const std::string& text) {
    if (text == "add") return BatchMode::add;
    if (text == "set") return BatchMode::set;
    throw UsageError("--mode: " + cli::quoted(text) + " is neither add nor set");
}

ProgressMode read_progress(const std::string& text) {
    if (text == "auto") return ProgressMode::automatic;
    if (text == "always") return ProgressMode::always;
    if (text == "never") return ProgressMode::never;
    throw UsageError("--progress: " + cli::quoted(text) + " is none of auto, always and never");
}

/// What tells this import from others.
void read_identity(const po::variables_map& values, ImportOptions& options) {
    constexpr std::uint64_t most_repeats = 1'000'000;
    constexpr std::size_t longest_id = 200;
    options.repeat = number_option(values, "repeat", 1, most_repeats);
    options.live = values["live"].as<bool>();
    options.abort = values["abort"].as<bool>();
    if (values.count("import-id") == 0) return;
    options.import_id = values["import-id"].as<std::string>();
    if (options.import_id.empty()) throw UsageError("--import-id is empty");
    if (options.import_id.size() > longest_id)
        throw UsageError("--import-id is longer than " + std::to_string(longest_id) + " bytes");
    if (options.repeat != 1)
        throw UsageError("--repeat and --import-id cannot be given together: another --import-id does it");
    if (options.live)
        throw UsageError(
            "--live and --import-id cannot be given together: with --live the batches depend on "
            "when rows come, so that an import cannot be sent again");
}

}  // namespace

po::options_description import_csv_options() {
    const ImportOptions defaults;
    const auto text = [](const std::string& value, const char* name) {
        return po::value<std::string>()->default_value(value)->value_name(name);
    };
    po::options_description rows("Rows");
    rows.add_options()                                                                                   //
        ("series", po::value<std::string>()->value_name("SERIES"), "the series that takes the rows")     //
        ("mode", text("add", "add|set"), "add the values to what is there, or set the buckets to them")  //
        ("skip-bad", po::bool_switch(), "count bad rows and go on, instead of stopping at the first")    //
        ("from-line", text(std::to_string(defaults.first_line), "N"),
         "send nothing of the lines before this one");
    po::options_description once("Exactly once");
    once.add_options()  //
        ("import-id", po::value<std::string>()->value_name("NAME"),
         "the import's name, in place of one that is made from the content: another run with this name "
         "goes on with that import")  //
        ("repeat", text(std::to_string(defaults.repeat), "N"),
         "2 imports the same content a second time, and so on")  //
        ("live", po::bool_switch(),
         "for a pipe that pauses: send what has come, instead of waiting for full batches. Such an import "
         "cannot be sent again")  //
        ("abort", po::bool_switch(),
         "import nothing; end the import of this file that was not completed. What it has added stays");
    po::options_description sending("Sending");
    sending.add_options()  //
        ("request-bytes", text(std::to_string(defaults.limits.request_bytes), "N"),
         "longest request; must not exceed the daemon's --max-request-bytes")                        //
        ("batch-items", text(std::to_string(defaults.limits.items), "N"), "most rows in a request")  //
        ("in-flight", text(std::to_string(defaults.in_flight), "N"),
         "most requests sent and not answered yet");
    po::options_description output("Output");
    output.add_options()                                                                                //
        ("progress", text("auto", "WHEN"), "auto (on a terminal), always or never, on standard error")  //
        ("quiet", po::bool_switch(), "no progress and no summary, only the last line")                  //
        ("help", po::bool_switch(), "print this help");
    po::options_description all;
    all.add(rows).add(once).add(sending).add(client_options_description()).add(output);
    return all;
}

std::optional<ImportOptions> read_import_options(std::span<const std::string> args, std::ostream& out) {
    const po::options_description visible = import_csv_options();
    po::options_description all;
    all.add(visible).add_options()("file", po::value<std::vector<std::string>>());
    po::positional_options_description positions;
    positions.add("file", -1);
    const po::variables_map values = parse_arguments(args, all, positions);
    if (values["help"].as<bool>()) {
        out << import_csv_usage << visible << behind_import_csv_options;
        return std::nullopt;
    }

    constexpr std::uint64_t most_bytes = 1U << 30U;
    constexpr std::uint64_t most_items = 10'000'000;
    constexpr std::uint64_t most_in_flight = 100'000;
    ImportOptions options;
    options.client = read_client_options(values);
    if (values.count("file") == 0) throw UsageError("FILE is missing (- for standard input)");
    const auto& files = values["file"].as<std::vector<std::string>>();
    if (files.size() > 1)
        throw UsageError(cli::quoted(files[1]) + ": only one FILE can be imported at a time");
    options.file = files.front();
    if (options.file.empty()) throw UsageError("FILE is empty");
    if (values.count("series") == 0) throw UsageError("--series is missing");
    options.series = values["series"].as<std::string>();
    if (options.series.empty()) throw UsageError("--series is empty");
    options.mode = read_mode(values["mode"].as<std::string>());
    options.limits.items = number_option(values, "batch-items", 1, most_items);
    options.limits.request_bytes = number_option(values, "request-bytes", 1, most_bytes);
    options.in_flight = number_option(values, "in-flight", 1, most_in_flight);
    options.first_line = number_option(values, "from-line", 1, std::numeric_limits<std::uint64_t>::max());
    options.skip_bad = values["skip-bad"].as<bool>();
    read_identity(values, options);
    options.progress = read_progress(values["progress"].as<std::string>());
    options.quiet = values["quiet"].as<bool>();
    return options;
}

}  // namespace karma::cli
