#include "cli/batch_pipeline.h"

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

#include "cli/text.h"

namespace karma::cli {

namespace json = boost::json;

namespace {

// Large enough to spare system calls, small enough that the daemon never waits for work.
constexpr std::size_t flush_bytes = 32'768;

struct Verdict {
    bool applied = false;
    std::string code;  // of a refusal
    std::string message;
};

// Throws net::ConnectionError when `reply` is not what a daemon answers to a batch of `rows` rows.
Verdict judge(std::string_view reply, std::uint64_t rows) {
    boost::system::error_code failure;
    const json::value value = json::parse(reply, failure);
    const json::object* const object = failure ? nullptr : value.if_object();
    const json::value* const success = object == nullptr ? nullptr : object->if_contains("success");
    const json::value* const response = object == nullptr ? nullptr : object->if_contains("response");
    if (success == nullptr || !success->is_bool() || response == nullptr) {
        throw net::ConnectionError("the daemon answers something that is no reply of Karma: " +
                                   cli::quoted(reply, 200));
    }
    if (!success->as_bool()) {
        const json::value* const code = object->if_contains("error_code");
        return {false, code != nullptr && code->is_string() ? std::string(code->as_string()) : "unknown",
                response->is_string() ? std::string(response->as_string()) : std::string(reply)};
    }
    const json::object* const result = response->if_object();
    const json::value* const applied = result == nullptr ? nullptr : result->if_contains("applied");
    boost::system::error_code mismatch;
    if (applied == nullptr || applied->to_number<std::uint64_t>(mismatch) != rows || mismatch) {
        throw net::ConnectionError("the daemon does not say that it has applied " + counted(rows, "row") +
                                   ": " + cli::quoted(reply, 200));
    }
    return {true, {}, {}};
}

std::string lines(std::uint64_t first, std::uint64_t last) {
    return "lines " + std::to_string(first) + " to " + std::to_string(last);
}

}  // namespace

BatchPipeline::BatchPipeline(const ClientOptions& options, std::size_t in_flight_limit)
    : options_(options), in_flight_limit_(in_flight_limit) {
    renew_connection();
}

void BatchPipeline::renew_connection() {
    connection_.reset();
    connection_.emplace(options_.host, options_.port, options_.timeout);
    last_sent_ = std::chrono::steady_clock::now();
}

void BatchPipeline::send(const Batch& batch, std::string_view request) {
    if (connection_->failed() || std::chrono::steady_clock::now() - last_sent_ > silence_limit) {
        drain();
        try {
            renew_connection();
        } catch (const net::ConnectionError& error) {
            lose(error.what());
        }
    } else if (in_flight_.size() >= in_flight_limit_) {
        accept(read_reply());
        while (!in_flight_.empty()) {
            const auto reply = connection_->buffered_line();
            if (!reply) break;
            accept(*reply);
        }
    }
    last_sent_ = std::chrono::steady_clock::now();
    connection_->queue_line(request);
    in_flight_.push_back(batch);
    if (connection_->queued_bytes() >= flush_bytes) connection_->flush();
}

void BatchPipeline::drain() {
    while (!in_flight_.empty()) accept(read_reply());
}

std::string BatchPipeline::read_reply() {
    try {
        return std::string(connection_->read_line());
    } catch (const net::ConnectionError& error) {
        lose(error.what());
    }
}

void BatchPipeline::accept(std::string_view reply) {
    const Batch& batch = in_flight_.front();
    Verdict verdict;
    try {
        verdict = judge(reply, batch.rows);
    } catch (const net::ConnectionError& error) {
        lose(error.what());
    }
    if (!verdict.applied) refuse(verdict.code, verdict.message);
    ++acknowledged_.batches;
    acknowledged_.rows += batch.rows;
    acknowledged_.last_line = batch.last_line;
    acknowledged_.total += batch.total;
    in_flight_.pop_front();
}

void BatchPipeline::refuse(const std::string& code, const std::string& message) {
    using Outcome = Unacknowledged::Outcome;
    std::string what = "the daemon refused the batch of " +
                       lines(in_flight_.front().first_line, in_flight_.front().last_line) + ": " + code +
                       ": " + message;
    settle_oldest(Outcome::refused);
    if (code == "request_too_large") {
        // The daemon closes the connection behind such a request and looks at nothing that follows.
        what +=
            "\nIts requests are longer than the daemon allows: lower --request-bytes here, or start the "
            "daemon with a "
            "higher --max-request-bytes";
        while (!in_flight_.empty()) settle_oldest(Outcome::refused);
    }
    try {
        while (!in_flight_.empty()) {
            const std::string_view reply = connection_->read_line();
            const bool applied = judge(reply, in_flight_.front().rows).applied;
            settle_oldest(applied ? Outcome::applied : Outcome::refused);
        }
    } catch (const net::ConnectionError&) {
        while (!in_flight_.empty()) settle_oldest(Outcome::unknown);
    }
    throw PipelineError(what);
}

void BatchPipeline::lose(const std::string& why) {
    while (!in_flight_.empty()) settle_oldest(Unacknowledged::Outcome::unknown);
    throw PipelineError(why);
}

void BatchPipeline::settle_oldest(Unacknowledged::Outcome outcome) {
    const Batch batch = in_flight_.front();
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
