#include "cli/import.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/batch_builder.h"
#include "cli/batch_pipeline.h"
#include "cli/command_line.h"
#include "cli/csv_reader.h"
#include "cli/import_directory.h"
#include "cli/import_options.h"
#include "cli/input_file.h"
#include "cli/progress.h"
#include "cli/text.h"
#include "net/client_connection.h"

namespace karma::cli {

namespace {

constexpr std::uint64_t bad_rows_shown = 10;

bool wants_progress(const ImportOptions& options, const std::ostream& err) {
    if (options.quiet || options.progress == ProgressMode::never) return false;
    return options.progress == ProgressMode::always || (&err == &std::cerr && ::isatty(STDERR_FILENO) == 1);
}

std::size_t terminal_width() {
    winsize size{};
    constexpr std::size_t usual = 80;
    if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return usual;
    return size.ws_col;
}

std::string lines_text(const Unacknowledged& entry) {
    const std::string lines =
        entry.first_line == entry.last_line
            ? "line " + std::to_string(entry.first_line)
            : "lines " + std::to_string(entry.first_line) + " to " + std::to_string(entry.last_line);
    return lines + " (" + counted(entry.rows, "row") + " in " + counted(entry.batches, "batch") + ")";
}

const char* outcome_text(Unacknowledged::Outcome outcome) {
    switch (outcome) {
        case Unacknowledged::Outcome::applied: return "applied all the same";
        case Unacknowledged::Outcome::refused: return "not applied";
        case Unacknowledged::Outcome::unknown: break;
    }
    return "sent, but not acknowledged: they may or may not have been applied";
}

// One run of `karma import`.
class Import {
public:
    Import(const ImportOptions& options, int standard_input, std::ostream& out, std::ostream& err,
           const std::function<bool()>& interrupted)
        : options_(options),
          out_(out),
          err_(err),
          interrupted_(interrupted),
          standard_input_(standard_input),
          builder_(options.mode, options.series, options.client.token, options.limits),
          progress_(err, wants_progress(options, err), terminal_width()) {}

    int run() {
        int status = exit_failure;
        try {
            InputFile input(options_.file, standard_input_);
            CsvReader reader(input, {options_.mode == BatchMode::set, options_.first_line});
            pipeline_.emplace(options_.client, options_.in_flight);
            const bool complete = transfer(input, reader);
            progress_.clear();
            if (complete && pipeline_error_.empty()) status = exit_success;
        } catch (const InputError& error) {
            complain(error.what());
        } catch (const net::ConnectionError& error) {
            complain(std::string("karma import: ") + error.what());
            status = exit_no_reply;
        }
        if (!pipeline_error_.empty()) report_unacknowledged();
        if (!options_.quiet) print_summary();
        print_acknowledged();
        return status;
    }

private:
    // Sends all rows up to the end of the input or the first reason to stop. Returns whether there was none.
    bool transfer(const InputFile& input, CsvReader& reader) {
        try {
            const bool complete = send_rows(input, reader);
            send_batch();
            pipeline_->drain();
            return complete;
        } catch (const PipelineError& error) {
            pipeline_error_ = error.what();
            return false;
        }
    }

    bool send_rows(const InputFile& input, CsvReader& reader) {
        try {
            CsvRow row;
            while (!interrupted_()) {
                switch (reader.next(row)) {
                    case CsvEvent::row:
                        ++rows_read_;
                        if (builder_.add(row)) break;
                        send_batch();
                        builder_.add(row);
                        show_progress(input);
                        break;
                    case CsvEvent::bad_row:
                        ++rows_read_;
                        if (!accept_bad_row(reader)) return false;
                        break;
                    case CsvEvent::idle:
                        send_batch();
                        pipeline_->drain();
                        show_progress(input);
                        break;
                    case CsvEvent::end: return true;
                }
            }
            complain("karma import: interrupted behind line " + std::to_string(reader.line()));
        } catch (const InputError& error) {
            complain(error.what());
        }
        return false;
    }

    // A batch that is not empty is sent; what follows is the next one.
    void send_batch() {
        if (builder_.empty()) return;
        pipeline_->send(builder_.batch(), builder_.request());
        builder_.clear();
    }

    bool accept_bad_row(const CsvReader& reader) {
        if (!options_.skip_bad) {
            complain(reader.problem());
            complain("karma import: stopped there; the rows before it are sent. --from-line " +
                     std::to_string(reader.line()) + " goes on there, --skip-bad passes over bad rows");
            return false;
        }
        ++rows_skipped_;
        if (rows_skipped_ <= bad_rows_shown) {
            complain(reader.problem() + " (skipped)");
        } else if (rows_skipped_ == bad_rows_shown + 1) {
            complain("karma import: further bad rows are only counted");
        }
        // Nothing waits for long behind a great many bad rows.
        constexpr std::uint64_t many = 100'000;
        if (rows_skipped_ % many == 0) {
            send_batch();
            pipeline_->drain();
        }
        return true;
    }

    void show_progress(const InputFile& input) {
        if (!progress_.due()) return;
        progress_.update({pipeline_->acknowledged().rows, input.position(), input.size(), seconds()});
    }

    // Writes a line for the user in place of the progress.
    void complain(const std::string& text) {
        progress_.clear();
        err_ << text << '\n';
    }

    void report_unacknowledged() {
        complain("karma import: " + pipeline_error_);
        const Acknowledged& done = pipeline_->acknowledged();
        std::string text = "karma import: acknowledged: ";
        if (done.rows == 0) {
            text += "nothing";
        } else {
            text += "the first " + counted(done.rows, "row");
            if (options_.first_line > 1) text += " from line " + std::to_string(options_.first_line) + " on";
            text +=
                " in " + counted(done.batches, "batch") + ", up to line " + std::to_string(done.last_line);
        }
        complain(text);
        for (const Unacknowledged& entry : pipeline_->unacknowledged()) {
            complain("karma import: " + lines_text(entry) + ": " + outcome_text(entry.outcome));
        }
        complain("karma import: nothing of the lines behind these was sent");
    }

    void print_summary() {
        const Acknowledged done = pipeline_ ? pipeline_->acknowledged() : Acknowledged{};
        const double elapsed = seconds();
        const double rate = elapsed > 0 ? static_cast<double>(done.rows) / elapsed : 0;
        std::array<char, 64> timing{};
        (void)std::snprintf(timing.data(), timing.size(), "seconds       %.3f\nrows/s        %.0f\n", elapsed,
                            rate);
        out_ << "rows read     " << rows_read_ << '\n'
             << "rows applied  " << done.rows << '\n'
             << "rows skipped  " << rows_skipped_ << '\n'
             << "total value   " << to_decimal(done.total) << '\n'
             << "batches       " << done.batches << '\n'
             << timing.data();
    }

    void print_acknowledged() {
        const Acknowledged done = pipeline_ ? pipeline_->acknowledged() : Acknowledged{};
        const std::uint64_t last_line = done.batches == 0 ? options_.first_line - 1 : done.last_line;
        out_ << "acknowledged rows=" << done.rows << " batches=" << done.batches << " last_line=" << last_line
             << '\n'
             << std::flush;
    }

    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    }

    const ImportOptions& options_;
    std::ostream& out_;
    std::ostream& err_;
    const std::function<bool()>& interrupted_;
    int standard_input_;
    BatchBuilder builder_;
    Progress progress_;
    std::optional<BatchPipeline> pipeline_;
    std::string pipeline_error_;
    std::uint64_t rows_read_ = 0;
    std::uint64_t rows_skipped_ = 0;
    std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

std::atomic<bool> signal_came{false};
static_assert(std::atomic<bool>::is_always_lock_free);

// While it lives, the first SIGINT or SIGTERM sets signal_came; a second one ends the process as usual.
class SignalGuard {
public:
    SignalGuard() {
        signal_came = false;
        struct sigaction action {};
        action.sa_handler = [](int) { signal_came = true; };
        action.sa_flags = static_cast<int>(SA_RESETHAND);
        ::sigaction(SIGINT, &action, &old_interrupt_);
        ::sigaction(SIGTERM, &action, &old_terminate_);
    }
    ~SignalGuard() {
        ::sigaction(SIGINT, &old_interrupt_, nullptr);
        ::sigaction(SIGTERM, &old_terminate_, nullptr);
    }
    SignalGuard(const SignalGuard&) = delete;
    SignalGuard& operator=(const SignalGuard&) = delete;

private:
    struct sigaction old_interrupt_ {};
    struct sigaction old_terminate_ {};
};

}  // namespace

int run_import(std::span<const std::string> args, int standard_input, std::ostream& out, std::ostream& err,
               const std::function<bool()>& interrupted) {
    try {
        const auto options = read_import_options(args, out);
        if (!options) return exit_success;
        return Import(*options, standard_input, out, err, interrupted).run();
    } catch (const UsageError& error) {
        err << "karma import: " << error.what() << "\nTry 'karma import --help'.\n";
        return exit_usage;
    }
}

int import_main(std::span<const std::string> args) {
    if (names_directory(args)) {
        return run_import_directory(args, std::cout, std::cerr);
    }
    const SignalGuard guard;
    return run_import(args, STDIN_FILENO, std::cout, std::cerr, [] { return signal_came.load(); });
}

}  // namespace karma::cli
