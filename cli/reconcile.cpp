#include "cli/reconcile.h"

#include <iomanip>
#include <iostream>
#include <unistd.h>
#include <vector>

#include <boost/program_options/value_semantic.hpp>

#include "cli/command_line.h"
#include "cli/csv_reader.h"
#include "cli/input_file.h"
#include "cli/reconciler.h"
#include "cli/text.h"

namespace karma::cli {

namespace po = boost::program_options;

namespace {

constexpr const char* reconcile_usage =
    "Usage: karma reconcile [options] FILE --series SERIES\n"
    "       karma reconcile [options] - --series SERIES        (reads standard input)\n"
    "\n"
    "Compares the aggregates of a CSV file, plain or gzip, with a running daemon and prints where they\n"
    "differ. A row is key,bucket,value, as for karma import; rows of the same key and bucket add up,\n"
    "and without a value column every row counts 1. Only what the file has is compared: keys and days\n"
    "that it leaves out are not.\n";

constexpr const char* behind_reconcile_options =
    "\n"
    "Exit status: 0 all points agree, 1 some differ, 2 wrong usage, 3 no connection, 4 not compared (the\n"
    "file cannot be read or has no rows, or the daemon refuses). Memory: 24 bytes a row of the file.\n";

struct ReconcileOptions {
    ClientOptions client;
    std::string file;  // "-": standard input
    std::string series;
    bool report = false;
    std::uint64_t limit = 0;  // differences printed, 0: all
};

po::options_description reconcile_options() {
    po::options_description comparing("Comparing");
    comparing.add_options()                                                                              //
        ("series", po::value<std::string>()->value_name("SERIES"), "the series that the file is about")  //
        ("report", po::bool_switch(),
         "report the result to the daemon (reconciliation.report), for its statistics and metrics")  //
        ("limit", po::value<std::string>()->default_value("20")->value_name("N"),
         "print so many differences at most, 0 for all")  //
        ("help", po::bool_switch(), "print this help");
    po::options_description all;
    all.add(comparing).add(client_options_description());
    return all;
}

/// Nothing when help was asked for, which is printed then. Throws UsageError.
std::optional<ReconcileOptions> read_options(std::span<const std::string> args, std::ostream& out) {
    const po::options_description visible = reconcile_options();
    po::options_description all;
    all.add(visible).add_options()("file", po::value<std::vector<std::string>>());
    po::positional_options_description positions;
    positions.add("file", -1);
    const po::variables_map values = parse_arguments(args, all, positions);
    if (values["help"].as<bool>()) {
        out << reconcile_usage << visible << behind_reconcile_options;
        return std::nullopt;
    }
    ReconcileOptions options;
    options.client = read_client_options(values);
    if (values.count("file") == 0) throw UsageError("FILE is missing (- for standard input)");
    const auto& files = values["file"].as<std::vector<std::string>>();
    if (files.size() > 1)
        throw UsageError(cli::quoted(files[1]) + ": only one FILE can be compared at a time");
    options.file = files.front();
    if (options.file.empty()) throw UsageError("FILE is empty");
    if (values.count("series") == 0) throw UsageError("--series is missing");
    options.series = values["series"].as<std::string>();
    if (options.series.empty()) throw UsageError("--series is empty");
    options.report = values["report"].as<bool>();
    constexpr std::uint64_t most = 1'000'000'000'000;
    options.limit = number_option(values, "limit", 0, most);
    return options;
}

std::vector<ExpectedPoint> read_points(const ReconcileOptions& options, int standard_input) {
    InputFile input(options.file, standard_input);
    CsvReader reader(input, {true, 1});
    std::vector<ExpectedPoint> points;
    CsvRow row;
    while (true) {
        switch (reader.next(row)) {
            case CsvEvent::row: points.push_back({row.key, *day_from_yyyymmdd(row.bucket), row.value}); break;
            case CsvEvent::bad_row: throw InputError(reader.problem());
            case CsvEvent::idle: break;
            case CsvEvent::end: merge_points(points); return points;
        }
    }
}

/// Prints differences as a table, as many as are asked for.
class DifferenceTable {
public:
    DifferenceTable(std::ostream& out, std::uint64_t limit) : out_(out), limit_(limit) {}

    void add(const Difference& difference) {
        ++count_;
        if (limit_ != 0 && count_ > limit_) {
            return;
        }
        if (count_ == 1) {
            line("key", "bucket", "expected", "actual", "difference");
        }
        const Int128 delta = difference.delta();
        const std::string sign = delta < 0 ? "-" : "+";
        line(std::to_string(difference.expected.key),
             std::to_string(day_to_yyyymmdd(difference.expected.day)),
             std::to_string(difference.expected.value), std::to_string(difference.actual),
             sign + to_decimal(static_cast<Uint128>(delta < 0 ? -delta : delta)));
    }

    void end() {
        if (limit_ != 0 && count_ > limit_) {
            out_ << "... and " << counted(count_ - limit_, "more difference") << " (--limit 0 prints all)\n";
        }
    }

private:
    void line(const std::string& key, const std::string& bucket, const std::string& expected,
              const std::string& actual, const std::string& difference) {
        constexpr int wide = 20;
        constexpr int narrow = 10;
        out_ << std::setw(wide) << key << std::setw(narrow) << bucket << ' ' << std::setw(wide) << expected
             << ' ' << std::setw(wide) << actual << ' ' << std::setw(wide + 1) << difference << '\n';
    }

    std::ostream& out_;
    std::uint64_t limit_;
    std::uint64_t count_ = 0;
};

int reconcile(const ReconcileOptions& options, int standard_input, std::ostream& out) {
    const std::vector<ExpectedPoint> points = read_points(options, standard_input);
    // An export that failed and left nothing must not look like one that agrees.
    if (points.empty()) {
        throw InputError((options.file == "-" ? "standard input" : options.file) +
                         ": no rows, so nothing was compared");
    }
    Reconciler reconciler(options.client, options.series);
    DifferenceTable table(out, options.limit);
    const Reconciliation result =
        reconciler.compare(points, [&](const Difference& difference) { table.add(difference); });
    table.end();
    out << "points checked      " << result.checked << '\n'
        << "mismatches          " << result.mismatches << '\n'
        << "absolute drift      " << to_decimal(result.absolute_drift) << '\n'
        << "largest difference  " << result.max_abs_delta << '\n';
    if (options.report) {
        reconciler.report(result);
    }
    return result.mismatches == 0 ? exit_success : exit_failure;
}

}  // namespace

int run_reconcile(std::span<const std::string> args, int standard_input, std::ostream& out,
                  std::ostream& err) {
    try {
        const std::optional<ReconcileOptions> options = read_options(args, out);
        return options ? reconcile(*options, standard_input, out) : exit_success;
    } catch (const UsageError& error) {
        err << "karma reconcile: " << error.what() << "\nTry 'karma reconcile --help'.\n";
        return exit_usage;
    } catch (const net::ConnectionError& error) {
        err << "karma reconcile: " << error.what() << '\n';
        return exit_no_reply;
    } catch (const std::exception& error) {
        err << "karma reconcile: " << error.what() << '\n';
        return exit_not_compared;
    }
}

int reconcile_main(std::span<const std::string> args) {
    return run_reconcile(args, STDIN_FILENO, std::cout, std::cerr);
}

}  // namespace karma::cli
