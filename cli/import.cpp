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
#include "cli/daemon_reply.h"
#include "cli/import_abort.h"
#include "cli/import_directory.h"
#include "cli/import_options.h"
#include "cli/import_stream.h"
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
    return outcome == Unacknowledged::Outcome::not_applied
               ? "not applied"
               : "sent, but not acknowledged: they may or may not have been applied";
}

/// Whether the daemon says that there is no such series. Not when it says nothing.
bool is_missing(const ClientOptions& client, const std::string& series) {
    try {
        (void)DaemonClient(client).ask("tree.info", {{"series", series}});
    } catch (const RefusedError& error) {
        return std::string_view(error.what()).find("not_found") != std::string_view::npos;
    } catch (const net::ConnectionError&) {
        return false;
    }
    return false;
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
          stream_{options.import_id, options.mode, options.series},
          progress_(err, wants_progress(options, err), terminal_width()) {
        // Wrong usage is found before anything is done: with an id as long as the one that will be found.
        constexpr std::size_t id_bytes = 64;
        const std::string id = stream_.import_id.empty() ? std::string(id_bytes, '0') : stream_.import_id;
        (void)BatchBuilder({id, options.mode, options.series}, options.client.token, options.limits);
    }

    int run() {
        int status = exit_failure;
        try {
            InputFile input(options_.file, standard_input_);
            if (check(input) && identify(input)) {
                if (transfer(input)) status = exit_success;
                progress_.clear();
            }
        } catch (const InputError& error) {
            complain(error.what());
        } catch (const net::ConnectionError& error) {
            complain(std::string("karma import: ") + error.what());
            status = exit_no_reply;
        }
        const Acknowledged done = pipeline_ ? pipeline_->acknowledged() : Acknowledged{};
        if (!pipeline_error_.empty()) report_unacknowledged(done);
        if (status == exit_success && !confirm(done)) status = exit_failure;
        if (status == exit_failure) say_how_to_go_on(done);
        if (!options_.quiet) print_summary(done);
        print_acknowledged(done);
        return status;
    }

private:
    // Reads an input that can be read twice to its end before anything is sent, so that a row or a file that
    // is damaged is found first, and its content is known. Returns whether it is to be sent.
    bool check(InputFile& input) {
        if (!input.can_rewind()) return true;
        CsvReader reader(input, csv_options());
        CsvRow row;
        std::uint64_t rows = 0;
        constexpr std::uint64_t rows_between_updates = 4'096;
        while (!interrupted_()) {
            const CsvEvent event = reader.next(row);
            if (event == CsvEvent::end) {
                content_hash_ = input.content_hash();
                input.rewind();
                return true;
            }
            if (event != CsvEvent::idle) ++rows;
            if (event == CsvEvent::bad_row && !options_.skip_bad) {
                rows_read_ = rows;
                complain(reader.problem());
                complain(
                    "karma import: nothing was sent. Mend the line, or pass over bad rows with --skip-bad");
                return false;
            }
            if (rows % rows_between_updates == 0 && progress_.due()) {
                progress_.update({rows, input.position(), input.size(), seconds(), "checking"});
            }
        }
        complain("karma import: interrupted before anything was sent");
        return false;
    }

    // Finds the id of the import. Returns whether there is one.
    bool identify(const InputFile& input) {
        if (!stream_.import_id.empty()) return true;
        if (input.can_rewind() && !options_.live) {
            stream_.import_id =
                import_id_of_content(content_hash_, options_.series, options_.mode, options_.repeat);
            return true;
        }
        if (options_.repeat != 1) {
            complain("karma import: --repeat needs a file, which can be read twice: use --import-id");
            return false;
        }
        stream_.import_id = random_import_id();
        id_is_random_ = true;
        if (!options_.live && !options_.quiet) {
            complain("karma import: import id " + stream_.import_id +
                     " (if anything goes wrong, send the same input again with --import-id=" +
                     stream_.import_id + ")");
        }
        return true;
    }

    // Sends all rows up to the end of the input or the first reason to stop. Returns whether the import is
    // complete.
    bool transfer(InputFile& input) {
        builder_.emplace(stream_, options_.client.token, options_.limits);
        pipeline_.emplace(
            options_.client, stream_, builder_->cutting(options_.first_line), options_.in_flight,
            BatchPipeline::Callbacks{interrupted_, [this](const auto& text) { complain(text); }});
        CsvReader reader(input, csv_options());
        try {
            const bool complete = send_rows(input, reader) && is_unchanged(input);
            // Only the end of the input may cut a batch short, or the next run would have others.
            if (complete || options_.live) send_batch();
            pipeline_->drain();
            if (complete || options_.live) pipeline_->commit();
            return complete;
        } catch (const PipelineError& error) {
            pipeline_error_ = error.what();
            return false;
        }
    }

    bool is_unchanged(InputFile& input) {
        if (!input.can_rewind() || input.content_hash() == content_hash_) return true;
        complain("karma import: " + input.name() +
                 " was changed while it was imported. What was added is of import " + stream_.import_id +
                 ", which is left open; the file as it is now is another import, that adds all of its rows");
        changed_ = true;
        return false;
    }

    bool send_rows(const InputFile& input, CsvReader& reader) {
        try {
            CsvRow row;
            while (!interrupted_()) {
                switch (reader.next(row)) {
                    case CsvEvent::row:
                        ++rows_read_;
                        if (builder_->add(row)) break;
                        send_batch();
                        builder_->add(row);
                        show_progress(input);
                        break;
                    case CsvEvent::bad_row:
                        ++rows_read_;
                        if (!accept_bad_row(reader)) return false;
                        break;
                    case CsvEvent::idle:
                        if (options_.live) send_batch();
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
        if (builder_->empty()) return;
        pipeline_->send(builder_->batch(), builder_->request(pipeline_->next_chunk()));
        builder_->clear();
    }

    bool accept_bad_row(const CsvReader& reader) {
        if (!options_.skip_bad) {
            complain(reader.problem());
            complain("karma import: stopped there. Mend the line, or pass over bad rows with --skip-bad");
            return false;
        }
        ++bad_rows_;
        if (bad_rows_ <= bad_rows_shown) {
            complain(reader.problem() + " (skipped)");
        } else if (bad_rows_ == bad_rows_shown + 1) {
            complain("karma import: further bad rows are only counted");
        }
        // Nothing waits for long behind a great many bad rows.
        constexpr std::uint64_t many = 100'000;
        if (bad_rows_ % many == 0) {
            if (options_.live) send_batch();
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

    void report_unacknowledged(const Acknowledged& done) {
        complain("karma import: " + pipeline_error_);
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
            if (entry.outcome == Unacknowledged::Outcome::unknown) unknown_ += entry.rows;
        }
    }

    // Where nothing is left to be done, that is said. Returns false when what was imported before is gone.
    bool confirm(const Acknowledged& done) {
        if (done.rows == 0 || done.applied != 0 || !pipeline_->was_complete()) return true;
        pipeline_.reset();
        const std::string once_more = options_.import_id.empty()
                                          ? "--repeat=" + std::to_string(options_.repeat + 1)
                                          : std::string("another --import-id");
        std::string text = "karma import: nothing was added: import " + stream_.import_id + " with its " +
                           counted(done.rows, "row") + " was completed before";
        const bool missing = is_missing(options_.client, options_.series);
        if (missing) text += ", and the series " + cli::quoted(options_.series) + " was dropped since";
        complain(text + ". " + once_more + " imports the same content once more");
        return !missing;
    }

    void say_how_to_go_on(const Acknowledged& done) {
        if (!pipeline_ || !pipeline_->began() || pipeline_->is_another() || changed_) return;
        if (options_.live) {
            complain(
                "karma import: with --live an import cannot be sent again; acknowledged is what stands "
                "up to line " +
                std::to_string(last_line(done)));
            return;
        }
        complain(std::string("karma import: not complete. Run the same command again") +
                 (id_is_random_ ? ", with --import-id=" + stream_.import_id + " and the same input," : "") +
                 " to complete it: nothing is counted twice. --abort ends it as it is");
    }

    void print_summary(const Acknowledged& done) {
        const double elapsed = seconds();
        const double rate = elapsed > 0 ? static_cast<double>(done.rows) / elapsed : 0;
        std::array<char, 64> timing{};
        (void)std::snprintf(timing.data(), timing.size(), "seconds       %.3f\nrows/s        %.0f\n", elapsed,
                            rate);
        out_ << "rows read     " << rows_read_ << '\n'
             << "rows applied  " << done.applied << '\n'
             << "rows skipped  " << done.skipped << " (applied before)\n"
             << "rows unknown  " << unknown_ << '\n'
             << "rows bad      " << bad_rows_ << '\n'
             << "total value   " << to_decimal(done.total) << '\n'
             << "batches       " << done.batches << '\n'
             << timing.data();
    }

    void print_acknowledged(const Acknowledged& done) {
        out_ << "acknowledged rows=" << done.rows << " batches=" << done.batches
             << " last_line=" << last_line(done) << " applied=" << done.applied << " skipped=" << done.skipped
             << " unknown=" << unknown_
             << " import_id=" << (stream_.import_id.empty() ? "-" : stream_.import_id) << '\n'
             << std::flush;
    }

    std::uint64_t last_line(const Acknowledged& done) const {
        return done.batches == 0 ? options_.first_line - 1 : done.last_line;
    }

    CsvOptions csv_options() const { return {options_.mode == BatchMode::set, options_.first_line}; }

    double seconds() const {
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count();
    }

    const ImportOptions& options_;
    std::ostream& out_;
    std::ostream& err_;
    const std::function<bool()>& interrupted_;
    int standard_input_;
    ImportStream stream_;
    bool id_is_random_ = false;
    std::string content_hash_;  // of an input that can be read twice
    bool changed_ = false;      // while it was imported
    std::optional<BatchBuilder> builder_;
    Progress progress_;
    std::optional<BatchPipeline> pipeline_;
    std::string pipeline_error_;
    std::uint64_t rows_read_ = 0;
    std::uint64_t bad_rows_ = 0;
    std::uint64_t unknown_ = 0;  // rows
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
        if (options->abort) return abort_import(*options, standard_input, out, err);
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
