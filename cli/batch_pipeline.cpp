#include "cli/batch_pipeline.h"

#include <algorithm>
#include <thread>

#include <boost/json/value.hpp>

#include "cli/daemon_reply.h"
#include "cli/text.h"
#include "net/client_request.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

// Large enough to spare system calls, small enough that the daemon never waits for work.
constexpr std::size_t flush_bytes = 32'768;

/// Between two attempts to connect again.
constexpr std::chrono::milliseconds connect_pause{100};

std::string lines(std::uint64_t first, std::uint64_t last) {
    return "lines " + std::to_string(first) + " to " + std::to_string(last);
}

/// Whether a refusal with this code is sure to have changed nothing. The others are given where the event may
/// be in the log all the same: a follower has not acknowledged it in time, or storage failed.
bool nothing_was_applied(std::string_view code) {
    constexpr std::string_view sure[] = {
        "validation_error",     "not_found",    "unauthorized",         "forbidden",      "request_too_large",
        "idempotency_conflict", "invalid_json", "unsupported_protocol", "unknown_command"};
    return std::ranges::find(sure, code) != std::end(sure);
}

std::uint64_t number_member(const json::object& object, std::string_view name, std::string_view line) {
    const json::value* const value = object.if_contains(name);
    boost::system::error_code failure;
    const auto number = value == nullptr ? 0 : value->to_number<std::uint64_t>(failure);
    if (value == nullptr || failure) no_reply_of_karma(line);
    return number;
}

}  // namespace

BatchPipeline::BatchPipeline(const ClientOptions& options, ImportStream stream, std::string cutting,
                             std::size_t in_flight_limit, Callbacks callbacks)
    : options_(options),
      stream_(std::move(stream)),
      cutting_(std::move(cutting)),
      in_flight_limit_(in_flight_limit),
      callbacks_(std::move(callbacks)) {
    connect();
}

void BatchPipeline::connect() {
    connection_.reset();
    connection_.emplace(cli::connect(options_));
}

// ---- sending

void BatchPipeline::send(const Batch& batch, std::string_view request) {
    if (!begun_) begin_or_resume();
    // What earlier runs have applied is compared as a whole before anything is added behind it, and the first
    // batch of all before the second: where this run cuts the input into other batches, a later one could
    // have the number of one that is still to come.
    if (last_sent_chunk_ == 1 || last_sent_chunk_ == found_chunks_) drain();
    if (in_flight_.size() >= in_flight_limit_) {
        accept(read_reply());
        while (!in_flight_.empty()) {
            const auto reply = connection_->buffered_line();
            if (!reply) break;
            accept(std::string(*reply));
        }
    }
    if (in_flight_.empty()) last_progress_ = Clock::now();
    ++last_sent_chunk_;
    connection_->queue_line(request);
    in_flight_.push_back({batch, last_sent_chunk_, std::string(request), false});
    if (connection_->queued_bytes() >= flush_bytes) connection_->flush();
}

void BatchPipeline::drain() {
    while (!in_flight_.empty()) accept(read_reply());
}

std::string BatchPipeline::read_reply() {
    while (true) {
        try {
            return std::string(connection_->read_line());
        } catch (const net::ConnectionError& error) {
            resume(error.what());
        }
    }
}

void BatchPipeline::begin_or_resume() {
    last_progress_ = Clock::now();
    try {
        begin();
    } catch (const net::ConnectionError& error) {
        resume(error.what());
    }
}

void BatchPipeline::resume(std::string why) {
    const auto give_up_at = last_progress_ + options_.timeout;
    bool told = false;
    while (Clock::now() < give_up_at && !callbacks_.interrupted()) {
        // The first time at once: daemons close silent connections.
        if (attempts_++ != 0) std::this_thread::sleep_for(connect_pause);
        try {
            connect();
            begin();
            for (Sent& sent : in_flight_) {
                sent.again = true;
                connection_->queue_line(sent.request);
            }
            connection_->flush();
            return;
        } catch (const net::ConnectionError& error) {
            if (!told) callbacks_.notify("karma import: " + why + "; trying to connect again");
            told = true;
            why = error.what();
        }
    }
    lose(why);
}

json::object BatchPipeline::ask(std::string_view op, json::object fields, std::string_view what) {
    fields["stream_id"] = stream_.stream_id();
    connection_->queue_line(net::request_line(op, options_.token, std::move(fields)));
    const std::string line(connection_->read_line());
    const json::object reply = parse_reply(line);
    const json::value& response = reply.at("response");
    if (!reply.at("success").as_bool()) {
        const Verdict verdict{false, false, text_member(reply, "error_code"), text_member(reply, "response")};
        while (!in_flight_.empty()) settle_oldest(Unacknowledged::Outcome::unknown);
        is_another_ = verdict.code == "idempotency_conflict";
        throw PipelineError(std::string(what) + " (" + std::string(op) + "): " + verdict.code + ": " +
                            verdict.message + advice_for(verdict));
    }
    if (!response.is_object()) no_reply_of_karma(line);
    return response.get_object();
}

void BatchPipeline::begin() {
    begin_sent_ = true;
    const json::object stream =
        ask("ingest.begin", {{"mode", stream_.mode_name()}, {"granularity", "day;" + cutting_}},
            "the daemon refused to begin import " + stream_.import_id);
    const std::uint64_t chunks =
        number_member(stream, "last_chunk_seq", "ingest.begin without last_chunk_seq");
    if (begun_) return;
    begun_ = true;
    found_chunks_ = chunks;
    was_complete_ = text_member(stream, "status") == "already_committed";
}

void BatchPipeline::commit() {
    if (!begun_) return;
    if (found_chunks_ > last_sent_chunk_) {
        throw PipelineError("import " + stream_.import_id + " had " + std::to_string(found_chunks_) +
                            " batches when this run began, and the input has only " +
                            std::to_string(last_sent_chunk_) +
                            " now: it is another input, or it is cut short. Nothing of it was counted twice");
    }
    if (was_complete_) return;
    last_progress_ = Clock::now();
    while (true) {
        try {
            ask("ingest.commit", {}, "all rows are applied, but the import could not be closed");
            return;
        } catch (const net::ConnectionError& error) {
            resume(error.what());
        }
    }
}

// ---- replies

BatchPipeline::Verdict BatchPipeline::judge(std::string_view reply, const Sent& sent) {
    const json::object object = parse_reply(reply);
    const json::value& response = object.at("response");
    if (!object.at("success").as_bool()) {
        const std::string code = text_member(object, "error_code");
        return {false, false, code.empty() ? "unknown" : code,
                response.is_string() ? std::string(response.get_string()) : std::string(reply)};
    }
    const json::object* const result = response.if_object();
    if (result == nullptr) no_reply_of_karma(reply);
    const json::value* const skipped = result->if_contains("skipped");
    const bool is_skipped = skipped != nullptr && skipped->is_bool() && skipped->get_bool();
    if (number_member(*result, "chunk_seq", reply) != sent.chunk ||
        (!is_skipped && number_member(*result, "applied", reply) != sent.batch.rows)) {
        throw net::ConnectionError("the daemon does not say that it has applied " +
                                   counted(sent.batch.rows, "row") + ": " + cli::quoted(reply, 200));
    }
    return {true, is_skipped, {}, {}};
}

void BatchPipeline::accept(std::string_view reply) {
    last_progress_ = Clock::now();
    attempts_ = 0;
    Verdict verdict;
    try {
        verdict = judge(reply, in_flight_.front());
    } catch (const net::ConnectionError& error) {
        lose(error.what());
    }
    if (!verdict.success) refuse(verdict);
    acknowledge_oldest(verdict.skipped);
}

void BatchPipeline::acknowledge_oldest(bool skipped) {
    const Sent& sent = in_flight_.front();
    // What this run had sent before its connection was lost is its own.
    const bool was_applied_before = sent.chunk <= found_chunks_ || (skipped && !sent.again);
    ++acknowledged_.batches;
    acknowledged_.rows += sent.batch.rows;
    acknowledged_.last_line = sent.batch.last_line;
    (was_applied_before ? acknowledged_.skipped : acknowledged_.applied) += sent.batch.rows;
    if (!was_applied_before) acknowledged_.total += sent.batch.total;
    in_flight_.pop_front();
}

void BatchPipeline::refuse(const Verdict& verdict) {
    using Outcome = Unacknowledged::Outcome;
    is_another_ = verdict.code == "idempotency_conflict";
    const Batch refused = in_flight_.front().batch;
    const std::string what = "the daemon refused the batch of " +
                             lines(refused.first_line, refused.last_line) + ": " + verdict.code + ": " +
                             verdict.message + advice_for(verdict);
    // The replies to the batches in flight, until the connection ends.
    std::vector<Verdict> verdicts{verdict};
    // The daemon closes the connection behind a request that is too long and looks at nothing that follows.
    const bool closes = verdict.code == "request_too_large";
    try {
        while (!closes && verdicts.size() < in_flight_.size()) {
            verdicts.push_back(judge(std::string(connection_->read_line()), in_flight_[verdicts.size()]));
        }
    } catch (const net::ConnectionError&) {
        // What is known of the others is enough: see below.
    }
    if (closes) verdicts.resize(in_flight_.size(), verdict);
    // The daemon takes chunks in their order only: with one of them all before it are applied.
    std::size_t sure = verdicts.size();
    while (sure != 0 && !verdicts[sure - 1].success) --sure;
    for (std::size_t at = 0; at < sure; ++at) {
        acknowledge_oldest(verdicts[at].success && verdicts[at].skipped);
    }
    for (std::size_t at = sure; at < verdicts.size(); ++at) {
        settle_oldest(nothing_was_applied(verdicts[at].code) ? Outcome::not_applied : Outcome::unknown);
    }
    while (!in_flight_.empty()) settle_oldest(Outcome::unknown);
    throw PipelineError(what);
}

std::string BatchPipeline::advice_for(const Verdict& verdict) const {
    if (verdict.code == "request_too_large") {
        return "\nIts requests are longer than the daemon allows: lower --request-bytes here, or start the "
               "daemon with a higher --max-request-bytes";
    }
    if (verdict.code == "idempotency_conflict") {
        return "\nImport " + stream_.import_id + (was_complete_ ? " was completed" : " was begun") +
               " with other rows: with another --mode, --from-line, --request-bytes or --batch-items, or "
               "from "
               "another input under the same --import-id. Nothing was added in the place of those" +
               (was_complete_ ? ""
                              : ". Run it with the options and the input that it was begun with, or end it "
                                "with --abort");
    }
    if (verdict.code == "validation_error" && !begun_) {
        return "\nImports that were not completed stay open: run them again, or end them with --abort "
               "(ingest.abort)";
    }
    return {};
}

void BatchPipeline::lose(const std::string& why) {
    while (!in_flight_.empty()) settle_oldest(Unacknowledged::Outcome::unknown);
    throw PipelineError(why);
}

void BatchPipeline::settle_oldest(Unacknowledged::Outcome outcome) {
    const Batch batch = in_flight_.front().batch;
    in_flight_.pop_front();
    if (unacknowledged_.empty() || unacknowledged_.back().outcome != outcome) {
        unacknowledged_.push_back({outcome, 0, 0, batch.first_line, batch.last_line});
    }
    Unacknowledged& entry = unacknowledged_.back();
    ++entry.batches;
    entry.rows += batch.rows;
    entry.last_line = batch.last_line;
}

}  // namespace karma::cli
